"""What a source map must keep to beyond its form: fields that exist, a record given once, blindness that is true."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backends.concepts import CONCEPTS

if TYPE_CHECKING:
    from backends.errors import Mistake
    from backends.form import Form
    from backends.marked_yaml import MarkedYaml

_SET_BY_ASSEMBLY = frozenset({"@timestamp", "chain.stage", "event.dataset"})


def check(marked: MarkedYaml, form: Form, fields: Mapping[str, tuple[str, bool]]) -> list[Mistake]:
    """All mistakes of one map.

    Args:
        marked: the file.
        form: that of ``source-map.schema.json``.
        fields: by dotted name, kind and whether it is an array, of what a source may send.
    """
    wrong = [marked.mistake(*_place(error)) for error in form.errors(marked.data)]
    if wrong:
        return wrong
    data = marked.data
    stem = re.sub(r".*[\\/]|\.yml$", "", marked.file)
    if data["source"] != stem:
        wrong.append(marked.mistake(["source"], f"the map is called '{data['source']}' and its file '{stem}.yml'"))
    kinds: dict[str, Any] = data.get("kinds", {})
    for path, name in _fields_named(data):
        if name in _SET_BY_ASSEMBLY:
            wrong.append(marked.mistake(path, f"'{name}' is set from the kind's stage, time and map: leave it out"))
        elif name not in fields:
            wrong.append(
                marked.mistake(path, f"the schema has no field '{name}' that a source may send{_near(name, fields)}")
            )
    wrong += [
        marked.mistake(path, f"the regular expression '{pattern}' cannot be read: {why}")
        for path, pattern, why in _broken_patterns(data, ())
    ]
    for name, kind in kinds.items():
        wrong += _check_takes(marked, name, kind, kinds)
    own = {name: kind for name, kind in kinds.items() if "speaks_as" not in kind}
    wrong += _check_blindness(marked, data["source"], data["never"], own)
    if not wrong and (circle := _circle(kinds)):
        wrong.append(
            marked.mistake(
                ["kinds", circle[0]], f"records cannot take from each other in a circle: {' ← '.join(circle)}"
            )
        )
    both = set(data["ids"]["issued"]) & set(data["ids"]["client"])
    wrong += [
        marked.mistake(["ids", "client"], f"'{name}' is issued and set by the client at once") for name in sorted(both)
    ]
    return wrong


def check_together(maps: Sequence[MarkedYaml]) -> list[Mistake]:
    """All mistakes of kinds that speak as another map, of maps that are right by themselves."""
    never = {marked.data["source"]: marked.data["never"] for marked in maps}
    wrong: list[Mistake] = []
    for marked in maps:
        for name, kind in marked.data.get("kinds", {}).items():
            other = kind.get("speaks_as")
            if other is None:
                continue
            if other not in never:
                wrong.append(marked.mistake(["kinds", name, "speaks_as"], f"there is no map '{other}' to speak as"))
            else:
                wrong += _check_blindness(marked, other, never[other], {name: kind})
    return wrong


def order(kinds: Mapping[str, list[str]]) -> list[str]:
    """Kinds so that each comes after those that it takes from; what is in a circle is left out."""
    done: list[str] = []
    while ready := [name for name, needs in kinds.items() if name not in done and set(needs) <= set(done)]:
        done += ready
    return done


def _circle(kinds: Mapping[str, Any]) -> list[str]:
    needs = {name: [t["from"] for t in kind.get("takes", ())] for name, kind in kinds.items()}
    return sorted(set(needs) - set(order(needs)))


def _check_takes(marked: MarkedYaml, name: str, kind: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[Mistake]:
    for index, takes in enumerate(kind.get("takes", ())):
        path: list[str | int] = ["kinds", name, "takes", index]
        other = kinds.get(takes["from"])
        if other is None or "ignored" in other:
            yield marked.mistake([*path, "from"], f"there is no kind '{takes['from']}' to take from")
            continue
        yield from _check_names(marked, path, takes, (name, kind), (takes["from"], other))
        if takes["when"] in {"inside", "before", "around"}:
            spans, of = (other, takes["from"]) if takes["when"] == "around" else (kind, name)
            if "event.duration" not in spans["fields"]:
                yield marked.mistake([*path, "when"], f"'{of}' needs event.duration, or it has no interval")


def _check_names(
    marked: MarkedYaml,
    path: list[str | int],
    takes: Mapping[str, Any],
    mine: tuple[str, Mapping[str, Any]],
    theirs: tuple[str, Mapping[str, Any]],
) -> Iterator[Mistake]:
    """Names in one ``takes`` that its two kinds, (name, kind) each, do not have."""
    have, give = _values(mine[1]) | _given(mine[1]), _values(theirs[1]) | _given(theirs[1])
    for word in ("same", "compatible", "agree"):
        for left, right in takes.get(word, {}).items():
            if left not in have:
                yield marked.mistake([*path, word, left], f"'{left}' is no field or mark of '{mine[0]}'")
            if right not in give:
                yield marked.mistake([*path, word, left], f"'{right}' is no field or mark of '{theirs[0]}'")
    for field in takes.get("gives", ()):
        if field not in give:
            yield marked.mistake([*path, "gives"], f"'{theirs[0]}' has no '{field}' to give")


def _check_blindness(
    marked: MarkedYaml, source: str, never: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[Mistake]:
    for stage, concepts in never.items():
        said: dict[str, str] = {}
        for name, kind in kinds.items():
            if kind.get("stage") == stage:
                said |= dict.fromkeys(_values(kind) | _given(kind), name)
        for concept in concepts:
            for field in CONCEPTS[concept]:
                if field in said:
                    yield marked.mistake(
                        ["kinds", said[field], "fields", field],
                        f"'{said[field]}' gives {field}, and '{source}' says that its {stage} never tells '{concept}'",
                    )


def _values(kind: Mapping[str, Any]) -> set[str]:
    return set(kind.get("fields", {})) | set(kind.get("marks", {}))


def _given(kind: Mapping[str, Any]) -> set[str]:
    return {field for takes in kind.get("takes", ()) for field in takes.get("gives", ())}


def _fields_named(data: Mapping[str, Any]) -> Iterator[tuple[list[str | int], str]]:
    for trust in ("issued", "client"):
        for index, name in enumerate(data["ids"][trust]):
            yield ["ids", trust, index], name
    for kind, shape in data.get("kinds", {}).items():
        for name in shape.get("fields", {}):
            yield ["kinds", kind, "fields", name], name


def _broken_patterns(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    if isinstance(value, Mapping):
        pattern = value.get("pattern")
        if isinstance(pattern, str):
            try:
                groups = re.compile(pattern).groups
                if "of" in value and not groups:
                    yield (*path, "pattern"), pattern, "it has no group to capture"
            except re.error as wrong:
                yield (*path, "pattern"), pattern, str(wrong)
        for key, inner in value.items():
            yield from _broken_patterns(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _broken_patterns(inner, (*path, index))


def _near(name: str, fields: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, fields, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _place(error: Any) -> tuple[list[str | int], str]:
    """Path and sentence of the deepest cause: what a oneOf would have wanted, not that none fitted."""
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    where = "/".join(map(str, error.absolute_path)) or "the map"
    message = error.message if len(error.message) < 200 else error.message[:200] + "…"  # noqa: PLR2004
    return list(error.absolute_path), f"{where}: {message}"
