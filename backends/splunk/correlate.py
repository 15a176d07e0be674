"""Correlations in SPL: windows that slide exactly, made of sums over sorted rows.

`streamstats time_window` is not used: it holds at most max_stream_window (10,000) events, and whether an event that is
exactly as old as the window counts is not documented. `bin _time`, as the stock backend has it, misses two records on
the two sides of an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.correlation import ORDERED
from backends.splunk.backend import quoted
from backends.target import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.correlation import Correlation

MAX_STREAM_WINDOW = 10_000
"""limits.conf, ``[stats] max_stream_window``: so many rows streamstats looks back at most."""


def correlated(correlation: Correlation, conditions: Sequence[str]) -> list[str]:
    """Commands that follow the event view and leave the records at which the correlation fires.

    Args:
        correlation: what must come together.
        conditions: each step's condition.

    Raises:
        Inexpressible: more records are counted than Splunk looks back.
    """
    if correlation.kind == "event_count" and correlation.least > MAX_STREAM_WINDOW:
        raise Inexpressible(
            f"rule {correlation.rule.title!r}: an event_count of {correlation.least} is more than Splunk looks back "
            f"({MAX_STREAM_WINDOW:,}); count fewer, or raise max_stream_window"
        )
    keys = [f"cs_key{number}" for number in range(max(1, len(correlation.steps[0].key)))]
    by = " ".join(keys)
    rest = {"event_count": _counted, ORDERED: _ordered}.get(correlation.kind, _distinct)
    return [*_steps(correlation, conditions, keys), *rest(correlation, by), "dedup cs_record"]


def _steps(correlation: Correlation, conditions: Sequence[str], keys: Sequence[str]) -> list[str]:
    """One row a record and step, with what it is grouped by and what is counted; without these it takes no part."""
    numbers = range(len(conditions))
    if len(conditions) == 1:
        commands = [f"where {conditions[0]}", 'eval cs_record=md5(_raw), cs_step="0"']
    else:
        commands = [
            "eval " + ", ".join(f"cs_fits{n}=if({condition},1,0)" for n, condition in enumerate(conditions)),
            "where " + " OR ".join(f"cs_fits{n}=1" for n in numbers),
            "eval cs_record=md5(_raw), cs_step=mvappend("
            + ",".join(f'if(cs_fits{n}=1,"{n}",null())' for n in numbers)
            + ")",
            "mvexpand cs_step",
        ]
    values = [step.value for step in correlation.steps]
    wanted = {
        key: [step.key[at] for step in correlation.steps] for at, key in enumerate(keys) if correlation.steps[0].key
    }
    if not wanted:
        wanted = {}
        commands.append(f'eval {keys[0]}="all"')
    if correlation.kind == "value_count":
        wanted["cs_value"] = [value or "" for value in values]
    if wanted:
        commands.append("eval " + ", ".join(f"{name}={_of_step(fields)}" for name, fields in wanted.items()))
        commands.append("where " + " AND ".join(f"isnotnull({name})" for name in wanted))
    if correlation.kind == "temporal":
        commands.append("eval cs_value=cs_step")
    # a record that was delivered twice is one
    return [*commands, f"dedup cs_record cs_step {' '.join(keys)}"]


def _of_step(fields: Sequence[str]) -> str:
    """Compared without letter case, as rules are."""
    if len(set(fields)) == 1:
        return f"lower({quoted(fields[0])})"
    return "case(" + ",".join(f"cs_step={number},lower({quoted(name)})" for number, name in enumerate(fields)) + ")"


def _counted(correlation: Correlation, by: str) -> list[str]:
    """The n-th record back is near enough. Records of one instant all see each other."""
    return [
        f"dedup cs_record {by}",
        "sort 0 num(cs_ts)",
        f"streamstats window={correlation.least} global=f first(cs_ts) AS cs_begun count AS cs_seen BY {by}",
        f"eval cs_fires=if(cs_seen={correlation.least} AND cs_ts-cs_begun<={correlation.window_us},1,0)",
        f"eventstats max(cs_fires) AS cs_fires BY cs_ts {by}",
        "where cs_fires=1",
    ]


def _distinct(correlation: Correlation, by: str) -> list[str]:
    """A value counts from when it is seen until one window later or when it is seen again: how many at once?"""
    window = correlation.window_us
    return [
        "sort 0 num(cs_ts)",
        f"streamstats current=f window=1 global=f last(cs_ts) AS cs_before BY {by} cs_value",
        "sort 0 -num(cs_ts)",
        f"streamstats current=f window=1 global=f last(cs_ts) AS cs_after BY {by} cs_value",
        f'eval cs_edge=mvappend("0",if(isnull(cs_after) OR cs_after-cs_ts>{window},"1",null()))',
        "mvexpand cs_edge",
        f"eval cs_at=if(cs_edge=0,cs_ts,cs_ts+{window})",
        f"eval cs_more=case(cs_edge=1,-1,isnull(cs_before) OR cs_ts-cs_before>{window},1,isnotnull(cs_ts),0)",
        "sort 0 num(cs_at) num(cs_edge)",
        f"streamstats sum(cs_more) AS cs_held BY {by}",
        "where cs_edge=0",
        f"eventstats max(cs_held) AS cs_held BY cs_ts {by}",
        f"where cs_held>={correlation.least}",
    ]


def _ordered(correlation: Correlation, by: str) -> list[str]:
    """Each record of a step learns the latest begin of what leads up to it; the last fires if that is near enough."""
    commands = ["sort 0 num(cs_ts)", "eval cs_begun=if(cs_step=0,cs_ts,null())"]
    for step in range(1, len(correlation.steps)):
        commands += [
            "fields - cs_lead cs_earlier cs_top cs_mine cs_tops cs_second" if step > 1 else "",
            f"eval cs_lead=if(cs_step={step - 1},cs_begun,null())",
            # strictly before: of the rows of one instant the first has seen nothing of it yet
            f"streamstats current=f max(cs_lead) AS cs_earlier BY {by}",
            "eval cs_earlier=coalesce(cs_earlier,-1)",
            f"eventstats min(cs_earlier) AS cs_earlier max(cs_lead) AS cs_top BY cs_ts {by}",
            # of the same instant: the best that is not this very record
            f"eventstats max(cs_lead) AS cs_mine BY cs_ts cs_record {by}",
            "eval cs_leader=if(cs_lead=cs_top,cs_record,null()), cs_follower=if(cs_lead<cs_top,cs_lead,null())",
            f"eventstats dc(cs_leader) AS cs_tops max(cs_follower) AS cs_second BY cs_ts {by}",
            "eval cs_best=max(cs_earlier,coalesce(if(cs_mine=cs_top AND cs_tops=1,cs_second,cs_top),-1))",
            f"eval cs_begun=if(cs_step={step},if(cs_best>=0,cs_best,null()),cs_begun)",
        ]
    commands.append(
        f"where cs_step={len(correlation.steps) - 1} AND cs_ts-cs_begun<={correlation.window_us}",
    )
    return [command for command in commands if command]
