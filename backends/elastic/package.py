"""The package for Elasticsearch and Kibana: rules and dashboards to import, and what Elasticsearch must hold before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backends.elastic import assets
from backends.elastic.dashboards import saved_objects
from backends.elastic.detection_rule import detection_rule, exception_list
from backends.elastic.esql import parse, written
from backends.elastic.fields import normalising
from backends.elastic.inline import lowered
from backends.elastic.register import SHAPES
from backends.elastic.target import INDEX, VIEWS
from backends.package import Content, NotAllowed, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent / "package"


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the package, by path.

    Raises:
        NotAllowed: a rule or a register that Elasticsearch or Kibana does not take.
    """
    found: dict[str, str | bytes] = {"rules.ndjson": rules(content)}
    steps: list[dict[str, str]] = []
    for path, body in assets.templates(content).items():
        name = f"{path.replace('_component_template', 'templates').replace('_index_template', 'templates/index')}.json"
        found[name] = _json(body)
        steps.append({"kind": "put", "path": path, "file": name})
    for pipeline, body in assets.pipelines(content).items():
        found[f"pipelines/{pipeline}.json"] = _json(body)
        steps.append({"kind": "put", "path": f"_ingest/pipeline/{pipeline}", "file": f"pipelines/{pipeline}.json"})
    rows = assets.lookup_rows(content)
    for index, body in assets.lookup_mappings().items():
        found[f"lookups/{index}.json"] = _json(body)
        found[f"lookups/{index}.ndjson"] = rows[index]
        key = next(iter(body["mappings"]["properties"]))
        steps.append({"kind": "index", "path": index, "file": f"lookups/{index}.json"})
        steps.append({"kind": "rows", "path": index, "file": f"lookups/{index}.ndjson", "key": key})
    return {
        **found,
        **views(content),
        "dashboards.ndjson": saved_objects(content.events, content.chains),
        "install.json": _json({"version": content.version, "steps": _ordered(steps)}),
        "install.py": (FOLDER / "install.py").read_text(encoding="utf-8"),
        "rest.py": (FOLDER / "rest.py").read_text(encoding="utf-8"),
        "README.md": _readme(content),
    }


def _ordered(steps: list[dict[str, str]]) -> list[dict[str, str]]:
    """The pipeline of events is there before a record can come, and those of sources name it."""
    order = {f"_ingest/pipeline/{INDEX}": 0}
    return sorted(steps, key=lambda step: order.get(step["path"], 1))


def rules(content: Content) -> str:
    """The rules, one a line, and behind them the list of exceptions that they share.

    Raises:
        NotAllowed: a title that is there twice, or a rule that Kibana can't take.
    """
    seen: set[str] = set()
    for rule in content.rules:
        if rule.title.casefold() in seen:
            raise NotAllowed(f"two rules have the title {rule.title!r}, and an alert is known by it; change one")
        seen.add(rule.title.casefold())
    made = [detection_rule(rule, content) for rule in content.rules]
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in [*made, exception_list()])


def views(content: Content) -> dict[str, str]:
    """The views whole, to read and to paste: the chain view in words of 8.19, and with INLINE STATS for 9.2 and on."""
    head = f"FROM {INDEX} METADATA _id\n"
    found = {"views/events.esql": head + written(parse(normalising(content.events) + VIEWS["events.esql"], SHAPES))}
    if "chain.esql" in VIEWS:
        commands = parse(normalising(content.events) + VIEWS["events.esql"] + VIEWS["chain.esql"], SHAPES)
        wanted = {*content.chains.fields}
        found["views/chain-8.19.esql"] = head + written(lowered(tuple(commands), wanted))
        found["views/chain-9.esql"] = head + written(commands)
    return found


def _json(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _readme(content: Content) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True, keep_trailing_newline=True
    )
    needing = sorted({table for rule in content.rules for table in rule.needs_register})
    return environment.get_template("README.md.j2").render(
        version=content.version, rules=len(content.rules), tables=needing
    )


PACKAGE = Package(
    name="countersign-elastic",
    target="elastic",
    suffix=".zip",
    top="countersign-elastic",
    told="",
    files=files,
)
