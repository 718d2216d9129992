"""pottery: its locks and ids, which are scripts, and its containers. Usage: pottery_objects.py PORT"""

import sys
import threading
import time
import warnings

import pottery
import redis


def locks_keep_others_out(client):
    counter, threads = {"n": 0}, 6

    def work():
        for _ in range(10):
            with pottery.Redlock(key="guard", masters={client}, auto_release_time=20):
                seen = counter["n"]
                time.sleep(0.001)
                counter["n"] = seen + 1

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert counter["n"] == threads * 10, counter
    lock = pottery.Redlock(key="short", masters={client}, auto_release_time=10)
    assert lock.acquire(blocking=False) and 0 < lock.locked() <= 10
    assert not pottery.Redlock(key="short", masters={client}).acquire(blocking=False)
    lock.extend()
    lock.release()
    assert not lock.locked()


def ids_are_each_the_next(client):
    ids = pottery.NextID(key="ids", masters={client})
    assert [next(ids) for _ in range(20)] == list(range(1, 21))


def containers_are_like_those_of_python(client):
    numbers = pottery.RedisDict({"a": 1}, redis=client, key="dict")
    numbers["b"] = [1, 2, {"c": None}]
    assert numbers == {"a": 1, "b": [1, 2, {"c": None}]} and numbers.pop("a") == 1 and len(numbers) == 1
    letters = pottery.RedisList("abc", redis=client, key="list")
    letters[1] = "x"
    letters.insert(1, "y")
    del letters[0]
    assert list(letters) == ["y", "x", "c"] and letters[::-1] == ["c", "x", "y"]
    deque = pottery.RedisDeque("abc", redis=client, key="deque", maxlen=3)
    deque.append("d")
    deque.rotate(1)
    assert list(deque) == ["d", "b", "c"]
    primes = pottery.RedisSet({2, 3, 5}, redis=client, key="set")
    primes |= {7}
    assert primes == {2, 3, 5, 7} and primes.issuperset({2, 7}) and 4 not in primes
    counts = pottery.RedisCounter("abracadabra", redis=client, key="counter")
    assert counts["a"] == 5 and dict(counts.most_common(1)) == {"a": 5}
    queue = pottery.RedisSimpleQueue(redis=client, key="queue")
    queue.put({"job": 1})
    assert queue.get() == {"job": 1} and queue.empty()
    bloom = pottery.BloomFilter(num_elements=100, false_positives=0.01, redis=client, key="bloom")
    bloom.update(["rob", "raj"])
    assert "rob" in bloom and "mallory" not in bloom
    distinct = pottery.HyperLogLog(range(1000), redis=client, key="hll")
    assert 950 < len(distinct) < 1050

    @pottery.redis_cache(redis=client, key="cache", timeout=100)
    def square(n):
        calls.append(n)
        return n * n

    calls = []
    assert [square(3), square(3), square(4)] == [9, 9, 16] and calls == [3, 4]


def main(port):
    warnings.simplefilter("ignore", pottery.InefficientAccessWarning)
    client = redis.Redis(port=port, db=2)
    for check in (locks_keep_others_out, ids_are_each_the_next, containers_are_like_those_of_python):
        check(client)


if __name__ == "__main__":
    main(int(sys.argv[1]))
