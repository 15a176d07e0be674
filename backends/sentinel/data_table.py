"""The table CountersignEvents_CL and the data collection rule that the Logs Ingestion API sends to.

Microsoft Learn: "Logs Ingestion API in Azure Monitor" (azure/azure-monitor/logs/logs-ingestion-api-overview), "Create a
custom table" and "Structure of a data collection rule", whose column types are these. A transformation has neither
``set_difference`` nor ``replace_regex`` ("Supported KQL features in Azure Monitor transformations"), so what is sent is
stored as it is: a sender leaves out what is absent, empty items of lists too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends.sentinel.columns import ROW, TABLE, table_schema

if TYPE_CHECKING:
    from backends.vocabulary import Vocabulary

STREAM = "Custom-CountersignEvents"
RULE = "countersign-events"
DESTINATION = "workspace"
_TABLE_TYPES = {"bool": "boolean", "datetime": "dateTime"}
_STREAM_TYPES = {"bool": "boolean", "datetime": "datetime"}


def table(events: Vocabulary) -> dict[str, Any]:
    """Properties of Microsoft.OperationalInsights/workspaces/tables."""
    return {
        "plan": "Analytics",
        "retentionInDays": "[parameters('retentionInDays')]",
        "schema": {"name": TABLE, "columns": _columns(events, _TABLE_TYPES)},
    }


def collection(events: Vocabulary, workspace: str) -> dict[str, Any]:
    """Properties of Microsoft.Insights/dataCollectionRules, kind Direct.

    Args:
        events: fields of an event.
        workspace: the expression of the workspace's resource id.
    """
    return {
        "description": "countersign: MCP and agent authorisation events",
        "streamDeclarations": {STREAM: {"columns": _columns(events, _STREAM_TYPES)}},
        "destinations": {"logAnalytics": [{"workspaceResourceId": workspace, "name": DESTINATION}]},
        "dataFlows": [
            {
                "streams": [STREAM],
                "destinations": [DESTINATION],
                "transformKql": "source",
                "outputStream": f"Custom-{TABLE}",
            }
        ],
    }


def _columns(events: Vocabulary, types: dict[str, str]) -> list[dict[str, str]]:
    """Every field that a source may send; `ROW` is Log Analytics' own."""
    found = {name: types.get(kind, kind) for name, kind in table_schema(events).items() if name != ROW}
    return [{"name": name, "type": kind} for name, kind in found.items()]
