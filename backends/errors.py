"""A person's mistake: one sentence with file, line and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that a person can fix.

    Attributes:
        file: path as the person gave it, or ``-`` for standard input.
        line: 1-based line number, 0 when the mistake has no single line.
        message: one sentence that says what is wrong and what to do.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """``file:line: message``, with control characters made visible."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return visible(f"{place}: {self.message}")


class Mistakes(Exception):  # noqa: N818 - they are mistakes, all of a file's at once
    """All mistakes found, raised together so that a person fixes them in one go."""

    def __init__(self, found: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, found)))
        self.found = found


def visible(text: str, limit: int = 2000) -> str:
    """Text that is safe for a terminal: control, bidi and zero-width characters are shown as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text[:limit]) + ("…" if len(text) > limit else "")


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
