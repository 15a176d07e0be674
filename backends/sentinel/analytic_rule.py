"""A rule as Sentinel's analytic rule: one set of properties, said as YAML of the public content and as an ARM resource.

YAML: the form of the repository Azure/Azure-Sentinel ("Query Style Guide" of its wiki, and the model that validates it,
see `backends.sentinel.limits`). ARM: Microsoft.SecurityInsights/alertRules, kind Scheduled, API 2024-09-01.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from backends.sentinel import limits
from backends.sentinel.columns_shown import details, entities
from backends.sentinel.rule_query import head, rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.package import Packed
    from backends.vocabulary import Vocabulary

SEVERITY = {"informational": "Informational", "low": "Low", "medium": "Medium", "high": "High", "critical": "High"}
"""Sigma's level → Sentinel's severity, which ends at High."""

OFTEN_SEC, HOURLY_SEC = 900, 3600
LATE_SEC = 3600
"""How much later than its time a record may arrive and still be judged."""

CHAIN_PERIOD_SEC = 2 * 86_400 + HOURLY_SEC + LATE_SEC
"""Two lookbacks of the chain view, the hour of the run, and late arrivals."""

TACTICS = {"stealth": "DefenseEvasion", "defense-impairment": "DefenseEvasion"}
"""Tactics of ATT&CK 19 that Sentinel's list has under their older name; others are written in its letter case."""

TECHNIQUES = {"T1684.001": "T1656"}
"""Techniques that ATT&CK 19 renumbered → the number before, which is the one that Sentinel knows."""

ALSO = {"T1548": "DefenseEvasion", "T1550": "DefenseEvasion"}
"""Before ATT&CK 19 these techniques had this tactic too, and the repository's test wants all tactics of a technique."""

PACK = "countersign/sentinel/"
_TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)")
_TACTIC = re.compile(r"attack\.([a-z-]+)")


@dataclass(frozen=True)
class AnalyticRule:
    """A rule, ready to be written.

    Attributes:
        rule: as the pack has it.
        id: of the resource: a UUID that stays when the rule changes.
        settings: what an admin changes, with its default; the names are those of the resource.
        rest: the query without its first statement.
        properties: all else, by the names of the resource.
    """

    rule: Packed
    id: str
    settings: Mapping[str, Any]
    rest: str
    properties: Mapping[str, Any]

    @property
    def query(self) -> str:
        """The whole query, with the frequency that the rule has by default."""
        return head(self.settings["queryFrequency"]) + self.rest

    @property
    def version(self) -> str:
        """X.Y.Z, as the repository wants it, from the date of the last change."""
        date = str(self.rule.version)
        return f"{int(date[:4])}.{int(date[4:6])}.{int(date[6:8])}"

    def yaml(self) -> str:
        """The rule as a file of the public content repository."""
        said, own = self.settings, self.properties
        document = {
            "id": self.id,
            "name": own["displayName"],
            "description": _Block(own["description"] + "\n"),
            "severity": said["severity"],
            "status": "Available",
            "requiredDataConnectors": [],
            "queryFrequency": _short(said["queryFrequency"]),
            "queryPeriod": _short(said["queryPeriod"]),
            "triggerOperator": "gt",
            "triggerThreshold": said["triggerThreshold"],
            "tactics": own["tactics"],
            "relevantTechniques": own["techniques"],
            "query": _Block(self.query),
            "entityMappings": own["entityMappings"],
            "customDetails": own["customDetails"],
            "alertDetailsOverride": own["alertDetailsOverride"],
            "eventGroupingSettings": own["eventGroupingSettings"],
            "incidentConfiguration": {
                "createIncident": said["createIncident"],
                "groupingConfiguration": own["groupingConfiguration"] | {"lookbackDuration": said["groupingWindow"]},
            },
            "suppressionEnabled": said["suppressionEnabled"],
            "suppressionDuration": _short(said["suppressionDuration"]),
            "version": self.version,
            "kind": "Scheduled",
        }
        if not own["tactics"]:
            del document["tactics"], document["relevantTechniques"]
        return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def analytic_rule(rule: Packed, events: Vocabulary, chains: Vocabulary) -> AnalyticRule:
    """A rule of the pack as Sentinel takes it.

    Raises:
        NotAllowed: one sentence that names the rule and the limit.
    """
    limits.named(rule.stem, rule.title, rule.description)
    of_chains, urgent = rule.service == "chain", rule.level in {"high", "critical"}
    every = HOURLY_SEC if of_chains or rule.kind != "incident" or not urgent else OFTEN_SEC
    period = CHAIN_PERIOD_SEC if of_chains else every + rule.window_sec + LATE_SEC
    limits.scheduled(rule.stem, every, period)
    least, most = limits.GROUPING_SEC
    settings = {
        "enabled": True,
        "severity": SEVERITY[rule.level],
        "queryFrequency": duration(every),
        "queryPeriod": duration(period),
        "triggerOperator": "GreaterThan",
        "triggerThreshold": 0,
        "suppressionEnabled": False,
        "suppressionDuration": "PT5H",
        "createIncident": rule.kind == "incident" or urgent,
        "groupingWindow": duration(min(max(rule.period_sec, least), most)),
    }
    vocabulary = chains if of_chains else events
    tactics, techniques = attack(rule.tags)
    properties = {
        "displayName": rule.title,
        "description": described(rule),
        "tactics": tactics,
        "techniques": techniques,
        "entityMappings": [entity.mapping for entity in entities(rule)],
        "customDetails": details(rule, vocabulary),
        "alertDetailsOverride": {
            "alertDisplayNameFormat": rule.title,
            "alertDescriptionFormat": f"{{{{Finding}}}}\n\n{rule.description}",
        },
        "eventGroupingSettings": {"aggregationKind": "AlertPerResult"},
        "groupingConfiguration": {
            "enabled": True,
            "reopenClosedIncident": False,
            "matchingMethod": "Selected",
            "groupByEntities": [],
            "groupByAlertDetails": [],
            "groupByCustomDetails": ["FindingGroup"],
        },
    }
    identity = str(uuid5(NAMESPACE_URL, f"{PACK}{rule.id}"))
    made = AnalyticRule(rule, identity, settings, rest(rule, events, chains), properties)
    limits.formed(rule.stem, {**properties, "query": made.query})
    return made


def described(rule: Packed) -> str:
    """For the list of rules: what it finds, what it needs, which rule of the pack it is and how new."""
    needs = f" Needs the register: {', '.join(rule.needs_register)}." if rule.needs_register else ""
    return f"{rule.description}{needs} (countersign {rule.stem}, {rule.version})"


def attack(tags: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Tactics and techniques by the names that Sentinel knows, each once, in the order of the tags."""
    techniques = [found[1].upper() for tag in tags if (found := _TECHNIQUE.fullmatch(tag))]
    known = list(dict.fromkeys(TECHNIQUES.get(one, one).split(".")[0] for one in techniques))
    words = [found[1] for tag in tags if (found := _TACTIC.fullmatch(tag))]
    tactics = [TACTICS.get(word, "".join(part.capitalize() for part in word.split("-"))) for word in words]
    return list(dict.fromkeys([*tactics, *(ALSO[one] for one in known if one in ALSO)])), known


def duration(seconds: int) -> str:
    """ISO 8601, to the next whole minute: 4500 → ``PT1H15M``."""
    minutes = -(-seconds // 60)
    days, minutes = divmod(minutes, 1440)
    hours, minutes = divmod(minutes, 60)
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    return "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")


def _short(iso: str) -> str:
    """ISO 8601 as the repository writes it: one number and one unit, ``PT1H15M`` → ``75m``."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?", iso)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    whole = (days * 24 + hours) * 60 + minutes
    for unit, size in (("d", 1440), ("h", 60)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}m"


class _Block(str):
    """A text of several lines, written as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe writer, without anchors, and with blocks where a person reads lines."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Block, lambda dumper, said: dumper.represent_scalar("tag:yaml.org,2002:str", str(said), style="|")
)
