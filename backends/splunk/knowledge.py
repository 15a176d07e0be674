"""What the searches stand on: macros, lookups, the sourcetype, and its fields in Splunk's Common Information Model."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from typing import TYPE_CHECKING

from backends.package import NotAllowed
from backends.splunk.register import COLUMNS, lookups
from backends.splunk.target import macros, views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from backends.package import Content
    from backends.splunk.conf import Stanzas
    from backends.vocabulary import Vocabulary

SOURCETYPE = "countersign:event"
"""Of a record in the form of the schema, one JSON object an event."""

SAID: Mapping[str, str] = {
    "countersign_index": "Where your records are. Change it in local/macros.conf; it must name an index.",
    "countersign_findings": "Where findings are kept: the index of action.summary_index._name.",
    "countersign_events": "The event view: every derived fact beside the fields that the source sent.",
    "countersign_chains": "The chain view: one row a chain. Reads the event view.",
    "countersign_evidence": "What only an emitter's records together say: a number is missing, a hash chain is broken.",
    "countersign_settled_us": "A chain that ended before this moment is complete.",
}

RULE_COLUMNS = ("stem", "title", "level", "kind", "chapter", "service", "version", "stages", "needs_register")
SEES_COLUMNS = ("rule", "dataset", "sees")

LIVING = {
    "user": "coalesce('user.email','user.id','user.name','user.effective.name','user.effective.id')",
    "src": "'source.ip'",
    "dest": "coalesce('service.target.name','mcp.server.name','server.address')",
    "app": "coalesce('gen_ai.agent.name','gen_ai.agent.id','oauth.client.name','oauth.client.id')",
    "object": "coalesce('gen_ai.tool.name','chain.resource.id','mcp.resource.uri')",
    "action": 'case(lower(\'event.outcome\')="success","success",lower(\'event.outcome\')="failure","failure")',
    "signature": "'event.action'",
    "vendor_product": "coalesce('observer.product','event.provider',\"countersign\")",
}
"""Fields of the Common Information Model that several of ours say; the first that a record has."""

TAGS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "countersign_token": ("chain.stage=token", ("authentication",)),
    "countersign_change": ("(chain.stage=change OR chain.stage=consent)", ("change",)),
    "countersign_access": ("chain.stage=access", ("data", "access")),
}
"""Event type → the records it takes, and the tags by which data models find them."""


def macro_stanzas(more: Mapping[str, str]) -> Stanzas:
    """Stanzas of ``macros.conf``: the views' own, and ``more`` by name.

    Raises:
        NotAllowed: a rule's macro has the name of a view's.
    """
    found: Stanzas = {}
    every = {name: (said, arguments) for name, (said, arguments) in macros(views()).items()}
    every["countersign_findings"] = ('index=summary source="Countersign - *"', ())
    if twice := sorted(set(every) & set(more)):
        raise NotAllowed(f"the macro {twice[0]!r} is one of the views'; rename the rule")
    every |= {name: (said, ()) for name, said in more.items()}
    for name, (said, arguments) in every.items():
        settings = {"args": ", ".join(arguments)} if arguments else {}
        settings["definition"] = definition(said)
        if about := SAID.get(name):
            settings["description"] = about
        settings["iseval"] = "0"
        found[f"{name}({len(arguments)})" if arguments else name] = settings
    return found


def definition(said: str) -> str:
    """A view's text as a macro: without comments, one command a line."""
    bare = re.sub(r"```.*?```", "", said, flags=re.DOTALL)
    return "\n".join(line.strip() for line in bare.splitlines() if line.strip())


def tables(content: Content) -> dict[str, tuple[tuple[str, ...], list[dict[str, str]]]]:
    """Every lookup: name → its columns and rows; the register's, and what the pack knows of itself."""
    made = lookups(content.register, content.never, content.client_ids)
    found: dict[str, tuple[tuple[str, ...], list[dict[str, str]]]] = {
        name: (COLUMNS[name], rows) for name, rows in made.items()
    }
    found["countersign_rules"] = (RULE_COLUMNS, list(_rules(content)))
    found["countersign_sees"] = (
        SEES_COLUMNS,
        [
            {"rule": stem, "dataset": source, "sees": word}
            for (stem, source), word in sorted(content.blind.items())
            if any(rule.stem == stem for rule in content.rules)
        ],
    )
    return found


def _rules(content: Content) -> Iterator[dict[str, str]]:
    for rule in content.rules:
        yield {
            **{key: str(getattr(rule, key)) for key in RULE_COLUMNS[:7]},
            "stages": " ".join(rule.stages),
            "needs_register": " ".join(rule.needs_register),
        }


def lookup_files(content: Content) -> tuple[dict[str, str], Stanzas]:
    """The CSV files by their paths, and the stanzas of ``transforms.conf`` that name them.

    A file bears the hash of what it holds, and is never changed: an upgrade brings its own beside it, on a search head
    cluster too, which keeps a lookup file whose name it knows (app.conf, ``deployer_lookups_push_mode``). A team's own
    file is named in ``local/transforms.conf``, which an upgrade leaves alone.
    """
    files, stanzas = {}, {}
    for name, (columns, rows) in tables(content).items():
        text = comma_separated(columns, rows)
        path = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}.csv"
        files[f"lookups/{path}"] = text
        stanzas[name] = {"filename": path, "case_sensitive_match": "true", "max_matches": "1"}
    return files, stanzas


def comma_separated(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """RFC 4180, with the line ends that Splunk writes."""
    out = io.StringIO()
    table = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="raise")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def props(events: Vocabulary) -> Stanzas:
    """Stanzas of ``props.conf``: how a record is cut, dated and read, and its names in the Common Information Model."""
    settings = {
        "SHOULD_LINEMERGE": "false",
        "LINE_BREAKER": r"([\r\n]+)",
        "EVENT_BREAKER_ENABLE": "true",
        "EVENT_BREAKER": r"([\r\n]+)",
        "TRUNCATE": "1000000",
        "CHARSET": "UTF-8",
        "TIME_PREFIX": r'"@timestamp"\s*:\s*"?',
        "MAX_TIMESTAMP_LOOKAHEAD": "40",
        "TZ": "UTC",
        "KV_MODE": "json",
        "AUTO_KV_JSON": "true",
        "category": "Application",
        "description": "One record of an MCP or agent authorisation log, in the form of countersign's schema",
        "pulldown_type": "true",
    }
    settings |= {f"FIELDALIAS-countersign_{new}": f"{old} ASNEW {new}" for old, new in renamed(events)}
    settings |= {f"EVAL-{name}": said for name, said in LIVING.items()}
    return {SOURCETYPE: settings}


def renamed(events: Vocabulary) -> Iterator[tuple[str, str]]:
    """Fields of a record that bear another name in the Common Information Model: (ours, theirs), each of theirs once.

    ``ASNEW`` leaves a field alone that has the new name already. The names of our objects (``url`` is one, and a field
    there) are left to the data models' own users: they say ``url.full``.
    """
    taken = {*LIVING, *events.fields, *events.namespaces, "_time", "host", "source", "sourcetype", "index"}
    for field in events.raw.values():
        if field.cim and field.cim not in taken and not field.array and not field.sensitive:
            taken.add(field.cim)
            yield field.name, field.cim


def event_types() -> tuple[Stanzas, Stanzas]:
    """``eventtypes.conf`` and ``tags.conf``: how data models find the records, and findings."""
    types = {"countersign_event": {"search": f'sourcetype="{SOURCETYPE}"'}}
    tags = {}
    for name, (condition, words) in TAGS.items():
        types[name] = {"search": f'sourcetype="{SOURCETYPE}" {condition}'}
        tags[f"eventtype={name}"] = dict.fromkeys(words, "enabled")
    types["countersign_finding"] = {"search": 'sourcetype=stash source="Countersign - *"'}
    tags["eventtype=countersign_finding"] = {"alert": "enabled"}
    return types, tags
