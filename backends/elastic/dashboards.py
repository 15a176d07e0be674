"""Dashboards as saved objects, one a line, as POST /api/saved_objects/_import takes them.

Each panel is a Lens table of its own query in ES|QL, kept within the dashboard ("by value"); form as Kibana 8.9 and
later exports it: ``attributes`` of a Lens object with a ``textBased`` data source. Kibana bounds a panel that has a
time field by the dashboard's time and query bar, which filter the records that the query reads: so one chain is
followed by filtering the records, and the chain view is computed of what is left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from backends.elastic.assets import SEES
from backends.elastic.esql import quoted
from backends.elastic.target import INDEX, VIEWS, chain_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.vocabulary import Vocabulary

ALERTS = ".alerts-security.alerts-*"
PACK = "countersign/elastic/dashboard/"
MIGRATED = {"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.9.0"}
"""Versions of the saved object's form; Kibana brings an older one to its own and refuses a newer one."""

WIDTH = 48

_OURS = 'WHERE MV_CONCAT(kibana.alert.rule.tags, "␟") LIKE "*Countersign*"'
_KINDS = {"keyword": "string", "boolean": "boolean", "integer": "number", "number": "number", "time": "date"}

RECORD = (
    *("chain.stage", "event.action", "event.outcome", "user.id", "user.effective.id", "gen_ai.agent.id"),
    *("oauth.client.id", "oauth.scope.presented", "mcp.server.name", "gen_ai.tool.name", "service.target.name"),
    *("chain.prompt.id", "trace.id", "event.dataset"),
)
CHAIN = (
    *("chain.id", "chain.id_source", "chain.start", "chain.duration_sec", "chain.users", "chain.effective_users"),
    *("chain.agents", "chain.servers", "chain.tools", "chain.systems", "chain.scopes", "chain.complete"),
    *(
        "chain.missing",
        "chain.blind",
        "chain.has_prompt",
        "chain.user_propagated",
        "chain.agent_propagated",
        "chain.user_changed",
    ),
    *("chain.conflict", "chain.id_dropped", "chain.token_passed_through", "chain.wrote_under_read_scope"),
)


@dataclass(frozen=True)
class Panel:
    """A table.

    Attributes:
        title: above it.
        query: in ES|QL.
        shown: column → kind, in order: string, number, boolean or date.
        index: what it reads.
        timed: whether the dashboard's time bounds it, by ``@timestamp``.
        place: left, top, width and height, in Kibana's grid of 48.
    """

    title: str
    query: str
    shown: Mapping[str, str]
    index: str
    place: tuple[int, int, int, int]
    timed: bool = True


@dataclass(frozen=True)
class Dashboard:
    """A page: its name in ids, title, description and panels."""

    name: str
    title: str
    description: str
    panels: Sequence[Panel]


def dashboards(events: Vocabulary, chains: Vocabulary) -> list[Dashboard]:
    """The three pages."""
    return [
        Dashboard(
            "overview",
            "Countersign: overview",
            "Findings of the Countersign rules. Click a rule's name in Security to see its alerts.",
            _overview(),
        ),
        Dashboard(
            "chain",
            "Countersign: one chain",
            "From the person to the system. Filter by a value that the chain's records share, for example "
            'trace.id : "…" or chain.prompt.id : "…", and set the time around it.',
            _chain(events, chains),
        ),
        Dashboard(
            "coverage",
            "Countersign: coverage and blind rules",
            "What arrives, which rules see nothing of a source, and how much the register knows.",
            _coverage(),
        ),
    ]


def _overview() -> list[Panel]:
    text, count, date = "string", "number", "date"
    return [
        Panel(
            "Findings by severity",
            f"FROM {ALERTS}\n| {_OURS}\n| STATS findings = COUNT(*) BY severity = kibana.alert.severity\n"
            "| SORT findings DESC",
            {"severity": text, "findings": count},
            ALERTS,
            (0, 0, 16, 10),
        ),
        Panel(
            "Findings a day",
            f"FROM {ALERTS}\n| {_OURS}\n| STATS findings = COUNT(*) BY day = DATE_TRUNC(1 day, @timestamp)\n"
            "| SORT day DESC",
            {"day": date, "findings": count},
            ALERTS,
            (16, 0, 16, 10),
        ),
        Panel(
            "People with the most rules",
            f"FROM {ALERTS}\n| {_OURS} AND user.id IS NOT NULL\n"
            "| STATS findings = COUNT(*), rules = COUNT_DISTINCT(kibana.alert.rule.name) BY user.id\n"
            "| SORT rules DESC, findings DESC\n| LIMIT 50",
            {"user.id": text, "rules": count, "findings": count},
            ALERTS,
            (32, 0, 16, 10),
        ),
        Panel(
            "Rules that fired",
            f"FROM {ALERTS}\n| {_OURS}\n| STATS findings = COUNT(*), latest = MAX(@timestamp) "
            "BY severity = kibana.alert.severity, rule = kibana.alert.rule.name\n| SORT findings DESC\n| LIMIT 200",
            {"severity": text, "rule": text, "findings": count, "latest": date},
            ALERTS,
            (0, 10, 24, 16),
        ),
        Panel(
            "Latest findings",
            f"FROM {ALERTS}\n| {_OURS}\n| SORT @timestamp DESC\n"
            "| KEEP @timestamp, kibana.alert.severity, kibana.alert.rule.name, kibana.alert.reason\n| LIMIT 100",
            {
                "@timestamp": date,
                "kibana.alert.severity": text,
                "kibana.alert.rule.name": text,
                "kibana.alert.reason": text,
            },
            ALERTS,
            (24, 10, 24, 16),
        ),
    ]


def _chain(events: Vocabulary, chains: Vocabulary) -> list[Panel]:
    records = {"@timestamp": "date"} | {name: _KINDS[events.fields[name].kind] for name in RECORD}
    panels = [
        Panel(
            "Records",
            f"FROM {INDEX}\n| SORT @timestamp\n| KEEP {', '.join(map(quoted, records))}\n| LIMIT 1000",
            records,
            INDEX,
            (0, 12, WIDTH, 18),
        ),
        Panel(
            "Findings on these records",
            f"FROM {ALERTS}\n| {_OURS}\n| SORT @timestamp\n"
            "| KEEP @timestamp, kibana.alert.severity, kibana.alert.rule.name, kibana.alert.reason\n| LIMIT 100",
            {
                "@timestamp": "date",
                "kibana.alert.severity": "string",
                "kibana.alert.rule.name": "string",
                "kibana.alert.reason": "string",
            },
            ALERTS,
            (0, 30, WIDTH, 10),
        ),
    ]
    if "chain.esql" in VIEWS:
        shown = {name: _KINDS[chains.fields[name].kind] for name in CHAIN if name in chains.fields}
        view = chain_view(events, list(shown))
        kept = ", ".join(map(quoted, shown))
        query = f"FROM {INDEX} METADATA _id\n{view}| SORT chain.start\n| KEEP {kept}\n| LIMIT 100"
        panels.insert(0, Panel("The chain of these records", query, shown, INDEX, (0, 0, WIDTH, 12)))
    return panels


def _coverage() -> list[Panel]:
    text, count, date = "string", "number", "date"
    known = ("agents", "clients", "servers", "tools", "people", "services", "coverage")
    return [
        Panel(
            "What arrives",
            f"FROM {INDEX}\n| STATS records = COUNT(*), latest = MAX(@timestamp) BY event.dataset, chain.stage\n"
            "| SORT event.dataset, chain.stage",
            {"event.dataset": text, "chain.stage": text, "records": count, "latest": date},
            INDEX,
            (0, 0, 24, 14),
        ),
        Panel(
            "Rules that see less of a source",
            f'FROM {SEES}\n| WHERE cr_sees != "fires"\n| SORT cr_dataset, cr_sees, cr_title\n'
            "| RENAME cr_dataset AS source, cr_sees AS sees, cr_level AS level, cr_title AS rule\n"
            "| KEEP source, sees, level, rule\n| LIMIT 1000",
            {"source": text, "sees": text, "level": text, "rule": text},
            SEES,
            (24, 0, 24, 28),
            timed=False,
        ),
        Panel(
            "Rules that need a table of the register",
            f"FROM {SEES}\n| WHERE cr_needs IS NOT NULL\n| STATS needs = VALUES(cr_needs) BY rule = cr_title\n"
            "| SORT rule\n| KEEP rule, needs",
            {"rule": text, "needs": text},
            SEES,
            (0, 14, 24, 14),
            timed=False,
        ),
        Panel(
            "Entries of the register",
            f"FROM {', '.join(f'countersign-{name}' for name in known)} METADATA _index\n"
            "| STATS entries = COUNT(*) BY table = _index\n| SORT table",
            {"entries": count, "table": text},
            "countersign-agents",
            (0, 28, 24, 10),
            timed=False,
        ),
    ]


def saved_objects(events: Vocabulary, chains: Vocabulary) -> str:
    """The dashboards, one a line."""
    made = [_saved(one) for one in dashboards(events, chains)]
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in made)


def _saved(page: Dashboard) -> dict[str, Any]:
    search = {"query": {"query": "", "language": "kuery"}, "filter": []}
    shown = {"useMargins": True, "syncColors": False, "syncCursor": True, "syncTooltips": False}
    return {
        "id": f"countersign-{page.name}",
        "type": "dashboard",
        "attributes": {
            "title": page.title,
            "description": page.description,
            "version": 1,
            "timeRestore": True,
            "timeFrom": "now-24h",
            "timeTo": "now",
            "optionsJSON": json.dumps(shown),
            "panelsJSON": json.dumps([_panel(page, panel) for panel in page.panels], ensure_ascii=False),
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(search)},
        },
        "references": [],
        "managed": False,
        **MIGRATED,
    }


def _panel(page: Dashboard, panel: Panel) -> dict[str, Any]:
    key = str(uuid5(NAMESPACE_URL, f"{PACK}{page.name}/{panel.title}"))
    layer, view = str(uuid5(NAMESPACE_URL, f"{key}/layer")), str(uuid5(NAMESPACE_URL, f"{PACK}view/{panel.index}"))
    left, top, width, height = panel.place
    time = {"timeField": "@timestamp"} if panel.timed else {}
    columns = [
        {"columnId": name, "fieldName": name, "meta": {"type": kind, "esType": _STORED[kind]}}
        for name, kind in panel.shown.items()
    ]
    adhoc = {
        "id": view,
        "title": panel.index,
        "name": panel.index,
        "type": "esql",
        "sourceFilters": [],
        "fieldFormats": {},
        "runtimeFieldMap": {},
        "allowNoIndex": False,
        "allowHidden": False,
        **({"timeFieldName": "@timestamp"} if panel.timed else {}),
    }
    state = {
        "query": {"esql": panel.query},
        "filters": [],
        "visualization": {
            "layerId": layer,
            "layerType": "data",
            "columns": [{"columnId": name} for name in panel.shown],
        },
        "datasourceStates": {
            "textBased": {
                "layers": {layer: {"index": view, "query": {"esql": panel.query}, "columns": columns, **time}}
            }
        },
        "internalReferences": [{"type": "index-pattern", "id": view, "name": f"indexpattern-datasource-layer-{layer}"}],
        "adHocDataViews": {view: adhoc},
    }
    attributes = {
        "title": panel.title,
        "type": "lens",
        "visualizationType": "lnsDatatable",
        "references": [],
        "state": state,
    }
    return {
        "type": "lens",
        "title": panel.title,
        "panelIndex": key,
        "gridData": {"x": left, "y": top, "w": width, "h": height, "i": key},
        "embeddableConfig": {"attributes": attributes, "enhancements": {}},
    }


_STORED = {"string": "keyword", "number": "long", "boolean": "boolean", "date": "date"}
