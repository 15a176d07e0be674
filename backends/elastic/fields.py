"""The first part of the event view, made from the vocabulary: what is absent, and the times that facts compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.vocabulary import Field, Vocabulary

ARGUMENTS = "gen_ai.tool.call.arguments"
"""The one field whose value may be an object: it is kept as JSON text."""


def normalising(vocabulary: Vocabulary) -> str:
    """ES|QL commands: assignments a field, so that a rule's query holds only those that it reads.

    A value of another type than text can't be "": the ingest pipeline has taken it away.
    """
    texts = [field for field in vocabulary.raw.values() if field.kind == "keyword"]
    made = ",\n".join(f"    {line}" for field in texts for line in _present(field))
    return f"""\
// Made from schemas/event.schema.json by backends/elastic/fields.py. Absent is null, "", and a list of nothing else; a
// list loses its items "". Elasticsearch gives the items of a list sorted, each once, so "" is the first.
| EVAL
{made}
// Times in microseconds since 1970, UTC.
| EVAL
    cs_us = TO_LONG(@timestamp) / 1000,
    cs_issued_us = TO_LONG(oauth.token.issued_at) / 1000,
    cs_expires_us = TO_LONG(oauth.token.expires_at) / 1000,
    cs_stage = TO_LOWER(chain.stage)
"""


def _present(field: Field) -> Iterator[str]:
    name = field.name
    if field.array:  # in two steps: CASE is slow with anything but columns for values
        yield f"cs_rest.{name} = MV_SLICE({name}, 1, MV_COUNT({name}))"
        yield f'{name} = CASE(MV_MIN({name}) == "", cs_rest.{name}, {name})'
    elif name == ARGUMENTS:  # an empty list and the text of one are told apart no more
        yield f'{name} = CASE({name} != "" AND {name} != "[]", {name})'
    else:
        yield f'{name} = CASE({name} != "", {name})'
