"""The schemas: the whole vocabulary is declared, every field is annotated, and every example holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backends.register_tables import TABLES, Column
from backends.vocabulary import Vocabulary, leaves

SCHEMAS = Path(__file__).parent.parent / "schemas"
EVENT = json.loads((SCHEMAS / "event.schema.json").read_text(encoding="utf-8"))
CHAIN = json.loads((SCHEMAS / "chain.schema.json").read_text(encoding="utf-8"))
REGISTER = json.loads((SCHEMAS / "register.schema.json").read_text(encoding="utf-8"))
STAGES = ["prompt", "decision", "tool_call", "tool_response", "token", "consent", "access", "change"]

# The vocabulary as it was agreed, one kind a paragraph: k text, n number, b boolean, t time; [] a list; D derived.
AGREED = """
t @timestamp oauth.token.issued_at oauth.token.expires_at
tD oauth.client.first_seen mcp.server.review_expires
k event.id event.action event.code event.provider event.dataset event.reason event.outcome event.hash
k event.previous_hash chain.stage trace.id span.id span.parent_id transaction.id http.request.id
n event.duration event.sequence
bD event.sequence_gap event.hash_broken
k[]D event.blind
kD chain.id chain.id_source chain.correlation.flaw
k chain.prompt.id chain.prompt.hash chain.prompt.text chain.prompt.origin chain.response.hash chain.response.text
n chain.prompt.length mcp.tool.result.bytes
bD chain.record_complete
k gen_ai.conversation.id gen_ai.agent.id gen_ai.agent.name gen_ai.agent.version gen_ai.provider.name
k gen_ai.request.model chain.agent.owner chain.agent.parent_id chain.agent.instance_id
kD chain.agent.mode user.key chain.actor.type
k user.id user.name user.email user.domain user.effective.id user.effective.name
k[] user.roles
bD chain.actor.contradicts oauth.client.trusted
k oauth.client.id oauth.client.name oauth.client.type oauth.client.registration oauth.grant_type
k oauth.subject_token_type oauth.requested_token_type oauth.issued_token_type oauth.delegation.type oauth.act.sub
k[] oauth.act.chain
n oauth.act.depth
b oauth.act.present oauth.assertion.verified oauth.assertion.expired oauth.token.refresh_issued
k oauth.act.iss oauth.may_act.sub oauth.may_act.iss oauth.assertion.type oauth.assertion.id
bD oauth.act.permitted oauth.token.forwarded oauth.token.client_match oauth.token.audience_match oauth.token.accepted
bD oauth.token.expired oauth.token.over_limit
k oauth.token.id oauth.token.hash oauth.token.parent_id oauth.token.downstream_hash oauth.token.client_id
k oauth.token.type oauth.token.issuer oauth.resource oauth.token.binding oauth.token.parent_binding
k[] oauth.token.audience oauth.scope.requested oauth.scope.granted oauth.scope.presented oauth.scope.required
nD oauth.token.lifetime_sec oauth.scope.missing_count oauth.scope.excess_count
bD oauth.scope.system_wide oauth.scope.beyond_request oauth.scope.all_offered
k[]D oauth.scope.missing oauth.scope.excess
kD oauth.scope.risk
k oauth.consent.type oauth.consent.id oauth.redirect_uri oauth.pkce.method oauth.state.result oauth.response_iss
k oauth.issuer.expected oauth.challenge.error
b oauth.redirect_uri_match
bD oauth.issuer.match
k[] oauth.challenge.scope
k mcp.method.name mcp.protocol.version mcp.resource.uri jsonrpc.request.id error.code network.transport
k gen_ai.tool.name gen_ai.tool.call.id gen_ai.tool.call.arguments gen_ai.tool.call.arguments_hash
k[]D mcp.tool.argument_user
bD mcp.tool.argument_user_match mcp.tool.definition.changed mcp.tool.granted
k mcp.tool.decision mcp.tool.decision_source mcp.tool.definition.hash
kD mcp.tool.definition.approved_hash mcp.tool.risk
b mcp.tool.annotations.read_only mcp.tool.annotations.destructive mcp.tool.annotations.idempotent
b mcp.tool.annotations.open_world
k mcp.server.name mcp.server.id mcp.server.uri mcp.server.version server.address
kD mcp.server.party mcp.server.approval
k[]D mcp.server.regions
bD mcp.server.region_allowed mcp.server.changed
k[] chain.tools.granted
k mcp.server.exposure mcp.server.auth mcp.server.config_scope mcp.server.bind_address tls.server.hash.sha256
bD mcp.protocol.downgraded mcp.header.match source.public
k mcp.header.method mcp.header.name mcp.client.name mcp.client.version observer.name observer.product observer.type
b chain.via_proxy chain.cancelled mcp.origin.valid
k service.target.name service.target.id chain.resource.id chain.resource.type chain.resource.classification
k chain.operation source.ip source.geo.country_iso_code destination.ip server.geo.country_iso_code cloud.region
n source.as.number http.response.status_code
k http.request.method url.full url.query url.scheme user_agent.original organization.id process.command_line
k mcp.task.id mcp.task.status error.type mcp.elicitation.mode mcp.elicitation.action mcp.elicitation.url
k[] mcp.elicitation.fields
k chain.permission_mode.from chain.permission_mode.to chain.setting.name chain.setting.from chain.setting.to
bD chain.permission_mode.loosened
"""

AGREED_OF_CHAINS = """
k chain.id chain.id_source chain.id_dropped_at
t chain.start chain.end
n chain.duration_sec chain.prompts chain.decisions chain.tool_calls chain.responses chain.tokens chain.accesses
n chain.writes
k[] chain.users chain.effective_users chain.agents chain.servers chain.parties chain.tools chain.systems chain.scopes
k[] chain.classifications chain.prompt_origins chain.blind chain.missing
b chain.has_prompt chain.has_user_prompt chain.answered chain.user_linked chain.user_propagated
b chain.agent_propagated chain.user_changed chain.conflict chain.id_dropped chain.token_passed_through
b chain.orphan_write chain.wrote_under_read_scope chain.wrote_with_read_only_tool chain.ordered chain.complete
b chain.prompt_untrusted_only chain.third_party chain.restricted_data
b chain.restricted_shared chain.attributed
"""

ALLOWED = {
    "chain.stage": " ".join(STAGES),
    "event.outcome": "success failure unknown",
    "event.action": "issue exchange refresh redeem introspect revoke reject grant update withdraw server_registered "
    "server_changed server_revoked tool_definition_seen tool_definition_changed agent_created agent_deactivated "
    "agent_credential_added permission_mode_changed setting_changed client_registered metadata_fetched "
    "server_connected",
    "chain.id_source": "prompt trace transaction tool_call claimed token request none ambiguous",
    "chain.correlation.flaw": "malformed all_zero hostile",
    "chain.prompt.origin": "user schedule agent tool_output unknown",
    "chain.agent.mode": "interactive scheduled",
    "chain.actor.type": "human agent workload service system unknown",
    "oauth.client.type": "public confidential",
    "oauth.client.registration": "preregistered cimd dcr manual",
    "oauth.delegation.type": "delegation impersonation on_behalf_of client_credentials direct unknown",
    "oauth.assertion.type": "jwt saml2 none",
    "oauth.token.type": "access_token refresh_token id_token id_jag txn_token api_key session",
    "oauth.token.binding": "none dpop mtls device",
    "oauth.token.parent_binding": "none dpop mtls device",
    "oauth.scope.risk": "read write destructive admin",
    "oauth.consent.type": "user admin preauthorized enterprise_managed none",
    "oauth.pkce.method": "s256 plain none",
    "oauth.state.result": "ok missing mismatch reused",
    "mcp.tool.decision": "allow deny ask",
    "mcp.tool.decision_source": "config hook policy user_temporary user_permanent user_reject",
    "mcp.tool.risk": "read write destructive admin",
    "mcp.server.party": "first third unknown",
    "mcp.server.approval": "approved pending rejected expired revoked unregistered",
    "mcp.server.exposure": "stdio loopback internal internet",
    "mcp.server.auth": "oauth mtls api_key basic none",
    "mcp.server.config_scope": "user project local enterprise managed plugin",
    "observer.type": "proxy gateway runtime server",
    "chain.resource.classification": "public internal confidential restricted",
    "chain.operation": "read write create delete admin export",
}

LETTER = {"keyword": "k", "number": "n", "integer": "n", "boolean": "b", "time": "t"}
LEAVES = [pytest.param(name, leaf, id=name) for name, leaf in leaves(EVENT)]
ALL_LEAVES = LEAVES + [pytest.param(name, leaf, id=f"chain record {name}") for name, leaf in leaves(CHAIN)]


def agreed(text: str) -> list[Any]:
    lines = (line.split() for line in text.strip().splitlines())
    return [pytest.param(name, kind, id=name) for kind, *names in lines for name in names]


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda path: path.name)
def test_every_schema_is_valid_json_schema_2020_12(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(("name", "kind"), agreed(AGREED))
def test_an_agreed_field_is_declared_with_its_type_and_derived_mark(name: str, kind: str) -> None:
    field = Vocabulary.of(EVENT).fields[name]

    assert LETTER[field.kind] + "[]" * field.array + "D" * field.derived == kind


@pytest.mark.parametrize(("name", "kind"), agreed(AGREED_OF_CHAINS))
def test_an_agreed_field_of_chains_is_declared_with_its_type(name: str, kind: str) -> None:
    field = Vocabulary.of(CHAIN).fields[name]

    assert LETTER[field.kind] + "[]" * field.array == kind


def test_a_field_beyond_the_agreed_ones_says_why_it_was_added_or_is_derived() -> None:
    names = {parameter.values[0] for parameter in agreed(AGREED)}
    beyond = [field for name, field in Vocabulary.of(EVENT).fields.items() if name not in names]

    assert [f.name for f in beyond if not f.derived and "Added because" not in f.description] == []


@pytest.mark.parametrize(("name", "values"), ALLOWED.items(), ids=ALLOWED)
def test_a_closed_field_allows_exactly_the_agreed_values(name: str, values: str) -> None:
    assert Vocabulary.of(EVENT).fields[name].enum == tuple(values.split())


def test_every_field_of_a_chain_record_is_derived() -> None:
    assert list(Vocabulary.of(CHAIN).raw) == []


@pytest.mark.parametrize(("name", "leaf"), ALL_LEAVES)
def test_a_field_carries_every_annotation(name: str, leaf: dict[str, Any]) -> None:
    asked = {"description", "type", "examples", "x-source", "x-ocsf", "x-cim", "x-stages", "x-derived", "x-sensitive"}

    assert asked <= leaf.keys(), name
    assert leaf["description"].endswith(".")
    assert leaf["x-source"].keys() == {"standard", "version", "name"}
    assert leaf["x-stages"].keys() == {"must", "may"}
    assert {type(leaf["x-derived"]), type(leaf["x-sensitive"])} == {bool}
    assert {type(leaf["x-ocsf"]), type(leaf["x-cim"])} <= {str, type(None)}


@pytest.mark.parametrize(("name", "leaf"), ALL_LEAVES)
def test_a_number_and_a_time_say_their_unit_and_nothing_else_does(name: str, leaf: dict[str, Any]) -> None:
    has_unit = bool({"number", "integer"} & set(leaf["type"])) or leaf.get("format") == "date-time"

    assert ("x-unit" in leaf) == has_unit, name


@pytest.mark.parametrize(("name", "leaf"), ALL_LEAVES)
def test_an_example_meets_its_own_field(name: str, leaf: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(leaf)

    assert [e.message for example in leaf["examples"] for e in validator.iter_errors(example)] == [], name


@pytest.mark.parametrize(("name", "leaf"), ALL_LEAVES)
def test_absence_is_allowed_everywhere_but_in_the_time(name: str, leaf: dict[str, Any]) -> None:
    assert jsonschema.Draft202012Validator(leaf).is_valid(None) == (name != "@timestamp")


@pytest.mark.parametrize(("name", "leaf"), LEAVES)
def test_stages_are_known_ones_each_named_once(name: str, leaf: dict[str, Any]) -> None:
    named = leaf["x-stages"]["must"] + leaf["x-stages"]["may"]

    assert named, name
    assert sorted(named, key=STAGES.index) == [stage for stage in STAGES if stage in named]


@pytest.mark.parametrize(("name", "leaf"), LEAVES)
def test_no_source_is_asked_for_a_derived_field(name: str, leaf: dict[str, Any]) -> None:
    assert not (leaf["x-derived"] and leaf["x-stages"]["must"]), name


@pytest.mark.parametrize(("name", "leaf"), ALL_LEAVES)
def test_allowed_values_are_listed_in_lower_case(name: str, leaf: dict[str, Any]) -> None:
    values = [value for value in leaf.get("enum", ()) if value is not None]

    assert values == [value.lower() for value in values], name


def test_no_name_is_a_field_and_a_namespace() -> None:
    for schema in (EVENT, CHAIN):
        names = set(Vocabulary.of(schema).fields)
        above = {name[:dot] for name in names for dot, letter in enumerate(name) if letter == "."}
        assert names & above == set()


def test_personal_data_and_content_are_marked_sensitive() -> None:
    fields = Vocabulary.of(EVENT).fields
    personal = [
        "user.id",
        "user.email",
        "user.key",
        "chain.prompt.text",
        "chain.response.text",
        "mcp.tool.argument_user",
    ]

    assert [name for name in [*personal, "gen_ai.tool.call.arguments"] if not fields[name].sensitive] == []


@pytest.mark.parametrize("name", TABLES)
def test_the_register_s_schema_says_what_its_loader_reads(name: str) -> None:
    table, declared = TABLES[name], REGISTER["properties"][name]
    columns = declared["items"]["properties"]

    assert tuple(declared["x-key"]) == table.key
    assert tuple(declared["items"]["required"]) == table.required
    assert {column: shape(leaf) for column, leaf in columns.items()} == {
        column: (read.kind, read.enum) for column, read in table.columns.items()
    }


def shape(leaf: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    kind = leaf["type"] if isinstance(leaf["type"], str) else leaf["type"][0]
    kind = {"array": "texts", "string": "time" if leaf.get("format") == "date-time" else "text"}.get(kind, kind)
    return kind, tuple(v for v in leaf.get("items", leaf).get("enum", ()) if v is not None)


@pytest.mark.parametrize("name", TABLES)
def test_the_examples_of_a_register_column_are_read(name: str) -> None:
    columns = REGISTER["properties"][name]["items"]["properties"]
    read = {
        column: TABLES[name].columns.get(column, Column()).read(leaf["examples"][0]) for column, leaf in columns.items()
    }

    assert [column for column, value in read.items() if value is None] == []


CASES = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "cases.schema.json").read_text(encoding="utf-8")))
CASE = {"case": "A call.", "expect": "fire", "why": "It says so.", "base": "tool_call", "set": {"user.id": None}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"proves": "filter_main_blind"},
        {"proves": "false positive: a nightly job"},
        {"register": "base"},
        {"register": {"extends": "base", "agents": [{"id": "a"}]}},
        {"base": None, "set": None, "events": [{"base": "prompt", "at": "-5m"}, {"base": "access"}]},
    ],
    ids=json.dumps,
)
def test_a_case_of_this_form_is_one(change: dict[str, Any]) -> None:
    case = {key: value for key, value in (CASE | change).items() if value is not None}

    assert list(CASES.iter_errors({"cases": [case, CASE]})) == []


@pytest.mark.parametrize(
    "change",
    [
        {"expect": "maybe"},
        {"why": "no full stop"},
        {"base": "tool-call"},
        {"base": None},
        {"events": [{"base": "prompt"}]},
        {"set": {"User.id": 1}},
        {"proves": "everything"},
        {"register": {"agent": []}},
        {"note": "unknown key"},
    ],
    ids=json.dumps,
)
def test_a_case_of_another_form_is_refused(change: dict[str, Any]) -> None:
    case = {key: value for key, value in (CASE | change).items() if value is not None}

    assert not CASES.is_valid({"cases": [case, CASE]})
