"""bullmq for Python: jobs, retries, delays, priorities, flows, schedulers, pauses. Usage: bullmq_jobs.py PORT"""

import asyncio
import sys

from bullmq import FlowProducer, Queue, Worker

RESULT_MAX_S = 30


async def until(what, condition):
    async with asyncio.timeout(RESULT_MAX_S):
        while not await condition():
            await asyncio.sleep(0.02)
    print(f"  {what}")


async def jobs(connection):
    queue = Queue("sums", {"connection": connection})

    async def add(job, _token):
        await job.updateProgress(50)
        await job.log("at work")
        if job.attemptsMade < job.data.get("fails", 0):
            raise RuntimeError("not yet")
        return job.data["a"] + job.data["b"]

    worker = Worker("sums", add, {"connection": connection, "concurrency": 8})
    many = await queue.addBulk([{"name": "sum", "data": {"a": n, "b": 1}} for n in range(100)])
    retried = await queue.add("sum", {"a": 1, "b": 2, "fails": 2}, {"attempts": 3})
    delayed = await queue.add("sum", {"a": 20, "b": 22}, {"delay": 200})
    assert await queue.getJobState(delayed.id) == "delayed"
    lost = await queue.add("sum", {"a": 0, "b": 0, "fails": 9})

    async def finished():
        counts = await queue.getJobCounts("completed", "failed")
        return counts == {"completed": 102, "failed": 1}

    await until("jobs, retries and delays", finished)
    for number, job in enumerate(many):
        assert (await queue.getJob(job.id)).returnvalue == number + 1
    assert (await queue.getJob(retried.id)).returnvalue == 3
    assert (await queue.getJob(delayed.id)).returnvalue == 42
    assert (await queue.getJob(lost.id)).failedReason == "not yet"
    assert (await queue.getJobLogs(many[0].id))["logs"] == ["at work"]
    assert len(await queue.clean(0, 1000, "completed")) == 102
    await worker.close()
    await queue.close()


async def order_of_priorities(connection):
    queue = Queue("priorities", {"connection": connection})
    await queue.pause()
    for priority in (3, 1, 2, 1):
        await queue.add("job", {"priority": priority}, {"priority": priority})
    assert await queue.getCountsPerPriority([1, 2, 3]) == {"1": 2, "2": 1, "3": 1}
    order = []

    async def note(job, _token):
        order.append(job.data["priority"])

    worker = Worker("priorities", note, {"connection": connection})
    await asyncio.sleep(0.3)
    assert not order, "the queue is paused"
    await queue.resume()

    async def finished():
        return len(order) == 4

    await until("priorities and a pause", finished)
    assert order == [1, 1, 2, 3], order
    await worker.close()
    await queue.obliterate(force=True)
    await queue.close()


async def flows(connection):
    async def double(job, _token):
        return job.data["n"] * 2

    async def total(job, _token):
        return sum((await job.getChildrenValues()).values())

    children = Worker("children", double, {"connection": connection, "concurrency": 3})
    parents = Worker("parents", total, {"connection": connection})
    queue = Queue("parents", {"connection": connection})
    producer = FlowProducer(connection)
    flow = {
        "name": "parent",
        "queueName": "parents",
        "data": {},
        "children": [{"name": "child", "queueName": "children", "data": {"n": n}} for n in range(10)],
    }
    parent = (await producer.add(flow))["job"]

    async def finished():
        return await queue.getJobState(parent.id) == "completed"

    await until("a flow", finished)
    assert (await queue.getJob(parent.id)).returnvalue == 90
    await asyncio.gather(children.close(), parents.close(), queue.close(), producer.close())


async def schedulers(connection):
    queue = Queue("scheduled", {"connection": connection})
    ticks = []

    async def tick(job, _token):
        ticks.append(job.id)

    worker = Worker("scheduled", tick, {"connection": connection})
    await queue.upsertJobScheduler("often", {"every": 100}, "tick")

    async def finished():
        return len(ticks) >= 3

    await until("a scheduler", finished)
    assert await queue.removeJobScheduler("often") == 0, "it was there"
    assert len(set(ticks)) == len(ticks)
    await worker.close()
    await queue.close()


async def main(port):
    connection = {"host": "127.0.0.1", "port": port}
    for part in (jobs, order_of_priorities, flows, schedulers):
        await part(connection)
    # Connections that bullmq forgot complain, when they are collected at the end, that their loop has gone before them.
    sys.unraisablehook = lambda _: None


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
