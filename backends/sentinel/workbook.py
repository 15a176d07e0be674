"""The workbook: findings, one chain from prompt to system, and what rules can't see; queries in ``package/workbook``.

Form: Microsoft Learn, "Azure Workbooks" (azure/azure-monitor/visualize/workbooks-overview) and its gallery template,
``Notebook/1.0``. A parameter is put into a query as text, so the only one that comes from data is a hexadecimal hash.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

FOLDER = Path(__file__).parent / "package" / "workbook"
TITLE = "Who authorised this? Agents, tools and what they touched"
_TABS = (("overview", "Overview"), ("chain", "One chain"), ("coverage", "Coverage"))
_RESOURCE = "microsoft.operationalinsights/workspaces"
_PARTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("overview", "findings", "Findings by rule", {"visualization": "table"}),
    ("overview", "records", "Records by stage", {"visualization": "timechart"}),
    (
        "chain",
        "chains",
        "Choose a chain",
        {
            "visualization": "table",
            "exportFieldName": "Chain",
            "exportParameterName": "Chain",
            "exportDefaultValue": "none",
        },
    ),
    ("chain", "chain_facts", "What is known of it", {"visualization": "table"}),
    ("chain", "chain_records", "Its records, end to end", {"visualization": "table"}),
    ("coverage", "sources", "Sources", {"visualization": "table"}),
    ("coverage", "blind", "Rules and the sources they are blind to", {"visualization": "table"}),
)


def queries() -> dict[str, str]:
    """Query by name, as the workbook has it."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.kql"))}


def workbook() -> dict[str, Any]:
    """The workbook's own JSON."""
    texts = queries()
    return {
        "version": "Notebook/1.0",
        "items": [
            {"type": 1, "content": {"json": f"# {TITLE}\n\nFrom the table CountersignEvents_CL."}, "name": "title"},
            _time_range(),
            _tabs(),
            *(_group(tab, [part for part in _PARTS if part[0] == tab], texts) for tab, _ in _TABS),
        ],
        "fallbackResourceIds": [],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def serialized() -> str:
    """The same as the resource holds it: a text."""
    return json.dumps(workbook(), ensure_ascii=False)


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"countersign/sentinel/workbook/{name}"))


def _time_range() -> dict[str, Any]:
    day = 86_400_000
    return {
        "type": 9,
        "content": {
            "version": "KqlParameterItem/1.0",
            "parameters": [
                {
                    "id": _id("time"),
                    "version": "KqlParameterItem/1.0",
                    "name": "TimeRange",
                    "label": "Time range",
                    "type": 4,
                    "isRequired": True,
                    "value": {"durationMs": 2 * day},
                    "typeSettings": {"selectableValues": [{"durationMs": days * day} for days in (1, 2, 3, 7, 14)]},
                }
            ],
            "style": "pills",
            "queryType": 0,
            "resourceType": _RESOURCE,
        },
        "name": "parameters",
    }


def _tabs() -> dict[str, Any]:
    links = [
        {
            "id": _id(tab),
            "cellValue": "Tab",
            "linkTarget": "parameter",
            "linkLabel": label,
            "subTarget": tab,
            "preText": "",
            "style": "link",
        }
        for tab, label in _TABS
    ]
    return {"type": 11, "content": {"version": "LinkItem/1.0", "style": "tabs", "links": links}, "name": "tabs"}


def _group(tab: str, parts: list[tuple[str, str, str, dict[str, Any]]], texts: dict[str, str]) -> dict[str, Any]:
    return {
        "type": 12,
        "content": {
            "version": "NotebookGroup/1.0",
            "groupType": "editable",
            "items": [_query(name, title, texts[name], more) for _, name, title, more in parts],
        },
        "conditionalVisibility": {"parameterName": "Tab", "comparison": "isEqualTo", "value": tab},
        "name": tab,
    }


def _query(name: str, title: str, text: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": 3,
        "content": {
            "version": "KqlItem/1.0",
            "query": text,
            "size": 0,
            "title": title,
            "timeContextFromParameter": "TimeRange",
            "queryType": 0,
            "resourceType": _RESOURCE,
            **more,
        },
        "name": name,
    }
