"""A rule's query as Kibana runs it: which time bounds it, what a row is, and by what its alerts are grouped.

Kibana bounds the records by a filter of the request on the rule's time field, from the rule's ``from`` until now
("Create an ES|QL rule" and buildEsqlSearchRequest of the public repository, which also appends ``| limit n``).

- An event rule leaves the time to Kibana alone. So a late run, a run that fills a gap and a manual run over the past
  all see what they should. It looks back further than it runs often; a record that two runs see is one alert, whose
  id is made of the record's ``_id``, ``_index`` and ``_version``.
- A chain rule and a correlation say which moment a chain settles, or the last record comes, by ``NOW()``: the request's
  filter bounds only which records are read. ``from`` reaches back as far as the query does. They run a little more
  often than the hour that they look at, so a late run leaves no hole; suppression takes the alert that comes twice.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.elastic.correlate import key_columns
from backends.elastic.esql import columns, quoted, tokens
from backends.elastic.target import CHAIN_MINUTES, GRACE_MINUTES, HOP_MINUTES, LATE, LATE_MINUTES, MOST, compiled
from backends.package import NotAllowed
from backends.target import Wanted

if TYPE_CHECKING:
    from backends.package import Packed
    from backends.vocabulary import Vocabulary

OVERLAP_MINUTES = 15
"""How much further an event rule looks back than it runs often: Kibana's additional look-back time."""

EARLY_MINUTES = 5
"""How much more often than hourly the others run."""

MOST_GROUPED = 3
"""Fields that suppression groups by (AlertSuppressionGroupBy of Kibana's API specification, 8.19)."""

GROUP = "countersign.group"
"""One text of the values of more fields than that, or of what stands for the chain of a record."""

JOINING = ("chain.prompt.id", "trace.id", "transaction.id")
"""Ids that the records of one chain share, the one that says most first."""

_BOUND = re.compile(r"(?m)^\| WHERE @timestamp [^\n]*NOW\(\)[^\n]*\n")
_KEPT = re.compile(r"(?m)^\| KEEP ([^\n]*)\n\| LIMIT \d+\n\Z")
_HEAD = re.compile(r"\AFROM [^\n]*\n")
_MARK = re.compile(r"(?m)^// countersign (?P<stem>\w+) (?P<version>\d+) (?P<digest>[0-9a-f]{16})\n")


def query(rule: Packed, events: Vocabulary, chains: Vocabulary) -> str:
    """The query, with a second line that names it and holds a digest of the rest: an edit shows.

    Raises:
        NotAllowed: the compiled query has another form than is known.
    """
    if isinstance(rule.judged, Correlation):
        text = _by_key(rule.query, key_columns(rule.judged))
    else:
        text = _grouped(rule, _showing(rule, events, chains))
        if rule.service == "event":
            text, found = _BOUND.subn("", text)
            if found != 1:
                raise NotAllowed(f"the query of {rule.stem} bounds the time {found} times, and once is expected")
    return _HEAD.sub(lambda head: head[0] + mark(rule, text), text, count=1)


def _showing(rule: Packed, events: Vocabulary, chains: Vocabulary) -> str:
    """The compiled query with all that an analyst wants to see first: the row is what a chain's alert holds."""
    if rule.judged is None:
        return rule.query
    return compiled(Wanted(rule.stem, rule.judged, (*rule.group_by, *rule.fields), rule.period_sec), events, chains)


def _by_key(text: str, keys: list[str]) -> str:
    """One row a key, with the records at which the correlation was complete."""
    by = f" BY {', '.join(map(quoted, keys))}" if keys else ""
    ends = (("since", "MIN"), ("until", "MAX"))
    times = ", ".join(f"countersign.{name} = TO_DATE_NANOS({most}(cs_fired) * 1000)" for name, most in ends)
    text = re.sub(r"\| LIMIT \d+\n\Z", "", text)
    text += f"| STATS countersign.records = VALUES(_id), {times}{by}\n"
    return text + f"| WHERE countersign.until IS NOT NULL\n| LIMIT {MOST}\n"


def mark(rule: Packed, text: str) -> str:
    """The comment that says which query it is; an upgrade sees by it whether somebody changed the query."""
    words = " ".join(text.split())  # an editor may trim lines
    return f"// countersign {rule.stem} {rule.version} {hashlib.sha256(words.encode()).hexdigest()[:16]}\n"


def _grouped(rule: Packed, text: str) -> str:
    """With one column for all that groups, where that is more than suppression takes or is not known of a record."""
    if not _made(rule):
        return text
    parts = ', " | ", '.join(f'COALESCE({_said(rule, name)}, "-")' for name in rule.group_by)
    group = f"CONCAT({parts})" if len(rule.group_by) > 1 else parts
    made, found = _KEPT.subn(
        lambda kept: f"| EVAL {GROUP} = {group}\n| KEEP {kept[1]}, {GROUP}\n| LIMIT {MOST}\n", text
    )
    if found != 1:
        raise NotAllowed(f"the query of {rule.stem} does not end with the columns that it shows")
    return made


def _made(rule: Packed) -> bool:
    late = rule.service == "event" and bool(LATE & set(rule.group_by))
    return late or len(rule.group_by) > MOST_GROUPED


def _said(rule: Packed, name: str) -> str:
    """A value in words. Which chain a record belongs to is not known of it alone: ids that join it stand for that."""
    if rule.service == "event" and name in LATE:
        return f"COALESCE({', '.join(f'CASE({key} != {chr(34)}{chr(34)}, {key})' for key in JOINING)}, _id)"
    return f"TO_STRING({quoted(name)})"


def grouping(rule: Packed) -> list[str]:
    """Columns of a row by which alerts are suppressed; none where a correlation has no key."""
    if isinstance(rule.judged, Correlation):
        return key_columns(rule.judged)[:MOST_GROUPED]
    return [GROUP] if _made(rule) else list(rule.group_by)


def schedule(rule: Packed) -> tuple[int, int]:
    """Minutes between runs, and minutes that a run looks back."""
    if rule.service == "chain":
        return HOP_MINUTES - EARLY_MINUTES, CHAIN_MINUTES + HOP_MINUTES + GRACE_MINUTES
    if isinstance(rule.judged, Correlation):
        reach = -(-rule.window_sec // 60)
        return HOP_MINUTES - EARLY_MINUTES, HOP_MINUTES + LATE_MINUTES + reach + EARLY_MINUTES
    return HOP_MINUTES, HOP_MINUTES + OVERLAP_MINUTES


def sent(text: str, events: Vocabulary) -> list[str]:
    """Fields of the records that a query reads, as they were sent."""
    return sorted(columns(tokens(text)) & set(events.raw))
