"""The Lucene target: query strings for Kibana rules of type "custom query", where a rule reads no derived field."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from backends.correlation import Correlation
from backends.lucene.backend import LuceneQueries
from backends.target import Inexpressible, Target, Wanted, fields_read

if TYPE_CHECKING:
    from backends.vocabulary import Vocabulary

INDEX = "countersign-events"


def compiled(wanted: Wanted, events: Vocabulary, _chains: Vocabulary) -> str:
    """One query string, ready to paste.

    Raises:
        Inexpressible: one sentence that names rule, construct and the nearest that works.
    """
    judged = wanted.judged
    if isinstance(judged, Correlation):
        raise Inexpressible(f"rule {wanted.stem!r} correlates records; take its ES|QL query (-t elastic)")
    if wanted.of_chains:
        raise Inexpressible(f"rule {wanted.stem!r} judges chains; take its ES|QL query (-t elastic)")
    # a register may move user.* to user.effective.*, which only a view does
    computed = sorted(name for name in fields_read(judged) if name in events.derived or name.startswith(("user.",)))
    if computed:
        raise Inexpressible(
            f"rule {judged.title!r} reads {computed[0]}, which the event view computes; "
            "take its ES|QL query (-t elastic)"
        )
    return LuceneQueries(events).expression(judged) + "\n"


TARGET = Target(
    name="lucene",
    product="Elasticsearch and Kibana 8, rules of type custom query",
    language="Lucene query string",
    suffix=".lucene",
    comment=lambda text: "".join(f"// {line}".rstrip() + "\n" for line in text.splitlines()),
    change=MappingProxyType({".folded": "a sub-field with a lowercase normaliser, as the Elastic template has it"}),
    compile=compiled,
    views=MappingProxyType({}),
)
