"""What the engines of the tests need on the machine: ``python -m harness.engines.needed`` says what is missing.

Exit codes: 0 all is there; 1 something is missing, told in one line with the fix.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ctypes.util import find_library

JAVA = 17
"""Oldest version of Java that Spark, Elasticsearch and OpenSearch take."""

PROGRAMS = {"java": "openjdk-17-jdk", "javac": "openjdk-17-jdk", "mvn": "maven", "node": "nodejs", "npm": "npm"}
"""Each program, and the Debian package that holds it."""


LIBRARIES = {"magic": "libmagic1"}
"""Each library, and its Debian package: Splunk's AppInspect tells what a file is by libmagic."""


def missing() -> str:
    """One line that says what is missing and how to get it; "" where nothing is."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    lacking += [f"lib{name}" for name in LIBRARIES if find_library(name) is None]
    old = "java" not in lacking and _java() < JAVA
    if not lacking and not old:
        return ""
    holders = {**PROGRAMS, **{f"lib{name}": package for name, package in LIBRARIES.items()}}
    packages = dict.fromkeys(holders[name] for name in [*lacking, *(["java"] if old else [])])
    what = ", ".join([*lacking, *([f"Java {JAVA} or newer (this is {_java()})"] if old else [])])
    return f"the engines of the tests need {what}: apt-get install {' '.join(packages)}, or what your system calls it"


def _java() -> int:
    """The major version of ``java``; 0 where it doesn't say one."""
    done = subprocess.run([shutil.which("java") or "java", "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    said = missing()
    sys.exit(said or 0)
