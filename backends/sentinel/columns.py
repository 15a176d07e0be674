"""The table's columns: each dotted name with ``_`` for ``.``, and the KQL that writes names, texts and networks.

Log Analytics allows letters, digits and underscores in a column's name, 45 at most. No two fields of the vocabulary
meet in one column (a test says so), so the vocabulary turns a column back into its field.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.vocabulary import Field, Vocabulary

TABLE = "CountersignEvents_CL"
TIME = "@timestamp"
ROW = "_ItemId"
"""Unique id that Log Analytics gives to each record (Azure Monitor, "Standard columns in logs")."""

_TYPES = {"keyword": "string", "number": "real", "integer": "long", "boolean": "bool", "time": "datetime"}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def column(name: str) -> str:
    """The column of a dotted field; ``@timestamp`` is ``TimeGenerated``, which every table has."""
    return "TimeGenerated" if name == TIME else name.replace(".", "_")


def fields_of(vocabulary: Vocabulary) -> Mapping[str, Field]:
    """Column → field: the way back."""
    return {column(name): field for name, field in vocabulary.fields.items()}


def kind(field: Field) -> str:
    """The KQL type of a field's column; an array is dynamic."""
    return "dynamic" if field.array else _TYPES[field.kind]


def table_schema(vocabulary: Vocabulary) -> dict[str, str]:
    """Column → type of the table that events are sent to: `ROW` and every field that a source may send."""
    return {ROW: "string"} | {column(name): kind(field) for name, field in vocabulary.raw.items()}


def view_schema(vocabulary: Vocabulary) -> dict[str, str]:
    """Column → type of what the event view gives."""
    return {ROW: "string"} | {column(name): kind(field) for name, field in vocabulary.fields.items()}


def text(value: str) -> str:
    r"""A KQL string literal. Nothing that a rule or log holds ends it: ``\`` and ``"`` are escaped, and line ends.

    Kusto Query Language, "The string data type", Obfuscated and escaped literals.
    """
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def network(cidr: str) -> str:
    """A regular expression for the text that ``parse_ipv6`` gives of the addresses of a network.

    That text is eight groups of four hexadecimal digits; an IPv4 address is mapped into IPv6 (RFC 4291 §2.5.5.2). KQL's
    own ``ipv4_is_in_range`` is null on what is no address, and its ``ipv6_is_in_range`` mixes both families.
    """
    parsed = ipaddress.ip_network(cidr, strict=False)
    bits, first = parsed.prefixlen, int(parsed.network_address)
    if isinstance(parsed, ipaddress.IPv4Network):
        bits, first = bits + 96, first | 0xFFFF << 32
    digits = f"{first:032x}"
    whole, rest = divmod(bits, 4)
    parts = list(digits[:whole])
    if rest:
        low = int(digits[whole], 16)
        parts.append("[" + "".join(f"{low + step:x}" for step in range(1 << (4 - rest))) + "]")
    return "^" + "".join(part + (":" if at % 4 == 3 and at < 31 else "") for at, part in enumerate(parts))  # noqa: PLR2004 - digits of a group
