"""A rule as Kibana's detection engine imports it: one JSON object a rule.

Source: Kibana's API specification, "Import detection rules" (POST /api/detection_engine/rules/_import) and the schema
of an ES|QL rule (rule_schemas.schema.yaml and common_attributes.schema.yaml of the public repository, 8.19 and 9).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backends.elastic.attack import threat
from backends.elastic.rule_query import grouping, query, schedule, sent
from backends.package import NotAllowed

if TYPE_CHECKING:
    from backends.package import Content, Packed

SEVERITY = {
    "informational": ("low", 10),
    "low": ("low", 21),
    "medium": ("medium", 47),
    "high": ("high", 73),
    "critical": ("critical", 99),
}
"""Sigma's level → Kibana's severity, and the risk score that Elastic's own rules have with it."""

TAG = "Countersign"
MOST_ALERTS = 500
"""Alerts that one run makes at most; Kibana's own end for all rules is 1,000."""

TITLE = 256
"""Characters of a name: the longest that lists and notifications show whole."""

EXCEPTIONS = "countersign-exceptions"
"""The list of exceptions that all rules share. Kibana keeps a list that is there when the file is imported again."""

_LIST: dict[str, Any] = {"id": EXCEPTIONS, "list_id": EXCEPTIONS, "type": "detection", "namespace_type": "single"}

_KINDS = {"keyword": "keyword", "boolean": "boolean", "integer": "long", "number": "double", "time": "date_nanos"}
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|!{}#~$&])")
_STEM = re.compile(r"[a-z0-9_]+")


def detection_rule(rule: Packed, content: Content) -> dict[str, Any]:
    """The object that one line of ``rules.ndjson`` holds.

    Raises:
        NotAllowed: a title or a query that Kibana can't take.
    """
    _named(rule)
    text = query(rule, content.events, content.chains)
    severity, score = SEVERITY[rule.level]
    interval, back = schedule(rule)
    groups = grouping(rule)
    fields = content.events.fields
    read = sent(text, content.events)
    made: dict[str, Any] = {
        "rule_id": rule.id,
        "version": rule.version,
        "name": rule.title,
        "description": rule.description or rule.title,
        "enabled": True,
        "severity": severity,
        "severity_mapping": [],
        "risk_score": score,
        "risk_score_mapping": [],
        "type": "esql",
        "language": "esql",
        "query": text,
        "from": f"now-{back}m",
        "to": "now",
        "interval": f"{interval}m" if interval % 60 else f"{interval // 60}h",
        "timestamp_override": "event.ingested",
        "max_signals": MOST_ALERTS,
        "author": ["countersign contributors"],
        "license": "Apache-2.0",
        "tags": [TAG, f"Chapter: {rule.chapter}", f"Kind: {rule.kind}", *rule.tags],
        "threat": threat(rule.tags),
        "references": list(rule.references),
        "false_positives": list(rule.falsepositives),
        "note": guide(rule),
        "setup": setup(rule, content),
        "related_integrations": [
            {"package": "filestream", "version": "^1.0.0 || ^2.0.0"},
            {"package": "http_endpoint", "version": "^2.0.0 || ^3.0.0"},
        ],
        "required_fields": [{"name": name, "type": _KINDS[fields[name].kind]} for name in read],
        "exceptions_list": [dict(_LIST)],
        "actions": [],
        "meta": {"countersign": {"stem": rule.stem, "pack": content.version}},
    }
    shown = [name for name in rule.fields if name != "@timestamp"]
    if shown:
        made["investigation_fields"] = {"field_names": shown}
    if groups:
        made["alert_suppression"] = {
            "group_by": groups,
            "duration": _duration(rule.period_sec),
            "missing_fields_strategy": "suppress",
        }
    return made


def exception_list() -> dict[str, Any]:
    """The empty list of exceptions, as Kibana's export writes one."""
    return {
        **_LIST,
        "name": "Countersign exceptions",
        "description": "Exceptions of all Countersign rules. An upgrade leaves this list alone.",
        "immutable": False,
        "os_types": [],
        "tags": [],
        "version": 1,
    }


def plain(text: str) -> str:
    """Words of a rule within Markdown: none of them is markup, a link, HTML or one of Kibana's ``!{…}`` plug-ins."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def guide(rule: Packed) -> str:
    """The investigation guide."""
    who = ", ".join(f"`{name}`" for name in rule.fields) or "the record itself"
    where = "`chain.id` and the times of the chain" if rule.service == "chain" else "`trace.id` or `chain.prompt.id`"
    lines = [
        "## What it found",
        plain(rule.description),
        "",
        "## How to read an alert",
        f"The finding in one sentence, fields in brackets: {plain(rule.sentence)}" if rule.sentence else "",
        f"Look first at {who}.",
        "",
        "## What to do",
        f"1. Open the dashboard *Countersign: one chain* and filter it by {where}: {_SHOWS}",
        "2. Ask the person or the owner of the agent whether this was meant; the register names the owner.",
        *(_MEANT if rule.kind == "incident" else _POSTURE),
        "4. Was it right? Add what makes it right to the register, or an exception on fields that the log sent.",
    ]
    if rule.falsepositives:
        lines += ["", "## When it is no attack", *(f"- {plain(one)}" for one in rule.falsepositives)]
    return "\n".join(lines) + "\n"


_SHOWS = "it shows who asked, which agent acted, with which token, and what the system at the end recorded."
_MEANT = (
    (
        "3. Was it not meant? Revoke the token or the grant of the client, take the agent out of service, and look for "
        "the same client, agent and token in other chains."
    ),
)
_POSTURE = ("3. This is a weakness and not yet an attack: give it to the owner of the server or agent, with a date.",)


def setup(rule: Packed, content: Content) -> str:
    """What the rule needs."""
    needs = ", ".join(rule.needs_register)
    blind = sorted(source for (stem, source), word in content.blind.items() if stem == rule.stem and word == "blind")
    lines = [
        "Records come in by the ingest pipeline `countersign-events`, into the data stream `countersign-events`.",
        f"Stages that it reads: {', '.join(rule.stages)}." if rule.stages else "",
        f"Stays quiet without these tables of the register: {needs}." if needs else "",
        f"Sees nothing of these sources: {', '.join(blind)}." if blind else "",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _named(rule: Packed) -> None:
    if not _STEM.fullmatch(rule.stem):
        raise NotAllowed(f"the rule {rule.stem!r} is named by other characters than a-z, 0-9 and _; rename its file")
    if not rule.title.strip():
        raise NotAllowed(f"the rule {rule.stem} has no title; Kibana needs a name")
    if len(rule.title) > TITLE:
        raise NotAllowed(f"the title of {rule.stem} has {len(rule.title)} characters; shorten it to {TITLE}")
    for what, text in (("title", rule.title), ("description", rule.description)):
        if unseen := _UNSEEN.search(text):
            raise NotAllowed(f"the {what} of {rule.stem} holds the character {unseen[0]!r}; take it out")


def _duration(seconds: int) -> dict[str, Any]:
    """In the largest unit that holds it whole; Kibana's are s, m and h."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return {"value": seconds // size, "unit": unit}
    return {"value": seconds, "unit": "s"}
