"""The package for OpenSearch: pipelines and template, monitors for Alerting, and rules for Security Analytics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backends.correlation import Correlation
from backends.opensearch.backend import compared
from backends.opensearch.custom_rules import custom_rules, detector, log_type
from backends.opensearch.monitor import EXCEPTIONS, exceptions_index, monitor
from backends.opensearch.register import pipeline, text
from backends.opensearch.sources import source_pipelines
from backends.opensearch.target import INDEX
from backends.opensearch.template import template
from backends.package import Content, NotAllowed, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.package import Packed

FOLDER = Path(__file__).parent / "package"
REST = Path(__file__).parents[1] / "elastic" / "package" / "rest.py"

LARGEST = 5 * 1024 * 1024
"""Bytes of a pipeline: it is part of the cluster's state, which every node holds."""


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the package, by path.

    Raises:
        NotAllowed: a rule or a register that OpenSearch does not take.
    """
    pipelines = {f"{INDEX}.json": events_pipeline(content)} | source_pipelines(content.root)
    for name, said in pipelines.items():
        if len(said.encode()) > LARGEST:
            raise NotAllowed(
                f"the pipeline {name} has {len(said.encode())} bytes, of which most is the register; shorten it"
            )
    held, refused = custom_rules(content)
    steps = [
        {"kind": "put", "path": f"_ingest/pipeline/{name[:-5]}", "file": f"pipelines/{name}"} for name in pipelines
    ]
    steps.append({"kind": "put", "path": f"_index_template/{INDEX}", "file": "template.json"})
    steps.append({"kind": "index", "path": EXCEPTIONS, "file": "exceptions.json"})
    return {
        **{f"pipelines/{name}": said for name, said in pipelines.items()},
        **{f"monitors/{rule.stem}.json": text(monitor(rule, content.events)) for rule in content.rules},
        **{f"security-analytics/rules/{stem}.yml": said for stem, said in held.items()},
        "security-analytics/logtype.json": text(log_type()),
        "security-analytics/detector.json": text(detector(INDEX)),
        "security-analytics/not_held.json": text(dict(sorted(refused.items()))),
        "template.json": text(template(content.events)),
        "exceptions.json": text(exceptions_index()),
        "install.json": text({"version": content.version, "steps": steps}),
        "install.py": (FOLDER / "install.py").read_text(encoding="utf-8"),
        "rest.py": REST.read_text(encoding="utf-8"),
        "README.md": _readme(content, len(held)),
    }


def events_pipeline(content: Content) -> str:
    """The pipeline that computes facts, with the register and the pairs of fields that the rules compare."""
    pairs = {pair for rule in content.rules for part in _parts(rule) for pair in compared(part)}
    return text(pipeline(content.events, content.register, content.never, pairs))


def _parts(rule: Packed) -> list[Any]:
    if isinstance(rule.judged, Correlation):
        return [step.rule for step in rule.judged.steps]
    return [rule.judged]


def _readme(content: Content, held: int) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True, keep_trailing_newline=True
    )
    return environment.get_template("README.md.j2").render(
        version=content.version, rules=len(content.rules), refused=len(content.refused), held=held
    )


PACKAGE = Package(
    name="countersign-opensearch",
    target="opensearch",
    suffix=".zip",
    top="countersign-opensearch",
    told="",
    files=files,
)
