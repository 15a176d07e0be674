"""An Elasticsearch node, put together from what Maven Central serves: the test distribution and the parts of ES|QL.

The distribution has no ES|QL, no Painless, no ingest processors and no transforms; ES|QL's modules are laid beside it.
They are under the Elastic License 2.0: fetched when a test asks for them, and never part of this project.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from harness.engines.java import java_options
from harness.engines.node.start import HEAP, Node, NodeError, Release, run

ELASTICSEARCH_8 = Release("elasticsearch8", "8.19.21")

GEOMETRY = "8.19.4"
"""Of elasticsearch-h3, which is not served in every version; its interface is the same."""

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>countersign</groupId><artifactId>node</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>{dependencies}</dependencies></project>"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{}</dependency>"
_WITHOUT_GEOMETRY = (
    "<exclusions><exclusion><groupId>org.elasticsearch</groupId><artifactId>elasticsearch-h3</artifactId>"
    "</exclusion></exclusions>"
)
MODULES = {
    "x-pack-esql-core": ("x-pack-esql-core-", "antlr4-runtime", "x-pack-mapper-version"),
    "x-pack-kql": ("x-pack-kql-", "antlr4-runtime"),
    "x-pack-esql": (
        *("x-pack-esql-8", "x-pack-esql-compute", "x-pack-kql-", "elasticsearch-dissect", "elasticsearch-h3"),
        *("lucene-spatial3d", "arrow-", "jackson-core", "jackson-databind", "jackson-annotations"),
        *("jackson-datatype", "flatbuffers", "checker-qual"),
    ),
}
"""Module → how the names of its jars begin."""

MOST = "3g"
"""Of the heap: a chain query over all variants of a rule wants more than a small one lets it have."""

NOBODY = 65534
"""Elasticsearch refuses to run as root; then it runs as nobody."""


class Elasticsearch(Node):
    """A running node of Elasticsearch. Use it as a context."""

    def fetched(self, release: Release, cache: Path) -> Path:
        """The folder with its parts; Maven fetches them the first time.

        Raises:
            NodeError: Maven or Java is missing, or Maven fails.
        """
        home = cache / f"{release.name}-{release.version}"
        if not (home / ".ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _lay(release.version, Path(folder))
                (Path(folder) / "home").rename(home)
            (home / ".ready").touch()
        return home

    def command(self, http: int, transport: int) -> tuple[list[str], dict[str, str]]:
        """The command that starts it on these ports, and its environment."""
        work = self.folder
        for name in ("data", "logs", "tmp"):  # tmp may not hold the configuration: entitlements forbid it
            (work / name).mkdir()
        shutil.copytree(self.home / "config", work / "config")
        settings = {
            "cluster.name": "countersign",
            "node.name": "one",
            "network.host": "127.0.0.1",
            "http.port": http,
            "transport.port": transport,
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
            "path.data": work / "data",
            "path.logs": work / "logs",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        lines = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (work / "config" / "elasticsearch.yml").write_text(lines, encoding="utf-8")
        java = shutil.which("java")
        if java is None:
            raise NodeError("java is not on the path; python -m harness.engines.needed says how to get it")
        environment = {
            **os.environ,
            "ES_JAVA_HOME": str(Path(java).resolve().parent.parent),
            "ES_PATH_CONF": str(work / "config"),
            "HOME": str(work),
            "ES_TMPDIR": str(work / "tmp"),
            "ES_JAVA_OPTS": " ".join([f"-Xms{HEAP}", f"-Xmx{MOST}", *java_options()]),
        }
        command = [str(self.home / "bin" / "elasticsearch")]
        if os.getuid() == 0:
            for path in (work, *work.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            command = [
                "setpriv",
                f"--reuid={NOBODY}",
                f"--regid={NOBODY}",
                "--clear-groups",
                "--pdeathsig=TERM",
                *command,
            ]
        return command, environment


def _lay(version: str, folder: Path) -> None:
    """Lay the distribution and ES|QL's modules out in ``folder/home``."""
    product = "org.elasticsearch.distribution.integ-test-zip"
    _copy(folder, "zip", _DEPENDENCY.format(product, "elasticsearch", version, "<type>zip</type>"))
    with zipfile.ZipFile(next((folder / "zip").glob("elasticsearch-*.zip"))) as packed:
        packed.extractall(folder)
    (folder / f"elasticsearch-{version}").rename(folder / "home")
    for program in (folder / "home" / "bin").iterdir():
        program.chmod(0o755)
    plugin = "org.elasticsearch.plugin"
    _copy(
        folder,
        "jars",
        _DEPENDENCY.format(plugin, "x-pack-esql", version, _WITHOUT_GEOMETRY)
        + _DEPENDENCY.format("org.elasticsearch", "elasticsearch-h3", GEOMETRY, "")
        + _DEPENDENCY.format(plugin, "x-pack-esql-core", version, ""),
    )
    for module, names in MODULES.items():
        place = folder / "home" / "modules" / module
        place.mkdir()
        for jar in (jar for name in names for jar in (folder / "jars").glob(f"{name}*.jar")):
            shutil.copy(jar, place)
        with zipfile.ZipFile(folder / "jars" / f"{module}-{version}.jar") as packed:
            said = packed.read(f"META-INF/es-plugins/{module}/plugin-descriptor.properties").decode()
        # the modules of Painless and machine learning are not served; ES|QL starts without them
        said = said.replace("=x-pack-esql-core,lang-painless,x-pack-ml", "=x-pack-esql-core")
        (place / "plugin-descriptor.properties").write_text(said, encoding="utf-8")


def _copy(folder: Path, into: str, dependencies: str) -> None:
    (folder / "pom.xml").write_text(_POM.format(dependencies=dependencies), encoding="utf-8")
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / into}"]
    run(["mvn", "-q", "-B", "-ntp", *copy], folder)
