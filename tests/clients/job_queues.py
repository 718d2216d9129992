"""Runs real job queues with a server as their broker: rq, dramatiq, celery. Usage: job_queues.py SERVER-BINARY"""

import os
import subprocess
import sys
import tempfile
import time

import redis

from redis_py import free_port, wait_until_it_answers

HERE = os.path.dirname(os.path.abspath(__file__))
RESULT_MAX_S = 30


def rq_jobs(port):
    import rq

    connection = redis.Redis(port=port)
    queue = rq.Queue("work", connection=connection)
    first = queue.enqueue("jobs.add", 1, 2)
    dependent = queue.enqueue("jobs.add", 3, 4, depends_on=first)
    retried = queue.enqueue("jobs.fail_once", "rq:tries", port, retry=rq.Retry(max=2))
    failing = queue.enqueue("jobs.add", 1, "text")
    rq.SimpleWorker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")
    assert first.return_value() == 3 and dependent.return_value() == 7, "results come back"
    assert retried.return_value(refresh=True) == "second", "a failed job is tried again"
    assert failing.get_status() == rq.job.JobStatus.FAILED and failing.id in queue.failed_job_registry
    many = queue.enqueue_many([rq.Queue.prepare_data("jobs.add", (n, n)) for n in range(50)])
    # A worker that forks for each job, as it is run in production.
    rq.Worker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")
    assert [job.return_value(refresh=True) for job in many] == [2 * n for n in range(50)]
    assert queue.is_empty()


def dramatiq_jobs(port):
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(url=f"redis://127.0.0.1:{port}/1", dead_message_ttl=60_000)
    broker.add_middleware(Results(backend=RedisBackend(url=f"redis://127.0.0.1:{port}/1")))
    dramatiq.set_broker(broker)
    tries = []

    @dramatiq.actor(store_results=True)
    def add(a, b):
        return a + b

    @dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=50)
    def flaky():
        tries.append(None)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=4)
    worker.start()
    messages = [add.send(n, 1) for n in range(100)]
    delayed = add.send_with_options(args=(20, 22), delay=200)
    flaky.send()
    results = [message.get_result(block=True, timeout=RESULT_MAX_S * 1000) for message in messages]
    assert results == [n + 1 for n in range(100)]
    assert delayed.get_result(block=True, timeout=RESULT_MAX_S * 1000) == 42
    broker.join(flaky.queue_name, timeout=RESULT_MAX_S * 1000)
    worker.join()
    worker.stop()
    assert len(tries) == 3, "a failing message is tried again"


def celery_jobs(port):
    import celery
    from celery.contrib.testing.worker import start_worker

    url = f"redis://127.0.0.1:{port}"
    app = celery.Celery("jobs", broker=f"{url}/2", backend=f"{url}/3")
    app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
    tries = []

    @app.task
    def add(a, b):
        return a + b

    @app.task
    def total(numbers):
        return sum(numbers)

    @app.task(bind=True, max_retries=3)
    def flaky(self):
        tries.append(None)
        if len(tries) < 2:
            raise self.retry(countdown=0.1)
        return "done"

    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False, loglevel="CRITICAL"):
        assert add.delay(2, 3).get(timeout=RESULT_MAX_S) == 5
        group = celery.group(add.s(n, n) for n in range(30)).apply_async()
        assert group.get(timeout=RESULT_MAX_S) == [2 * n for n in range(30)]
        chord = celery.chord((add.s(n, 1) for n in range(10)), total.s())()
        assert chord.get(timeout=RESULT_MAX_S) == sum(n + 1 for n in range(10))
        chain = (add.s(1, 2) | add.s(4)).apply_async()
        assert chain.get(timeout=RESULT_MAX_S) == 7
        later = add.apply_async((1, 1), countdown=0.3)
        assert flaky.delay().get(timeout=RESULT_MAX_S) == "done"
        assert later.get(timeout=RESULT_MAX_S) == 2


def command_line(binary, directory, port):
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory]
    if "redis-server" in binary:
        return [binary, *options, "--save", ""]
    return [binary, *options, "--lua-dialect", "redis"]


def main(binary):
    sys.path.insert(0, HERE)
    os.environ["PYTHONPATH"] = HERE
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(command_line(binary, directory, port), stdout=subprocess.DEVNULL)
        try:
            wait_until_it_answers(redis.Redis(port=port), process)
            for queue in (rq_jobs, dramatiq_jobs, celery_jobs):
                began = time.monotonic()
                queue(port)
                print(f"{queue.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)
        finally:
            process.terminate()
            process.wait()
    # What the queues left behind would look for the server on the way out.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
