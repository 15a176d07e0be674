"""Own Python environments of the programs under test, made once from hash-locked requirements under ``.cache/``."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "engines"


def environment(name: str) -> Path:
    """The ``bin`` folder of the environment that ``<name>.lock`` describes.

    A finished environment is used again as long as the lock and the interpreter stay the same. Installing needs a
    package registry, which pip finds by its own configuration.

    Raises:
        RuntimeError: the packages can't be had; the message says what to do.
    """
    lock = HERE / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # two test workers make it once
        if not (folder / "finished").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)], name)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            # Python compiles what is imported when it is; that is a small part of what is installed
            exactly = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile"]
            _run([*pip, *exactly, "-r", str(lock)], name)
            (folder / "finished").touch()
    return folder / "bin"


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"the environment '{name}' can't be installed from {name}.lock; it needs a package registry that pip can "
            f"reach and wheels for this platform.\n{done.stderr[-2000:]}",
        )
