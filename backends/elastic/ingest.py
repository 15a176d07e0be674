"""What happens to a record before it is indexed: the pipeline, and the same in Python.

ES|QL 8.19 reads no JSON, so the texts in a tool's arguments are laid flat here, each as ``key␝text``; which of them
name a user is asked at query time. The pipeline also brings every field to its own type, as `backends.absence` does.
Its script is in what the Painless of Elasticsearch and of OpenSearch have in common.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.absence import WrongType, absent, flatten, normalise
from backends.elastic.fields import ARGUMENTS
from backends.elastic.register import PAIR, plain
from backends.elastic.template import ARGUMENT
from backends.opensearch.register import of_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backends.vocabulary import Vocabulary

EARLIEST, LATEST = "1970-01-01T00:00:00.000000Z", "2262-04-11T23:47:16.854775Z"
"""What a time of nanoseconds can hold."""

DEEPEST = 500
"""Levels of arguments that are read."""

LONGEST_WORD = 400
"""Characters of a number in the arguments; a longer one makes them unreadable."""

_FOLDER = Path(__file__).parent
_TYPES_END = "// ---- words "


def pipeline(vocabulary: Vocabulary) -> dict[str, Any]:
    """The ingest pipeline, as ``PUT _ingest/pipeline/countersign-events`` takes it.

    Letter case, absence and types are what OpenSearch's pipeline makes of them: the first part of its script.
    """
    types = (_FOLDER.parent / "opensearch" / "views" / "events.painless").read_text(encoding="utf-8")
    script = (_FOLDER / "views" / "ingest.painless").read_text(encoding="utf-8")
    params = {**of_schema(vocabulary), "earliest": EARLIEST, "latest": LATEST}
    source = types[types.index("// ---- letter case") : types.index(_TYPES_END)] + script
    return {
        "description": "countersign: types, absence and a tool's arguments; facts are computed by queries.",
        "processors": [{"script": {"lang": "painless", "source": source, "params": params}}],
    }


def prepared(record: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """A parsed record as the pipeline leaves its fields, by dotted name; what the schema does not know is left out.

    Raises:
        WrongType: a field holds what it can't, or there is no time; the pipeline refuses the record too.
    """
    document = {name: plain(value) for name, value in normalise(flatten(record, vocabulary), vocabulary).items()}
    for name, value in document.items():
        if vocabulary.fields[name].kind == "time" and name != "@timestamp":
            document[name] = min(max(value, EARLIEST), LATEST)
    if "@timestamp" not in document:
        raise WrongType("@timestamp", "there", "absent")
    arguments = flattened(record)
    return document | ({ARGUMENT: arguments} if arguments else {})


def flattened(record: Mapping[str, Any]) -> list[str]:
    """The texts that a record's arguments hold, at any depth, each once as ``key␝text``; "" is none.

    The arguments are an object, or a text of JSON that begins with ``{``: RFC 8259, `DEEPEST` levels at most, control
    characters let through. Of a key that an object has twice the first value counts.
    """
    given = _found(record, ARGUMENTS)
    if isinstance(given, str):
        given = _read(given) if given.startswith("{") else None
    elif isinstance(given, dict):
        given = _Object(given.items())
    return list(dict.fromkeys(f"{plain(key)}{PAIR}{plain(text)}" for key, text in _texts(given)))


class _Object(list[tuple[str, Any]]):
    """An object as its keys and values in their order, a key that is there twice as often."""


def _read(text: str) -> Any:
    """JSON with each object as an `_Object`; None where it can't be read."""
    try:
        read = json.loads(
            text, strict=False, object_pairs_hook=_Object, parse_constant=_refuse, parse_int=_word, parse_float=_word
        )
        deep = _depth(read) > DEEPEST
        json.dumps(read, ensure_ascii=False).encode()  # half a character is none
    except (ValueError, RecursionError):
        return None
    return None if deep else read


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _word(digits: str) -> None:
    if len(digits) > LONGEST_WORD:
        raise ValueError("a number that nobody writes")


def _depth(node: Any) -> int:
    """Objects and lists within each other."""
    depth, level = 1, [node]
    while level := [below for node in level for below in _below(node) if isinstance(below, list)]:
        depth += 1
    return depth


def _below(node: list[Any]) -> list[Any]:
    return [value for _, value in node] if isinstance(node, _Object) else node


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    """Key and text, where an object's first value of a key is a text and not ""."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            node = _Object(node.items())
        if isinstance(node, _Object):
            first: dict[str, Any] = {}
            for key, value in node:
                first.setdefault(key, value)
            yield from ((key, value) for key, value in first.items() if isinstance(value, str) and value)
        if isinstance(node, list):
            left += _below(node)


def _found(node: Mapping[str, Any], name: str) -> Any:
    """The first present value of a dotted name in a record that is nested, dotted or mixed."""
    for key, value in node.items():
        if key == name and not absent(value):
            return value
        if name.startswith(f"{key}.") and isinstance(value, dict):
            found = _found(value, name.removeprefix(f"{key}."))
            if found is not None:
                return found
    return None
