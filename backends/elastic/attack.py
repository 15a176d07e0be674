"""Tags of ATT&CK as Kibana's threat mapping: tactics, techniques and sub-techniques with their names.

Kibana shows what its own copy of ATT&CK knows; 8.19 and 9.0 to 9.2 hold versions before 19, which renamed a tactic and
renumbered a technique. Names are those of attack.mitre.org.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

FRAMEWORK = "MITRE ATT&CK"
_SITE = "https://attack.mitre.org"

_EVASION = "defense-evasion"
OLDER = {"stealth": _EVASION, "defense-impairment": _EVASION, "t1684.001": "t1656"}
"""Tactics and techniques of ATT&CK 19 → those before."""

TACTICS = {
    "initial-access": ("TA0001", "Initial Access"),
    "execution": ("TA0002", "Execution"),
    "persistence": ("TA0003", "Persistence"),
    "privilege-escalation": ("TA0004", "Privilege Escalation"),
    _EVASION: ("TA0005", "Defense Evasion"),
    "credential-access": ("TA0006", "Credential Access"),
    "discovery": ("TA0007", "Discovery"),
    "lateral-movement": ("TA0008", "Lateral Movement"),
    "collection": ("TA0009", "Collection"),
    "exfiltration": ("TA0010", "Exfiltration"),
    "command-and-control": ("TA0011", "Command and Control"),
    "impact": ("TA0040", "Impact"),
    "resource-development": ("TA0042", "Resource Development"),
    "reconnaissance": ("TA0043", "Reconnaissance"),
}
"""Tag → id and name."""

TECHNIQUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "t1036": ("Masquerading", (_EVASION,)),
    "t1078": ("Valid Accounts", (_EVASION, "persistence", "privilege-escalation", "initial-access")),
    "t1078.004": ("Cloud Accounts", ()),
    "t1098": ("Account Manipulation", ("persistence", "privilege-escalation")),
    "t1098.003": ("Additional Cloud Roles", ()),
    "t1133": ("External Remote Services", ("persistence", "initial-access")),
    "t1190": ("Exploit Public-Facing Application", ("initial-access",)),
    "t1195": ("Supply Chain Compromise", ("initial-access",)),
    "t1195.002": ("Compromise Software Supply Chain", ()),
    "t1199": ("Trusted Relationship", ("initial-access",)),
    "t1528": ("Steal Application Access Token", ("credential-access",)),
    "t1548": ("Abuse Elevation Control Mechanism", ("privilege-escalation", _EVASION)),
    "t1550": ("Use Alternate Authentication Material", (_EVASION, "lateral-movement")),
    "t1550.001": ("Application Access Token", ()),
    "t1552": ("Unsecured Credentials", ("credential-access",)),
    "t1565": ("Data Manipulation", ("impact",)),
    "t1567": ("Exfiltration Over Web Service", ("exfiltration",)),
    "t1606": ("Forge Web Credentials", ("credential-access",)),
    "t1656": ("Impersonation", (_EVASION,)),
}
"""Technique or sub-technique → name, and the tactics that a technique serves."""

_TECHNIQUE = re.compile(r"t\d{4}(\.\d{3})?")


def threat(tags: Iterable[str]) -> list[dict[str, Any]]:
    """One entry a tactic; under it the techniques of the rule that serve it.

    A tactic that a technique serves and no tag names is added where no named one would show the technique. What the
    tables do not know, in rules of one's own, stays a tag and nothing else.
    """
    said = [tag.removeprefix("attack.") for tag in tags if tag.startswith("attack.")]
    said = list(dict.fromkeys(OLDER.get(word, word) for word in said))
    tactics = [word for word in said if word in TACTICS]
    techniques: dict[str, list[str]] = {}
    for word in said:
        if _TECHNIQUE.fullmatch(word) and word in TECHNIQUES:
            below = techniques.setdefault(word.partition(".")[0], [])
            below += [word] if "." in word else []
    for word in techniques:
        if not set(TECHNIQUES[word][1]) & set(tactics):
            tactics.append(TECHNIQUES[word][1][0])
    return [
        {
            "framework": FRAMEWORK,
            "tactic": _named(*TACTICS[tactic], f"{_SITE}/tactics/{TACTICS[tactic][0]}/"),
            "technique": [_technique(one, below) for one, below in techniques.items() if tactic in TECHNIQUES[one][1]],
        }
        for tactic in tactics
    ]


def _technique(word: str, below: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = _named(word.upper(), TECHNIQUES[word][0], f"{_SITE}/techniques/{word.upper()}/")
    sub = [
        _named(one.upper(), TECHNIQUES[one][0], f"{_SITE}/techniques/{one.upper().replace('.', '/')}/") for one in below
    ]
    return found | {"subtechnique": sub}


def _named(identity: str, name: str, reference: str) -> dict[str, Any]:
    return {"id": identity, "name": name, "reference": reference}
