"""The field reference: what the schemas declare, as a page to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backends.vocabulary import Field, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.paths import Root

CONCEPTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "The record": (
        "When it was written, by what, and how it ended.",
        ("@timestamp", "event", "observer", "organization", "error"),
    ),
    "Chain and correlation": (
        "Where on the way the record was made, and what joins it to others.",
        ("chain", "trace", "span", "transaction", "http.request.id", "gen_ai.conversation", "jsonrpc"),
    ),
    "Prompt and response": ("What was asked and answered, by reference.", ("chain.prompt", "chain.response")),
    "Person and identity": ("Who acts, and as whom.", ("user", "chain.actor")),
    "Agent and model": (
        "The AI agent. ECS agent.* is the log collector and is not used.",
        ("gen_ai.agent", "gen_ai.provider", "gen_ai.request", "chain.agent", "mcp.client"),
    ),
    "Delegation and grant": (
        "In whose name a token was asked for, and what proved it.",
        ("oauth", "oauth.delegation", "oauth.act", "oauth.may_act", "oauth.assertion"),
    ),
    "OAuth client": (
        "The client, and how its authorization request was protected.",
        (
            "oauth.client",
            "oauth.redirect_uri",
            "oauth.redirect_uri_match",
            "oauth.pkce",
            "oauth.state",
            "oauth.response_iss",
            "oauth.issuer",
        ),
    ),
    "Token": ("The token; the token itself is never logged.", ("oauth.token", "oauth.resource", "oauth.challenge")),
    "Scope and consent": ("What the token may do, and who agreed.", ("oauth.scope", "oauth.consent")),
    "Tool and call": (
        "What was called, with what, and what was decided about it.",
        (
            "gen_ai.tool",
            "mcp.tool",
            "mcp.method",
            "mcp.resource",
            "mcp.task",
            "mcp.elicitation",
            "chain.tools",
            "chain.cancelled",
        ),
    ),
    "MCP server": (
        "Where the call went, and whether that server was approved.",
        ("mcp.server", "mcp.protocol", "mcp.header", "mcp.origin", "tls", "process"),
    ),
    "Downstream system": (
        "What was reached and what was done to it.",
        ("service", "chain.resource", "chain.operation"),
    ),
    "Settings": (
        "Changes of what is logged and of what is asked about.",
        ("chain.permission_mode", "chain.setting"),
    ),
    "Network": (
        "Where the call came from and how it was carried.",
        ("source", "destination", "network", "server", "http", "url", "user_agent", "cloud", "chain.via_proxy"),
    ),
}
"""Concept → what it is about, and the names and namespaces that belong to it; the longest name that fits decides."""

_KINDS = {"keyword": "text", "number": "number", "integer": "whole number", "boolean": "boolean", "time": "time"}


def field_reference(root: Root) -> str:
    """The page ``schemas/README.md``, without the line that says how it was made."""
    event = json.loads(root.event_schema.read_text(encoding="utf-8"))
    chain = json.loads(root.chain_schema.read_text(encoding="utf-8"))
    register = json.loads((root.schemas / "register.schema.json").read_text(encoding="utf-8"))
    parts = [_introduction(event, chain), *_fields(event), *_chain(chain), *_register(register)]
    return "\n".join(parts).rstrip() + "\n"


def _introduction(event: Mapping[str, Any], chain: Mapping[str, Any]) -> str:
    fields, facts = Vocabulary.of(event), Vocabulary.of(chain)
    groups = "\n".join(f"- [{title}](#{_anchor(title)})" for title in _groups(event))
    return f"""# Fields

{event["description"]}

The schemas in this folder are the source of this page: `event.schema.json` declares {len(fields.raw)} fields that a
source may send and {len(fields.derived)} that are computed, `chain.schema.json` the {len(facts.fields)} fields of a
chain record, `register.schema.json` the tables that a team keeps. `countersign validate` checks a log against the
first, `countersign validate --register` a folder against the last.

How to read the tables: **text[]** is a list of text. *Derived* fields are computed from the record and the register;
one that arrives in a log is overwritten, counted and reported. *Sensitive* fields may hold personal data or content and
are masked in every output. **Stages** names the stages whose records must (bold) or may carry the field. **OCSF** (1.6)
and **CIM** (6) name the counterpart there; a dash means that there is none.

## Events

{groups}

Then [chain records](#chain-records) and [the register](#the-register).
"""


def _fields(event: Mapping[str, Any]) -> Iterator[str]:
    stages = Vocabulary.of(event).stages
    for title, (about, fields) in _groups(event).items():
        yield f"### {title}\n\n{about}\n"
        yield "| field | type | meaning | stages | name from | OCSF | CIM |\n|---|---|---|---|---|---|---|"
        for field in fields:
            cells = (
                f'<a id="{field.name}"></a>`{field.name}`',
                _type(field),
                _meaning(field),
                _stages(field, stages),
                _source(field),
                _code(field.ocsf),
                _code(field.cim),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""


def _chain(chain: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Chain records\n\n{chain['description']}\n"
    yield "| field | type | meaning |\n|---|---|---|"
    for field in Vocabulary.of(chain).fields.values():
        name = f'<a id="chain-record-{field.name}"></a>`{field.name}`'
        yield f"| {name} | {_type(field)} | {_meaning(field, derived=False)} |"
    yield ""


def _register(register: Mapping[str, Any]) -> Iterator[str]:
    yield f"## The register\n\n{register['description']}\n"
    for name, table in register["properties"].items():
        key = " and ".join(f"`{column}`" for column in table["x-key"])
        known_by = f" A row is known by its {key}." if key else ""
        yield f"### Table `{name}`\n\n{table['description']}{known_by}\n"
        yield "| column | type | meaning | example |\n|---|---|---|---|"
        for column, leaf in table["items"]["properties"].items():
            example = leaf["examples"][0]
            shown = "|".join(example) if isinstance(example, list) else _plain(example)
            values = leaf.get("items", leaf).get("enum")
            meaning = leaf["description"] + (_one_of(v for v in values if v is not None) if values else "")
            yield f"| `{column}` | {_column_type(leaf)} | {_cell(meaning)} | {_code(shown)} |"
        yield ""


def concept(name: str) -> str | None:
    """The concept that a field belongs to."""
    fits = [
        (len(prefix), title)
        for title, (_, prefixes) in CONCEPTS.items()
        for prefix in prefixes
        if name == prefix or name.startswith(f"{prefix}.")
    ]
    return max(fits)[1] if fits else None


def _groups(event: Mapping[str, Any]) -> dict[str, tuple[str, list[Field]]]:
    """Concept → (what it is about, its fields in the order of the schema)."""
    fields = Vocabulary.of(event).fields.values()
    return {title: (about, [f for f in fields if concept(f.name) == title]) for title, (about, _) in CONCEPTS.items()}


def _meaning(field: Field, *, derived: bool = True) -> str:
    marks = [m for m, shown in (("*Derived.*", derived and field.derived), ("*Sensitive.*", field.sensitive)) if shown]
    example = field.example
    shown = ", ".join(map(_plain, example)) if isinstance(example, list) else _plain(example)
    values = _one_of(field.enum) if field.enum else f" Example: {_code(shown)}" if field.kind != "boolean" else ""
    return _cell(" ".join([*marks, field.description])) + values.replace("\n", " ")


def _one_of(values: Any) -> str:
    return f" One of {', '.join(f'`{v}`' for v in values)}."


def _type(field: Field) -> str:
    unit = f" ({field.unit})" if field.unit and field.kind != "time" else ""
    return f"{_KINDS[field.kind]}{'[]' if field.array else ''}{unit}"


def _column_type(leaf: Mapping[str, Any]) -> str:
    declared = leaf["type"] if isinstance(leaf["type"], str) else leaf["type"][0]
    if declared == "array":
        return "text[]"
    if declared == "string":
        return "time" if leaf.get("format") == "date-time" else "text"
    unit = leaf.get("x-unit")
    return f"{declared} ({unit})" if unit else declared


def _stages(field: Field, stages: tuple[str, ...]) -> str:
    if set(field.must) == set(stages):
        return "**all**"
    if not field.must and set(field.may) == set(stages):
        return "all"
    return ", ".join([f"**{stage}**" if stage in field.must else stage for stage in stages if stage in field.stages])


def _source(field: Field) -> str:
    source = field.source
    if source.standard == "countersign":
        return "ours"
    other = f": {_code(source.name)}" if source.name != field.name else ""
    return _cell(f"{source.standard} {source.version}") + other


def _code(text: str | None) -> str:
    if text is None:
        return "–"
    return f"`{text.replace('|', chr(92) + '|')}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*=", "\\*=")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _anchor(title: str) -> str:
    """GitHub's anchor of a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
