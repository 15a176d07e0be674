"""The package for Microsoft Sentinel: one template to deploy, and the same content as files to read and to review."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backends.package import Content, Package
from backends.sentinel import limits, workbook
from backends.sentinel.analytic_rule import AnalyticRule, analytic_rule
from backends.sentinel.arm import EXCEPTIONS, template
from backends.sentinel.columns import text
from backends.sentinel.register import KEY, NONE, SHAPES, as_csv, watchlists
from backends.sentinel.rule_query import EXCEPTIONS as EXCEPTION_COLUMNS
from backends.sentinel.target import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "package"
FUNCTION_PARAMETERS = {
    "countersign_arrived": "every:string, settle:timespan",
    "countersign_excepted": "stem:string",
}
FROM_SOURCES = ("never", "client_ids")
"""Lists that come with the pack and not from the team. The views read them as watchlists; here they are functions: a
watchlist that is deployed again keeps its old rows (Microsoft Learn, "Manage watchlists": a bulk update appends)."""


def files(content: Content) -> Mapping[str, str | bytes]:
    """All files of the package, by path.

    Raises:
        NotAllowed: a rule or a register that Sentinel does not take.
    """
    limits.unique([rule.title for rule in content.rules])
    rules = [analytic_rule(rule, content.events, content.chains) for rule in content.rules]
    calls, lists = functions(content), csvs(content)
    return {
        "README.md": _readme(content),
        "azuredeploy.json": template(rules, calls, lists, content.events, content.version),
        **{f"rules/{one.rule.stem}.yaml": one.yaml() for one in rules},
        **{f"functions/{alias}.kql": query for alias, (query, _) in calls.items()},
        "functions/parameters.json": json.dumps(FUNCTION_PARAMETERS, indent=1) + "\n",
        **{f"watchlists/{name}.csv": csv for name, csv in lists.items()},
        "workbook.json": json.dumps(workbook.workbook(), indent=1, ensure_ascii=False) + "\n",
        "settings.json": settings(rules, content.version),
        "keep.py": (FOLDER / "keep.py").read_text(encoding="utf-8"),
    }


def functions(content: Content) -> dict[str, tuple[str, str]]:
    """Alias → query and parameters of each function, after those that it calls."""
    queries = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.kql"))}
    queries["countersign_blindness"] = blindness(content)
    lists = watchlists({}, content.never, content.client_ids)
    for name in FROM_SOURCES:
        queries[f"countersign_{name}"] = from_sources(name, lists[name])
    for alias, view in (("countersign_events", VIEWS["events"]), ("countersign_chains", VIEWS["chain"])):
        queries[alias] = view
        for name in FROM_SOURCES:
            queries[alias] = queries[alias].replace(f"_GetWatchlist('countersign_{name}')", f"countersign_{name}()")
    return {alias: (query, FUNCTION_PARAMETERS.get(alias, "")) for alias, query in queries.items()}


def from_sources(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """What the source maps say, as a function with the columns of the watchlist."""
    columns = (KEY, *SHAPES[name])
    said = ",\n".join("    " + ", ".join(text(row[column]) for column in columns) for row in rows)
    return (
        f"// countersign_{name}(): what the source maps of the pack say of the records of each dataset.\n"
        f"datatable({', '.join(f'{column}:string' for column in columns)}) [\n{said}\n]\n"
    )


def blindness(content: Content) -> str:
    """What each rule sees of each source, as a function: a deployment replaces it; a watchlist would only grow."""
    titles = {rule.stem: rule.title for rule in content.rules}
    rows = [
        f"    {text(stem)}, {text(titles[stem])}, {text(source.lower())}, {text(word)}"
        for (stem, source), word in sorted(content.blind.items())
        if stem in titles
    ]
    said = ",\n".join(rows) or '    "", "", "", ""'
    return (
        "// countersign_blindness(): what each rule still sees of each source: fires, posture only or blind.\n"
        f"datatable(rule:string, rule_title:string, source:string, sees:string) [\n{said}\n]\n"
    )


def csvs(content: Content) -> dict[str, str]:
    """Watchlist → CSV: the register as the team has it, and exceptions with the one row that a watchlist needs."""
    lists = watchlists(content.register)
    found = {f"countersign_{name}": as_csv(rows) for name, rows in lists.items() if name not in FROM_SOURCES}
    found[EXCEPTIONS] = as_csv([dict.fromkeys(EXCEPTION_COLUMNS, "") | {"SearchKey": NONE}])
    return found


def settings(rules: Sequence[AnalyticRule], version: str) -> str:
    """What ``keep.py`` compares the workspace with."""
    said = {
        one.rule.stem: {
            "id": one.id,
            "title": one.rule.title,
            "version": one.rule.version,
            "query_sha256": hashlib.sha256(one.rest.strip().encode()).hexdigest(),
            "settings": dict(one.settings),
        }
        for one in rules
    }
    return json.dumps({"version": version, "rules": said}, indent=1, ensure_ascii=False) + "\n"


def _readme(content: Content) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True, keep_trailing_newline=True
    )
    return environment.get_template("README.md.j2").render(version=content.version, rules=len(content.rules))


PACKAGE = Package(
    name="countersign-sentinel",
    target="sentinel",
    suffix=".zip",
    top="countersign-sentinel",
    told="",
    files=files,
)
