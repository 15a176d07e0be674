"""What an alert shows of a hit: entities, details, a plain sentence, and the group that makes hits one finding.

Entity types and identifiers: Microsoft Learn, "Microsoft Sentinel entity types reference"
(azure/sentinel/entities-reference); custom details: "Surface custom event details in alerts in Microsoft Sentinel".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.sentinel.backend import _written
from backends.sentinel.columns import ROW, column, text
from backends.sentinel.limits import DETAIL_NAME, ENTITIES
from backends.sentinel.target import LATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backends.package import Packed
    from backends.vocabulary import Vocabulary

UNSHOWN = frozenset({"@timestamp", "gen_ai.tool.call.arguments", "chain.start", "chain.end"})
"""Fields that no detail repeats: the alert has its times, and arguments may hold anything and are long."""

DETAILS = 10
"""Fields of a rule that become details; all details of an alert share 2 KB."""

ALWAYS = {"Rule": "Rule", "FindingGroup": "FindingGroup", "Records": "Records"}
"""Details that every alert has, name → column."""

VALUE_LIMIT, ITEMS_SHOWN = 80, 3
"""Characters of a value, and items of a list, that a sentence shows."""

_PLACEHOLDER = re.compile(r"\{([@\w.]+)(?:\|([^{}]*))?\}")
_NAMESPACES = ("gen_ai.", "mcp.", "oauth.")


@dataclass(frozen=True)
class Entity:
    """A column that is mapped to an entity of Sentinel.

    Attributes:
        kind: Sentinel's entity type.
        identifier: the identifier of that type that the column holds.
        name: of the column in the result.
        says: the KQL that gives it, "" where it is not known.
        fields: the fields it is made from; the entity is mapped where the rule shows one of them.
    """

    kind: str
    identifier: str
    name: str
    says: str
    fields: tuple[str, ...]

    @property
    def mapping(self) -> dict[str, Any]:
        """As an analytic rule holds it."""
        return {
            "entityType": self.kind,
            "fieldMappings": [{"identifier": self.identifier, "columnName": self.name}],
        }


def _first(name: str) -> str:
    return f"tostring({name}[0])"


_PERSON = "iff(isnotempty(user_email), user_email, iff(isnotempty(user_name), user_name, user_id))"
EVENT_ENTITIES = (
    Entity("Account", "FullName", "Person", _PERSON, ("user.email", "user.name", "user.id")),
    Entity("CloudApplication", "Name", "Agent", "gen_ai_agent_id", ("gen_ai.agent.id",)),
    Entity("IP", "Address", "SourceAddress", "source_ip", ("source.ip",)),
    Entity("Host", "HostName", "Server", "mcp_server_name", ("mcp.server.name",)),
    Entity("URL", "Url", "ServerUri", "mcp_server_uri", ("mcp.server.uri",)),
    Entity("Account", "Name", "ActingIdentity", "user_effective_id", ("user.effective.id",)),
)
CHAIN_ENTITIES = (
    Entity("Account", "FullName", "Person", _first("chain_users"), ("chain.users",)),
    Entity("CloudApplication", "Name", "Agent", _first("chain_agents"), ("chain.agents",)),
    Entity("Host", "HostName", "Server", _first("chain_servers"), ("chain.servers",)),
    Entity("Account", "Name", "ActingIdentity", _first("chain_effective_users"), ("chain.effective_users",)),
)


def entities(rule: Packed) -> tuple[Entity, ...]:
    """Those that the rule's own fields allow; as many as Sentinel takes, the first count."""
    all_of = CHAIN_ENTITIES if rule.service == "chain" else EVENT_ENTITIES
    shown = {*rule.fields, *rule.group_by, *(name for name, _ in _PLACEHOLDER.findall(rule.sentence))}
    found = tuple(one for one in all_of if shown.intersection(one.fields))
    return (found or all_of[:2])[:ENTITIES]


def shown(rule: Packed, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Columns of the result beside the entities: what groups, then what an analyst wants to see first."""
    names = dict.fromkeys((*rule.group_by, *rule.fields))
    late = LATE if rule.service == "event" else frozenset()
    return tuple(column(name) for name in names if name in vocabulary.fields and name not in late | UNSHOWN)


def details(rule: Packed, vocabulary: Vocabulary) -> dict[str, str]:
    """Custom details: a name that Sentinel takes → column."""
    found = dict(ALWAYS)
    for name in shown(rule, vocabulary)[:DETAILS]:
        found[_detail_name(name, found)] = name
    return found


def _detail_name(name: str, taken: Iterable[str]) -> str:
    r"""``user_effective_id`` → ``UserEffectiveId``; letters and digits, 20 at most, each once."""
    for namespace in _NAMESPACES:
        name = name.removeprefix(namespace.replace(".", "_"))
    whole = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    short, number = whole[:DETAIL_NAME], 1
    while short in taken:
        number += 1
        short = f"{whole[: DETAIL_NAME - len(str(number))]}{number}"
    return short


def group(rule: Packed, vocabulary: Vocabulary) -> str:
    """KQL that gives hits of one finding one text, and others another: a list as JSON, so that no value joins two.

    An event rule that groups by chain takes what the chain would be told by: its prompt, trace or transaction, or the
    record alone.
    """
    if rule.service == "event" and LATE.intersection(rule.group_by):
        first = f"iff(isnotempty(transaction_id), transaction_id, {ROW})"
        keys = [f"iff(isnotempty(chain_prompt_id), chain_prompt_id, iff(isnotempty(trace_id), trace_id, {first}))"]
    else:
        keys = []
    own = [name for name in rule.group_by if name in vocabulary.fields]
    keys += [_all_of(vocabulary, name) for name in own if rule.service == "chain" or name not in LATE]
    folded = [f"tolower({key})" for key in keys or [ROW if rule.service == "event" else "chain_id"]]
    return folded[0] if len(folded) == 1 else f"tostring(pack_array({', '.join(folded)}))"


def sentence(rule: Packed, vocabulary: Vocabulary) -> tuple[list[str], str]:
    """KQL that says the finding in one plain sentence: columns for what is put into it, and the sentence over them."""
    parts: list[str] = []
    values: list[str] = []
    end = 0
    for match in _PLACEHOLDER.finditer(rule.sentence):
        values.append(f"x_said_{len(values)} = {_value(vocabulary, match[1], match[2] or '(unknown)')}")
        parts += [text(rule.sentence[end : match.start()]), f"x_said_{len(values) - 1}"]
        end = match.end()
    parts.append(text(rule.sentence[end:]))
    return values, f"strcat({', '.join(part for part in parts if part != text(''))})"


def said(rule: Packed, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Columns that the sentence reads."""
    names = [match[1] for match in _PLACEHOLDER.finditer(rule.sentence)]
    return tuple(column(name) for name in names if name in vocabulary.fields and name != "@timestamp")


def _value(vocabulary: Vocabulary, name: str, fallback: str) -> str:
    if name not in vocabulary.fields:  # {correlation.count}: an alert's row does not say how many there were
        return text("several" if name.startswith("correlation.") else fallback)
    said = _as_text(vocabulary, name)
    return f"iff(isempty({said}), {text(fallback)}, substring({said}, 0, {VALUE_LIMIT}))"


def _all_of(vocabulary: Vocabulary, name: str) -> str:
    field = vocabulary.fields[name]
    return f"tostring({column(name)})" if field.array else _written(field, column(name))


def _as_text(vocabulary: Vocabulary, name: str) -> str:
    field = vocabulary.fields[name]
    if field.array:
        return f'coalesce(strcat_array(array_slice({column(name)}, 0, {ITEMS_SHOWN - 1}), ", "), "")'
    return _written(field, column(name))
