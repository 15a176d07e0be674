"""Scheduled searches: the compiled query of a rule, its filter, what a finding says, when it runs and what it sets off.

Keys are those of savedsearches.conf.spec 10.2, and for Enterprise Security those that its own content bears
(``action.correlationsearch``, ``action.notable``, ``action.risk``; contentctl's template of saved searches).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from backends.package import NotAllowed
from backends.splunk.backend import text as in_quotes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backends.package import Content, Packed
    from backends.splunk.conf import Stanzas
    from backends.vocabulary import Vocabulary

HOP_SEC = 3600
"""Each search runs once an hour."""

RISK: Mapping[str, int] = {"informational": 5, "low": 15, "medium": 35, "high": 60, "critical": 80}
"""Score that a finding adds to whom it is about; Enterprise Security's own rule makes a notable of 100 in a day."""

ALERT: Mapping[str, str] = {"informational": "2", "low": "3", "medium": "4", "high": "5", "critical": "6"}
"""savedsearches.conf, ``alert.severity``: 2 info, 3 warn, 4 error, 5 severe, 6 fatal."""

NOTABLE = frozenset({"medium", "high", "critical"})
"""Levels that make a notable; the others only add risk."""

DOMAIN: Mapping[str, str] = {
    "identity": "identity",
    "scope": "access",
    "audit": "audit",
    "exposure": "network",
    "connectors": "threat",
}
"""Chapter → ``security_domain``: access, audit, endpoint, identity, network or threat."""

FRAMEWORKS = {"attack.t": "mitre_attack", "atlas.aml.": "mitre_atlas", "owasp.": "owasp", "iso.": "iso"}
"""Begin of a Sigma tag → the annotation that it becomes."""

_TIME = re.compile(r" earliest=(?P<earliest>\S+) latest=(?P<latest>\S+)$")
_HEAD = "search `countersign_index`"
_COUNTED = (
    (
        re.compile(r"(?<=\| streamstats window=)(\d+)(?= global=f first\(cs_ts\))"),
        re.compile(r"(?<=if\(cs_seen=)(\d+)"),
    ),
    (re.compile(r"(?<=\| where cs_held>=)(\d+)$", re.MULTILINE),),
)
"""Where a correlation's query says how many records, or values, are enough."""

_PLACE = re.compile(r"\{([@\w.]+)(?:\|([^{}]*))?\}")

SHOWN = 160
"""Characters of a value that a finding's sentence shows."""

_OF_EVENT = {
    "countersign_chain": "coalesce('chain.prompt.id','trace.id','transaction.id','gen_ai.tool.call.id',"
    '"record:".md5(_raw))',
    "countersign_record": "md5(_raw)",
    "countersign_key": "md5(countersign_chain)",
    "countersign_agent": "coalesce('gen_ai.agent.id','oauth.client.id','user.effective.id')",
    "countersign_server": "'mcp.server.name'",
    "countersign_tool": "'gen_ai.tool.name'",
    "user": "coalesce('user.email','user.id','user.name','user.effective.name','user.effective.id')",
    "src": "'source.ip'",
    "dest": "coalesce('service.target.name','mcp.server.name','server.address')",
    "object": "'gen_ai.tool.name'",
}
_OF_CHAIN = {
    "countersign_chain": "'chain.id'",
    "countersign_record": '"-"',
    "countersign_key": "md5('chain.id')",
    "countersign_agent": "'chain.agents'",
    "countersign_server": "'chain.servers'",
    "countersign_tool": "'chain.tools'",
    "user": "coalesce('chain.users','chain.effective_users')",
    "dest": "coalesce('chain.systems','chain.servers')",
    "object": "'chain.tools'",
    "_time": "'chain.end' / 1000000",
}
SHARED: Mapping[str, str] = {
    f"countersign_finding_of_{what}": "eval " + ", ".join(f"{name}={said}" for name, said in fields.items())
    for what, fields in {"event": _OF_EVENT, "chain": _OF_CHAIN}.items()
}
"""Macros that say of any finding whom it is about. A record alone knows its chain by the id that joins most; the chain
view may know a better one, so the page of a chain takes the record's hash beside it."""

COLUMNS = (
    *(
        "_time",
        "countersign_rule",
        "countersign_level",
        "countersign_title",
        "countersign_sentence",
        "countersign_chain",
    ),
    *("countersign_record", "countersign_key", "countersign_group", "countersign_records", "countersign_agent"),
    *("countersign_server", "countersign_tool", "user", "dest", "object", "severity", "signature"),
)
"""Columns of every finding; ``src`` of a record, and the fields that the rule wants to see, follow."""


MICROSECONDS = frozenset({"chain.start", "chain.end"})
"""Fields of the chain view that no person reads: ``_time`` is the chain's end, beside it stands how long it took."""


@dataclass(frozen=True)
class Made:
    """What a rule becomes.

    Attributes:
        name: of its stanza, which stays when its title changes: what an admin set in ``local`` hangs on it.
        settings: of the stanza.
        macros: its own, by name.
    """

    name: str
    settings: Mapping[str, str]
    macros: Mapping[str, str]


def made(content: Content) -> Iterator[Made]:
    """Each rule as a scheduled search.

    Raises:
        NotAllowed: a rule's stem, or a query that is none of the target's.
    """
    for rule in content.rules:
        if not re.fullmatch(r"[a-z0-9_]{1,90}", rule.stem):
            raise NotAllowed(f"the rule {rule.stem!r} can't be named in Splunk; call its file by a-z, 0-9 and _")
        vocabulary = content.chains if rule.service == "chain" else content.events
        own = {f"countersign_{rule.stem}_filter": "where 1=1"}
        query, window = _untimed(rule)
        query, counts = _adjustable(rule, query)
        own |= counts
        own[f"countersign_{rule.stem}_finding"] = finding(rule, vocabulary, next(iter(counts), ""))
        tail = [f"`countersign_{rule.stem}_filter`", f"`countersign_{rule.stem}_finding`"]
        yield Made(name(rule), _settings(rule, "\n| ".join([query, *tail]), *window), own)


def name(rule: Packed) -> str:
    """The name of its stanza."""
    return f"Countersign - {rule.stem} - Rule"


def stanzas(every: list[Made]) -> Stanzas:
    """Stanzas of ``savedsearches.conf``."""
    return {one.name: dict(one.settings) for one in every}


def _untimed(rule: Packed) -> tuple[str, tuple[str, str]]:
    """The query without its times, and these: in the stanza an admin can change them beside the schedule."""
    first, _, rest = rule.query.rstrip().partition("\n")
    found = _TIME.search(first)
    if not found or first[: found.start()] != _HEAD:
        raise NotAllowed(f"the query of {rule.stem!r} does not begin with its index and its time")
    return f"{_HEAD}\n{rest}", (found["earliest"], found["latest"])


def timed(search: str, earliest: str, latest: str) -> str:
    """The search as it was compiled, with its times in it."""
    return search.replace(_HEAD, f"{_HEAD} earliest={earliest} latest={latest}", 1)


def _adjustable(rule: Packed, query: str) -> tuple[str, dict[str, str]]:
    """The query with a macro in place of the number that is enough, and that macro; rules that count have one."""
    for places in _COUNTED if rule.window_sec else ():
        found = {match[1] for place in places for match in place.finditer(query)}
        if len(found) == 1:
            macro = f"countersign_{rule.stem}_threshold"
            for place in places:
                query = place.sub(f"`{macro}`", query)
            return query, {macro: found.pop()}
    return query, {}


def _settings(rule: Packed, search: str, earliest: str, latest: str) -> dict[str, str]:
    title = " ".join(rule.title.split())
    reach = int(earliest.strip("-").partition("s")[0])
    period = max(rule.period_sec, reach + HOP_SEC) if rule.service == "chain" else rule.period_sec
    return {
        "action.correlationsearch.enabled": "1",
        "action.correlationsearch.label": title,
        "action.correlationsearch.annotations": _json(annotated(rule)),
        "action.correlationsearch.metadata": _json(
            {"deprecated": "0", "detection_id": rule.id, "detection_version": str(rule.version)}
        ),
        **(_notable(rule, title) if rule.level in NOTABLE else {"action.notable": "0"}),
        "action.risk": "1",
        "action.risk.param._risk": _json(risk(rule)),
        "action.risk.param._risk_message": "$countersign_sentence$",
        "action.risk.param._risk_score": "0",
        "action.risk.param.verbose": "0",
        "action.summary_index": "1",
        "action.summary_index._name": "summary",
        "action.summary_index.inline": "0",
        "alert.digest_mode": "0",  # each finding by itself: only so is a suppression by field documented
        "alert.expires": "7d",
        "alert.severity": ALERT[rule.level],
        "alert.suppress": "1",
        "alert.suppress.fields": "countersign_group",
        "alert.suppress.period": f"{period}s",
        "alert.track": "1",
        "counttype": "number of events",
        "relation": "greater than",
        "quantity": "0",
        "cron_schedule": f"{minute(rule)} * * * *",
        "description": _described(rule),
        "disabled": "0",
        "dispatch.earliest_time": earliest,
        "dispatch.latest_time": latest,
        "enableSched": "1",
        "is_visible": "1",
        "realtime_schedule": "0",
        "request.ui_dispatch_app": "countersign",
        "schedule_window": "auto",
        "search": search,
    }


def minute(rule: Packed) -> int:
    """The minute of the hour at which it runs: spread, and the same in every version."""
    return int(sha256(rule.stem.encode()).hexdigest(), 16) % 60


def _described(rule: Packed) -> str:
    needs = f" Quiet without the register's {', '.join(rule.needs_register)}." if rule.needs_register else ""
    return f"{' '.join(rule.description.split())}{needs} (rule {rule.stem}, version {rule.version}, {rule.kind})"


def annotated(rule: Packed) -> dict[str, list[str]]:
    """Its frameworks, as Enterprise Security annotates a correlation search."""
    found: dict[str, list[str]] = {"analytic_story": ["Countersign"]}
    for tag in rule.tags:
        for begin, key in FRAMEWORKS.items():
            if tag.lower().startswith(begin):
                found.setdefault(key, []).append(tag.partition(".")[2].upper())
    return found


def risk(rule: Packed) -> list[Mapping[str, str | int]]:
    """Who bears the risk: the human, and the agent that acts; what threatens them: server, tool, a record's address."""
    score = RISK[rule.level] // (2 if rule.kind == "posture" else 1)
    threats = {"countersign_server": "mcp_server", "countersign_tool": "mcp_tool"}
    if rule.service == "event":
        threats["src"] = "ip_address"
    return [
        {"risk_object_field": "user", "risk_object_type": "user", "risk_score": score},
        {"risk_object_field": "countersign_agent", "risk_object_type": "other", "risk_score": score},
        *({"threat_object_field": field, "threat_object_type": kind} for field, kind in threats.items()),
    ]


def _notable(rule: Packed, title: str) -> dict[str, str]:
    """A dollar in a title would begin a token, so such a title is shown from the result."""
    return {
        "action.notable": "1",
        "action.notable.param.rule_title": "$countersign_title$" if "$" in title else title,
        "action.notable.param.rule_description": "$countersign_sentence$",
        "action.notable.param.security_domain": DOMAIN.get(rule.chapter, "threat"),
        "action.notable.param.severity": rule.level,
        "action.notable.param.nes_fields": "user,countersign_agent,countersign_key",
        "action.notable.param.drilldown_searches": _json(
            [
                {
                    "name": said,
                    "search": search,
                    "earliest_offset": "$info_min_time$",
                    "latest_offset": "$info_max_time$",
                }
                for said, search in drilldowns(rule).items()
            ]
        ),
        "action.notable.param.drilldown_dashboards": "[]",
        "action.notable.param.next_steps": _json(
            {
                "version": 1,
                "data": "Open the app's page One chain with countersign_chain and countersign_record of this finding. "
                f"Except what is meant in the macro countersign_{rule.stem}_filter.",
            }
        ),
    }


def drilldowns(rule: Packed) -> dict[str, str]:
    """Searches behind a finding. A token is a hash that we made: no text of a log is put into a search."""
    if rule.service == "chain":
        return {
            "The chain of this finding": f"{_HEAD}\n| `countersign_events`\n| `countersign_chains`\n"
            "| where md5('chain.id')=\"$countersign_key$\"\n| fields - cs_* cr_*",
        }
    return {
        "Records with the id of this finding": f"{_HEAD}\n| `countersign_events`\n| `countersign_finding_of_event`\n"
        '| where countersign_key="$countersign_key$"\n| sort 0 num(cs_ts)\n| fields - cs_* cr_*',
    }


def finding(rule: Packed, vocabulary: Vocabulary, threshold: str) -> str:
    """The macro that makes findings of a rule's hits: what is said, one a group, and the columns that are kept."""
    first = "src" if rule.service == "event" else "chain.duration_sec"
    shown = [one for one in dict.fromkeys([first, *rule.fields, *rule.group_by]) if one not in MICROSECONDS]
    parts = "".join(f'.md5(lower(coalesce({_single(rule, vocabulary, one)},"")))' for one in rule.group_by)
    said = {
        "countersign_rule": in_quotes(rule.stem),
        "countersign_level": in_quotes(rule.level),
        "countersign_title": in_quotes(" ".join(rule.title.split())),
        "countersign_sentence": sentence(rule, vocabulary, threshold),
        "countersign_group": f"md5({in_quotes(rule.stem)}{parts or '.md5(countersign_record)'})",
        "severity": in_quotes(rule.level),
        "signature": in_quotes(" ".join(rule.title.split())),
    }
    return "\n| ".join(
        [
            f"`countersign_finding_of_{rule.service}`",
            "eval " + ", ".join(f"{key}={value}" for key, value in said.items()),
            "eventstats count AS countersign_records BY countersign_group",
            "dedup countersign_group",
            "table " + " ".join(f'"{one}"' if one.startswith("@") else one for one in [*COLUMNS, *shown]),
        ]
    )


def _single(rule: Packed, vocabulary: Vocabulary, field: str) -> str:
    """A field as one text. The chain of a single record is known by the id that joins most."""
    if field == "chain.id" and rule.service == "event":
        return "countersign_chain"
    return f"mvjoin('{field}',\",\")" if vocabulary.fields[field].array else f"'{field}'"


def sentence(rule: Packed, vocabulary: Vocabulary, threshold: str) -> str:
    """The template of a rule's sentence as an expression; a value is cut, and control characters are blanks."""
    template, parts, end = " ".join(rule.sentence.split()), [], 0
    for match in _PLACE.finditer(template):
        parts += [in_quotes(template[end : match.start()])] if match.start() > end else []
        parts.append(_told(rule, vocabulary, threshold, match[1], match[2] or "(unknown)"))
        end = match.end()
    parts += [in_quotes(template[end:])] if template[end:] else []
    return ".".join(parts) or '""'


def _told(rule: Packed, vocabulary: Vocabulary, threshold: str, field: str, otherwise: str) -> str:
    if field.startswith("correlation."):
        return f'"at least ".tostring(`{threshold}`)' if threshold else '"several"'
    kind = vocabulary.fields[field]
    one = f"mvjoin('{field}',\", \")" if kind.array else _single(rule, vocabulary, field)
    one += '.""' if kind.kind in {"number", "integer"} and not kind.array else ""
    return f'replace(substr(coalesce({one},{in_quotes(otherwise)}),1,{SHOWN}),"[\\x00-\\x1f]"," ")'


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False)
