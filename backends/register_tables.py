"""The tables of a register and the form of their columns.

``schemas/register.schema.json`` says the same to an editor; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

Form = Callable[[str], str]

RISKS = ("read", "write", "destructive", "admin")
STAGES = ("prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change")
KINDS = ("human", "agent", "workload", "service", "system")
EXPOSURES = ("stdio", "loopback", "internal", "internet")

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REGION = re.compile(r"(\*|public|internal|confidential|restricted)=[\w-]+(,[\w-]+)*", re.ASCII)
_VERSION = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHA256 = re.compile(r"([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def cidr(text: str) -> str:
    """A network in its plain form; ``10.0.0.7`` is ``10.0.0.7/32``."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is a network such as 10.0.0.0/8 or 2001:db8::/32") from None
    raise ValueError(f"is a network, and has bits set beyond its prefix: write {network}")


def region(text: str) -> str:
    """``class=region,region``, spaces taken out."""
    plain = text.replace(" ", "")
    if not _REGION.fullmatch(plain):
        raise ValueError("is class=region,region with a class of public, internal, confidential, restricted or *")
    return plain


def version(text: str) -> str:
    """A version of the protocol, which is a date."""
    if not _VERSION.fullmatch(text):
        raise ValueError("is a version of the protocol such as 2025-11-25")
    return text


def sha256(text: str) -> str:
    """64 hexadecimal digits in upper case, as ECS writes them; colons are taken out."""
    if not _SHA256.fullmatch(text):
        raise ValueError("is a SHA-256 in hexadecimal")
    return text.replace(":", "").upper()


@dataclass(frozen=True)
class Column:
    """A column: ``kind`` is text, texts (a list), number, boolean or time; ``enum`` in lower case."""

    kind: str = "text"
    enum: tuple[str, ...] = ()
    form: Form | None = None

    def read(self, value: Any) -> Any:
        """The value in the column's own type; None when it is absent.

        Raises:
            ValueError: with a phrase such as "is a number".
        """
        if self.kind == "texts":
            several = value.split("|") if isinstance(value, str) else value
            items = several if isinstance(several, list | tuple) else [several]
            read = [self._text(item) for item in items if not _absent(item)]
            return list(dict.fromkeys(read)) or None
        if isinstance(value, list | tuple | dict) and not _absent(value):
            raise ValueError("has one value, not several")
        return None if _absent(value) else _READ[self.kind](self, value)

    def _text(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float | date):
            raise ValueError(f"is text: put {_shown(value)} in quotes")  # noqa: TRY004 - one kind of refusal for all
        text = value.strip() if isinstance(value, str) else str(value)
        if "\0" in text:
            raise ValueError("holds a NUL character")
        if self.enum:
            if text.lower() not in self.enum:
                raise ValueError(f"is one of {', '.join(self.enum)}")
            return text.lower()
        return self.form(text) if self.form else text

    def _number(self, value: Any) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value) if "." in value else int(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError("is a number above zero")
        return value

    def _boolean(self, value: Any) -> bool:
        read = value if isinstance(value, bool) else _BOOLEANS.get(str(value).strip().lower())
        if read is None:
            raise ValueError("is true or false")
        return read

    def _time(self, value: Any) -> str:
        """RFC 3339 in UTC to the microsecond."""
        moment = value if isinstance(value, datetime) else None
        if isinstance(value, str) and _RFC3339.fullmatch(value.strip()):
            try:
                moment = datetime.fromisoformat(value.strip().upper())
            except ValueError:
                moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError("is an RFC 3339 time with its zone, such as 2026-03-02T09:15:04Z")
        utc = moment.astimezone(UTC)
        fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
        return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z"


_READ: Mapping[str, Callable[[Column, Any], Any]] = {
    "text": Column._text,  # noqa: SLF001 - the class's own table
    "number": Column._number,  # noqa: SLF001
    "boolean": Column._boolean,  # noqa: SLF001
    "time": Column._time,  # noqa: SLF001
}


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value in ([], (), {})


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else f"a {type(value).__name__}"


@dataclass(frozen=True)
class Table:
    """A table: its columns, those that identify a row, and those that must be there."""

    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    required: tuple[str, ...] = field(default=())


_TEXT, _TEXTS, _TIME, _BOOLEAN = Column(), Column("texts"), Column("time"), Column("boolean")

TABLES: Mapping[str, Table] = {
    "agents": Table(
        {
            "id": _TEXT,
            "name": _TEXT,
            "owner": _TEXT,
            "service_identities": _TEXTS,
            "client_ids": _TEXTS,
            "mode": Column(enum=("interactive", "scheduled")),
            "status": Column(enum=("active", "deactivated")),
            "status_since": _TIME,
            "tools": _TEXTS,
            "max_token_lifetime_sec": Column("number"),
        },
        key=("id",),
        required=("id",),
    ),
    "servers": Table(
        {
            "name": _TEXT,
            "id": _TEXT,
            "uri": _TEXT,
            "address": _TEXT,
            "tls_sha256": Column(form=sha256),
            "party": Column(enum=("first", "third")),
            "approval": Column(enum=("approved", "pending", "rejected", "expired", "revoked")),
            "review_expires": _TIME,
            "revoked_at": _TIME,
            "regions": Column("texts", form=region),
            "exposure": Column(enum=EXPOSURES),
            "scopes_offered": _TEXTS,
            "tools_offered": _TEXTS,
            "min_protocol": Column(form=version),
        },
        key=("name",),
        required=("name",),
    ),
    "tools": Table(
        {
            "server": _TEXT,
            "name": _TEXT,
            "definition_hash": _TEXT,
            "risk": Column(enum=RISKS),
            "required_scopes": _TEXTS,
            "identity_arguments": _TEXTS,
        },
        key=("server", "name"),
        required=("server", "name"),
    ),
    "scopes": Table(
        {
            "scope": _TEXT,
            "system": _TEXT,
            "resource": _TEXT,
            "verb": Column(enum=RISKS),
            "parent": _TEXT,
            "system_wide": _BOOLEAN,
        },
        key=("scope",),
        required=("scope",),
    ),
    "people": Table(
        {"person": _TEXT, "issuer": _TEXT, "id": _TEXT, "email": _TEXT, "name": _TEXT},
        required=("person",),
    ),
    "clients": Table(
        {
            "id": _TEXT,
            "kind": Column(enum=KINDS),
            "agent": _TEXT,
            "trusted": _BOOLEAN,
            "domains": _TEXTS,
            "first_seen": _TIME,
        },
        key=("id",),
        required=("id",),
    ),
    "networks": Table({"cidr": Column(form=cidr), "name": _TEXT}, key=("cidr",), required=("cidr",)),
    "coverage": Table(
        {"system": _TEXT, "agent": _TEXT, "stages": Column("texts", enum=STAGES), "since": _TIME},
        key=("system", "agent"),
        required=("stages",),
    ),
}
"""By name, in the order in which a person would fill them in."""
