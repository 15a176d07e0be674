"""The Elastic target's event view: its facts are DuckDB's, over registers and records of every kind; and what comes before it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import test_facts
from sampling import one_in, shared

from backends.absence import WrongType, flatten
from backends.duckdb.target import judge
from backends.elastic.fields import normalising
from backends.elastic.ingest import flattened, pipeline, prepared
from backends.elastic.register import SHAPES, ends, identity, key, lookups
from backends.elastic.target import event_view
from backends.elastic.template import template
from harness.engines.elastic import FROM, INDEX, Held, _record
from harness.engines.node.start import OPENSEARCH_2
from harness.engines.opensearch import node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.xdist_group("elastic")

EVENTS, CHAINS = test_facts.VOCABULARY, test_facts.CHAIN_VOCABULARY
LATE = {"event.sequence_gap", "event.hash_broken", "chain.id", "chain.id_source"}
MOVED = ("user.id", "user.name", "user.email", "user.domain", "user.roles", "user.effective.id", "user.effective.name")
FACTS = [*sorted(set(EVENTS.derived) - LATE), *MOVED]
NOON = "2026-06-01T12:00:00Z"


QUERY = f"{FROM}{event_view(EVENTS, FACTS)}| KEEP _id, {', '.join(FACTS)}\n"


@pytest.fixture(scope="module")
def held() -> Iterator[Held]:
    found = Held(EVENTS, test_facts.SOURCES)
    found.start()
    yield found
    found.stop()


def facts(held: Held) -> dict[int, dict[str, Any]]:
    """What the view says of each record that is indexed."""
    return {int(row.pop("_id")): _record(row, EVENTS) for row in held.rows(QUERY)}


def disagreements(held: Held, records: Sequence[dict[str, Any]], tables: Mapping[str, Any]) -> list[str]:
    """Where Elasticsearch and DuckDB say different things of the same records."""
    held.fill(tables)
    held.index(records)
    mine = facts(held)
    theirs = judge(
        records,
        rules={},
        vocabulary=EVENTS,
        chain_vocabulary=CHAINS,
        register=tables or None,
        sources=test_facts.SOURCES,
    ).events
    assert mine
    wrong = []
    for at, (record, other) in enumerate(zip(records, theirs, strict=True)):
        own = mine.get(at)
        assert (own is None) == (other is None), record
        told = [test_facts.disagreement(name, (other or {}).get(name), (own or {}).get(name)) for name in FACTS]
        wrong += [f"{json.dumps(record, ensure_ascii=False)}: {said}" for said in told if said]
    return wrong


@pytest.mark.parametrize("register", shared(test_facts.REGISTERS, 35))
def test_each_fact_is_what_duckdb_says(held: Held, register: str) -> None:
    rows = [row for table in test_facts.ROWS.values() for row in table if row.register == register]
    records = [record for place, row in enumerate(rows) for record in test_facts.as_logged(row, place)]
    assert disagreements(held, records, json.loads(register)) == []


# Values that meet: ids in both cases, scopes that cover, share names or have none, and letters that fold oddly.
SCOPES = (
    *(
        "crm.read",
        "CRM.Read",
        "crm.opportunity.read",
        "crm.*",
        "crm:*",
        "*",
        "crm",
        "read:crm",
        "admin",
        "openid",
        "Email",
        "offline_access",
    ),
    *(
        "https://crm.example/opportunity.read",
        "https://crm.example/",
        "opportunity.read",
        ".default",
        "https://graph.example/.default",
        "1://x",
        "a\nb.read",
        ".",
        "a..b",
    ),
    *(
        "crm.opportunity.write",
        "crm.sales",
        "mail.delete",
        "x.y.z.admin",
        "x.Σ",
        "É.read",
        "ΑΣ.read",
        "crm-mcp.read",
        "write:mail",
        "\\E.read",
        "$1.read",
        "",
        "userinfo.email",
    ),
)
PEOPLE = (
    "ana",
    "Ana",
    "u-ana",
    "ana@corp.example",
    "ANA@corp.example",
    "ΑΣ@corp.example",
    "svc-crm",
    "SVC-CRM",
    "bob",
    "",
    "client-a",
)
IDS = (
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "0" * 32,
    "00000000-0000",
    "a b",
    "é",
    "x" * 513,
    "x" * 300 + " " + "y" * 300,
    "id-1",
    "`",
    "",
    "1-5759e988-bd862e3fe1be46a994272793",
)
SERVERS = ("crm-mcp", "CRM-MCP", "other", "")
URIS = ("https://crm-mcp.example/mcp", "https://CRM-mcp.example/mcp//", "https://else.example", "crm-mcp", "/", "")
ARGUMENTS = (
    *(
        '{"on_behalf_of":"ana"}',
        '{"user_id":"Ana","act_as":7}',
        '{"x":[{"run_as":"bob"}],"email":"ana@corp.example"}',
        "{}",
        "[]",
        "",
        "on_behalf_of=ana",
    ),
    *(
        '{"requester":"\\u0041na","act_as":""}',
        '{"act_as":"ΑΣ@corp.example","act_as":"bob"}',
        '{"on_behalf_of":"ana"',
        '{"on_behalf_of":"a\\nb"}',
        '{"run_as":"u-ana"}',
    ),
)
ADDRESSES = (
    "10.1.2.3",
    "10.255.255.255",
    "11.0.0.0",
    "2001:DB8::1",
    "::ffff:0a01:0203",
    "2001:db9::",
    "::1",
    "::",
    "1.2.3",
    "010.1.2.3",
    "09.1.2.3",
    "fe80:1:2:3:4:5:6:7",
    "::ffff:10.1.2.3",
    "",
)
CHOICES: Mapping[str, Sequence[Any]] = {
    "chain.stage": ("tool_call", "token", "Tool_Call", "access", "", None),
    "event.dataset": ("gateway", "server", "", "else"),
    "event.outcome": ("success", "Failure", "unknown", ""),
    "event.action": ("reject", "issue", ""),
    "http.response.status_code": (200, 401, 500, None),
    "chain.response.hash": ("h", ""),
    "chain.prompt.id": IDS,
    "trace.id": IDS,
    "span.id": IDS,
    "transaction.id": IDS,
    "user.id": PEOPLE,
    "user.name": PEOPLE,
    "user.email": PEOPLE,
    "user.roles": (["b", "a", ""], [], [""]),
    "user.effective.id": PEOPLE,
    "oauth.token.issuer": ("https://idp.example", "https://IDP.example", ""),
    "gen_ai.agent.id": ("agent-a", "AGENT-B", ""),
    "oauth.client.id": (
        "client-a",
        "Client-B",
        "https://good.example/meta",
        "https://good.example:8443",
        "https://bad.example",
        "good.example",
        "",
    ),
    "oauth.token.client_id": ("client-a", "CLIENT-B", ""),
    "oauth.act.sub": ("agent-a", "Agent-A", "agent-b", ""),
    "oauth.act.iss": ("https://idp.example", "https://IDP.example"),
    "oauth.may_act.sub": ("agent-a", "agent-b", ""),
    "oauth.may_act.iss": ("https://idp.example",),
    "oauth.token.type": ("api_key", "API_KEY", "access_token", ""),
    "oauth.token.hash": ("h1", "h2", ""),
    "oauth.token.downstream_hash": ("h1", "H1"),
    "oauth.token.issued_at": ("2026-06-01T11:00:00.000001Z", NOON, ""),
    "oauth.token.expires_at": (
        "2026-06-01T11:59:00Z",
        "2026-06-01T11:58:59.999999Z",
        "2026-06-01T15:00:00.5+02:00",
        "2026-06-01T14:00:00Z",
    ),
    "oauth.token.expires_in": (3600, 7200.5, 600),
    "oauth.challenge.error": ("invalid_token", ""),
    "oauth.response_iss": ("a", "A"),
    "oauth.issuer.expected": ("a",),
    "chain.permission_mode.from": ("plan", "acceptEdits", "DEFAULT", "free", ""),
    "chain.permission_mode.to": ("plan", "bypassPermissions", "default", "free"),
    "chain.actor.recorded_type": ("human", "Service", "agent", ""),
    "chain.tools.granted": (["write_note", "Get_Note"], ["", "get"], []),
    "gen_ai.tool.name": ("write_note", "GET_NOTE", "send_mail", "file_ticket", ""),
    "gen_ai.tool.call.arguments": ARGUMENTS,
    "mcp.tool.annotations.destructive": (True, False),
    "mcp.tool.annotations.read_only": (True, False),
    "mcp.tool.definition.hash": ("ABC", "abd"),
    "mcp.server.name": SERVERS,
    "mcp.server.uri": URIS,
    "server.address": ("10.0.0.5", "10.0.0.6"),
    "tls.server.hash.sha256": ("AA", "ab"),
    "mcp.protocol.version": ("2025-03-26", "2025-06-18", "2026-01-01"),
    "mcp.header.method": ("tools/call", "Tools/call"),
    "mcp.method.name": ("tools/call",),
    "mcp.header.name": ("write_note", "x"),
    "mcp.resource.uri": ("x",),
    "chain.resource.classification": ("restricted", "Internal", "*", "public"),
    "cloud.region": ("eu-west-1", "EU-central-1", "de", ""),
    "server.geo.country_iso_code": ("DE", "fr", ""),
    "service.target.name": ("crm", "Mail", ""),
    "source.ip": ADDRESSES,
}
LISTS: Mapping[str, Sequence[str]] = {
    **{f"oauth.scope.{name}": SCOPES for name in ("requested", "granted", "presented", "required")},
    "oauth.token.audience": (*URIS, "CRM-MCP", "other"),
}
FULL: Mapping[str, Any] = {
    "agents": [
        {
            "id": "agent-a",
            "service_identities": ["svc-crm"],
            "client_ids": ["client-b"],
            "mode": "interactive",
            "tools": ["Write_Note"],
            "max_token_lifetime_sec": 600,
        },
        {"id": "Agent-B", "client_ids": ["https://bad.example"]},
    ],
    "clients": [
        {
            "id": "client-a",
            "kind": "service",
            "agent": "agent-b",
            "trusted": False,
            "first_seen": "2026-01-02T03:04:05Z",
        },
        {"id": "client-b", "kind": "agent", "trusted": True, "domains": ["Good.example"]},
    ],
    "people": [
        {"person": "Ana", "issuer": "https://idp.example", "id": "u-ana", "email": "ANA@corp.example", "name": "Ana A"},
        {"person": "bob", "id": "bob"},
        {"person": "Ana", "id": "0057"},
    ],
    "servers": [
        {
            "name": "CRM-mcp",
            "uri": "https://crm-mcp.example/mcp/",
            "address": "10.0.0.5",
            "tls_sha256": "AA",
            "party": "third",
            "approval": "approved",
            "review_expires": NOON,
            "regions": ["restricted=DE,eu-west-1", "*=fr", "internal=de"],
            "scopes_offered": ["crm.read", "crm.opportunity.read"],
            "min_protocol": "2025-06-18",
        },
        {"name": "other", "revoked_at": NOON},
    ],
    "tools": [
        {
            "server": "crm-mcp",
            "name": "write_note",
            "risk": "write",
            "required_scopes": ["crm.opportunity.write"],
            "definition_hash": "abc",
        },
        {"server": "*", "name": "write_note", "identity_arguments": ["email"], "risk": "admin"},
        {
            "server": "*",
            "name": "file_ticket",
            "risk": "destructive",
            "identity_arguments": ["user_id"],
            "required_scopes": ["mail.delete", "Mail.Delete"],
        },
        {"server": "crm-mcp", "name": "get_note", "risk": "read"},
    ],
    "scopes": [
        {"scope": "crm.opportunity.read", "system": "crm", "parent": "crm.sales", "verb": "read"},
        {"scope": "crm.sales", "parent": "crm", "system_wide": True},
        {"scope": "mail.delete", "resource": "mail", "verb": "destructive"},
        {"scope": "x.y.z.admin", "system_wide": True, "verb": "write", "system": "Mail"},
        {"scope": "Email", "system_wide": True, "verb": "read"},
        {"scope": "a..b", "system_wide": False},
    ],
    "networks": [{"cidr": "10.0.0.0/8"}, {"cidr": "10.128.0.0/9"}, {"cidr": "2001:db8::/32"}, {"cidr": "::1/128"}],
}


def made(draw: random.Random) -> dict[str, Any]:
    """A record in which fields meet by chance."""
    flat: dict[str, Any] = {"@timestamp": draw.choice((NOON, "2026-06-01T12:00:00.000001Z", "2026-06-01T11:59:59Z"))}
    flat |= {name: draw.choice(values) for name, values in CHOICES.items() if draw.random() < 0.4}
    flat |= {name: draw.choices(values, k=draw.randint(0, 4)) for name, values in LISTS.items() if draw.random() < 0.5}
    return test_facts.nested(flat)


def without_copies(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A record delivered twice is one; here each has an id."""
    return [{**record, "event": {**record.get("event", {}), "id": str(at)}} for at, record in enumerate(records)]


@pytest.mark.parametrize("part", one_in(5, ["all", *FULL, "nothing"]))
def test_each_fact_of_made_records_is_what_duckdb_says(held: Held, part: str) -> None:
    tables = {"nothing": {}, "all": FULL}.get(part) or {part: FULL[part]} if part != "nothing" else {}
    draw = random.Random(part)  # noqa: S311 - the same records each time
    assert disagreements(held, without_copies([made(draw) for _ in range(400)]), tables) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_each_fact_of_many_made_records_is_what_duckdb_says(held: Held, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    tables = {name: rows for name, rows in FULL.items() if draw.random() < 0.7}
    assert disagreements(held, without_copies([made(draw) for _ in range(3000)]), tables) == []


def test_the_view_makes_absent_what_an_index_without_the_pipeline_holds(held: Held) -> None:
    """Texts as they are sent; of other types what the pipeline leaves, since a mapping reads "" as false or refuses it."""
    draw = random.Random("as sent")  # noqa: S311
    records = without_copies([made(draw) for _ in range(200)])
    held.fill(FULL)
    held.index(records)
    expected = facts(held)
    documents = {}
    for at, record in enumerate(records):
        sent = {name: value for name, value in flatten(record, EVENTS).items() if EVENTS.fields[name].kind == "keyword"}
        documents[at] = {**prepared(record, EVENTS), **sent}
    held.node.call("DELETE", f"/{INDEX}")
    held.node.call("PUT", f"/{INDEX}")
    lines = [(json.dumps({"create": {"_id": str(at)}}), json.dumps(sent)) for at, sent in documents.items()]
    held._bulk(f"/{INDEX}/_bulk", [line for pair in lines for line in pair])
    assert facts(held) == expected


WRITTEN = (
    '{"k":"a\\u001fb","\\u001f":"c␟d"}',
    *('{"k":"a","k":"b"}', '{"k":7,"k":"b"}', '{"x":{"k":"a"},"x":{"k":"b"}}', '{"k":{"k":"c"},"k":"d"}'),
    *(
        '{"x":[{"k":"a"},[{"k":"b"}]],"k":{"k":"c"}}',
        '{"a":["x","y",{"z":"w"}],"v":"u"}',
        '{"":"x","y":""}',
        "{}",
        '{"a":[]}',
    ),
    *(
        '{"k":"a",}',
        '{"k":"a"} x',
        '{"k":"a"',
        '{"k":"a"}{"k":"b"}',
        '{"a":[,]}',
        '{"a" "b"}',
        '{"a":"b" "c":"d"}',
        '{"a":"b"}}',
        '{"a":{"b":"c"]}',
    ),
    *(
        '{"k":NaN,"j":"q"}',
        '{"k":tru}',
        '{"k":-}',
        '{"k":+1}',
        '{"k":1.}',
        '{"k":01}',
        '{"k":1e5,"j":[-0.5,true,false,null],"q":"r"}',
    ),
    *(
        '{"k":"\\ud800"}',
        '{"k":"\\ud83d\\ude00"}',
        '{"k":"\\ude00\\ud83d"}',
        '{"\\u006b":"a"}',
        '{"k":"\\x"}',
        '{"k":"\\"}',
        '{"k":"\\u00g0"}',
        '{"k":"\\u00',
    ),
    *(
        '{"k":"a","b":"\\n\\t\\"\\\\\\/"}',
        '{"k":"a\tb"}',
        '{"a=b":"c␟d␝e␞"}',
        '{"k":"é\\u00e9ΣÉ"}',
        '["k"]',
        ' {"k":"a"}',
        '{ "k" :\n"a" }\n',
    ),
    *(
        '{"n":' + "1" * 401 + ',"k":"a"}',
        '{"n":' + "1" * 400 + ',"k":"a"}',
        '{"k":"a","l":' + json.dumps('x\n"' * 20_000) + "}",
    ),
    *('{"a":' + "[" * depth + "]" * depth + ',"k":"a"}' for depth in (499, 500, 2000)),
)


def at_noon(**flat: Any) -> dict[str, Any]:
    return {"@timestamp": NOON, **{name.replace("__", "."): value for name, value in flat.items()}}


HOSTILE = [
    *(at_noon(gen_ai={"tool": {"call": {"arguments": text}}}) for text in WRITTEN),
    {"@timestamp": NOON, "gen_ai.tool": {"call.arguments": {"k": "a", "l": [{"m": "n"}, "o", [["p", {"q": "r"}]]]}}},
    at_noon(countersign={"argument": ["on_behalf_of␝x"], "records": "[]"}),
    at_noon(countersign="x"),
    at_noon(countersign__argument="x"),
    at_noon(oauth={"token": {"expires_at": "9999-12-31T23:59:59Z", "issued_at": "0001-01-01T00:00:00Z"}}),
    at_noon(oauth__scope__granted=["a␟b", "", None, "c"], oauth__scope__missing=["x"], user__id="a␞", user__key="me"),
    at_noon(user__id=["a", "b"]),
    at_noon(user="x"),
    at_noon(http__response__status_code="7x"),
    at_noon(chain__cancelled="TRUE", http__response__status_code="401", event__duration=""),
    {"user.id": "a"},
]


def test_the_pipeline_leaves_a_record_as_the_python_says() -> None:
    """On OpenSearch, whose Painless is the one that can be had here."""
    started = node(OPENSEARCH_2)
    started.call("PUT", "/_ingest/pipeline/elastic-events", pipeline(EVENTS))
    told = started.call(
        "POST", "/_ingest/pipeline/elastic-events/_simulate", {"docs": [{"_source": r} for r in HOSTILE]}
    )
    for record, said in zip(HOSTILE, told["docs"], strict=True):
        try:
            expected: dict[str, Any] | None = prepared(record, EVENTS)
        except WrongType:
            expected = None
        source = said["doc"]["_source"] if "doc" in said else None
        assert comparable(source) == comparable(expected), record


def comparable(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is indexed, lists in order, the text of an object by what it says."""
    if document is None:
        return None
    kept = {n: sorted(v) if isinstance(v, list) else v for n, v in document.items() if n != "countersign"}
    if "gen_ai.tool.call.arguments" in kept and kept.get("countersign.argument"):
        kept["gen_ai.tool.call.arguments"] = sorted(kept["gen_ai.tool.call.arguments"])
    return kept


def test_what_a_log_claims_of_its_arguments_is_not_believed() -> None:
    started = node(OPENSEARCH_2)
    started.call("PUT", "/_ingest/pipeline/elastic-events", pipeline(EVENTS))
    claims = at_noon(countersign={"argument": ["on_behalf_of␝x"], "records": "[]"})
    told = started.call("POST", "/_ingest/pipeline/elastic-events/_simulate", {"docs": [{"_source": claims}]})
    assert told["docs"][0]["doc"]["_source"]["countersign"] == {"records": "[]"}


def test_arguments_give_each_text_with_its_key() -> None:
    record = at_noon(gen_ai={"tool": {"call": {"arguments": '{"act_as":"ana","x":[{"act_as":"bob","n":7}],"y":"z"}'}}})
    assert set(flattened(record)) == {"act_as␝ana", "act_as␝bob", "y␝z"}


def test_a_row_of_the_register_has_one_key_and_a_lasting_id() -> None:
    tables = {"people": [{"person": "ana", "email": "a@x.example"}, {"person": "bob", "email": "A@x.example"}]}
    (row,) = lookups(tables)["countersign-people"]
    assert row == {"cr_alias": "a@x.example", "cr_person": "ana"}
    assert identity("countersign-people", row) == identity("countersign-people", {**row, "cr_person": "bob"})


def test_every_lookup_has_its_key_in_every_row() -> None:
    for name, rows in lookups(FULL, test_facts.SOURCES.never, [("gateway", "trace.id")]).items():
        assert rows or name == "countersign-coverage"
        assert len({row[key(name)] for row in rows}) == len(rows)
        assert {column for row in rows for column in row} <= set(SHAPES[name])


def test_a_name_in_the_register_cannot_look_like_two() -> None:
    (row,) = lookups({"tools": [{"server": "a␟b", "name": "c"}]})["countersign-tools"]
    assert row["cr_tool"].count("␟") == 1


def test_networks_are_merged_and_lie_in_both_orders() -> None:
    assert ends(["10.0.0.0/9", "10.128.0.0/9"]) == [
        "600000000000000000000ffff0a000000a",
        "600000000000000000000ffff0affffffz",
        "4010000000000a",
        "4010255255255z",
    ]


def test_a_network_of_the_new_internet_that_holds_the_old_one_holds_its_addresses() -> None:
    assert ends(["::/0"])[2:] == ["4000000000000a", "4255255255255z"]


def test_every_text_of_a_record_is_made_absent_where_it_says_nothing() -> None:
    text = normalising(EVENTS)
    missing = [
        name for name, field in EVENTS.raw.items() if field.kind == "keyword" and f"    {name} = CASE(" not in text
    ]
    assert missing == []


def test_the_template_holds_every_field_of_the_vocabulary() -> None:
    properties = template(EVENTS)["template"]["mappings"]["properties"]
    for field in EVENTS.fields.values():
        node_of: Any = {"properties": properties}
        for part in field.path:
            node_of = node_of["properties"][part]
        assert "type" in node_of
