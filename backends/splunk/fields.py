# ruff: noqa: E501 - SPL in one line reads better than SPL in pieces
"""The first part of the event view, made from the vocabulary: what is absent or refused, what type a field has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backends.vocabulary import Vocabulary

ARGUMENTS = "gen_ai.tool.call.arguments"
"""The one field whose value may be an object: it is kept as JSON text."""


def fields_spl(vocabulary: Vocabulary) -> str:
    """Text of ``views/fields.spl``."""
    raw = list(vocabulary.raw.values())
    single = [f.name for f in raw if not f.array and f.name != ARGUMENTS]
    inside = [f'"{f.name}.*"' for f in raw if f.name != ARGUMENTS] + [
        f'"{f.name}{{*"' for f in raw if f.name != ARGUMENTS
    ]
    inside += [f'"{name}"' for name in sorted(vocabulary.namespaces)]
    inside += [f'"{name}{{*"' for name in sorted(vocabulary.namespaces)]
    derived = list(vocabulary.derived)
    booleans = [f.name for f in raw if f.kind == "boolean"]
    numbers = [f.name for f in raw if f.kind == "number"]
    integers = [f.name for f in raw if f.kind == "integer"]
    outer = [name for name in sorted(vocabulary.namespaces) if "." not in name]
    return f"""``` Made from schemas/event.schema.json. Reads what KV_MODE=json extracts: dots between keys, name{{}} for the items of an array.
    What a log claims to have derived is taken away; null (which Splunk gives as a text), "" and [] are absent; a record whose known
    field holds what it can't is refused: to see these, search for isnotnull(cs_wrong) here instead. ```
fields - {_listed(derived)}
``` what Splunk itself, or an alias of the Common Information Model, calls source, user or url is none of the record's own ```
| foreach {_listed(outer)} [eval "<<FIELD>>"=if(match(json_extract_exact(_raw,"<<FIELD>>"),"^(?!null\\z)[^\\[{{]"),'<<FIELD>>',null())]
| rename "*{{}}" AS "*"
| foreach * [eval "<<FIELD>>"=mvfilter('<<FIELD>>'!="" AND '<<FIELD>>'!="null")]
``` an object or many values where one belongs, one value where an object belongs ```
| foreach {_listed(single)} [eval cs_wrong=mvappend(cs_wrong,if(mvcount('<<FIELD>>')>1,"<<FIELD>>",null()))]
| foreach {_listed(inside)} [eval cs_wrong=mvappend(cs_wrong,if(isnotnull('<<FIELD>>'),"<<FIELD>>",null()))]
| where isnull(cs_wrong)
| foreach {_listed(booleans)} [eval "<<FIELD>>"=lower('<<FIELD>>'), cs_wrong=mvappend(cs_wrong,if(isnull('<<FIELD>>') OR match('<<FIELD>>',"^(true|false)\\z"),null(),"<<FIELD>>"))]
| foreach {_listed(numbers)} [eval cs_wrong=mvappend(cs_wrong,if(isnull('<<FIELD>>') OR isnotnull(tonumber('<<FIELD>>')),null(),"<<FIELD>>")), "<<FIELD>>"=tonumber('<<FIELD>>')]
| foreach {_listed(integers)} [eval cs_wrong=mvappend(cs_wrong,if(isnull('<<FIELD>>') OR floor(tonumber('<<FIELD>>'))=tonumber('<<FIELD>>'),null(),"<<FIELD>>")), "<<FIELD>>"=tonumber('<<FIELD>>')]
| `countersign_us('@timestamp',cs_ts)`
| `countersign_us('oauth.token.issued_at',cs_issued)`
| `countersign_us('oauth.token.expires_at',cs_expires)`
| eval cs_wrong=mvappend(cs_wrong,if(isnull(cs_ts),"@timestamp",null()),if(isnotnull('oauth.token.issued_at') AND isnull(cs_issued),"oauth.token.issued_at",null()),if(isnotnull('oauth.token.expires_at') AND isnull(cs_expires),"oauth.token.expires_at",null()))
| where isnull(cs_wrong)
``` arguments may be an object, which is kept as its text ```
| eval "{ARGUMENTS}"=coalesce(json_extract(_raw,"{ARGUMENTS}"),json_extract_exact(_raw,"{ARGUMENTS}")), "{ARGUMENTS}"=if('{ARGUMENTS}'="null" OR '{ARGUMENTS}'="[]" OR '{ARGUMENTS}'="","",'{ARGUMENTS}'), "{ARGUMENTS}"=mvfilter('{ARGUMENTS}'!="")
"""


def _listed(names: Iterable[str]) -> str:
    return " ".join(names)
