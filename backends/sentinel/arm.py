"""One template for a workspace: table, collection rule, functions, watchlists, analytic rules and workbook.

Types and versions as Microsoft Learn's "Azure Resource Manager template reference" has them: Microsoft.SecurityInsights
2024-09-01, Microsoft.OperationalInsights 2022-10-01 (tables) and 2020-08-01 (savedSearches), Microsoft.Insights
2023-03-11 (dataCollectionRules) and 2022-04-01 (workbooks).

A deployment replaces a rule whole, so all that an admin changes in one is a parameter: ``settings``, by rule, laid over
the defaults. ``keep.py`` writes it from the rules as they are in the workspace.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.sentinel import data_table, limits, workbook
from backends.sentinel.columns import TABLE
from backends.sentinel.rule_query import head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.sentinel.analytic_rule import AnalyticRule
    from backends.vocabulary import Vocabulary

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.SecurityInsights"
INSIGHTS_API = "2024-09-01"
EXCEPTIONS = "countersign_exceptions"
SCOPE = f"resourceId('{WORKSPACE}', parameters('workspace'))"
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "workspace": {"type": "string", "metadata": {"description": "Name of the Log Analytics workspace with Sentinel."}},
    "location": {
        "type": "string",
        "defaultValue": "[resourceGroup().location]",
        "metadata": {"description": "Region of the workspace; the collection rule has to be there."},
    },
    "retentionInDays": {
        "type": "int",
        "defaultValue": -1,
        "metadata": {"description": "Days that the table keeps records; -1 is the workspace's own."},
    },
    "settings": {
        "type": "object",
        "defaultValue": {},
        "metadata": {"description": "What you changed, by rule, laid over the defaults; keep.py writes it."},
    },
    "deployRegister": {
        "type": "bool",
        "defaultValue": True,
        "metadata": {"description": "Create the register's watchlists; false where they are there."},
    },
    "deployExceptions": {
        "type": "bool",
        "defaultValue": True,
        "metadata": {"description": "Create the empty list of exceptions; false where it is there."},
    },
    "deployWorkbook": {
        "type": "bool",
        "defaultValue": True,
        "metadata": {"description": "Create or replace the workbook."},
    },
}


def literal(value: Any) -> Any:
    """A value that no template reads as an expression.

    Only a text that both starts with ``[`` and ends with ``]`` is one, and a second bracket says it is not (Microsoft
    Learn, "Syntax and expressions in ARM templates", escape characters).
    """
    if isinstance(value, str):
        return f"[{value}" if value.startswith("[") and value.endswith("]") else value
    if isinstance(value, dict):
        return {name: literal(one) for name, one in value.items()}
    return [literal(one) for one in value] if isinstance(value, list) else value


def template(
    rules: Sequence[AnalyticRule],
    functions: Mapping[str, tuple[str, str]],
    watchlists: Mapping[str, str],
    events: Vocabulary,
    version: str,
) -> str:
    """The template as JSON.

    Args:
        rules: in the order of the catalogue.
        functions: alias → query and its parameters, each after those that it calls.
        watchlists: alias → CSV; `EXCEPTIONS` among them.
        events: fields of an event.
        version: of the pack, X.Y.Z.

    Raises:
        NotAllowed: it is larger than Azure takes.
    """
    variables: dict[str, Any] = {
        "defaults": literal({one.rule.stem: dict(one.settings) for one in rules}),
        "queries": literal({one.rule.stem: one.rest for one in rules}),
        **{_own(one): _laid_over(one.rule.stem) for one in rules},
    }
    resources = [
        _table(events),
        _collection(events),
        *_functions(functions),
        *(_watchlist(name, csv) for name, csv in watchlists.items()),
        *(_rule(one, list(functions), list(watchlists)) for one in rules),
        _workbook(version),
    ]
    collection = f"reference(resourceId('Microsoft.Insights/dataCollectionRules', '{data_table.RULE}'), '2023-03-11')"
    said = {
        "$schema": SCHEMA,
        "contentVersion": f"{version}.0",
        "metadata": {"description": "countersign for Microsoft Sentinel"},
        "parameters": PARAMETERS,
        "variables": variables,
        "resources": resources,
        "outputs": {
            "endpoint": {"type": "string", "value": f"[{collection}.endpoints.logsIngestion]"},
            "collectionRule": {"type": "string", "value": f"[{collection}.immutableId]"},
            "stream": {"type": "string", "value": data_table.STREAM},
        },
    }
    text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    limits.whole(len(rules), len(variables), text)
    return text


def _own(rule: AnalyticRule) -> str:
    return f"rule_{rule.rule.stem}"


def _laid_over(stem: str) -> str:
    own = f"if(contains(parameters('settings'), '{stem}'), parameters('settings')['{stem}'], json('{{}}'))"
    return f"[union(variables('defaults')['{stem}'], {own})]"


def _table(events: Vocabulary) -> dict[str, Any]:
    return {
        "type": f"{WORKSPACE}/tables",
        "apiVersion": "2022-10-01",
        "name": f"[concat(parameters('workspace'), '/{TABLE}')]",
        "properties": data_table.table(events),
    }


def _collection(events: Vocabulary) -> dict[str, Any]:
    return {
        "type": "Microsoft.Insights/dataCollectionRules",
        "apiVersion": "2023-03-11",
        "name": data_table.RULE,
        "location": "[parameters('location')]",
        "kind": "Direct",
        "dependsOn": [f"[resourceId('{WORKSPACE}/tables', parameters('workspace'), '{TABLE}')]"],
        "properties": data_table.collection(events, f"[{SCOPE}]"),
    }


def _functions(functions: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    made, before = [], f"[resourceId('{WORKSPACE}/tables', parameters('workspace'), '{TABLE}')]"
    for alias, (query, parameters) in functions.items():
        properties = {
            "category": "countersign",
            "displayName": alias,
            "functionAlias": alias,
            "query": literal(query),
            "version": 2,
        }
        if parameters:
            properties["functionParameters"] = parameters
        made.append(
            {
                "type": f"{WORKSPACE}/savedSearches",
                "apiVersion": "2020-08-01",
                "name": f"[concat(parameters('workspace'), '/{alias}')]",
                "etag": "*",  # replace whatever version is there
                "dependsOn": [before],
                "properties": properties,
            }
        )
        before = f"[resourceId('{WORKSPACE}/savedSearches', parameters('workspace'), '{alias}')]"
    return made


def _watchlist(name: str, csv: str) -> dict[str, Any]:
    limits.listed(name, csv)
    return {
        "condition": f"[parameters('{'deployExceptions' if name == EXCEPTIONS else 'deployRegister'}')]",
        "type": f"{INSIGHTS}/watchlists",
        "apiVersion": INSIGHTS_API,
        "scope": f"[{SCOPE}]",
        "name": name,
        "properties": {
            "displayName": name,
            "description": "Findings that you accept." if name == EXCEPTIONS else "Register of countersign.",
            "provider": "countersign",
            "source": f"{name}.csv",
            "sourceType": "Local",
            "itemsSearchKey": "SearchKey",
            "contentType": "text/csv",
            "numberOfLinesToSkip": 0,
            "rawContent": literal(csv),
        },
    }


def _rule(rule: AnalyticRule, functions: list[str], watchlists: list[str]) -> dict[str, Any]:
    own = f"variables('{_own(rule)}')"
    stem, properties = rule.rule.stem, literal(dict(rule.properties))
    grouping = properties.pop("groupingConfiguration")
    before, _, after = head("\n").partition("\n")
    lists = [f"extensionResourceId({SCOPE}, '{INSIGHTS}/watchlists', '{name}')" for name in watchlists]
    calls = [f"resourceId('{WORKSPACE}/savedSearches', parameters('workspace'), '{name}')" for name in functions]
    return {
        "type": f"{INSIGHTS}/alertRules",
        "apiVersion": INSIGHTS_API,
        "scope": f"[{SCOPE}]",
        "name": rule.id,
        "kind": "Scheduled",
        "dependsOn": [f"[{one}]" for one in (calls[-1], *lists)],
        "properties": {
            **{name: f"[{own}.{name}]" for name in rule.settings if name not in {"createIncident", "groupingWindow"}},
            "query": f"[concat('{before}', {own}.queryFrequency, '{after}', variables('queries')['{stem}'])]",
            "incidentConfiguration": {
                "createIncident": f"[{own}.createIncident]",
                "groupingConfiguration": grouping | {"lookbackDuration": f"[{own}.groupingWindow]"},
            },
            **properties,
        },
    }


def _workbook(version: str) -> dict[str, Any]:
    return {
        "condition": "[parameters('deployWorkbook')]",
        "type": "Microsoft.Insights/workbooks",
        "apiVersion": "2022-04-01",
        "name": f"[guid({SCOPE}, 'countersign')]",
        "location": "[parameters('location')]",
        "kind": "shared",
        "properties": {
            "displayName": workbook.TITLE,
            "category": "sentinel",
            "sourceId": f"[{SCOPE}]",
            "version": version,
            "serializedData": literal(workbook.serialized()),
        },
    }
