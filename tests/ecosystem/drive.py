"""Runs each program against a server of its own. Usage: drive.py SERVER-BINARY [PROGRAM ...]"""

import os
import subprocess
import sys
import tempfile
import time

import redis

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "clients"))

from job_queues import command_line  # noqa: E402
from redis_py import free_port, wait_until_it_answers  # noqa: E402

PROGRAM_MAX_S = 120
INTERPRETERS = {".py": sys.executable, ".js": "node"}


def programs():
    for folder in ("python", "node"):
        for name in sorted(os.listdir(os.path.join(HERE, folder))):
            if os.path.splitext(name)[1] in INTERPRETERS:
                yield f"{folder}/{name}"


def run(binary, program):
    """The seconds that the program took; None if it failed."""
    port = free_port()
    interpreter = INTERPRETERS[os.path.splitext(program)[1]]
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen(command_line(binary, directory, port), stdout=subprocess.DEVNULL)
        try:
            wait_until_it_answers(redis.Redis(port=port), server)
            began = time.monotonic()
            command = [interpreter, os.path.join(HERE, program), str(port)]
            ended = subprocess.run(command, timeout=PROGRAM_MAX_S, check=False)
            return time.monotonic() - began if ended.returncode == 0 else None
        except subprocess.TimeoutExpired:
            return None
        finally:
            server.terminate()
            server.wait()


def main(binary, *chosen):
    passed = failed = 0
    for program in chosen or programs():
        took = run(binary, program)
        if took is None:
            failed += 1
            print(f"{program}: FAILED", flush=True)
        else:
            passed += 1
            print(f"{program}: ok, {took:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
