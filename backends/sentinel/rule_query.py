"""A rule's query as an analytic rule runs it: the compiled condition, then what is due and not excepted, by finding.

The compiled query stands as it is. In front: how often the rule runs, since Sentinel does not tell a query. Behind:
three steps that every rule has, over functions that the package brings (``package/*.kql``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backends.sentinel.columns import ROW, text, view_schema
from backends.sentinel.columns_shown import entities, group, said, sentence, shown
from backends.sentinel.target import CHAINS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.package import Packed
    from backends.vocabulary import Vocabulary

SETTLE = "10m"
"""How long a chain waits after its last record: an answer still on its way is not a missing answer."""

EVENT_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "user": ("user_id", "user_name", "user_email", "user_key", "user_effective_id"),
    "agent": ("gen_ai_agent_id",),
    "client": ("oauth_client_id",),
    "server": ("mcp_server_name",),
    "tool": ("gen_ai_tool_name",),
    "system": ("service_target_name",),
    "dataset": ("event_dataset",),
}
"""Column of the exceptions → columns of a record; one of them must be equal, without letter case."""

CHAIN_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "user": ("chain_users", "chain_effective_users"),
    "agent": ("chain_agents",),
    "client": (),
    "server": ("chain_servers",),
    "tool": ("chain_tools",),
    "system": ("chain_systems",),
    "dataset": (),
}
"""The same for a chain, whose columns are lists. What a chain does not say is never equal: such a row is not used."""

EXCEPTIONS = ("SearchKey", "rule", *EVENT_CONDITIONS, "until", "reason")
"""Columns of the watchlist ``countersign_exceptions``."""


def head(every: str) -> str:
    """The statement that every query begins with; the template puts the frequency that the admin chose into it.

    Args:
        every: ISO 8601 duration.
    """
    return f'let every = "{every}";'


def rest(rule: Packed, events: Vocabulary, chains: Vocabulary) -> str:
    """All of a rule's query but its `head`."""
    of_chains = rule.service == "chain"
    source, row, vocabulary = (CHAINS, "chain_id", chains) if of_chains else (EVENTS, ROW, events)
    lets, condition = _split(rule.query, source)
    first = "chain_start" if of_chains else "TimeGenerated"
    own = {one.name: one.says for one in entities(rule)}
    values, whole = sentence(rule, vocabulary)
    read = dict.fromkeys((*shown(rule, vocabulary), *said(rule, vocabulary), *own))
    columns = ["TimeGenerated", "FirstSeen", "Records", "Rule", "FindingGroup", "Finding", *own]
    columns += [name for name in shown(rule, vocabulary) if name not in columns]
    made = ["TimeGenerated = chain_end"] if of_chains else []
    made += [f"x_group = {group(rule, vocabulary)}", *(f"{name} = {says}" for name, says in own.items())]
    latest = f"arg_max(TimeGenerated, {', '.join(name for name in read if name != 'TimeGenerated')})"
    steps = [
        _due(of_chains=of_chains),
        _quiet(rule.stem, row, of_chains=of_chains),
        "hits",
        f"| where {row} in (due) and {row} !in (quiet)",
        "| extend " + ",\n    ".join(made),
        "| extend FindingGroup = hash_sha256(x_group)",
        f"| summarize Records = count(), FirstSeen = min({first}), {latest} by FindingGroup",
        *(["| extend " + ",\n    ".join(values)] if values else []),
        f"| extend Finding = {whole}, Rule = {text(rule.stem)}",
        f"| project {', '.join(columns)}",
    ]
    lines = [
        ' // ISO 8601, the same as the rule\'s "Run query every": change both',
        *lets,
        f"let hits = materialize({source}\n{condition}\n| project {_needed(steps, vocabulary, row)});",
        *steps,
    ]
    return "\n".join(lines) + "\n"


def _needed(steps: list[str], vocabulary: Vocabulary, row: str) -> str:
    """Columns of the view that a later step names: a hit is kept narrow, since it is read three times."""
    words = set(re.findall(r"\w+", "\n".join(steps)))
    view = [name for name in view_schema(vocabulary) if name not in {ROW, row}]
    return ", ".join([row, *(name for name in view if name in words), *(["x_members"] if "x_members" in words else [])])


def _split(query: str, source: str) -> tuple[list[str], str]:
    """The let statements of a compiled query, and the operators of its last one."""
    before, _, condition = f"\n{query}".rpartition(f"\n{source}\n")
    return [before.strip()] if before.strip() else [], condition.rstrip()


def _due(*, of_chains: bool) -> str:
    if not of_chains:
        return "let due = countersign_arrived(every, 0m) | where x_now | project _ItemId;"
    return (
        f"let arrived = countersign_arrived(every, {SETTLE});\n"
        "let due = hits | project chain_id, x_member = x_members | mv-expand x_member\n"
        "| project chain_id, _ItemId = tostring(x_member[0]) | join kind=inner arrived on _ItemId\n"
        "| summarize x_due = countif(x_now), x_later = countif(x_later) by chain_id\n"
        "| where x_due > 0 and x_later == 0 | project chain_id;"
    )


def _quiet(stem: str, row: str, *, of_chains: bool) -> str:
    """Hits that a row of the exceptions names: all conditions that the row has hold."""
    terms = []
    for name, columns in (CHAIN_CONDITIONS if of_chains else EVENT_CONDITIONS).items():
        asked = f"x_by_{name}"
        if of_chains:
            ways = [
                f"(isnotnull({c}) and set_has_element(parse_json(tolower(tostring({c}))), {asked}))" for c in columns
            ]
        else:
            ways = [f"{asked} in ({', '.join(f'tolower({c})' for c in columns)})"]
        terms.append(f"({' or '.join([f'isempty({asked})', *ways])})")
    return (
        f"let quiet = hits | extend x_one = 1 | join kind=inner countersign_excepted({text(stem)}) on x_one\n"
        f"| where {' and '.join(terms)}\n| distinct {row};"
    )
