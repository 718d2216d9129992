"""What the job queues run; workers import it by this name."""

import time


def add(a, b):
    return a + b


def fail_once(key, port):
    import redis

    if redis.Redis(port=port).incr(key) == 1:
        raise RuntimeError("the first try fails")
    return "second"


def nap(seconds):
    time.sleep(seconds)
    return seconds
