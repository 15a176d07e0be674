"""What AppInspect does not see of an app: that its parts name each other rightly, and that no search reads too much.

Each mistake is one sentence that begins with the file. Whether the searches mean what they should is another matter:
they are run (``tests/test_package_splunk.py``).
"""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from backends.splunk.conf import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backends.splunk.conf import Stanzas

KNOWN = Path(__file__).parent / "known_keys.json"

JSON_KEYS = re.compile(
    r"action\.(correlationsearch\.(annotations|metadata)|risk\.param\._risk|notable\.param\.(drill\w+|next\w+))"
)

OF_SPLUNK = frozenset({"search", "alerts", "reports", "dashboards"})
"""Views that every app has."""

BASES = ("countersign_index", "countersign_findings")
"""Macros that a search begins with; each names one index or more, none by a star."""

GENERATING = re.compile(r"\| (inputlookup \w+|rest /servicesNS/-/countersign/\S+ splunk_server=local)$")
CRON = re.compile(r"(\d|[1-5]\d)(,\d+){0,3} (\*|\*/\d+|\d+) \* \* (\*|\d)")

_MACRO = re.compile(r"`(\w+)(?:\(([^`]*)\))?`")
_LOOKUP = re.compile(r"(?:^|\|)\s*lookup\s+(\w+)\s+(.*?)(?=\n\||\s\|\s|$)", re.DOTALL)
_INPUT = re.compile(r"(?:^|\|)\s*inputlookup\s+(\w+)")


def wrong(files: Mapping[str, str]) -> list[str]:
    """Every mistake in an app's files, by their paths below its folder."""
    found: list[str] = []
    confs: dict[str, Stanzas] = {}
    for path, text in files.items():
        if path.startswith("default/") and path.endswith(".conf"):
            try:
                confs[path.removeprefix("default/").removesuffix(".conf")] = read(text)
            except ValueError as mistake:
                found.append(f"{path}: {mistake}")
    pages = {path: text for path, text in files.items() if path.endswith(".xml")}
    found += [f"default/{name}.conf: {said}" for name, stanzas in confs.items() for said in unknown_keys(name, stanzas)]
    found += [f"default/savedsearches.conf: {said}" for said in schedules(confs.get("savedsearches", {}))]
    found += list(no_json(files, confs.get("savedsearches", {})))
    found += list(views(files, pages))
    found += list(tables(files, confs.get("transforms", {})))
    if found:  # what can't be read can't be looked into
        return found
    found += list(references(files, confs, pages))
    found += list(unbounded(confs, pages))
    found += [
        f"default/tags.conf: no event type is called {name}"
        for name in (stanza.partition("=")[2] for stanza in confs.get("tags", {}))
        if name not in confs.get("eventtypes", {})
    ]
    return found


@cache
def known(name: str) -> re.Pattern[str]:
    """The keys that a file's spec names; what stands in ``<…>`` there is any word."""
    keys = json.loads(KNOWN.read_text(encoding="utf-8"))[name]
    return re.compile("|".join(re.sub(r"<[^>]*>", r"[\\w-]+", key.replace(".", r"\.")) for key in keys))


def unknown_keys(name: str, stanzas: Stanzas) -> Iterator[str]:
    """Keys that no spec page knows: a typing mistake is read by nobody. A tag is any word."""
    if name == "tags":
        return
    for stanza, settings in stanzas.items():
        for key in settings:
            if not known(name).fullmatch(key):
                yield f"the key {key} of [{stanza}] is in no spec file"


def schedules(stanzas: Stanzas) -> Iterator[str]:
    """When searches run and what time they read."""
    for name, settings in stanzas.items():
        if not CRON.fullmatch(settings.get("cron_schedule", "")):
            yield f"[{name}] runs by {settings.get('cron_schedule')!r}, which is no schedule of once an hour or less"
        for key in ("dispatch.earliest_time", "dispatch.latest_time"):
            if not re.fullmatch(r"now|-\d+s@s", settings.get(key, "")):
                yield f"[{name}] reads {key} = {settings.get(key)!r}; say how many seconds back"
        if settings.get("realtime_schedule") != "0":
            yield f"[{name}] may skip hours; say realtime_schedule = 0"
        if settings.get("alert.suppress") != "1" or not settings.get("alert.suppress.fields"):
            yield f"[{name}] does not say which findings are one"
        if settings.get("alert.digest_mode") != "0":
            yield f"[{name}] would suppress all its findings for one of them; say alert.digest_mode = 0"


def no_json(files: Mapping[str, str], stanzas: Stanzas) -> Iterator[str]:
    """Values that are read as JSON, and the manifest."""
    for name, settings in stanzas.items():
        for key, value in settings.items():
            if JSON_KEYS.fullmatch(key) and not _parses(value):
                yield f"default/savedsearches.conf: {key} of [{name}] is no JSON"
    for path in files:
        if path.endswith((".manifest", ".json")) and not _parses(files[path]):
            yield f"{path}: it is no JSON"


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def views(files: Mapping[str, str], pages: Mapping[str, str]) -> Iterator[str]:
    """Pages are well-formed, and the navigation and links lead to pages that are there."""
    there = {Path(path).stem for path in files if "/ui/views/" in path} | OF_SPLUNK
    for path, text in pages.items():
        try:
            root = ET.fromstring(text)  # noqa: S314 - made by us
        except ET.ParseError as mistake:
            yield f"{path}: {mistake}"
            continue
        named = [one.get("name", "") for one in root.iter("view")]
        named += re.findall(r"/app/countersign/(\w+)", text)
        yield from (f"{path}: no page is called {name}" for name in named if name not in there)
        if "/ui/views/" in path and root.get("version") != "1.1":
            yield f"{path}: it is no Simple XML 1.1"
        ids = {one.get("id") for one in root.iter("search")}
        yield from (
            f"{path}: no search is called {one.get('base')}"
            for one in root.iter("search")
            if one.get("base") not in {None, *ids}
        )


def tables(files: Mapping[str, str], transforms: Stanzas) -> Iterator[str]:
    """Each lookup has its file, each file is read back as it was written, and its header names each column once."""
    for name, settings in transforms.items():
        if f"lookups/{settings.get('filename')}" not in files:
            yield f"default/transforms.conf: the file of [{name}] is not there"
    named = {settings.get("filename") for settings in transforms.values()}
    for path, text in files.items():
        if not path.startswith("lookups/"):
            continue
        if path.removeprefix("lookups/") not in named:
            yield f"{path}: no lookup reads it"
        try:
            header, *rows = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
        except csv.Error as mistake:
            yield f"{path}: {mistake}"
            continue
        if not header or len(set(header)) != len(header) or not all(header):
            yield f"{path}: its header is not one name a column"
        if any(len(row) != len(header) for row in rows):
            yield f"{path}: a row has more or fewer cells than the header"


def searches_of(page: str) -> Iterator[tuple[str, bool]]:
    """The searches of a page, and whether each goes on from another."""
    for one in ET.fromstring(page).iter("search"):  # noqa: S314 - made by us
        yield (one.findtext("query") or "").strip(), one.get("base") is not None


def texts(confs: Mapping[str, Stanzas], pages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every text of SPL: where it stands, and itself."""
    for name, settings in confs.get("savedsearches", {}).items():
        yield f"default/savedsearches.conf: [{name}]", settings.get("search", "")
        for drilldown in json.loads(settings.get("action.notable.param.drilldown_searches", "[]")):
            yield f"default/savedsearches.conf: a drill-down of [{name}]", drilldown["search"]
    for name, settings in confs.get("macros", {}).items():
        yield f"default/macros.conf: [{name}]", settings.get("definition", "")
    for path, text in pages.items():
        if "/ui/views/" in path:
            yield from ((path, search) for search, _ in searches_of(text))


def references(files: Mapping[str, str], confs: Mapping[str, Stanzas], pages: Mapping[str, str]) -> Iterator[str]:
    """Macros and lookups that a search names are there, with the arguments and the columns that it gives them."""
    macros = confs.get("macros", {})
    columns = {
        name: next(csv.reader(io.StringIO(files.get(f"lookups/{settings.get('filename')}", ""))), [])
        for name, settings in confs.get("transforms", {}).items()
    }
    used = set()
    for place, text in texts(confs, pages):
        for call in _MACRO.finditer(re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)):
            name = f"{call[1]}({call[2].count(',') + 1})" if call[2] else call[1]
            used.add(name)
            if name not in macros:
                yield f"{place}: no macro is called {name}"
        for name in _INPUT.findall(text):
            if name not in columns:
                yield f"{place}: no lookup is called {name}"
        for name, clause in _LOOKUP.findall(text):
            if name not in columns:
                yield f"{place}: no lookup is called {name}"
                continue
            given = [one for one in re.split(r"[\s,]+", re.sub(r"\s+AS\s+\S+", "", clause)) if one and one != "OUTPUT"]
            yield from (f"{place}: the lookup {name} has no column {one}" for one in given if one not in columns[name])
    for name in macros:
        if name.endswith(("_filter", "_finding", "_threshold")) and name not in used:
            yield f"default/macros.conf: no search names [{name}]"


def unbounded(confs: Mapping[str, Stanzas], pages: Mapping[str, str]) -> Iterator[str]:
    """Searches that would read every index, or for ever."""
    for name in BASES:
        said = confs.get("macros", {}).get(name, {}).get("definition", "")
        if not re.search(r"\bindex=[\w-]+", said) or re.search(r"index\s*=\s*\S*\*|index\s*!=", said):
            yield f"default/macros.conf: [{name}] names no index"
    for place, text in texts({key: confs[key] for key in confs if key != "macros"}, pages):
        first = text.split("\n", 1)[0]
        if first in {f"search `{name}`" for name in BASES} or GENERATING.match(first):
            continue
        if not any(text == search and goes_on for page in pages.values() for search, goes_on in _of(page)):
            yield f"{place}: it begins with {first[:60]!r}, which names no index"
    for path, page in pages.items():
        if re.search(r"<(earliest|latest)>\s*(rt|0\s*<)", page):
            yield f"{path}: it searches in real time, or for ever"


def _of(page: str) -> Iterator[tuple[str, bool]]:
    return searches_of(page) if "<query>" in page else iter(())
