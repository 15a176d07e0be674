"""Why a chain rule does not fire on the chain of a record, and which one field of its records would turn it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.flip import proposals
from harness.isolation import APART, moved, own_keys
from harness.masking import masked
from harness.terms import by_name, met, unmet
from harness.why_not import AROUND_IT, TRIED_AGAIN, ChainSeen, Inquiry, raw

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from harness.flip import Change
    from harness.given_record import Given
    from harness.terms import Told
    from harness.why_not import Asking, Flip, Record, Verdict

MEMBERS = 12
"""Records of a chain whose fields are changed, those nearest to the record first."""

PROPOSALS = 160
"""Changes that are tried, over all these records; each needs a copy of the chain."""

LONGEST = 60
"""Records of a chain beyond which no change is looked for: each needs a copy of all of them."""


def of_chain(inquiry: Inquiry, given: Given) -> Asking:
    """Why a chain rule does not fire on the chain of the given record, judged in its surroundings."""
    verdict = yield list(given.lines)
    target = given.target
    facts = verdict.events[target]
    if facts is None:
        return inquiry.answer(rejected=verdict.reason(target))
    chain = chain_of(verdict, target)
    if chain is None:
        return inquiry.answer(stage=facts.get("chain.stage"), notes=["the record belongs to no chain"])
    seen = chain_seen(chain, given)
    said = {"stage": facts.get("chain.stage"), "chain": seen, "notes": [] if given.whole else [AROUND_IT]}
    if target in verdict.hits:
        return inquiry.answer(fires=True, **said)
    told = unmet(by_name(inquiry.rule.parts[0]), chain)
    flip, tried = yield from turned_chain(inquiry, given, chain, told, to_fire=True)
    return inquiry.answer(lacks=inquiry.lacks(told, chain), flip=flip, tried=tried, **said)


def chain_of(verdict: Verdict, target: int) -> Mapping[str, Any] | None:
    """The chain that a record belongs to."""
    return next((chain for chain in verdict.chains if target in chain["countersign.members"]), None)


def chain_seen(chain: Mapping[str, Any], given: Given) -> ChainSeen:
    """A chain as it is told."""
    places = tuple(str(given.places[at]) for at in chain["countersign.members"])
    return ChainSeen(masked(str(chain["chain.id"])), chain.get("chain.id_source"), places)


def why_it_fires(inquiry: Inquiry, chain: Mapping[str, Any]) -> Sequence[Told]:
    """What made a chain rule fire."""
    return met(by_name(inquiry.rule.parts[0]), chain)


def turned_chain(
    inquiry: Inquiry, given: Given, chain: Mapping[str, Any], told: Sequence[Told], *, to_fire: bool
) -> Generator[Sequence[Record], Verdict, tuple[Flip | None, int]]:
    """The first change of one field of one record that turns a chain rule's verdict, and how many were tried.

    Copies of the chain, each with one change and keys of its own, are judged together to find the likely ones; what is
    told has then been judged in the chain's own surroundings.
    """
    members = list(chain["countersign.members"])
    if len(members) > LONGEST:
        return None, 0
    flat = {at: raw(given.lines[at], inquiry.vocabulary) for at in members}
    near = sorted(members, key=lambda at: (abs(at - given.target), at))[:MEMBERS]
    proposed = {}
    for at in near:
        others = [flat[other] for other in near if other != at] if to_fire else []
        stage = flat[at].get("chain.stage")
        proposed[at] = proposals(flat[at], told, inquiry.lessons, to_fire=to_fire, stage=stage, others=others)
    changes = _in_turns(proposed)[:PROPOSALS]
    if not changes:
        return None, 0
    copies: list[dict[str, Any]] = []
    for number, (place, change) in enumerate(changes):
        records = [change.of(flat[at]) if at == place else flat[at] for at in members]
        copies += moved(own_keys(records, f"w{number}"), APART * number, inquiry.vocabulary)
    among = yield copies
    size = len(members)
    good = []
    for number, (place, change) in enumerate(changes):
        at = number * size + members.index(place)
        fires = any(each in among.hits for each in range(number * size, (number + 1) * size))
        if among.events[at] is not None and fires is to_fire:
            good.append((place, change))
    for place, change in good[:TRIED_AGAIN]:
        within: list[Record] = list(given.lines)
        within[place] = change.of(flat[place])
        verdict = yield within
        fires = any(at in verdict.hits for at in members)
        if verdict.events[place] is not None and fires is to_fire:
            return inquiry.flip(change, flat[place], str(given.places[place])), len(changes)
    return None, len(changes)


def _in_turns(changes: Mapping[int, Sequence[Change]]) -> list[tuple[int, Change]]:
    """The likeliest of each record first, then the next of each."""
    longest = max((len(some) for some in changes.values()), default=0)
    return [(at, some[turn]) for turn in range(longest) for at, some in changes.items() if turn < len(some)]
