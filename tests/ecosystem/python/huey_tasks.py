"""huey: tasks, results, retries, schedules and locks, in both of its queues. Usage: huey_tasks.py PORT"""

import logging
import sys
import threading
import time

import huey
from huey.consumer import Consumer

RESULT_MAX_S = 30


def run(kind, port, name):
    queue = kind(name, host="127.0.0.1", port=port, results=True)
    tries, ran = [], []

    @queue.task()
    def add(a, b):
        return a + b

    @queue.task(retries=2, retry_delay=0)
    def flaky():
        tries.append(None)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return len(tries)

    @queue.task()
    @queue.lock_task("alone")
    def alone():
        ran.append(threading.get_ident())
        time.sleep(0.05)
        ran.append(threading.get_ident())
        return "done"

    consumer = Consumer(queue, workers=4, periodic=False, initial_delay=0.01, scheduler_interval=1)
    consumer.start()
    try:
        results = [add(n, 1) for n in range(100)]
        chained = queue.enqueue(add.s(1, 2).then(add, 4))
        delayed = add.schedule((20, 22), delay=1)
        retried = flaky()
        locked = [alone() for _ in range(4)]
        assert [result(blocking=True, timeout=RESULT_MAX_S) for result in results] == [n + 1 for n in range(100)]
        assert [result.get(blocking=True, timeout=RESULT_MAX_S) for result in chained] == [3, 7]
        assert delayed(blocking=True, timeout=RESULT_MAX_S) == 42
        assert retried(blocking=True, timeout=RESULT_MAX_S) == 3
        outcomes = []
        for result in locked:
            try:
                outcomes.append(result(blocking=True, timeout=RESULT_MAX_S))
            except huey.exceptions.TaskException as error:
                assert "TaskLockedException" in str(error), error
        assert outcomes.count("done") >= 1 and ran[::2] == ran[1::2], "only one at a time"
    finally:
        consumer.stop(graceful=True)
    assert queue.pending_count() == 0 and queue.scheduled_count() == 0


def main(port):
    # Of tasks that fail on purpose.
    logging.getLogger("huey").setLevel(logging.CRITICAL + 1)
    run(huey.RedisHuey, port, "plain")
    run(huey.PriorityRedisHuey, port, "prior")
    # A key that is set once: how huey claims results and locks.
    queue = huey.RedisHuey("claims", host="127.0.0.1", port=port)
    assert queue.put_if_empty("k", "first") and not queue.put_if_empty("k", "second")
    assert queue.get("k") == "first" and queue.get("k") is None


if __name__ == "__main__":
    main(int(sys.argv[1]))
