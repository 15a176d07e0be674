"""`countersign` as a process of its own, forked from one that has imported everything: starting takes longer than most runs.

The test's process starts a server, and runs this file, which hands its arguments, environment, folder and standard
streams to the server and ends as the forked process does. `tests/test_ready.py` starts the real commands.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 16
"""Bytes of arguments and environment that are taken at a time."""


@cache
def command() -> list[str]:
    """The words that stand for `countersign` before its arguments; the server is started once and ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="ready-")
    address = str(Path(folder.name) / "socket")
    started = subprocess.Popen(
        [sys.executable, __file__, "--serve", address], stdin=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )

    def stop() -> None:
        started.communicate()  # the end of its standard input is what it waits for
        folder.cleanup()

    atexit.register(stop)
    while not Path(address).exists():
        if started.poll() is not None:
            raise RuntimeError("the server of ready commands did not start; its message is above")
        time.sleep(0.02)
    return [sys.executable, "-I", "-S", __file__, address]


def serve(address: str) -> None:
    """Import all that a command may need, then fork a process for each call, until standard input ends."""
    import gc  # noqa: PLC0415 - as below: the client shall start fast
    import importlib  # noqa: PLC0415
    import select  # noqa: PLC0415
    import signal  # noqa: PLC0415

    from harness import cli  # noqa: PLC0415

    for name in cli.COMMANDS:
        importlib.import_module(f"harness.commands.{name}")
    for name in ("harness.scan", "harness.own_proof", "harness.explain_finding", "harness.why_not"):
        importlib.import_module(name)
    gc.freeze()  # else a forked process copies all pages that hold objects, only to look whether they are garbage
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{address}.new")
        listening.listen(64)
        Path(f"{address}.new").rename(address)  # now it answers
        while listening in select.select([listening, sys.stdin], [], [])[0]:
            call, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                called(call, cli.main)
            call.close()
    os._exit(0)  # nothing is left to tidy, and what it imported would complain of what stays


def called(call: socket.socket, main: Callable[[list[str]], None]) -> None:
    """Become the process that was asked for."""
    message, streams, _, _ = socket.recv_fds(call, CHUNK, 3)
    while more := call.recv(CHUNK):
        message += more
    asked = json.loads(message)
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    # what the server had may have been files, and are remembered to be
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    os.chdir(asked["folder"])
    code = 0
    try:
        main(asked["arguments"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    atexit._run_exitfuncs()
    call.sendall(bytes([code]))
    os._exit(code)


def call(address: str, arguments: list[str]) -> int:
    """Ask the server, and give the exit code of the process that it forked."""
    asked = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - pathlib is slow to import
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(address)
        message = json.dumps(asked).encode()
        sent = socket.send_fds(to, [message], [0, 1, 2])
        to.sendall(message[sent:])
        to.shutdown(socket.SHUT_WR)
        code = to.recv(1)
    return code[0] if code else 139


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        sys.path.insert(0, str(Path(__file__).parents[1]))
        serve(sys.argv[2])
    else:
        sys.exit(call(sys.argv[1], sys.argv[2:]))
