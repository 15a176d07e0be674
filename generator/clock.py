"""Times as whole microseconds since 1970 and as the texts of products, by arithmetic: no locale, no time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(text: str) -> int:
    """RFC 3339 in UTC as microseconds."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def rfc3339(at: int, timespec: str = "microseconds") -> str:
    """``2026-10-05T09:00:00.000000Z``; with timespec ``milliseconds`` three digits, the rest cut off."""
    return f"{_naive(at).isoformat(timespec=timespec)}Z"


def sql(at: int) -> str:
    """``2026-10-05 09:00:00.000000``, as SQLite keeps a time."""
    return _naive(at).isoformat(" ", "microseconds")


def _naive(at: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None)
