"""Drives a server with redis-py: what a Python program sees. Usage: redis_py.py SERVER-BINARY"""

import socket
import subprocess
import sys
import tempfile
import time

import redis

START_MAX_S = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port, protocol):
    return redis.Redis(
        port=port, decode_responses=True, protocol=protocol, single_connection_client=True, socket_timeout=10
    )


def wait_until_it_answers(client, process):
    for _ in range(START_MAX_S * 20):
        try:
            return client.ping()
        except redis.ConnectionError:
            assert process.poll() is None, f"the server ended with {process.returncode}"
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def strings_and_pipelines(client):
    assert client.set("s", "v", ex=100)
    assert client.get("s") == "v" and 0 < client.ttl("s") <= 100
    assert client.get("nosuch") is None
    with client.pipeline(transaction=True) as pipe:
        assert pipe.incr("n").incrby("n", 4).get("n").execute() == [1, 5, "5"]
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "b", "nosuch") == ["1", "2", None]


def watched_transactions(client, other):
    with client.pipeline() as pipe:
        pipe.watch("w")
        other.set("w", "changed")
        pipe.multi()
        pipe.set("w", "lost")
        try:
            pipe.execute()
            raise AssertionError("the change was not seen")
        except redis.WatchError:
            pass
    assert client.get("w") == "changed"


def locks(client, other):
    lock = client.lock("mutex", timeout=10)
    assert lock.acquire(blocking=False)
    assert not other.lock("mutex", timeout=10).acquire(blocking=False)
    assert lock.extend(5) and lock.owned()
    lock.release()
    with other.lock("mutex", timeout=10, blocking_timeout=5):
        assert set(client.scan_iter(match="mut*", count=100)) == {"mutex"}
    assert not client.exists("mutex")


def scripts(client):
    move = client.register_script(
        "local n = redis.call('DECRBY', KEYS[1], ARGV[1]) redis.call('INCRBY', KEYS[2], ARGV[1]) return n"
    )
    client.mset({"from": 10, "to": 0})
    assert move(keys=["from", "to"], args=[3]) == 7 and client.get("to") == "3"
    assert client.script_exists(move.sha, "0" * 40) == [True, False]
    try:
        client.evalsha("0" * 40, 0)
        raise AssertionError("an unknown script ran")
    except redis.exceptions.NoScriptError:
        pass
    try:
        client.eval("return redis.error_reply('MINE broken')", 0)
        raise AssertionError("an error is no value")
    except redis.ResponseError as error:
        assert "MINE broken" in str(error)


def functions(client, other):
    library = """#!lua name=stock
        local function left(key) return tonumber(redis.call('GET', key) or 0) end
        redis.register_function('take', function(keys, args)
            if left(keys[1]) < tonumber(args[1]) then return redis.error_reply('OUT of stock') end
            return redis.call('DECRBY', keys[1], args[1])
        end)
        redis.register_function{function_name='left', flags={'no-writes'}, callback=function(keys) return left(keys[1]) end}
    """
    assert client.function_load(library) == "stock" and client.function_load(library, replace=True) == "stock"
    client.set("apples", 5)
    assert other.fcall("take", 1, "apples", 2) == 3 and client.fcall_ro("left", 1, "apples") == 3
    for call in (lambda: client.fcall("take", 1, "apples", 9), lambda: client.fcall_ro("take", 1, "apples", 1)):
        try:
            call()
            raise AssertionError("an error is no value")
        except redis.ResponseError:
            pass
    with client.pipeline(transaction=True) as pipe:
        assert pipe.fcall("take", 1, "apples", 1).get("apples").execute() == [2, "2"]
    assert len(client.function_list(library="st*", withcode=True)) == 1 and client.function_stats()
    dump = redis.Redis(connection_pool=redis.ConnectionPool(**{**client.connection_pool.connection_kwargs, "decode_responses": False}))
    payload = dump.function_dump()
    assert client.function_delete("stock") and client.function_list() == []
    assert client.function_restore(payload) and client.fcall("left", 1, "apples") == 2
    assert client.function_flush() and client.function_list() == []


def administration(client):
    assert client.config_get("save", "appendonly").keys() == {"save", "appendonly"}
    assert client.config_set("slowlog-max-len", 64) and client.config_get("slowlog-max-len")["slowlog-max-len"] == "64"
    assert client.info("server")["redis_version"] and client.info("stats")["total_commands_processed"] > 0
    client.client_setname("tester")
    assert client.client_getname() == "tester"


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        process = subprocess.Popen(
            [binary, "--port", str(port), "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            wait_until_it_answers(redis.Redis(port=port), process)
            for protocol in (2, 3):
                client, other = connect(port, protocol), connect(port, protocol)
                client.flushall()
                strings_and_pipelines(client)
                watched_transactions(client, other)
                locks(client, other)
                scripts(client)
                functions(client, other)
                administration(client)
                print(f"RESP{protocol}: ok")
        finally:
            process.terminate()
            process.wait(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
