"""The Splunk app: Splunk's own inspection finds nothing, its searches fire, and an upgrade keeps what an admin set."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from splunk_app import App, fields_wrong, known_fields

from backends.errors import Mistakes
from backends.package import NotAllowed, load
from backends.sources import SourceMaps
from backends.splunk import checks, conf, dashboards, knowledge, package, searches
from backends.splunk.register import lookups
from harness import judging
from harness.building import build, content
from harness.case import Bases
from harness.own import chosen
from harness.paths import Root
from harness.sentence import render

sys.path.append(str(Path(__file__).parent))
from engines.environment import environment

if TYPE_CHECKING:
    from backends.package import Content
    from harness.matrix import Subject

pytestmark = pytest.mark.xdist_group("splunk_app")

ROOT = Root.default()
SPLUNK = load("splunk")
STEMS = [rule.stem for rule in chosen(ROOT, (), filters=())]


@cache
def made() -> Content:
    return content(ROOT, SPLUNK, list(chosen(ROOT, (), filters=())))


@cache
def rules() -> dict[str, Any]:
    return {rule.stem: rule for rule in made().rules}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SPLUNK, made(), tmp_path_factory.mktemp("splunk")).path


@pytest.fixture(scope="session")
def app(archive: Path) -> App:
    return App.of(archive)


@pytest.fixture(scope="session")
def sourced() -> Any:
    """What the source maps and the cases say of sources."""
    maps = SourceMaps.load(ROOT.sources)
    never: dict[str, Any] = {name: source.never for name, source in maps.items()}
    never |= {name: stages for one in subjects() for case in one.cases for name, stages in case.never.items()}
    return {
        "never": tuple((name, stage, tuple(what)) for name, stages in never.items() for stage, what in stages.items()),
        "client_ids": tuple((name, key) for name, source in maps.items() for key in sorted(source.client_ids)),
    }


@cache
def subjects() -> list[Subject]:
    found, _, _ = judging.subjects_of(ROOT, ROOT.rules, ())
    return found


def stanza(stem: str) -> str:
    return f"Countersign - {stem} - Rule"


def tables_of(built: Content) -> dict[str, list[dict[str, str]]]:
    """The lookups as the app's CSV files hold them."""
    files, transforms = knowledge.lookup_files(built)
    return {
        name: list(csv.DictReader(io.StringIO(files[f"lookups/{settings['filename']}"])))
        for name, settings in transforms.items()
    }


# Splunk's own inspection.


@cache
def inspected(path: Path, tag: str) -> dict[str, Any]:
    """The report of AppInspect, in mode precert, with the checks of one tag, or with all."""
    report = path.with_name(f"report{tag}.json")
    command = [environment("appinspect") / "splunk-appinspect", "inspect", path, "--mode", "precert"]
    command += ["--data-format", "json", "--output-file", report, "--max-messages", "all"]
    command += ["--skip-trusted-libraries-update", *(["--included-tags", tag] if tag else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("tag", ["", "cloud", "private_victoria", "future"], ids=lambda tag: tag or "precert")
def test_appinspect_finds_no_error_no_failure_no_warning(tag: str, archive: Path) -> None:
    report = inspected(archive, tag)
    summary = report["summary"]
    told = [
        f"{check['name']}: {message['message']}"
        for one in report["reports"]
        for group in one["groups"]
        for check in group["checks"]
        for message in check["messages"]
        if check["result"] in {"error", "failure", "warning", "future_failure", "skipped"}
    ]
    assert told == []
    assert [summary[key] for key in ("error", "failure", "future_failure", "warning", "skipped")] == [0] * 5
    assert summary["success"] >= (10 if tag == "future" else 100)


# What it does not see.


def test_the_app_has_no_mistake_that_its_own_checks_know(app: App) -> None:
    assert checks.wrong({path: data.decode() for path, data in app.files.items()}) == []


def altered(app: App, path: str, old: str, new: str) -> list[str]:
    files = {name: data.decode() for name, data in app.files.items()}
    assert old in files[path], path
    files[path] = files[path].replace(old, new, 1)
    return checks.wrong(files)


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("default/savedsearches.conf", "cron_schedule", "cron_shedule", "in no spec file"),
        ("default/savedsearches.conf", "alert.suppress.period", "alert.supress.period", "in no spec file"),
        (
            "default/savedsearches.conf",
            "`countersign_events`",
            "`countersign_event`",
            "no macro is called countersign_event",
        ),
        (
            "default/savedsearches.conf",
            "search = search `countersign_index`",
            "search = search index=*",
            "names no index",
        ),
        ("default/savedsearches.conf", "dispatch.latest_time = -300s@s", "dispatch.latest_time = rt", "seconds back"),
        (
            "default/savedsearches.conf",
            "dispatch.earliest_time = -3900s@s",
            "dispatch.earliest_time = 0",
            "seconds back",
        ),
        ("default/savedsearches.conf", "* * * *", "* * *", "no schedule"),
        ("default/savedsearches.conf", '{"analytic_story"', '{analytic_story"', "is no JSON"),
        ("default/savedsearches.conf", "realtime_schedule = 0", "realtime_schedule = 1", "skip hours"),
        ("default/savedsearches.conf", "alert.digest_mode = 0", "alert.digest_mode = 1", "all its findings for one"),
        ("default/macros.conf", "definition = index=mcp", "definition = index=*", "names no index"),
        ("default/macros.conf", "definition = index=mcp", "definition = index!=_internal", "names no index"),
        ("default/macros.conf", "lookup countersign_blind", "lookup countersign_blond", "no lookup is called"),
        ("default/macros.conf", "OUTPUT concepts AS", "OUTPUT concept AS", "has no column concept"),
        (
            "default/macros.conf",
            "[countersign_same(2)]",
            "[countersign_same(3)]",
            "no macro is called countersign_same(2)",
        ),
        ("default/macros.conf", "[countersign_static_api_key_filter]", "[countersign_static_filter]", "_key_filter"),
        ("default/transforms.conf", "filename = countersign_servers", "filename = servers", "is not there"),
        ("default/tags.conf", "eventtype=countersign_token", "eventtype=countersign_tokens", "no event type"),
        ("default/data/ui/nav/default.xml", "countersign_chain", "countersign_chains", "no page is called"),
        ("default/data/ui/views/countersign_chain.xml", "</form>", "", "no element found"),
        ("default/data/ui/views/countersign_chain.xml", 'base="chain"', 'base="chains"', "no search is called chains"),
        ("default/data/ui/views/countersign_overview.xml", 'version="1.1"', 'version="1.0"', "Simple XML 1.1"),
        ("default/data/ui/views/countersign_overview.xml", "<earliest>-24h@h", "<earliest>rt-24h", "real time"),
        ("default/data/ui/views/countersign_overview.xml", "`countersign_findings`", "index=*", "names no index"),
        ("app.manifest", "{", "", "is no JSON"),
    ],
)
def test_each_check_can_fail(path: str, old: str, new: str, said: str, app: App) -> None:
    assert any(said in one for one in altered(app, path, old, new)), altered(app, path, old, new)


@pytest.mark.parametrize("text", ["a,b\n1\n", "a,a\n1,2\n", "", 'a,b\n"1,2\n'])
def test_a_lookup_that_is_no_table_is_told(text: str, app: App) -> None:
    files = {name: data.decode() for name, data in app.files.items()}
    path = next(name for name in files if name.startswith("lookups/countersign_people"))
    files[path] = text
    assert any(path in one for one in checks.wrong(files))


def names() -> set[str]:
    return {*made().events.fields, *made().chains.fields}


@pytest.mark.parametrize("stem", STEMS)
def test_every_field_that_a_search_names_exists(stem: str, app: App) -> None:
    settings = app.searches[stanza(stem)]
    assert list(fields_wrong(app, settings["search"], known_fields(app, names()))) == []
    for one in json.loads(settings.get("action.notable.param.drilldown_searches", "[]")):
        search = re.sub(r"\$\w+\$", "0" * 32, one["search"])
        assert list(fields_wrong(app, search, known_fields(app, names()))) == []


def test_a_field_that_does_not_exist_is_told(app: App) -> None:
    search = "search `countersign_index`\n| `countersign_events`\n| where 'user.idd'=\"x\""
    assert len(list(fields_wrong(app, search, known_fields(app, names())))) == 1


def finding_columns(app: App) -> set[str]:
    return {column for settings in app.searches.values() for column in columns_of(app, settings)}


def columns_of(app: App, settings: dict[str, str]) -> list[str]:
    """The columns that a search's results have."""
    macro = re.findall(r"`(\w+_finding)`", settings["search"])[-1]
    return app.macros[macro].definition.splitlines()[-1].replace('"', "").split()[2:]


def posed(search: str) -> str:
    """A page's search with its tokens filled in."""
    search = search.replace("$members$", "0" * 32)
    return re.sub(r"\$(\w+)(\|s)\$", '"x"', search)


@pytest.mark.parametrize("page", dashboards.VIEWS)
def test_every_search_of_a_page_is_read_and_names_what_there_is(page: str, app: App) -> None:
    text = app.text(f"default/data/ui/views/{page}.xml")
    found = list(checks.searches_of(text))
    assert {search for search, _ in found} == set(dashboards.SEARCHES[page].values())
    for search, goes_on in found:
        known = known_fields(app, names())
        if "countersign_findings" in search:
            known |= finding_columns(app)
        if goes_on:
            known |= {"members"}
        assert list(fields_wrong(app, posed(search), known)) == [], search


def test_no_token_of_a_page_gets_into_a_search_bare() -> None:
    for searches_ in dashboards.SEARCHES.values():
        for search in searches_.values():
            assert set(re.findall(r"\$([^$\n]*)\$", search)) <= {"chain|s", "record|s", "dataset|s", "members"}


def test_what_alerts_show_is_in_the_results(app: App) -> None:
    for name, settings in app.searches.items():
        columns = columns_of(app, settings)
        for key, value in settings.items():
            if key.startswith("action."):
                tokens = set(re.findall(r"\$(\w+)\$", value)) - {"info_min_time", "info_max_time"}
                assert tokens <= set(columns), (name, key)
        risk = json.loads(settings["action.risk.param._risk"])
        assert {one.get("risk_object_field") or one["threat_object_field"] for one in risk} <= set(columns)
        assert {settings["alert.suppress.fields"]} <= set(columns)


# The searches fire.


@pytest.mark.parametrize("stem", STEMS)
def test_a_search_is_the_compiled_query_and_the_rules_own_macros(stem: str, app: App) -> None:
    """Its times stand in the stanza, its threshold in a macro; put back they give what was proven."""
    settings = app.searches[stanza(stem)]
    query, _, tail = settings["search"].rpartition(f"\n| `countersign_{stem}_filter`")
    assert tail == f"\n| `countersign_{stem}_finding`"
    query = searches.timed(query, settings["dispatch.earliest_time"], settings["dispatch.latest_time"])
    if (macro := f"countersign_{stem}_threshold") in app.macros:
        query = query.replace(f"`{macro}`", app.macros[macro].definition)
    assert query == rules()[stem].query.rstrip()


def test_the_rules_that_count_have_a_threshold(app: App) -> None:
    have = {name for name in app.macros if name.endswith("_threshold")}
    counting = {"service_identity_acts_for_many", "tools_enumerated", "runaway_calls", "unauthorized_burst"}
    assert have == {f"countersign_{stem}_threshold" for stem in counting}


@pytest.mark.parametrize("stem", STEMS)
def test_each_saved_search_fires_on_the_attack_and_stays_quiet(stem: str, app: App, sourced: Any) -> None:
    """Byte for byte from the archive, with what Splunk adds to a record; the case's register as the app's CSV files.

    One attack and one quiet case; all are run with the same query in test_splunk.py.
    """
    (subject,) = [one for one in subjects() if one.stem == stem]
    bases, fired = Bases.honest(), 0
    for case in {one.fires: one for one in reversed(subject.cases)}.values():
        tables = tables_of(replace(made(), register=case.tables(bases), **sourced))
        found = app.fired(stanza(stem), case.records(bases), tables, case.now)
        assert bool(found) == case.fires, case.sentence
        fired += case.fires
        for row in found:
            assert row["countersign_rule"] == stem
            assert re.fullmatch(r"[0-9a-f]{32}", row["countersign_group"])
            assert row["countersign_sentence"]
            assert row["countersign_title"] == rules()[stem].title
        assert len({row["countersign_group"] for row in found}) == len(found)
    assert fired


def test_no_record_is_refused_for_what_splunk_calls_source_or_an_alias_user(app: App) -> None:
    """Splunk gives every record a field `source`, and our sourcetype a field `user`; the schema's are objects."""
    record = {"@timestamp": "2026-05-04T10:00:00Z", "chain": {"stage": "tool_call"}, "user": {"id": "ana"}}
    (row,) = app.searched(
        "search `countersign_index`\n| `countersign_events`", [{**record, "source": {"ip": "1.1.1.1"}}]
    )
    assert row["user.id"] == "ana"
    assert row["source.ip"] == "1.1.1.1"
    for wrong in ({"user": "ana"}, {"source": "x"}, {"url": 5}):
        assert app.searched("search `countersign_index`\n| `countersign_events`", [{**record, **wrong}]) == []


def test_records_bear_the_names_of_the_common_information_model(app: App) -> None:
    record = {
        "@timestamp": "2026-05-04T10:00:00Z",
        "event": {"outcome": "success", "action": "issue"},
        "user": {"email": "ana@example.com"},
        "source": {"ip": "192.0.2.1"},
        "mcp": {"server": {"name": "crm"}},
        "oauth": {"client": {"id": "c1"}},
    }
    (row,) = app.rows([record])
    assert {name: row[name] for name in ("user", "src", "dest", "app", "action", "signature")} == {
        "user": "ana@example.com",
        "src": "192.0.2.1",
        "dest": "crm",
        "app": "c1",
        "action": "success",
        "signature": "issue",
    }
    assert row["app_id"] == "c1"


def attack(stem: str) -> tuple[Any, Any]:
    (subject,) = [one for one in subjects() if one.stem == stem]
    case = next(one for one in subject.cases if one.fires)
    return case, case.records(Bases.honest())


@pytest.mark.parametrize("stem", ["delegation_dropped", "static_api_key"])
def test_a_finding_leads_to_its_chain(stem: str, app: App, sourced: Any) -> None:
    """From the row of the overview to the page of the chain, and by the drill-down of a notable."""
    case, records = attack(stem)
    tables = tables_of(replace(made(), register=case.tables(Bases.honest()), **sourced))
    (finding, *_) = app.fired(stanza(stem), records, tables, case.now)
    page = dashboards.CHAIN["chain"]
    for token in ("chain", "record"):
        page = page.replace(f"${token}|s$", json.dumps(str(finding[f"countersign_{token}"])))
    (chain,) = app.searched(page, records, tables, case.now)
    members = chain["members"].split("|")
    assert finding["countersign_record"] in {*members, "-"}
    shown = app.searched(dashboards.CHAIN["records"].replace("$members$", chain["members"]), records, tables, case.now)
    assert len(shown) == len(members)
    assert {"chain.stage", "_time"} <= set(shown[0])
    for one in json.loads(app.searches[stanza(stem)].get("action.notable.param.drilldown_searches", "[]")):
        search = one["search"].replace("$countersign_key$", finding["countersign_key"])
        assert app.searched(search, records, tables, case.now), one["name"]


def test_records_of_one_group_are_one_finding(app: App) -> None:
    """The rule groups by server: three records of two servers are two findings, and the group is what is suppressed."""
    case, records = attack("static_api_key")
    copies = [json.loads(json.dumps(records[0])) for _ in range(3)]
    for number, record in enumerate(copies):
        record["event"] = {**record.get("event", {}), "id": f"e{number}"}
        record["mcp"]["server"]["name"] = ["crm", "CRM", "mail"][number]
    found = app.fired(stanza("static_api_key"), copies, None, case.now)
    assert sorted(str(row["countersign_records"]) for row in found) == ["1", "2"]
    again = app.fired(stanza("static_api_key"), copies[:1], None, case.now)
    assert {row["countersign_group"] for row in again} < {row["countersign_group"] for row in found}


@pytest.mark.parametrize("stem", ["static_api_key", "token_for_other_audience", "argument_names_other_user"])
def test_a_finding_says_what_the_scan_says(stem: str, app: App, sourced: Any) -> None:
    case, records = attack(stem)
    tables = tables_of(replace(made(), register=case.tables(Bases.honest()), **sourced))
    (row, *_) = app.fired(stanza(stem), records, tables, case.now)
    assert row["countersign_sentence"] == render(" ".join(rules()[stem].sentence.split()), row)


def test_a_hostile_value_stays_a_value_in_the_sentence(app: App) -> None:
    case, records = attack("static_api_key")
    hostile = 'x" | delete `countersign_index` [search $a$] <script>\n\x1b[2J'
    for record in records:
        record["mcp"]["server"]["name"] = hostile
    (row, *_) = app.fired(stanza("static_api_key"), records, None, case.now)
    assert "\n" not in row["countersign_sentence"]
    assert "\x1b" not in row["countersign_sentence"]
    assert "| delete" in row["countersign_sentence"]


# Text of a rule.


def with_rule(**changes: Any) -> Content:
    first = rules()["static_api_key"]
    return replace(made(), rules=(replace(first, **changes),))


HOSTILE = [
    'a "quoted" title',
    "two\nlines",
    "closed] [default]",
    "</script><script>alert(1)</script>",
    "a | delete",
    "`countersign_index`",
    "$(reboot) $result.user$",
    "back\\slash inside",
    "[macros]\ndefinition = index=*",
]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_text_everywhere(title: str, app: App, tmp_path: Path) -> None:
    built = App.of(build(SPLUNK, with_rule(title=title, description=title, sentence=title), tmp_path).path)
    assert set(built.searches) == {stanza("static_api_key")}
    assert set(built.macros) <= set(app.macros)
    settings = built.searches[stanza("static_api_key")]
    plain = " ".join(title.split())
    assert settings["action.correlationsearch.label"] == plain
    assert "$" not in settings["action.notable.param.rule_title"].replace("$countersign_title$", "")
    assert checks.wrong({path: data.decode() for path, data in built.files.items()}) == []
    case, records = attack("static_api_key")
    (row, *_) = built.fired(stanza("static_api_key"), records, None, case.now)
    assert row["countersign_title"].replace("\\x60", "`") == plain
    assert row["countersign_sentence"].replace("\\x60", "`") == plain


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stem": "a] [b"}, "can't be named in Splunk"),
        ({"stem": "`x`"}, "can't be named in Splunk"),
        ({"title": "ends in \\"}, "ends in a backslash"),
        ({"title": "bell \x07"}, "control character"),
        ({"query": "search index=* | delete"}, "does not begin with its index"),
        ({"description": "x\x00y"}, "control character"),
    ],
)
def test_what_splunk_cannot_take_is_refused_and_the_good_app_stays(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    good = build(SPLUNK, made(), tmp_path).path.read_bytes()
    with pytest.raises(Mistakes, match=said):
        build(SPLUNK, with_rule(**changes), tmp_path)
    (kept,) = tmp_path.glob("*.tgz")
    assert kept.read_bytes() == good


def test_a_hostile_register_is_a_cell() -> None:
    hostile = 'x",y\n[a]`b`$c$'
    register = {"servers": [{"name": hostile, "uri": hostile}], "people": [{"person": hostile, "email": hostile}]}
    built = replace(made(), register=register)
    assert tables_of(built)["countersign_servers"] == lookups(register)["countersign_servers"]
    assert checks.wrong({path: str(said) for path, said in package.files(built).items()}) == []


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("a]b", "k", "v"),
        ("a\nb", "k", "v"),
        ("a", "k = v\nz", "v"),
        ("a", "k", "v\n[b]"),
        ("a", "k", "v\n# c"),
        ("a", "k", "v\n\nw"),
        ("a", "k", "v\\"),
        ("a", "k", "v\rw"),
        ("a", "k", "v\u2028w"),
    ],
)
def test_no_value_can_end_its_line(name: str, key: str, value: str) -> None:
    with pytest.raises(NotAllowed):
        conf.written({name: {key: value}})


def test_a_file_is_read_as_it_was_written(app: App) -> None:
    for path, data in app.files.items():
        if path.endswith(".conf"):
            stanzas = conf.read(data.decode())
            assert conf.read(conf.written(stanzas)) == stanzas
    assert conf.read(conf.written({"a": {"k": "1\n| 2\n| 3", "e": ""}})) == {"a": {"k": "1\n| 2\n| 3", "e": ""}}


# The pages.


def test_the_pages_lead_to_each_other(app: App) -> None:
    nav = ET.fromstring(app.text("default/data/ui/nav/default.xml"))  # noqa: S314 - made by us
    views = [one.get("name") for one in nav.iter("view")]
    assert views[: len(dashboards.VIEWS)] == list(dashboards.VIEWS)
    assert [one.get("name") for one in nav.iter("view") if one.get("default")] == [dashboards.VIEWS[0]]


def test_the_coverage_page_says_what_the_table_of_blind_rules_says(app: App) -> None:
    search = dashboards.COVERAGE["blind"].replace("$dataset|s$", '"contextforge"')
    shown = {(row["dataset"], row["title"], row["sees"]) for row in app.searched(search, [])}
    expected = {
        (source, rules()[stem].title, word)
        for (stem, source), word in made().blind.items()
        if source == "contextforge" and word != "fires"
    }
    assert shown == expected
    assert shown


# Upgrade.


def changed(stem: str, **more: Any) -> Content:
    """The next version: a new title and query of one rule, another risk, one rule less."""
    rule = replace(rules()[stem], title="Another Title", level="low", version=rules()[stem].version + 1, **more)
    kept = tuple(rule if one.stem == stem else one for one in made().rules if one.stem != "long_lived_token")
    return replace(made(), version="0.2.0", rules=kept)


def test_an_upgrade_keeps_what_an_admin_set(archive: Path, tmp_path: Path) -> None:
    case, records = attack("static_api_key")
    local: dict[str, conf.Stanzas] = {
        "macros": {
            "countersign_index": {"definition": "index=agents"},
            "countersign_static_api_key_filter": {"definition": "where isnull('mcp.server.name')"},
            "countersign_tools_enumerated_threshold": {"definition": "3"},
        },
        "savedsearches": {
            stanza("token_in_url"): {"disabled": "1"},
            stanza("orphan_write"): {"cron_schedule": "7 */4 * * *", "dispatch.earliest_time": "-191100s@s"},
            stanza("static_api_key"): {"alert.suppress.period": "604800s"},
        },
        "transforms": {"countersign_servers": {"filename": "countersign_people_mine.csv"}},
    }
    before = App.of(archive, local)
    after = before.upgraded(build(SPLUNK, changed("static_api_key"), tmp_path).path)

    for name, stanzas in local.items():
        for key, settings in stanzas.items():
            assert {one: after.conf(name)[key][one] for one in settings} == settings, key
    for stem in STEMS:
        if stem != "long_lived_token":
            assert (after.searches[stanza(stem)]["disabled"] == "1") == (stem == "token_in_url")

    # what an admin did not set is the new version's
    mine = after.searches[stanza("static_api_key")]
    assert mine["action.correlationsearch.label"] == "Another Title"
    assert mine["alert.severity"] == searches.ALERT["low"]
    assert stanza("long_lived_token") not in after.searches

    # and it works: the exception holds, as it did before
    unlisted = {key: stanzas for key, stanzas in local.items() if key != "transforms"}
    unlisted["macros"] = {key: said for key, said in local["macros"].items() if key != "countersign_index"}
    for one in (App(before.files, unlisted), App(after.files, unlisted)):
        assert one.fired(stanza("static_api_key"), records, None, case.now) == []
        assert one.macros["countersign_tools_enumerated_threshold"].definition == "3"
    plain = App(after.files, {})
    assert plain.fired(stanza("static_api_key"), records, None, case.now)


def test_a_threshold_of_an_admin_is_what_fires(app: App) -> None:
    case, records = attack("tools_enumerated")
    raised = App(app.files, {"macros": {"countersign_tools_enumerated_threshold": {"definition": "1000"}}})
    assert app.fired(stanza("tools_enumerated"), records, None, case.now)
    assert raised.fired(stanza("tools_enumerated"), records, None, case.now) == []


def test_a_new_register_comes_beside_the_old_files_and_is_read(archive: Path, tmp_path: Path) -> None:
    """Files are named by what they hold: a cluster that keeps each lookup file it knows reads the new one all the same."""
    register = {"servers": [{"name": "crm", "uri": "https://crm.example", "approval": "approved", "party": "first"}]}
    before = App.of(archive)
    after = before.upgraded(build(SPLUNK, replace(made(), version="0.2.0", register=register), tmp_path).path)
    assert before.lookups["countersign_servers"] == []
    assert [row["name"] for row in after.lookups["countersign_servers"]] == ["crm"]
    assert set(before.files) - set(after.files) == set()
    for path in before.files:
        if path.startswith("lookups/"):
            assert after.files[path] == before.files[path]


def test_only_the_content_decides_the_bytes(archive: Path, tmp_path: Path) -> None:
    again = build(SPLUNK, content(ROOT, SPLUNK, list(chosen(ROOT, (), filters=()))), tmp_path / "elsewhere").path
    assert again.read_bytes() == archive.read_bytes()
    assert again.name == archive.name == "countersign-splunk-0.1.0.tgz"


def test_each_rule_runs_once_an_hour_and_not_all_at_once(app: App) -> None:
    minutes = [settings["cron_schedule"] for settings in app.searches.values()]
    assert all(re.fullmatch(r"\d+ \* \* \* \*", one) for one in minutes)
    assert max(minutes.count(one) for one in minutes) <= 6


def test_a_chain_is_told_once_as_long_as_its_records_are_read(app: App) -> None:
    for stem in STEMS:
        settings, rule = app.searches[stanza(stem)], rules()[stem]
        period = int(settings["alert.suppress.period"].removesuffix("s"))
        reach = int(settings["dispatch.earliest_time"].removeprefix("-").removesuffix("s@s"))
        assert period == rule.period_sec if rule.service == "event" else period >= max(rule.period_sec, reach)
