"""limits: each of its strategies, whose counting is done by its scripts. Usage: limits_strategies.py PORT"""

import sys
import threading
import time

import limits
from limits import strategies
from limits.storage import storage_from_string

ALL = (
    strategies.FixedWindowRateLimiter,
    strategies.MovingWindowRateLimiter,
    strategies.SlidingWindowCounterRateLimiter,
)
THREADS = 8


def begin_of_a_window(seconds):
    """A fixed window that ended in the middle of a check would let more through."""
    left = seconds - time.time() % seconds
    if left < 3:
        time.sleep(left)


def lets_as_many_through_as_it_says(strategy, storage):
    limiter, limit = strategy(storage), limits.parse("5 per 10 seconds")
    begin_of_a_window(10)
    assert [limiter.hit(limit, "user") for _ in range(7)] == [True] * 5 + [False] * 2
    assert not limiter.test(limit, "user") and limiter.test(limit, "other")
    stats = limiter.get_window_stats(limit, "user")
    assert stats.remaining == 0 and stats.reset_time > time.time() - 1
    limiter.clear(limit, "user")
    assert limiter.hit(limit, "user", cost=5) and not limiter.hit(limit, "user")


def counts_threads_that_hit_at_once(strategy, storage):
    limiter, limit = strategy(storage), limits.parse("50 per minute")
    begin_of_a_window(60)
    passed = []

    def hits():
        for _ in range(20):
            passed.append(limiter.hit(limit, "crowd"))

    threads = [threading.Thread(target=hits) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed.count(True) == 50, passed.count(True)


def opens_again(strategy, storage):
    limiter, limit = strategy(storage), limits.parse("2 per second")
    while limiter.hit(limit, "again"):
        pass
    deadline = time.monotonic() + 10
    while not limiter.hit(limit, "again"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def main(port):
    storage = storage_from_string(f"redis://127.0.0.1:{port}/1")
    assert storage.check()
    for strategy in ALL:
        for check in (lets_as_many_through_as_it_says, counts_threads_that_hit_at_once, opens_again):
            storage.reset()
            check(strategy, storage)


if __name__ == "__main__":
    main(int(sys.argv[1]))
