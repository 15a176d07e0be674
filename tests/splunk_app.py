"""A built Splunk app as Splunk would use it: its searches, macros, lookups and search-time fields, read from the archive."""

from __future__ import annotations

import csv
import io
import re
import tarfile
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from backends.splunk import searches
from backends.splunk.conf import effective, read
from harness.engines.spl.commands import COMMANDS, eval_
from harness.engines.spl.expression import STARTED
from harness.engines.spl.judge import DEFAULTS, LAST, indexed
from harness.engines.spl.run import piped, run
from harness.engines.spl.stats import aggregates
from harness.engines.spl.syntax import assignments, fields_of, parsed
from harness.engines.spl.text import Macro, commands, expanded
from harness.engines.spl.words import aliases, options, split_by, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from backends.splunk.conf import Stanzas
    from harness.engines.spl.values import Row

Lookups = dict[str, list[dict[str, str]]]

LATER = re.compile(
    r"timechart span=1d count BY \w+|chart values\(\w+\) OVER \w+ BY \w+|transpose column_name=\w+",
)
"""Commands of pages that the interpreter does not run: they only lay out what the commands before them found."""


@dataclass(frozen=True)
class App:
    """An installed app.

    Attributes:
        files: path below its folder → bytes, as the archive has them.
        local: file name → stanzas of its ``local`` folder.
    """

    files: Mapping[str, bytes]
    local: Mapping[str, Stanzas]

    @classmethod
    def of(cls, archive: Path, local: Mapping[str, Stanzas] | None = None) -> App:
        """The app of an archive, with what an admin has set."""
        with tarfile.open(archive) as tar:
            every = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}  # type: ignore[union-attr]
        tops = {path.partition("/")[0] for path in every}
        assert tops == {"countersign"}
        return cls({path.partition("/")[2]: data for path, data in every.items()}, local or {})

    def upgraded(self, archive: Path) -> App:
        """Another version laid over it: ``local`` stays; ``default`` is the new one's; files that are there stay there."""
        new = App.of(archive)
        kept = {path: data for path, data in self.files.items() if path.startswith("lookups/")}
        return App({**kept, **new.files}, self.local)

    def text(self, path: str) -> str:
        """A file's text."""
        return self.files[path].decode()

    def conf(self, name: str) -> Stanzas:
        """A configuration file as Splunk merges it."""
        return effective(read(self.text(f"default/{name}.conf")), self.local.get(name, {}))

    @cached_property
    def searches(self) -> Stanzas:
        """Saved searches by name."""
        return self.conf("savedsearches")

    @cached_property
    def macros(self) -> dict[str, Macro]:
        """Macros by name, without the number of their arguments."""
        found = {}
        for name, settings in self.conf("macros").items():
            args = tuple(part.strip() for part in settings.get("args", "").split(",") if part.strip())
            found[name.partition("(")[0]] = Macro(settings["definition"], args)
        return found

    @cached_property
    def lookups(self) -> Lookups:
        """Rows of each lookup, from its file."""
        return {
            name: list(csv.DictReader(io.StringIO(self.text(f"lookups/{settings['filename']}"))))
            for name, settings in self.conf("transforms").items()
        }

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Columns of each lookup, from its file's header."""
        return {
            name: next(csv.reader(io.StringIO(self.text(f"lookups/{settings['filename']}"))))
            for name, settings in self.conf("transforms").items()
        }

    def rows(self, records: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Records as a search sees them: what is extracted, then aliases, then calculated fields (all from the same row)."""
        settings = self.conf("props")["countersign:event"]
        rows = indexed(records)
        for row in rows:
            row["_time"] = 0
            for key, said in settings.items():
                if key.startswith("FIELDALIAS-"):
                    old, _, new = said.split()
                    if row.get(old) is not None:
                        row.setdefault(new, row[old])
            found = {}
            for key, said in settings.items():
                if key.startswith("EVAL-"):
                    name = key.removeprefix("EVAL-")
                    (made,) = eval_([dict(row)], f"cs_made={said}", {})
                    if "cs_made" in made:
                        found[name] = made["cs_made"]
            row.update(found)
        return rows

    def fired(
        self,
        stanza: str,
        records: Sequence[Mapping[str, Any]],
        lookups: Lookups | None = None,
        now: datetime | None = None,
    ) -> list[Row]:
        """The findings of a saved search; none if it is disabled."""
        settings = self.searches[stanza]
        if settings["disabled"] == "1":
            return []
        return self.searched(settings["search"], records, lookups, now)

    def searched(
        self,
        search: str,
        records: Sequence[Mapping[str, Any]],
        lookups: Lookups | None = None,
        now: datetime | None = None,
    ) -> list[Row]:
        """The rows of a search over records, started at that time."""
        STARTED.set((now or LAST).timestamp())
        tables = self.lookups if lookups is None else lookups
        if search.startswith("| inputlookup"):
            first, *rest = commands(expanded(search, self.macros))
            return piped([dict(row) for row in tables[first.split()[1]]], rest, tables)
        return run(searches.timed(search, "-1h", "now"), {"mcp": self.rows(records)}, self.macros, tables)


def fields_wrong(app: App, search: str, known: set[str]) -> Iterator[str]:
    """What a search names that is not there, command by command; also proves that each is read by the interpreter."""
    there, every = set(known), False
    for command in commands(expanded(search, app.macros)):
        name, clause = [*command.split(maxsplit=1), ""][:2]
        if LATER.fullmatch(command) or name in {"search", "rest"}:
            every = every or name == "rest"
            continue
        if name == "inputlookup":
            there = set(app.columns[clause.strip()])
            continue
        if name not in COMMANDS:
            yield f"the command {name}"
            continue
        reads, makes, keeps = _of_lookup(app, clause) if name == "lookup" else _named(name, clause)
        missing = {one for one in reads if one not in there and "*" not in one and not one.startswith("_")}
        if missing and not every:
            yield f"{sorted(missing)} in | {command[:80]}"
        there = {one for one in there | makes if keeps is None or one in keeps or "*" in " ".join(keeps)}


def _of_lookup(app: App, clause: str) -> tuple[set[str], set[str], None]:
    head, _, tail = clause.partition(" OUTPUT ")
    table, *keys = words(head)
    pairs = aliases(" ".join(f'"{key}"' if key.upper() != "AS" else key for key in keys))
    outputs = aliases(tail)
    assert {one for one, _ in [*pairs, *outputs]} <= set(app.columns[table]), table
    return {field for _, field in pairs}, {into for _, into in outputs}, None


@cache
def _named(name: str, clause: str) -> tuple[set[str], set[str], set[str] | None]:  # noqa: C901, PLR0911
    """The fields that a command reads, makes, and, where it drops all others, keeps; raises where it can't be read."""
    COMMANDS[name]([], clause, {})
    if name == "eval":
        reads: set[str] = set()
        made: set[str] = set()
        for field, node in assignments(clause):
            reads |= fields_of(node) - made
            made.add(field)
        return reads, made, None
    if name == "where":
        return fields_of(parsed(clause)), set(), None
    if name in {"stats", "eventstats", "streamstats"}:
        what, by = split_by(options(clause, {"current": "", "window": "", "global": ""})[1])
        inside = set(re.findall(r"\w\(['\"]?([\w.@]+)['\"]?\)", what))
        made = {one.into for one in aggregates(what)}
        return inside | set(by), made, {*made, *by} if name == "stats" else None
    if name == "rex":
        return {re.match(r"field=(\S+)", clause)[1]}, set(re.findall(r"\?<(\w+)>", clause)), None  # type: ignore[index]
    if name == "rename":
        return set(), {new for _, new in aliases(clause)}, None
    if name == "sort":
        return {re.sub(r"^-?\w+\((.*)\)$", r"\1", word) for word in words(clause)[1:]}, set(), None
    if name in {"dedup", "mvexpand"}:
        return set(words(clause)), set(), None
    if name == "table" or (name == "fields" and not clause.startswith("-")):
        return set(words(clause)), set(), set(words(clause))
    if name == "foreach":
        body = clause.partition("[")[2].rstrip("] ").removeprefix("eval ")
        found = _named("eval", body.replace("<<FIELD>>", "cs_each"))
        return found[0] - {"cs_each"}, found[1], None
    return set(), set(), None


def known_fields(app: App, vocabulary_names: set[str]) -> set[str]:
    """Fields that a record may have before any command: the schema's, Splunk's own, and those of the sourcetype."""
    settings = app.conf("props")["countersign:event"]
    more = {said.split()[2] for key, said in settings.items() if key.startswith("FIELDALIAS-")}
    more |= {key.removeprefix("EVAL-") for key in settings if key.startswith("EVAL-")}
    return vocabulary_names | more | {*DEFAULTS, "_time", "_raw", "cs_wrong", "cs_bear"}
