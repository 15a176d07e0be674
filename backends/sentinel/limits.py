"""What Sentinel and Azure Monitor take: each limit with the page that says it, and the refusal of what is beyond it.

Pages of Microsoft Learn:
    [rules] "Scheduled analytics rules in Microsoft Sentinel" (azure/sentinel/scheduled-rules-overview)
    [limits] "Service limits for Microsoft Sentinel" (azure/sentinel/sentinel-service-limits)
    [logs] "Azure Monitor service limits", workspaces (azure/azure-monitor/fundamentals/service-limits)
    [arm] "ARM template best practices", limits (azure/azure-resource-manager/templates/best-practices)
    [repository] the model that validates the public content: Azure/Azure-Sentinel,
        .script/tests/detectionTemplateSchemaValidation/Models (ScheduledTemplateInternalModel, AlertDetailsOverride)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from backends.package import NotAllowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = 256
"""Characters of a rule's name, and bytes of an alert's ([repository], [limits])."""

DESCRIPTION = 5000
"""Characters of a description; bytes of an alert's ([repository], [limits])."""

QUERY = 10_000
"""Characters of a rule's query ([rules])."""

SHORTEST_SEC, LONGEST_SEC = 300, 14 * 86_400
"""Seconds of a rule's frequency and period ([rules])."""

LONG_PERIOD_SEC, LONG_FREQUENCY_SEC = 2 * 86_400, 3600
"""A rule that looks back this long runs at most this often ([repository], FrequencyLimitationForLongPeriodQuery)."""

GROUPING_SEC = (300, 7 * 86_400)
"""Seconds in which alerts join an incident ([rules], alert grouping)."""

ENTITIES, IDENTIFIERS = 5, 3
"""Entity mappings of a rule and identifiers of one ([repository]; the service takes ten mappings, [limits])."""

DETAILS, DETAIL_NAME = 20, 20
"""Custom details of a rule, and characters of a detail's name ([limits], [repository])."""

PLACEHOLDERS = 3
"""Columns that a name's or description's format may name ([repository])."""

RULES = 512
"""Enabled scheduled rules of a workspace ([limits])."""

VARIABLES = 256
"""Variables of a template ([arm])."""

TEMPLATE = 4 * 1024 * 1024
"""Bytes of a template ([arm])."""

WATCHLIST = int(3.8 * 1024 * 1024)
"""Bytes of a watchlist that is sent as text ([limits])."""

WATCHLIST_LINE = 10_240
"""Characters of a line of it; a row holds as many bytes ([limits])."""

COLUMNS = 500
"""Columns of a table ([logs])."""

_STEM = re.compile(r"[a-z0-9_]+")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def named(stem: str, title: str, description: str) -> None:
    """Refuse a rule whose words Sentinel does not take.

    Raises:
        NotAllowed: the stem; a title or description that is too long, has characters that no one sees, or ``{{``,
            which Sentinel reads as a column's name.
    """
    if not _STEM.fullmatch(stem):
        raise NotAllowed(f"the rule {stem!r} is named by other characters than a-z, 0-9 and _; rename its file")
    for what, text, most in (("title", title, NAME), ("description", description, DESCRIPTION)):
        if len(text.encode()) > most:
            size = len(text.encode())
            raise NotAllowed(f"the {what} of {stem} has {size} bytes and Sentinel takes {most}; shorten it")
        if unseen := _UNSEEN.search(text):
            raise NotAllowed(f"the {what} of {stem} holds the character {unseen[0]!r}; take it out")
        if "{{" in text:
            raise NotAllowed(f"the {what} of {stem} holds '{{{{', which Sentinel reads as a column; take it out")
    if not title.strip():
        raise NotAllowed(f"the rule {stem} has no title; Sentinel needs a name")


def scheduled(stem: str, every_sec: int, period_sec: int) -> None:
    """Refuse a schedule that Sentinel does not take.

    Raises:
        NotAllowed: beyond 14 days, or more often than it allows.
    """
    if period_sec > LONGEST_SEC:
        raise NotAllowed(f"{stem} has to look back {period_sec} s and Sentinel sees 14 days; shorten its timespan")
    wrong = not SHORTEST_SEC <= every_sec <= period_sec
    if wrong or (period_sec >= LONG_PERIOD_SEC and every_sec < LONG_FREQUENCY_SEC):
        raise NotAllowed(f"{stem} would run every {every_sec} s over {period_sec} s, which Sentinel does not take")


def formed(stem: str, properties: Mapping[str, Any]) -> None:
    """Refuse a rule whose other parts are too large.

    Raises:
        NotAllowed: query, entities, details or formats.
    """
    if len(properties["query"]) > QUERY:
        length = len(properties["query"])
        raise NotAllowed(f"the query of {stem} has {length} characters and Sentinel takes {QUERY}; split the rule")
    if re.search(r"\b(search|union)\s+\*", properties["query"]):
        raise NotAllowed(f"the query of {stem} holds 'search *' or 'union *', which Sentinel does not take")
    mappings, details = properties["entityMappings"], properties["customDetails"]
    formats = properties["alertDetailsOverride"].values()
    if (
        len(mappings) > ENTITIES
        or any(len(one["fieldMappings"]) > IDENTIFIERS for one in mappings)
        or len(details) > DETAILS
        or any(len(name) > DETAIL_NAME for name in details)
        or any(text.count("{{") > PLACEHOLDERS for text in formats)
    ):
        raise NotAllowed(f"{stem} maps more entities, details or columns than Sentinel takes")


def unique(titles: Sequence[str]) -> None:
    """Refuse two rules of one name: "The name must be unique to your workspace" ([rules]).

    Raises:
        NotAllowed: names the title.
    """
    seen: set[str] = set()
    for title in titles:
        if title.casefold() in seen:
            raise NotAllowed(f"two rules have the title {title!r} and Sentinel wants each name once; change one")
        seen.add(title.casefold())


def listed(name: str, csv: str) -> None:
    """Refuse a watchlist that is too large to be sent in a template.

    Raises:
        NotAllowed: names the table of the register.
    """
    if len(csv.encode()) > WATCHLIST:
        raise NotAllowed(f"the watchlist {name} has {len(csv.encode())} bytes and a template takes 3.8 MB; shorten it")
    for line in csv.splitlines():
        if len(line.encode()) > WATCHLIST_LINE:
            raise NotAllowed(f"a row of the watchlist {name} has {len(line.encode())} bytes and Sentinel takes 10,240")


def whole(rules: int, variables: int, template: str) -> None:
    """Refuse a template that Azure does not take.

    Raises:
        NotAllowed: too many rules or bytes.
    """
    if rules > RULES or variables > VARIABLES:
        most = min(RULES, VARIABLES - (variables - rules))
        raise NotAllowed(f"{rules} rules are more than the {most} that one template can hold; choose some with --rule")
    if len(template.encode()) > TEMPLATE:
        raise NotAllowed("the template is larger than 4 MB; choose some rules with --rule")
