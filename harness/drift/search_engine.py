"""What Elasticsearch and OpenSearch hold: templates, pipelines, and lookup indices, by the steps of ``install.json``.

Sources: "Get component template", "Get index template", "Get pipeline", "Get mapping" and "Search" of both references.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.drift.difference import CHANGED, EXTRA, MISSING
from harness.drift.reading import MOST, differing, flat, items
from harness.replay.kit.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from harness.drift.difference import Compared
    from harness.drift.reading import Reader

PAGE = 1000
KEPT = {
    "_component_template": ("component_templates", "component_template"),
    "_index_template": ("index_templates", "index_template"),
}


def assets(reader: Reader, files: Mapping[str, str], compared: Compared, skipped: Collection[str] = ()) -> None:
    """Compare every asset of a package.

    Args:
        reader: of the node.
        files: of the package.
        compared: takes what differs.
        skipped: lookup indices whose rows are not compared.
    """
    for step in json.loads(files["install.json"])["steps"]:
        kind, path = step["kind"], step["path"]
        if kind == "rows":
            if path not in skipped:
                _rows(reader, path, step["key"], files[step["file"]], compared)
            continue
        if kind not in {"put", "index"}:
            continue
        compared.assets += 1
        wanted = json.loads(files[step["file"]])
        if kind == "index":
            _index(reader, path, wanted, compared)
        elif path.startswith("_ingest/pipeline/"):
            said = reader.found(f"/{path}")
            name = path.rpartition("/")[2]
            held = said.get(name) if isinstance(said, dict) else None
            _noted(path, wanted, held, compared)
        elif path.partition("/")[0] in KEPT:
            _noted(path, _settled(wanted), _settled(_template(reader, path)), compared)


def _template(reader: Reader, path: str) -> Any:
    kind, _, name = path.partition("/")
    several, one = KEPT[kind]
    said = reader.found(f"/{kind}/{quote(name, safe='')}?flat_settings=true")
    held = [each.get(one) for each in items(said, several) if each.get("name") == name] if said is not None else []
    return held[0] if held else None


def _noted(path: str, wanted: Any, held: Any, compared: Compared) -> None:
    if held is None:
        compared.asset(path, MISSING)
    elif where := differing(wanted, held):
        compared.asset(path, CHANGED, where)


def _settled(body: Any) -> Any:
    """A template with its settings flat, each with ``index.`` before it, and without what a server adds."""
    if not isinstance(body, dict):
        return None
    found = {name: value for name, value in body.items() if name not in {"created_date_millis", "modified_date_millis"}}
    if "data_stream" in found:
        found["data_stream"] = "yes"  # a server adds what it knows of it
    inner = found.get("template")
    if isinstance(inner, dict) and isinstance(inner.get("settings"), dict):
        flattened = dict(flat(inner["settings"]))
        settings = {f"index.{name.removeprefix('index.')}": value for name, value in flattened.items()}
        found["template"] = {**inner, "settings": settings}
    return found


def _index(reader: Reader, name: str, wanted: Mapping[str, Any], compared: Compared) -> None:
    said = reader.found(f"/{quote(name, safe='')}/_mapping")
    if said is None:
        compared.asset(name, MISSING)
        return
    held = said.get(name) if isinstance(said, dict) else None
    mappings = held.get("mappings") if isinstance(held, dict) else None
    if where := differing(wanted["mappings"], mappings, among=True):
        compared.asset(name, CHANGED, where)


def _rows(reader: Reader, name: str, key: str, text: str, compared: Compared) -> None:
    """Documents of an index by their ids; an index that is not there is told of by its own step."""
    lines = [line for line in text.split("\n") if line]
    wanted = {
        json.loads(head)["index"]["_id"]: json.loads(row) for head, row in zip(lines[::2], lines[1::2], strict=True)
    }
    held: dict[str, Any] = {}
    body: dict[str, Any] = {"size": PAGE, "sort": [{key: "asc"}, {"_doc": "asc"}]}
    for _ in range(MOST):
        try:
            hits = items(reader.search(f"/{name}/_search", body), "hits", "hits")
        except Refused as refused:
            if refused.status == 404:  # noqa: PLR2004 - HTTP's
                return
            raise
        held |= {str(hit.get("_id")): hit.get("_source") for hit in hits}
        if len(hits) < PAGE:
            break
        body["search_after"] = hits[-1].get("sort")
    compared.assets += 1
    rows = f"rows of {name}"
    gone, more = wanted.keys() - held.keys(), held.keys() - wanted.keys()
    bent = {one for one in wanted.keys() & held.keys() if differing(wanted[one], held[one])}
    counted = {MISSING: gone, CHANGED: bent, EXTRA: more}
    if any(counted.values()):
        compared.asset(rows, CHANGED, [f"{len(ids)} {word}" for word, ids in counted.items() if ids])
