"""A rule as a monitor of the Alerting plugin, with the admin's exceptions read from an index when it runs.

Sources: "Per query monitors" and "Alerting API" of the OpenSearch 2.19 and 3 documentation; "Terms lookup" of its query
DSL. The body is the compiled monitor; added is one ``must_not`` for each field of the rule's grouping, which takes
its values from the document ``countersign-exceptions/<rule>``. Where there is no such document, nothing is excepted.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from backends.opensearch.target import LATE, REQUEST
from backends.package import NotAllowed

if TYPE_CHECKING:
    from backends.package import Packed
    from backends.vocabulary import Vocabulary

EXCEPTIONS = "countersign-exceptions"

ALL = "all_rules"
"""The document whose values every rule leaves out."""

_STEM = re.compile(r"[a-z0-9_]+")
_RUN = "{{period_end}}"


def monitor(rule: Packed, events: Vocabulary) -> dict[str, Any]:
    """The body of ``POST _plugins/_alerting/monitors``.

    Raises:
        NotAllowed: a name that Alerting does not take, or ``{{`` in a value, which it would fill in.
    """
    if not _STEM.fullmatch(rule.stem):
        raise NotAllowed(f"the rule {rule.stem!r} is named by other characters than a-z, 0-9 and _; rename its file")
    made: dict[str, Any] = json.loads(rule.query.removeprefix(REQUEST))
    body = made["inputs"][0]["search"]["query"]
    if "{{" in json.dumps(body, ensure_ascii=False).replace(_RUN, ""):
        raise NotAllowed(
            f"the rule {rule.stem} looks for a text with '{{{{', which Alerting would fill in; take it out"
        )
    body["query"]["bool"]["must_not"] = [
        {"terms": {name: {"index": EXCEPTIONS, "id": document, "path": name}}}
        for name in excepting(rule, events)
        for document in (rule.stem, ALL)
    ]
    return made


def excepting(rule: Packed, events: Vocabulary) -> list[str]:
    """Fields by which the rule's hits can be excepted: those that group them and that a record has."""
    texts = {name for name, field in events.fields.items() if field.kind == "keyword"} - LATE
    return [name for name in rule.group_by if name in texts]


def exceptions_index() -> dict[str, Any]:
    """The index of exceptions: only its documents' sources are read."""
    return {"settings": {"index": {"number_of_shards": 1}}, "mappings": {"dynamic": False}}
