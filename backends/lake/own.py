"""What a team keeps beside a lake package, in a folder of its own that no upgrade touches.

``settings.csv`` (rule, enabled, least, level), ``exceptions.csv`` (rule, field, value, until, reason),
``rules/<stem>.sql`` in the place of a shipped rule, and ``register/``. It needs nothing but Python: the lake packages
carry this file.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backends.errors import Mistake, Mistakes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from backends.lake.dialect import Dialect

LEVELS = ("informational", "low", "medium", "high", "critical")
EVERY = "*"
SETTINGS, EXCEPTIONS = ("rule", "enabled", "least", "level"), ("rule", "field", "value", "until", "reason")


@dataclass(frozen=True)
class Own:
    """A team's folder, read.

    Attributes:
        settings: stem → column → text.
        exceptions: rows.
        queries: stem → SQL that stands for the shipped one.
    """

    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    exceptions: Sequence[Mapping[str, str]] = ()
    queries: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path | None, rules: Mapping[str, Any], kinds: Mapping[str, Mapping[str, str]]) -> Own:
        """Read the folder; None is an empty one.

        Args:
            folder: where.
            rules: stem → what the catalogue says of it.
            kinds: service (``event``, ``chain``) → field → kind.

        Raises:
            Mistakes: everything that is wrong.
        """
        if folder is None:
            return cls()
        if not folder.is_dir():
            raise Mistakes([Mistake(str(folder), 0, "there is no such folder")])
        wrong: list[Mistake] = []
        settings = _rows(folder / "settings.csv", SETTINGS, wrong)
        exceptions = _rows(folder / "exceptions.csv", EXCEPTIONS, wrong)
        for file, line, row in settings:
            wrong += [Mistake(file, line, message) for message in _wrong_setting(row, rules)]
        for file, line, row in exceptions:
            wrong += [Mistake(file, line, message) for message in _wrong_exception(row, rules, kinds)]
        queries = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("rules/*.sql"))}
        wrong += [
            Mistake(str(folder / "rules" / f"{stem}.sql"), 0, "the pack has no such rule")
            for stem in queries
            if stem not in rules
        ]
        if wrong:
            raise Mistakes(sorted(wrong))
        return cls({row["rule"]: row for _, _, row in settings}, [row for _, _, row in exceptions], queries)

    def enabled(self, stem: str) -> bool:
        """Whether the rule runs."""
        return self.settings.get(stem, {}).get("enabled", "").lower() not in {"false", "no", "0"}

    def applied(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """The rule with the team's level and with how many hits make a finding."""
        mine = self.settings.get(rule["stem"], {})
        return {**rule, "level": mine.get("level") or rule["level"], "least": int(mine.get("least") or 1)}

    def excepts(self, rule: Mapping[str, Any], kinds: Mapping[str, str], dialect: Dialect, now: datetime) -> str:
        """SQL, true for what the rule leaves out; "" for none. Letter case does not matter; ``*`` is any text."""
        tests = []
        for row in self.exceptions:
            until = row.get("until")
            passed = until and _moment(until) <= now
            if row["rule"] in {EVERY, rule["stem"]} and row["field"] in kinds and not passed:
                tests.append(_test(row["field"], row["value"], kinds[row["field"]], dialect))
        return " OR ".join(tests)


def _test(name: str, value: str, kind: str, dialect: Dialect) -> str:
    pattern = value.lower()
    for letter in "!%_":
        pattern = pattern.replace(letter, "!" + letter)
    pattern = dialect.literal(pattern.replace(EVERY, "%"))

    def like(at: str) -> str:
        return f"lower({at}) LIKE {pattern} ESCAPE '!'"

    column = dialect.quoted(name)
    test = dialect.any_of(column, like) if kind.endswith("[]") else like(dialect.text(column))
    return f"coalesce({test}, false)"


def _rows(path: Path, columns: Sequence[str], wrong: list[Mistake]) -> list[tuple[str, int, dict[str, str]]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        unknown = [name for name in reader.fieldnames or () if name not in columns]
        if unknown or "rule" not in (reader.fieldnames or ()):
            wrong.append(Mistake(str(path), 1, f"its columns are {', '.join(columns)}"))
            return []
        found = []
        for row in reader:
            said = {name: (row.get(name) or "").strip() for name in columns}
            if any(said.values()):
                found.append((str(path), reader.line_num, said))
        return found


def _wrong_setting(row: Mapping[str, str], rules: Mapping[str, Any]) -> list[str]:
    said = []
    if row["rule"] not in rules:
        said.append(f"the pack has no rule {row['rule'][:80]!r}")
    if row["enabled"].lower() not in {"", "true", "yes", "1", "false", "no", "0"}:
        said.append("enabled is true or false")
    if row["least"] and not (row["least"].isdecimal() and 0 < int(row["least"]) < 1 << 53):
        said.append("least is how many hits make a finding: a whole number above zero")
    if row["level"] and row["level"] not in LEVELS:
        said.append(f"level is one of {', '.join(LEVELS)}")
    return said


def _wrong_exception(
    row: Mapping[str, str], rules: Mapping[str, Any], kinds: Mapping[str, Mapping[str, str]]
) -> list[str]:
    said = []
    rule = rules.get(row["rule"])
    if rule is None and row["rule"] != EVERY:
        said.append(f"the pack has no rule {row['rule'][:80]!r}; * means all")
    known = kinds[rule["service"]] if rule else {**kinds["event"], **kinds["chain"]}
    if row["field"] not in known:
        said.append(f"the records of this rule have no field {row['field'][:80]!r}")
    if not row["value"].strip(EVERY):
        said.append("an exception for every value would turn the rule off; say so in settings.csv")
    try:
        if row["until"]:
            _moment(row["until"])
    except ValueError:
        said.append("until is a day or a time, such as 2027-01-31")
    return said


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC)
