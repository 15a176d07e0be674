"""A server of a test run: started on a free loopback port, ready before it is used, always stopped by its id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STARTS_WITHIN = 150.0
STOPS_WITHIN = 15.0


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a server until the block ends; yields its process id.

    Args:
        command: program and arguments.
        ready: URL that answers with anything but a connection error or a 5xx once the server serves.
        log: where its output goes, kept for whoever looks into a failure.
        environment: added to a minimal environment.

    Raises:
        RuntimeError: it ended or wasn't ready in time; the message ends with its log.
    """
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**bare, **environment},
            cwd=log.parent,
            start_new_session=True,  # so that what it starts can be ended with it
        )
        try:
            _await(process, ready, log)
            yield process.pid
        finally:
            _stop(process)


def _await(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode} before it was ready:\n{_tail(log)}")
        try:
            with urllib.request.urlopen(ready, timeout=5):  # noqa: S310 - of our own server
                return
        except urllib.error.HTTPError as answer:
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.25)
    raise RuntimeError(f"the server was not ready within {STARTS_WITHIN:.0f} s:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOPS_WITHIN)
            break
    with contextlib.suppress(ProcessLookupError):  # whatever it started and left behind
        os.killpg(process.pid, signal.SIGKILL)


def _tail(log: Path, size: int = 4000) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-size:]
