"""The package for Sentinel, as it is in the archive: it binds, it fires, it deploys, and an upgrade keeps what was changed.

Queries are taken byte for byte from the built YAML, functions from the built template. The engine stands for a workspace
(`harness.engines.kql`); what it has not, ``ingestion_time()``, is one time for all records of a data set here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import duckdb_kql
import pytest
import yaml
from arm_deployment import Expressions, Workspace
from duckdb_kql.engine import schema
from test_sentinel import CHAIN_FIELDS, EVENT_FIELDS, ROOT, SUBJECTS, sources

from backends.errors import Mistakes
from backends.package import Content, NotAllowed, Packed, load
from backends.sentinel import limits, package
from backends.sentinel.analytic_rule import analytic_rule, attack, duration
from backends.sentinel.arm import literal
from backends.sentinel.columns import ROW, TABLE, column, table_schema, view_schema
from backends.sentinel.register import SHAPES, watchlists
from backends.sentinel.rule_query import CHAIN_CONDITIONS, EVENT_CONDITIONS, EXCEPTIONS, rest
from backends.sentinel.target import VIEWS
from backends.sources import SourceMaps
from harness.building import build, content
from harness.case import Bases, moment
from harness.engines import kql
from harness.engines.kql import Binder, Kql, as_table, parsed
from harness.judging import duckdb
from harness.own import chosen
from harness.proof import as_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from backends.vocabulary import Vocabulary
    from harness.matrix import Subject, Verdicts

pytestmark = pytest.mark.xdist_group("kql")

TOP = "countersign-sentinel/"
PACKAGE = load("sentinel")
HOSTILE = (
    'a "quoted" title',
    "it's | take 1",
    "closing ] and )",
    "[begins and ends]",
    "</script><b>",
    "back`tick` $(id) ${x}",
    "colon: # and - dash",
    '\\ backslash \\" more',
    "%s {0} {x}",
)


@pytest.fixture(scope="session")
def made_from() -> Content:
    """The pack, with the sources that cases make up beside those of the maps."""
    whole = content(ROOT, PACKAGE, list(chosen(ROOT, ())))
    said = sources()
    return replace(whole, never=tuple((d, s, tuple(c)) for d, s, c in said.never), client_ids=tuple(said.client_ids))


@pytest.fixture(scope="session")
def archive(made_from: Content, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return opened(build(PACKAGE, made_from, tmp_path_factory.mktemp("sentinel")).path)


def opened(path: Path) -> dict[str, str]:
    """Path below the top folder → text."""
    with zipfile.ZipFile(path) as packed:
        return {name.removeprefix(TOP): packed.read(name).decode() for name in packed.namelist()}


@pytest.fixture(scope="session")
def template(archive: dict[str, str]) -> dict[str, Any]:
    return json.loads(archive["azuredeploy.json"])


@pytest.fixture(scope="session")
def rules(archive: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Stem → analytic rule, from the YAML."""
    return {
        name.removeprefix("rules/").removesuffix(".yaml"): yaml.safe_load(text)
        for name, text in archive.items()
        if name.startswith("rules/")
    }


@pytest.fixture(scope="session")
def functions(template: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Alias → query and parameters, from the template."""
    workspace = Workspace()
    workspace.deploy(template, workspace="w")
    found = [
        one["properties"] for one in workspace.of("Microsoft.OperationalInsights/workspaces/savedSearches").values()
    ]
    return {one["functionAlias"]: (one["query"], one.get("functionParameters", "")) for one in found}


def changed(made_from: Content, **more: Any) -> Content:
    """The first rule alone, bent."""
    return replace(made_from, rules=(replace(made_from.rules[0], **more),))


# Names and types: Microsoft's parser.


class Bound:
    """What Microsoft's binder says of the functions, and of queries over them, in two runs.

    Attributes:
        functions: alias → what it has against it, and its columns.
        queries: name → the same.
    """

    def __init__(self, binder: Binder, functions: Mapping[str, tuple[str, str]], queries: Mapping[str, str]) -> None:
        forms = {alias: parameters for alias, (_, parameters) in functions.items()}
        lets = {
            alias: f"let {alias} = ({forms[alias]}) {{\n{as_table(functions[alias][0])}}};\n" for alias in functions
        }
        exceptions = f"let countersign_exceptions = datatable({', '.join(f'{c}:string' for c in EXCEPTIONS)}) [];\n"
        asked, given = [], {"every": '"PT1H"', "settle": "1m", "stem": '"x"'}
        for alias in functions:
            before = "".join(lets[name] for name in list(functions)[: list(functions).index(alias)])
            values = ", ".join(given[part.split(":")[0].strip()] for part in forms[alias].split(",") if part)
            asked.append(f"{exceptions}{before}{lets[alias]}{alias}({values})")
        self.functions = dict(zip(functions, binder._asked(asked, {}), strict=True))
        gives = {f"{alias}_gives": columns for alias, (_, columns) in self.functions.items()}
        alerts = "TimeGenerated:datetime, AlertName:string, AlertSeverity:string, ExtendedProperties:string"
        start = f"let SecurityAlert = datatable({alerts}) [];\n"
        start += "".join(f"let {alias} = ({forms[alias]}) {{ {alias}_gives }};\n" for alias in functions)
        answers = binder._asked([start + as_table(query) for query in queries.values()], gives)
        self.queries = dict(zip(queries, answers, strict=True))


def in_the_workbook(archive: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Name → the part that holds a query."""
    book = json.loads(archive["workbook.json"])
    inside = [item for one in book["items"] for item in one["content"].get("items", [])]
    return {item["name"]: item["content"] for item in inside if item["type"] == 3}


@pytest.fixture(scope="session")
def bound(functions: dict[str, tuple[str, str]], rules: dict[str, dict[str, Any]], archive: dict[str, str]) -> Bound:
    queries = {stem: rule["query"] for stem, rule in rules.items()}
    queries |= {f"workbook/{name}": part["query"] for name, part in in_the_workbook(archive).items()}
    some = rules["service_actor_without_user"]["query"]
    queries["wrong/column"] = some.replace("user_email", "user_mail")
    queries["wrong/function"] = some.replace("countersign_excepted", "countersign_spared")
    queries["wrong/parameter"] = some.replace("(every, 0m)", "(0m)")
    return Bound(Binder(ROOT.path / ".cache" / "kql", EVENT_FIELDS), functions, queries)


def test_every_function_binds_and_gives_its_fields(bound: Bound) -> None:
    assert {alias: messages for alias, (messages, _) in bound.functions.items() if messages} == {}
    for alias, vocabulary in (("countersign_events", EVENT_FIELDS), ("countersign_chains", CHAIN_FIELDS)):
        columns = bound.functions[alias][1]
        wanted = {
            name: kind for name, kind in view_schema(vocabulary).items() if name != ROW or alias.endswith("events")
        }
        assert {name: columns.get(name) for name in wanted} == wanted


def test_every_rule_binds_and_gives_what_it_maps(bound: Bound, rules: dict[str, dict[str, Any]]) -> None:
    for stem, rule in rules.items():
        messages, columns = bound.queries[stem]
        assert not messages, stem
        mapped = [field["columnName"] for one in rule["entityMappings"] for field in one["fieldMappings"]]
        formats = rule["alertDetailsOverride"].values()
        named = [name for text in formats for name in re.findall(r"\{\{(\w+)\}\}", text)]
        assert set(mapped) | set(rule["customDetails"].values()) | set(named) <= set(columns), stem
        assert columns["TimeGenerated"] == "datetime", stem
        assert all(columns[name] == "string" for name in mapped), stem


def test_the_workbook_is_whole_and_every_query_of_it_binds(
    bound: Bound, archive: dict[str, str], template: dict[str, Any]
) -> None:
    parts = in_the_workbook(archive)
    assert len(parts) == 7
    for name, part in parts.items():
        messages, columns = bound.queries[f"workbook/{name}"]
        assert not messages, name
        assert part.get("exportFieldName") is None or part["exportFieldName"] in columns
    workspace = Workspace()
    workspace.deploy(template, workspace="w")
    ((_, resource),) = workspace.of("Microsoft.Insights/workbooks").items()
    book = json.loads(resource["properties"]["serializedData"])
    assert book == json.loads(archive["workbook.json"])
    asked = set(re.findall(r"\{(\w+)\}", "".join(part["query"] for part in parts.values())))
    assert (
        asked == {part["exportParameterName"] for part in parts.values() if "exportParameterName" in part} == {"Chain"}
    )
    assert [group["conditionalVisibility"]["value"] for group in book["items"][3:]] == ["overview", "chain", "coverage"]


@pytest.mark.parametrize("wrong", ["column", "function", "parameter"])
def test_a_wrong_name_in_a_query_is_found(bound: Bound, wrong: str) -> None:
    assert bound.queries[f"wrong/{wrong}"][0]


# Executed.


class Deployed(Kql):
    """The engine with the package's own functions in the workspace."""

    built: Mapping[str, tuple[str, str]] = {}
    arrived_at: Any = None
    now: Any = None

    def sql(self, query: str) -> str:
        """The query over the built functions, at the time that is set."""
        own = getattr(self, "_functions", None) or [
            f"function countersign_events() {{ {as_table(VIEWS_NOW['events'])} }}"
        ]
        more = []
        for alias, (text, parameters) in self.built.items():
            if alias in ("countersign_events", "countersign_chains", "countersign_blindness"):
                continue
            if self.arrived_at is not None:
                text = text.replace("ingestion_time()", f"datetime({self.arrived_at.isoformat()})")  # noqa: PLW2901
            more.append(f"function {alias}({parameters}) {{ {as_table(text)} }}")
        result = duckdb_kql.to_sql(
            as_table(query), schema=schema(self.connection), functions=parsed([*own, *more]), query_now=self.now
        )
        self.parameters = result.parameters
        return str(result)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What a query gives, at the time that is set."""
        sql = self.sql(query)
        result = self.connection.execute(sql, self.parameters) if self.parameters else self.connection.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def at(self, arrived_after: timedelta, run_after: timedelta) -> None:
        """Set when all records arrived, and when the rule runs, after the last record's own time."""
        (last,) = self.connection.execute(f"SELECT max(TimeGenerated) FROM {TABLE}").fetchone()
        self.arrived_at, self.now = last + arrived_after, last + run_after

    def except_(self, *rows: dict[str, str]) -> None:
        """Fill the watchlist of exceptions."""
        all_of = [dict.fromkeys(EXCEPTIONS, "") | row for row in ({"SearchKey": "-"}, *rows)]
        self._insert("countersign_exceptions", dict.fromkeys(EXCEPTIONS, "string"), all_of)

    def hold(self, verdicts: Verdicts) -> None:
        """Facts and chains as another engine found them; `test_sentinel` proves that the views give the same."""
        facts = [columns_of(event, EVENT_FIELDS) | {ROW: str(at)} for at, event in enumerate(verdicts.events) if event]
        self._held("facts", view_schema(EVENT_FIELDS), [row | {"chain_id": "", "chain_id_source": ""} for row in facts])
        members: dict[str, list[list[str]]] = {}
        for at, event in enumerate(verdicts.events):
            if event and event.get("chain.id"):
                members.setdefault(event["chain.id"], []).append([str(at), event["chain.id_source"]])
        kinds = {name: kind for name, kind in view_schema(CHAIN_FIELDS).items() if name != ROW} | {
            "x_members": "dynamic"
        }
        chains = [
            columns_of(chain, CHAIN_FIELDS) | {"chain_id": name, "x_members": json.dumps(members[name])}
            for name, chain in verdicts.chains.items()
        ]
        self._held("chains", kinds, chains)

    def _held(self, table: str, kinds: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
        columns = ", ".join(f"{name} {kql.SQL_TYPES[kind]}" for name, kind in kinds.items())
        self.connection.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
        empty = {name: "" for name, kind in kinds.items() if kind == "string"}  # Kusto's absent text
        self._insert(table, kinds, [empty | row for row in rows])


VIEWS_NOW: dict[str, str] = {}


def columns_of(facts: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Flat facts by dotted name → column → value as the engine holds it."""
    row: dict[str, Any] = {}
    for name, value in facts.items():
        field = vocabulary.fields.get(name)
        if field is None:  # the engine's own list of members
            continue
        if field.array:
            value = json.dumps(value, ensure_ascii=False)  # noqa: PLW2901
        elif field.kind == "time":
            value = moment(value).replace(tzinfo=None)  # noqa: PLW2901
        row[column(name)] = value
    return row


def start(engine: Deployed) -> Deployed:
    """The watchlist of exceptions, empty."""
    columns = ", ".join(f'"{name}" VARCHAR' for name in EXCEPTIONS)
    engine.connection.execute(f"CREATE TABLE countersign_exceptions ({columns})")
    engine.except_()
    return engine


class Held(Deployed):
    """A workspace whose facts and chains another engine found, so that no view is planned."""

    def __enter__(self) -> Self:
        """Create the tables."""
        self.connection = duckdb_kql.connect()
        run = self.connection.execute
        run("SET threads = 2")
        columns = ", ".join(f"{name} {kql.SQL_TYPES[kind]}" for name, kind in table_schema(EVENT_FIELDS).items())
        run(f"CREATE TABLE {TABLE} ({columns})")
        for name, more in SHAPES.items():
            run(
                f"CREATE TABLE countersign_{name} ({', '.join(f'{column} VARCHAR' for column in ('SearchKey', *more))})"
            )
        self._functions = ["function countersign_events() { facts }", "function countersign_chains() { chains }"]
        return self

    def judge(self, records: Any, tables: Any, now: Any) -> Verdicts:
        """What the embedded engine says, put into the tables."""
        verdicts = EMBEDDED(records, tables, now)
        self._fill(tables, records)
        self.hold(verdicts)
        return verdicts


EMBEDDED = duckdb(SUBJECTS, EVENT_FIELDS, CHAIN_FIELDS, SourceMaps.load(ROOT.sources))


@pytest.fixture(scope="session")
def deployed(functions: dict[str, tuple[str, str]]) -> Iterator[Deployed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deployed, "built", functions)
        with Held({}, EVENT_FIELDS, CHAIN_FIELDS, sources()) as engine:
            yield start(engine)


def first_attacks(subjects: Sequence[Subject]) -> list[Subject]:
    return [type(s)(s.stem, s.rule, tuple([c for c in s.cases if c.fires][:1])) for s in subjects]


def fired(engine: Deployed, subjects: Sequence[Subject], rules: Mapping[str, dict[str, Any]]) -> set[str]:
    """Rules whose built query gives something over the attacks: as many records, in as many groups, as the verdicts say."""
    found: set[str] = set()
    one_at_a_time = threading.Lock()

    def both(records: Any, tables: Any, now: Any) -> Any:
        with one_at_a_time:
            engine.arrived_at = engine.now = None
            verdicts = engine.judge(records, tables, now)
            engine.at(timedelta(minutes=6), timedelta(minutes=17))
            for subject in subjects:
                hits = (verdicts.chain_hits if subject.of_chains else verdicts.event_hits)[subject.stem]
                if not hits or subject.stem in found:
                    continue
                rows = engine.rows(rules[subject.stem]["query"])
                assert sum(row["Records"] for row in rows) == len(hits), subject.stem
                assert len({row["FindingGroup"] for row in rows}) == len(rows)
                assert all(row["Rule"] == subject.stem and row["Finding"] for row in rows)
                found.add(subject.stem)
        return verdicts

    list(as_written(first_attacks(subjects), both, Bases.honest(), EVENT_FIELDS))
    return found


SOME = 8
"""One rule in so many is executed in the quick run; the slow one executes all."""


@pytest.mark.parametrize("part", [pytest.param(part, marks=[pytest.mark.slow] if part else []) for part in range(SOME)])
def test_every_built_query_fires_on_its_attack(deployed: Deployed, rules: dict[str, dict[str, Any]], part: int) -> None:
    subjects = SUBJECTS[part::SOME]
    assert fired(deployed, subjects, rules) == {s.stem for s in subjects}


def test_every_rule_of_the_pack_is_in_the_package(rules: dict[str, dict[str, Any]]) -> None:
    assert {s.stem for s in SUBJECTS} == set(rules)


@pytest.mark.slow
def test_every_built_query_fires_over_the_built_functions(
    functions: dict[str, tuple[str, str]], rules: dict[str, dict[str, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        VIEWS_NOW.update(events=functions["countersign_events"][0], chain=functions["countersign_chains"][0])
        patch.setattr(kql, "VIEWS", VIEWS_NOW)
        patch.setattr(Deployed, "built", functions)
        with Deployed({s.stem: s.rule for s in SUBJECTS}, EVENT_FIELDS, CHAIN_FIELDS, sources()) as engine:
            assert fired(start(engine), SUBJECTS, rules) == {s.stem for s in SUBJECTS}


def attack_of(engine: Deployed, stem: str) -> None:
    """The first attack of a rule without a register, in the table, judged."""
    (subject,) = first_attacks([s for s in SUBJECTS if s.stem == stem])
    engine.arrived_at = engine.now = None
    engine.judge(subject.cases[0].records(Bases.honest()), {}, None)


def test_a_rule_judges_each_record_in_one_run(deployed: Deployed, rules: dict[str, dict[str, Any]]) -> None:
    """It runs every 15 minutes; a record that arrives late is judged when it arrives, and once."""
    attack_of(deployed, "service_actor_without_user")
    query = rules["service_actor_without_user"]["query"]
    found = {}
    for arrived, run in [(6, 5), (6, 7), (6, 20), (6, 23), (50, 20), (50, 51), (50, 64), (50, 67), (1, 4), (1, 6)]:
        deployed.at(timedelta(minutes=arrived), timedelta(minutes=run))
        found[arrived, run] = len(deployed.rows(query))
    assert found == {
        (6, 5): 0,
        (6, 7): 1,
        (6, 20): 1,
        (6, 23): 0,
        (50, 20): 0,
        (50, 51): 1,
        (50, 64): 1,
        (50, 67): 0,
        (1, 4): 0,
        (1, 6): 1,
    }


def test_the_frequency_in_the_query_may_be_any_duration(deployed: Deployed, rules: dict[str, dict[str, Any]]) -> None:
    attack_of(deployed, "service_actor_without_user")
    deployed.at(timedelta(minutes=6), timedelta(minutes=6 + 200))
    query = rules["service_actor_without_user"]["query"]
    seen = {every: len(deployed.rows(query.replace("PT15M", every))) for every in ("PT3H", "PT3H30M", "P1D", "PT240M")}
    assert seen == {"PT3H": 0, "PT3H30M": 1, "P1D": 1, "PT240M": 1}


def test_an_exception_silences_what_it_names_and_no_more(deployed: Deployed, rules: dict[str, dict[str, Any]]) -> None:
    attack_of(deployed, "service_actor_without_user")
    deployed.at(timedelta(minutes=6), timedelta(minutes=17))
    query = rules["service_actor_without_user"]["query"]
    (finding,) = deployed.rows(query)
    tool, server = finding["gen_ai_tool_name"], finding["mcp_server_name"]
    mine = {"SearchKey": "1", "rule": "service_actor_without_user"}
    later, past = "2999-01-01", "2020-01-01"
    told = [
        ({**mine, "tool": tool.upper(), "server": server}, 0),
        ({**mine, "tool": tool, "until": later}, 0),
        ({**mine, "rule": "*", "server": server}, 0),
        ({**mine, "tool": tool, "until": past}, 1),
        ({**mine, "tool": tool, "until": "not a date"}, 1),
        ({**mine, "tool": tool, "server": "another"}, 1),
        ({**mine, "rule": "orphan_write", "tool": tool}, 1),
        (mine, 1),
    ]
    try:
        for row, left in told:
            deployed.except_(row)
            assert len(deployed.rows(query)) == left, row
    finally:
        deployed.except_()


def test_exceptions_of_chains_read_lists(deployed: Deployed, rules: dict[str, dict[str, Any]]) -> None:
    (subject,) = first_attacks([s for s in SUBJECTS if s.stem == "orphan_write"])
    records, tables = subject.cases[0].records(Bases.honest()), subject.cases[0].tables(Bases.honest())
    deployed.arrived_at = deployed.now = None
    deployed.judge(records, tables, None)
    deployed.at(timedelta(minutes=6), timedelta(minutes=17))
    query = rules["orphan_write"]["query"]
    (finding,) = deployed.rows(query)
    system = json.loads(finding["chain_systems"])[0]
    try:
        for row, left in ({"system": system.upper()}, 0), ({"system": "another"}, 1), ({"client": "any"}, 1):
            deployed.except_({"SearchKey": "1", "rule": "orphan_write", **row})
            assert len(deployed.rows(query)) == left, row
        deployed.except_()
        deployed.at(timedelta(minutes=6), timedelta(minutes=15))
        assert not deployed.rows(query), "a chain waits ten minutes for what is still on its way"
    finally:
        deployed.except_()


# The files.


KEYS = {
    *("id", "name", "description", "severity", "status", "requiredDataConnectors", "queryFrequency", "queryPeriod"),
    *(
        "triggerOperator",
        "triggerThreshold",
        "tactics",
        "relevantTechniques",
        "query",
        "entityMappings",
        "customDetails",
    ),
    *("alertDetailsOverride", "eventGroupingSettings", "incidentConfiguration", "suppressionEnabled"),
    *("suppressionDuration", "version", "kind"),
}
REQUIRED = KEYS - {"tactics", "relevantTechniques"}
SEVERITIES = {"Informational", "Low", "Medium", "High"}
IDENTIFIERS = {
    "Account": {"Name", "FullName", "NTDomain", "DnsDomain", "UPNSuffix", "Sid", "AadTenantId", "AadUserId", "PUID"},
    "CloudApplication": {"AppId", "Name", "InstanceName"},
    "Host": {"DnsDomain", "NTDomain", "HostName", "FullName", "NetBiosName", "AzureID", "OMSAgentID"},
    "IP": {"Address"},
    "URL": {"Url"},
}
TACTICS = {
    *("InitialAccess", "Execution", "Persistence", "PrivilegeEscalation", "DefenseEvasion", "CredentialAccess"),
    *("Discovery", "LateralMovement", "Collection", "Exfiltration", "CommandAndControl", "Impact", "Reconnaissance"),
    *("ResourceDevelopment", "ImpairProcessControl", "InhibitResponseFunction"),
}


def test_the_yaml_has_the_form_of_the_public_repository(rules: dict[str, dict[str, Any]]) -> None:
    """The rules of its own validation: ScheduledTemplateInternalModel and its attributes."""
    for stem, rule in rules.items():
        assert set(rule) <= KEYS, stem
        assert set(rule) >= REQUIRED, stem
        assert str(UUID(rule["id"])) == rule["id"]
        assert rule["severity"] in SEVERITIES
        assert 1 <= len(rule["query"]) <= 10_000
        assert re.fullmatch(r"\d+\.\d+\.\d+", rule["version"])
        assert len(rule["version"]) <= 20
        assert (rule["kind"], rule["triggerOperator"]) == ("Scheduled", "gt")
        every, period = (minutes_of(rule[name]) for name in ("queryFrequency", "queryPeriod"))
        assert 5 <= every <= period <= 14 * 1440
        assert period < 2 * 1440 or every >= 60
        assert set(rule.get("tactics", ())) <= TACTICS
        assert all(re.fullmatch(r"T\d{4}", one) for one in rule.get("relevantTechniques", ()))
        assert 1 <= len(rule["entityMappings"]) <= 5
        for one in rule["entityMappings"]:
            assert {field["identifier"] for field in one["fieldMappings"]} <= IDENTIFIERS[one["entityType"]]
        assert len(rule["customDetails"]) <= 20
        for name, shown in rule["customDetails"].items():
            assert re.fullmatch(r"[a-zA-Z]\w{0,19}", name)
            assert re.fullmatch(r"[a-zA-Z_]\w*", shown)
        assert rule["incidentConfiguration"]["groupingConfiguration"]["groupByCustomDetails"] == ["FindingGroup"]
    assert len({rule["id"] for rule in rules.values()}) == len({rule["name"] for rule in rules.values()}) == len(rules)


def minutes_of(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "h": 60, "d": 1440}[text[-1]]


def test_the_template_deploys_and_says_what_the_yaml_says(
    template: dict[str, Any], rules: dict[str, dict[str, Any]], archive: dict[str, str]
) -> None:
    workspace = Workspace()
    evaluated = workspace.deploy(template, workspace="w")
    declared = {f"{kind}.{name}" for kind in ("parameters", "variables") for name in template[kind]}
    assert evaluated.used == declared, "a parameter or variable that nothing reads"
    assert len(workspace.rules) == len(rules)
    for stem, rule in rules.items():
        resource = workspace.rules[rule["id"]]
        own = resource["properties"]
        assert resource["kind"] == "Scheduled"
        assert own["query"] == rule["query"], stem
        assert own["displayName"] == rule["name"]
        assert own["description"] == rule["description"].rstrip("\n")
        assert own["techniques"] == rule.get("relevantTechniques", [])
        for name in ("severity", "tactics", "entityMappings", "customDetails", "eventGroupingSettings"):
            assert own[name] == rule.get(name, []), (stem, name)
        assert own["incidentConfiguration"] == rule["incidentConfiguration"]
        assert own["alertDetailsOverride"] == rule["alertDetailsOverride"]
        for name in ("queryFrequency", "queryPeriod", "suppressionDuration"):
            assert iso_minutes(own[name]) == minutes_of(rule[name])
        assert (own["triggerOperator"], own["triggerThreshold"], own["enabled"]) == ("GreaterThan", 0, True)
    lists = workspace.of("Microsoft.SecurityInsights/watchlists")
    assert {f"watchlists/{name}.csv" for name in lists} == {name for name in archive if name.startswith("watchlists/")}
    for name, one in lists.items():
        text = archive[f"watchlists/{name}.csv"]
        assert one["properties"]["rawContent"] == text
        (header, *rows) = csv.reader(io.StringIO(text))
        assert one["properties"]["itemsSearchKey"] == header[0] == "SearchKey"
        assert rows
        assert all(len(row) == len(header) and row[0] for row in rows)


def iso_minutes(text: str) -> int:
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?", text)
    assert found is not None
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def test_the_template_lays_settings_over_the_defaults_and_depends_on_what_there_is(template: dict[str, Any]) -> None:
    workspace = Workspace()
    workspace.deploy(template, workspace="w", settings={"orphan_write": {"enabled": False, "queryFrequency": "PT4H"}})
    own = next(
        one["properties"] for one in workspace.rules.values() if "orphan_write" in one["properties"]["description"]
    )
    assert own["enabled"] is False
    assert own["query"].startswith('let every = "PT4H"; //')
    assert own["severity"] == "High"
    broken = json.loads(json.dumps(template))
    broken["resources"][1]["dependsOn"] = ["nothing"]
    with pytest.raises(ValueError, match="depend"):
        Workspace().deploy(broken, workspace="w")
    with pytest.raises(ValueError, match="no parameter"):
        Workspace().deploy(template, workspace="w", nosuch=1)
    with pytest.raises(ValueError, match="no value"):
        Expressions(template, {})


def test_the_table_and_the_stream_have_every_field_that_a_source_sends(template: dict[str, Any]) -> None:
    workspace = Workspace()
    workspace.deploy(template, workspace="w")
    (table,) = workspace.of("Microsoft.OperationalInsights/workspaces/tables").values()
    (collection,) = workspace.of("Microsoft.Insights/dataCollectionRules").values()
    (stream,) = collection["properties"]["streamDeclarations"].values()
    columns = {one["name"]: one["type"] for one in table["properties"]["schema"]["columns"]}
    sent = {one["name"]: one["type"] for one in stream["columns"]}
    assert {name: kind.lower() for name, kind in columns.items()} == {name: kind.lower() for name, kind in sent.items()}
    assert set(columns) == set(table_schema(EVENT_FIELDS)) - {ROW}
    assert set(sent.values()) <= {"string", "int", "long", "real", "boolean", "dynamic", "datetime"}
    assert len(columns) <= limits.COLUMNS
    reserved = {"_resourceid", "id", "_subscriptionid", "tenantid", "type", "uniqueid", "title"}
    assert not reserved & {name.lower() for name in columns}
    (flow,) = collection["properties"]["dataFlows"]
    assert flow["outputStream"] == f"Custom-{TABLE}"
    assert flow["streams"] == list(collection["properties"]["streamDeclarations"])


def test_the_functions_are_the_views_with_the_sources_said_in_functions(
    functions: dict[str, tuple[str, str]], archive: dict[str, str], made_from: Content
) -> None:
    for alias, name in (("countersign_events", "events"), ("countersign_chains", "chain")):
        text = functions[alias][0]
        assert archive[f"functions/{alias}.kql"] == text
        for one in package.FROM_SOURCES:
            text = text.replace(f"countersign_{one}()", f"_GetWatchlist('countersign_{one}')")
        assert text == VIEWS[name]
    calls = {name for text, _ in functions.values() for name in re.findall(r"(?<![\w'])(countersign_\w+)\(", text)}
    assert calls <= set(functions) | {"countersign_events", "countersign_chains"}
    lists = {name for text, _ in functions.values() for name in re.findall(r"_GetWatchlist\('(\w+)'\)", text)}
    assert {f"watchlists/{name}.csv" for name in lists} == {name for name in archive if name.startswith("watchlists/")}
    said = watchlists({}, made_from.never, made_from.client_ids)
    for name in package.FROM_SOURCES:
        assert functions[f"countersign_{name}"][0].count("\n    ") == len(said[name])
        assert not [column for column in SHAPES[name] if f"{column}:string" not in functions[f"countersign_{name}"][0]]
    assert list(CHAIN_CONDITIONS) == list(EVENT_CONDITIONS)


def test_attack_is_said_in_the_words_that_sentinel_knows() -> None:
    said = attack(("attack.stealth", "attack.t1684.001", "owasp.x", "attack.command-and-control", "attack.t1550.001"))
    assert said == (["DefenseEvasion", "CommandAndControl"], ["T1656", "T1550"])
    assert [duration(seconds) for seconds in (300, 4500, 180_000, 86_400, 301)] == [
        "PT5M",
        "PT1H15M",
        "P2DT2H",
        "P1D",
        "PT6M",
    ]


# Hostile names and limits.


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_title_and_sentence_stay_words(made_from: Content, words: str) -> None:
    sentence = words.replace("{", "(").replace("}", ")")
    bent = changed(made_from, title=words, description=f"{words} and more", sentence=sentence)
    files = PACKAGE.files(bent)
    stem = bent.rules[0].stem
    rule = yaml.safe_load(files[f"rules/{stem}.yaml"])
    assert rule["name"] == words
    assert rule["description"].startswith(f"{words} and more")
    workspace = Workspace()
    workspace.deploy(json.loads(files["azuredeploy.json"]), workspace="w")
    (own,) = (one["properties"] for one in workspace.rules.values())
    assert own["displayName"] == own["alertDetailsOverride"]["alertDisplayNameFormat"] == words
    assert own["query"] == rule["query"]
    assert literal(words) == (f"[{words}" if words.startswith("[") else words)


def test_hostile_words_in_a_query_bind(made_from: Content) -> None:
    """A sentence and a blind table of hostile words are literals to Microsoft's parser."""
    binder = Binder(ROOT.path / ".cache" / "kql", EVENT_FIELDS)
    bent = replace(changed(made_from, title=" ".join(HOSTILE)[:200]), blind={(made_from.rules[0].stem, 'x"\n]'): 'f"]'})
    texts = [package.blindness(bent)]
    for words in HOSTILE:
        rule = replace(made_from.rules[0], sentence=words.replace("{", "(").replace("}", ")"))
        said = rest(rule, EVENT_FIELDS, CHAIN_FIELDS)
        texts.append("print " + re.search(r"Finding = (strcat\(.*\)), Rule", said)[1])
    assert [messages for messages, _ in binder._asked(texts, {})] == [[]] * len(texts)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"title": "a {{user_id}} b"}, "column"),
        ({"title": "a\nb"}, "character"),
        ({"title": "a\u202eb"}, "character"),
        ({"title": "x" * 257}, "256"),
        ({"title": " "}, "no title"),
        ({"description": "x" * 5001}, "5000"),
        ({"stem": "a'b"}, "a-z"),
        ({"window_sec": 15 * 86_400}, "14 days"),
        ({"query": "countersign_events()\n| where " + "x" * 10_000}, "10000"),
        ({"query": "countersign_events()\n| where user_id in (union * | project x)"}, "union"),
    ],
)
def test_what_sentinel_does_not_take_is_refused_in_one_sentence(
    made_from: Content, more: dict[str, Any], word: str, tmp_path: Path
) -> None:
    with pytest.raises(NotAllowed, match=word) as refused:
        analytic_rule(replace(made_from.rules[0], **more), EVENT_FIELDS, CHAIN_FIELDS)
    assert "\n" not in str(refused.value)
    with pytest.raises(Mistakes):
        build(PACKAGE, changed(made_from, **more), tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_rules_of_one_name_and_too_many_are_refused(made_from: Content) -> None:
    first: Packed = made_from.rules[0]
    twice = replace(made_from, rules=(first, replace(first, stem="other", id="6f1d3b1e-5f5c-4f57-8d7e-2f1b7a4f9a10")))
    with pytest.raises(NotAllowed, match="each name once"):
        PACKAGE.files(twice)
    many = [replace(first, stem=f"r{at}", title=f"Rule {at}", id=str(UUID(int=at))) for at in range(260)]
    with pytest.raises(NotAllowed, match="one template can hold"):
        PACKAGE.files(replace(made_from, rules=tuple(many)))


def test_a_register_that_is_too_large_is_refused_and_a_hostile_one_is_quoted(made_from: Content) -> None:
    row = {"id": 'a"],\n=cmd|x', "mode": "interactive", "tools": ['"', "]["]}
    files = PACKAGE.files(replace(made_from, register={"agents": [row]}))
    rows = list(csv.DictReader(io.StringIO(str(files["watchlists/countersign_agents.csv"]))))
    assert rows[1]["id"] == row["id"]
    with pytest.raises(NotAllowed, match="10,240"):
        PACKAGE.files(replace(made_from, register={"agents": [{"id": "x" * 11_000}]}))
    with pytest.raises(NotAllowed, match=r"3\.8 MB"):
        PACKAGE.files(replace(made_from, register={"agents": [{"id": f"{at}" * 400} for at in range(10_000, 12_500)]}))


def test_two_builds_are_the_same_bytes(made_from: Content, tmp_path: Path) -> None:
    paths = [build(PACKAGE, made_from, tmp_path / name).path for name in ("one", "another")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


# Upgrade.


def newer(made_from: Content) -> Content:
    """The next version: rules with other queries and severities, one gone, one new."""
    bent = [
        replace(rule, query=rule.query.replace("| where ", "| where 1 == 1 and ", 1), version=20270401, level="low")
        for rule in made_from.rules[1:]
    ]
    added = replace(made_from.rules[0], stem="quite_new", title="Quite New", id="6f1d3b1e-5f5c-4f57-8d7e-2f1b7a4f9a10")
    return replace(made_from, version="0.2.0", rules=(*bent, added))


def run_keep(folder: Path, rules: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(folder / "keep.py")],
        input=json.dumps(rules),
        capture_output=True,
        text=True,
        check=False,
    )


def unpacked(archive: Mapping[str, str], folder: Path) -> Path:
    for name in ("keep.py", "settings.json"):
        (folder / name).write_text(archive[name], encoding="utf-8")
    return folder


def test_an_upgrade_keeps_what_the_admin_changed(
    made_from: Content, archive: dict[str, str], template: dict[str, Any], tmp_path: Path
) -> None:
    workspace = Workspace()
    workspace.deploy(template, workspace="w")
    by_stem = {stem: one["id"] for stem, one in json.loads(archive["settings.json"])["rules"].items()}

    def own(stem: str) -> dict[str, Any]:
        return workspace.rules[by_stem[stem]]["properties"]

    own("orphan_write")["enabled"] = False
    own("tools_enumerated").update(queryFrequency="PT4H", queryPeriod="PT6H", triggerThreshold=7, severity="Low")
    own("runaway_calls")["incidentConfiguration"]["createIncident"] = False
    own("runaway_calls")["incidentConfiguration"]["groupingConfiguration"]["lookbackDuration"] = "P7D"
    own("static_api_key").update(queryFrequency="PT60M", suppressionEnabled=True)
    own("long_lived_token")["query"] += "| where false"
    key = next(key for key in workspace.resources if key.endswith(by_stem["token_in_url"]))
    del workspace.resources[key]
    workspace.rows["countersign_exceptions"].append(dict.fromkeys(EXCEPTIONS, "") | {"SearchKey": "1", "tool": "crm"})
    workspace.rows["countersign_agents"].append({"SearchKey": "1", "id": "sales"})
    rows_before = json.loads(json.dumps(workspace.rows))

    done = run_keep(unpacked(archive, tmp_path), {"value": list(workspace.rules.values())})
    assert done.returncode == 0, done.stderr
    assert "long_lived_token" in done.stderr
    assert "token_in_url is not in the workspace" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    kept = {name: one["value"] for name, one in json.loads(done.stdout)["parameters"].items()}
    assert kept["settings"] == {
        "orphan_write": {"enabled": False},
        "tools_enumerated": {"queryFrequency": "PT4H", "queryPeriod": "PT6H", "triggerThreshold": 7, "severity": "Low"},
        "runaway_calls": {"createIncident": False, "groupingWindow": "P7D"},
        "static_api_key": {"suppressionEnabled": True},
        "token_in_url": {"enabled": False},
    }

    next_one = json.loads(str(PACKAGE.files(newer(made_from))["azuredeploy.json"]))
    workspace.deploy(next_one, workspace="w", **kept)

    assert own("orphan_write")["enabled"] is False
    assert {name: own("tools_enumerated")[name] for name in kept["settings"]["tools_enumerated"]} == kept["settings"][
        "tools_enumerated"
    ]
    assert own("tools_enumerated")["query"].startswith('let every = "PT4H";')
    assert "1 == 1" in own("tools_enumerated")["query"]
    incident = own("runaway_calls")["incidentConfiguration"]
    assert (incident["createIncident"], incident["groupingConfiguration"]["lookbackDuration"]) == (False, "P7D")
    assert own("static_api_key")["suppressionEnabled"] is True
    assert own("token_in_url")["enabled"] is False
    assert own("unscoped_tool_call")["severity"] == "Low", "a default that the admin did not touch follows the pack"
    assert "20270401" in own("unscoped_tool_call")["description"]
    assert workspace.rows == rows_before
    assert own("service_actor_without_user")["enabled"], "what the new version no longer has stays until it is deleted"
    assert len(workspace.rules) == len(made_from.rules) + 1


def test_a_deployment_without_what_was_kept_sets_rules_back_and_leaves_exceptions(template: dict[str, Any]) -> None:
    workspace = Workspace()
    workspace.deploy(template, workspace="w")
    first = next(iter(workspace.rules.values()))
    first["properties"]["enabled"] = False
    workspace.rows["countersign_exceptions"].append(dict.fromkeys(EXCEPTIONS, "") | {"SearchKey": "1"})
    workspace.deploy(template, workspace="w")
    assert workspace.rules[first["name"]]["properties"]["enabled"] is True
    assert [row["SearchKey"] for row in workspace.rows["countersign_exceptions"]] == ["-", "1"]


@pytest.mark.parametrize(
    "given", ["nonsense", {"error": "denied"}, [{"properties": {}}], 5, {"value": [], "nextLink": "x"}]
)
def test_what_is_no_list_of_rules_is_refused(archive: dict[str, str], given: Any, tmp_path: Path) -> None:
    done = run_keep(unpacked(archive, tmp_path), given)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_the_checksums_are_those_of_the_files(archive: dict[str, str]) -> None:
    for line in archive["SHA256SUMS"].splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(archive[name].encode()).hexdigest() == digest
