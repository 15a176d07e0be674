"""The shape of a line: counted by numpy and by SQL alike, and as a parser would count it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.duckdb import shape as module
from backends.duckdb.columns import ARRAY, KEY, OBJECT
from backends.duckdb.shape import MOST, UNCOUNTED, shape, shapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DATABASE = duckdb.connect()
KEYS = st.sampled_from(["a", "", "user.id", 'q"', "b\\", "ü", ":", " :", '":', "[", "{", "\t"]) | st.text(max_size=6)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(['":', '": [', "\\", ":", "a:b", '{"x":[1]}', " :", "  "])
    | st.text(max_size=12)
)
RECORDS = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)),
    max_size=6,
)
WRITERS: Sequence[dict[str, Any]] = (
    {},
    {"separators": (",", ":")},
    {"ensure_ascii": False},
    {"separators": (",  ", ":  ")},
    {"separators": (" , ", " : ")},
    {"separators": (",", ":\t")},
)


def by_numpy(lines: Sequence[str]) -> list[int]:
    """What `shapes` says of these lines as one chunk."""
    texts = [line.encode("utf-8", "surrogatepass") + b"\n" for line in lines]
    starts = np.cumsum([0, *map(len, texts[:-1])])
    return [int(one) for one in shapes(np.frombuffer(b"".join(texts), dtype=np.uint8), starts)]


def by_sql(lines: Sequence[str]) -> list[int]:
    """What the SQL says of them."""
    rows = DATABASE.execute(
        f"SELECT {shape('line')} FROM (SELECT unnest($1) AS line, generate_subscripts($1, 1) AS place) ORDER BY place",
        [list(lines)],
    ).fetchall()
    return [row[0] for row in rows]


def walked(value: Any) -> Iterator[int]:
    """What each key of a parsed value counts."""
    if isinstance(value, dict):
        for inner in value.values():
            yield KEY + ARRAY * isinstance(inner, list) + OBJECT * isinstance(inner, dict)
            yield from walked(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walked(inner)


def plain(value: Any) -> bool:
    """No text of which a quote, a colon or a backslash could be taken for a key's end, and no blank before a colon."""
    if isinstance(value, dict):
        return all(map(plain, value)) and all(map(plain, value.values()))
    if isinstance(value, list):
        return all(map(plain, value))
    return not isinstance(value, str) or not set(value) & set('":\\')


@settings(deadline=None, max_examples=60)
@given(st.lists(RECORDS, min_size=1, max_size=12), st.sampled_from(WRITERS))
def test_numpy_and_sql_say_the_same(records: list[dict[str, Any]], writer: dict[str, Any]) -> None:
    """However a line is written, whatever it holds."""
    lines = [json.dumps(record, **writer) for record in records]
    lines = [line.encode("utf-8", "replace").decode() for line in lines]  # a lone surrogate is in no log
    assert by_numpy(lines) == by_sql(lines)


@settings(deadline=None, max_examples=80)
@given(st.lists(RECORDS.filter(plain), min_size=1, max_size=12), st.sampled_from(WRITERS[:3]))
def test_a_parser_counts_the_same(records: list[dict[str, Any]], writer: dict[str, Any]) -> None:
    """With one blank after a colon or none, the number is exact."""
    assert by_numpy([json.dumps(record, **writer) for record in records]) == [sum(walked(r)) for r in records]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{}", 0),
        ('{"a":1}', KEY),
        ('{"a": 1}', KEY),
        ('{"a":[]}', KEY + ARRAY),
        ('{"a": [{"b":{}}]}', 2 * KEY + ARRAY + OBJECT),
        (r'{"a":"{\"b\":[1]}"}', KEY),
        ('{"a" :1}', UNCOUNTED),
        ('{"a"\t:1}', UNCOUNTED),
        ('{"a":  1}', UNCOUNTED),
        ('{"a":\t1}', UNCOUNTED),
        ('{"a":\r1}', UNCOUNTED),
        ('{"a": \t[1]}', UNCOUNTED),
        ('{"a":"no :"}', UNCOUNTED),  # text that looks like it: looked at more closely, no more
        (':"x"', 0),
        ('":', KEY),
    ],
)
def test_what_a_line_counts(line: str, told: int) -> None:
    """Each alone, and between other lines."""
    assert by_numpy([line]) == by_sql([line]) == [told]
    assert by_numpy(["{}", line, '{"a":1}', "{}"]) == [0, told, KEY, 0]


@pytest.mark.parametrize(("weight", "opens", "closes"), [(KEY, "1", ""), (ARRAY, "[", "]"), (OBJECT, "{", "}")])
def test_more_than_a_number_can_tell_is_uncounted(weight: int, opens: str, closes: str) -> None:
    """Else some thousand keys could stand for an array."""
    most = min(MOST[weight], MOST[KEY])
    for count, counted in ((most, True), (MOST[weight] + 1, False)):
        line = "{" + ",".join(f'"k":{opens}{closes}' for _ in range(count)) + "}"
        expected = count * (KEY + (weight if weight != KEY else 0)) if counted else UNCOUNTED
        assert by_numpy([line]) == by_sql([line]) == [expected]


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is looked at in pieces: the same numbers for any size of them."""
    lines = [json.dumps({"key": {"inner": [1, "a:b"]}, "n": i}) for i in range(50)]
    whole = by_numpy(lines)
    for size in (1, 7, 64):
        monkeypatch.setattr(module, "BLOCK", size)
        assert by_numpy(lines) == whole == [4 * KEY - KEY + OBJECT + ARRAY] * 50
