"""The register: what it reads, and every mistake in it named with its file and line, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.errors import Mistakes
from backends.register import Register
from generator.session import base_register

if TYPE_CHECKING:
    from pathlib import Path

SCOPES_LOOP = "scope,parent\na,b\nb,c\nc,a\nd,a\n"

# name → (files of a folder, mistakes as file:line and a phrase of the sentence)
WRONG: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    "an unknown table": (
        {"agent.csv": "id\na\n"},
        [("agent.csv", "a register has no table agent; did you mean agents?")],
    ),
    "an unknown column of a CSV file": (
        {"agents.csv": "id,ower\na,b\n"},
        [("agents.csv:1", "agents has no column ower; did you mean owner?")],
    ),
    "an unknown column of a YAML row": (
        {"agents.yml": "- id: a\n  owner: b\n  mod: x\n"},
        [("agents.yml:3", "agents has no column mod; did you mean mode?")],
    ),
    "a column named twice": ({"agents.csv": "id,id\na,b\n"}, [("agents.csv:1", "the column id is named twice")]),
    "a semicolon between columns": (
        {"agents.csv": "id;owner\na;b\n"},
        [("agents.csv:1", "separated by a comma")],
    ),
    "a row longer than the header": (
        {"agents.csv": "id,owner\na,b\nc,d,e\n"},
        [("agents.csv:3", "the row has 3 cells and the first line names 2 columns")],
    ),
    "the line of a row after one of several lines": (
        {"agents.csv": 'id,owner,mode\na,"two\nlines",scheduled\nb,c,never\n'},
        [("agents.csv:4", "agents.mode is one of interactive, scheduled; found 'never'")],
    ),
    "a missing key": ({"agents.csv": "id,owner\n,b\n"}, [("agents.csv:2", "agents.id is missing")]),
    "a value that is not allowed": (
        {"servers.yml": "- name: x\n  approval: ok\n"},
        [("servers.yml:2", "servers.approval is one of approved, pending, rejected, expired, revoked; found 'ok'")],
    ),
    "a time without a zone": (
        {"agents.csv": "id,status_since\na,2026-01-01T00:00:00\n"},
        [("agents.csv:2", "agents.status_since is an RFC 3339 time with its zone")],
    ),
    "a time without a zone in YAML": (
        {"agents.yml": "- id: a\n  status_since: 2026-01-01 00:00:00\n"},
        [("agents.yml:2", "agents.status_since is an RFC 3339 time with its zone")],
    ),
    "a day that the calendar does not have": (
        {"agents.csv": "id,status_since\na,2026-02-30T00:00:00Z\n"},
        [("agents.csv:2", "agents.status_since is an RFC 3339 time")],
    ),
    "a number that is none": (
        {"agents.csv": "id,max_token_lifetime_sec\na,1h\n"},
        [("agents.csv:2", "agents.max_token_lifetime_sec is a number above zero; found '1h'")],
    ),
    "a lifetime of zero": (
        {"agents.csv": "id,max_token_lifetime_sec\na,0\n"},
        [("agents.csv:2", "agents.max_token_lifetime_sec is a number above zero")],
    ),
    "a boolean that is none": (
        {"clients.csv": "id,trusted\na,maybe\n"},
        [("clients.csv:2", "clients.trusted is true or false; found 'maybe'")],
    ),
    "a network that is none": (
        {"networks.csv": "cidr\noffice\n"},
        [("networks.csv:2", "networks.cidr is a network such as 10.0.0.0/8")],
    ),
    "a network with bits beyond its prefix": (
        {"networks.csv": "cidr\n10.0.0.7/8\n"},
        [("networks.csv:2", "write 10.0.0.0/8")],
    ),
    "regions without a class": (
        {"servers.csv": "name,regions\nx,eu-west-1\n"},
        [("servers.csv:2", "servers.regions is class=region,region")],
    ),
    "a class with two regions items": (
        {"servers.csv": "name,regions\nx,*=eu|*=us\n"},
        [("servers.csv:2", "two regions items for the class *")],
    ),
    "a certificate's hash that is none": (
        {"servers.csv": "name,tls_sha256\nx,abc\n"},
        [("servers.csv:2", "servers.tls_sha256 is a SHA-256 in hexadecimal")],
    ),
    "a protocol version that is none": (
        {"servers.csv": "name,min_protocol\nx,v2\n"},
        [("servers.csv:2", "servers.min_protocol is a version of the protocol such as")],
    ),
    "a YAML word that is a boolean": (
        {"agents.yml": "- id: on\n"},
        [("agents.yml:1", "agents.id is text: put true in quotes")],
    ),
    "several values where one belongs": (
        {"agents.yml": "- id: a\n  owner: [b, c]\n"},
        [("agents.yml:2", "agents.owner has one value, not several")],
    ),
    "a YAML file that is no list": (
        {"agents.yml": "id: a\n"},
        [("agents.yml:1", "begin each row of agents with a dash")],
    ),
    "a YAML row that is no row": ({"agents.yml": "- a\n"}, [("agents.yml:1", "a row with columns is expected")]),
    "a YAML key that occurs twice": ({"agents.yml": "- id: a\n  id: b\n"}, [("agents.yml:2", "occurs twice")]),
    "broken YAML": ({"agents.yml": "- id: [a\n- id: b\n"}, [("agents.yml:2", "this is not YAML")]),
    "broken CSV": ({"agents.csv": 'id,owner\na,"b"c\n'}, [("agents.csv:2", "this is not CSV")]),
    "a file that is not UTF-8": ({"agents.csv": "id\n\udcff\n"}, [("agents.csv", "not UTF-8")]),
    "a key given twice in a file": (
        {"agents.csv": "id,owner\na,x\nb,x\nA,x\n"},
        [("agents.csv:4", "agents lists A twice, first on line 2")],
    ),
    "a tool given twice for one server": (
        {"tools.csv": "server,name\ns,t\ns,t\n"},
        [("tools.csv:3", "tools lists t of s twice, first on line 2")],
    ),
    "two files that differ": (
        {"agents.csv": "id,owner\na,x\n", "agents.yml": "- id: a\n  mode: scheduled\n  owner: y\n"},
        [("agents.yml:3", "agents says another owner of a than")],
    ),
    "a service identity of two agents": (
        {"agents.csv": "id,service_identities\na,svc|other\nb,SVC\n"},
        [("agents.csv:3", "the service identity SVC also belongs to agent a")],
    ),
    "a client id of two agents": (
        {"agents.csv": "id,client_ids\na,c\nb,c\n"},
        [("agents.csv:3", "the client id c also belongs to agent a")],
    ),
    "a human client that an agent lists as its own": (
        {"agents.csv": "id,client_ids\na,c\n", "clients.csv": "id,kind\nc,human\n"},
        [("clients.csv:2", "client c is human, and agent a lists it as its own")],
    ),
    "a human client that is an agent's service identity": (
        {"agents.csv": "id,service_identities\na,c\n", "clients.csv": "id,kind\nc,human\n"},
        [("clients.csv:2", "client c is human, and agent a lists it as its own")],
    ),
    "a client of another agent than the one that lists it": (
        {"agents.csv": "id,client_ids\na,c\n", "clients.csv": "id,agent\nc,b\n"},
        [("clients.csv:2", "client c belongs to agent b, and agent a lists it as its own")],
    ),
    "an approved server that was revoked": (
        {"servers.csv": "name,approval,revoked_at\nx,approved,2026-01-01T00:00:00Z\n"},
        [("servers.csv:2", "server x is approved and has a revoked_at")],
    ),
    "a URI of two servers": (
        {"servers.csv": "name,uri\nx,https://a\ny,https://A\n"},
        [("servers.csv:3", "the uri https://A is also server x's")],
    ),
    "an e-mail of two people": (
        {"people.csv": "person,email\nana,a@x\nbo,A@x\n"},
        [("people.csv:3", "the email a@x is two people's: ana")],
    ),
    "an id of two people at one issuer": (
        {"people.csv": "person,issuer,id\nana,i,1\nbo,i,1\n"},
        [("people.csv:3", "the id 1 at i is two people's")],
    ),
    "a person without an identity": (
        {"people.csv": "person,issuer\nana,i\n"},
        [("people.csv:2", "a row names an id, an email or a name of the person")],
    ),
    "a service identity that is a person's": (
        {"agents.csv": "id,service_identities\na,u-ana\n", "people.csv": "person,id\nana,u-ana\n"},
        [("people.csv:2", "u-ana is an identity of ana, and a service identity of agent a")],
    ),
    "parents that form a loop": ({"scopes.csv": SCOPES_LOOP}, [("scopes.csv:2", "form a loop: a → b → c → a")]),
    "a scope that is its own parent": (
        {"scopes.csv": "scope,parent\na,a\n"},
        [("scopes.csv:2", "form a loop: a → a")],
    ),
    "coverage of a system and an agent at once": (
        {"coverage.csv": "system,agent,stages\ncrm,a,access\n"},
        [("coverage.csv:2", "names either a system or an agent")],
    ),
    "a stage that does not exist": (
        {"coverage.csv": "system,stages\ncrm,access|call\n"},
        [("coverage.csv:2", "coverage.stages is one of prompt, decision")],
    ),
    "everything at once": (
        {
            "agents.csv": "id,mode\na,x\na,y\n",
            "networks.yml": "- cidr: nowhere\n- name: office\n",
            "peopel.csv": "person\n",
        },
        [
            ("agents.csv:2", "agents.mode"),
            ("agents.csv:3", "agents lists a twice"),
            ("agents.csv:3", "agents.mode"),
            ("networks.yml:1", "networks.cidr is a network"),
            ("networks.yml:2", "networks.cidr is missing"),
            ("peopel.csv", "did you mean people?"),
        ],
    ),
}


def folder(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return place


@pytest.mark.parametrize(("files", "expected"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named_with_its_file_and_line(
    tmp_path: Path, files: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(Mistakes) as raised:
        Register.load(folder(tmp_path, files))

    found = [str(mistake).removeprefix(f"{tmp_path}/") for mistake in raised.value.found]
    assert len(found) == len(expected), found
    for sentence, (place, phrase) in zip(found, expected, strict=True):
        assert sentence.startswith(f"{place}: "), sentence
        assert phrase in sentence


def test_csv_and_yaml_of_the_same_rows_are_the_same_register(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "yaml").mkdir()
    head = "id,service_identities,mode,status_since,max_token_lifetime_sec"
    text = f"{head}\na,s|t,Scheduled,2026-01-01T02:00:00+02:00,3600\n"
    rows = (
        "- id: a\n  service_identities: [s, t]\n  mode: scheduled\n"
        "  status_since: 2026-01-01T00:00:00Z\n  max_token_lifetime_sec: 3600\n"
    )

    csv = Register.load(folder(tmp_path / "csv", {"agents.csv": text}))
    yaml = Register.load(folder(tmp_path / "yaml", {"agents.yaml": rows}))

    assert csv == yaml
    assert csv.tables["agents"] == [
        {
            "id": "a",
            "service_identities": ["s", "t"],
            "mode": "scheduled",
            "status_since": "2026-01-01T00:00:00Z",
            "max_token_lifetime_sec": 3600,
        },
    ]


@pytest.mark.parametrize(
    ("table", "row", "read"),
    [
        ("clients", {"id": "c", "trusted": "Yes", "kind": "SERVICE"}, {"id": "c", "trusted": True, "kind": "service"}),
        ("agents", {"id": "a", "owner": "", "tools": [], "name": None}, {"id": "a"}),
        ("agents", {"id": 17, "tools": "one"}, {"id": "17", "tools": ["one"]}),
        ("agents", {"id": " a ", "tools": "x | y ||x"}, {"id": "a", "tools": ["x", "y"]}),
        ("networks", {"cidr": "10.0.0.7"}, {"cidr": "10.0.0.7/32"}),
        ("networks", {"cidr": "2001:DB8::/32"}, {"cidr": "2001:db8::/32"}),
        ("servers", {"name": "x", "regions": "* = eu, us"}, {"name": "x", "regions": ["*=eu,us"]}),
        ("servers", {"name": "x", "tls_sha256": ":".join(["ab"] * 32)}, {"name": "x", "tls_sha256": "AB" * 32}),
        (
            "agents",
            {"id": "a", "status_since": "2026-01-01t00:00:00.250000z"},
            {"id": "a", "status_since": "2026-01-01T00:00:00.25Z"},
        ),
    ],
    ids=str,
)
def test_a_value_is_read_in_its_column_s_own_form(table: str, row: dict[str, object], read: dict[str, object]) -> None:
    assert Register.of({table: [row]}).tables[table] == [read]


def test_yaml_dates_are_read_as_they_were_written(tmp_path: Path) -> None:
    register = Register.load(folder(tmp_path, {"servers.yml": "- name: x\n  min_protocol: 2025-11-25\n"}))

    assert register.tables["servers"] == [{"name": "x", "min_protocol": "2025-11-25"}]


def test_what_two_files_say_of_one_agent_is_one_row(tmp_path: Path) -> None:
    files = {"agents.csv": "id,owner\na,x\n", "agents.yml": "- id: a\n  owner: x\n  mode: scheduled\n"}

    assert Register.load(folder(tmp_path, files)).tables["agents"] == [{"id": "a", "owner": "x", "mode": "scheduled"}]


def test_several_identities_of_one_person_are_several_rows() -> None:
    rows = [{"person": "ana", "issuer": "i", "id": "1"}, {"person": "ana", "issuer": "j", "id": "1"}]

    assert Register.of({"people": rows}).tables["people"] == rows


def test_people_of_two_issuers_may_share_an_id() -> None:
    rows = [{"person": "ana", "issuer": "i", "id": "1"}, {"person": "bo", "issuer": "j", "id": "1"}]

    assert len(Register.of({"people": rows}).tables["people"]) == 2


def test_a_tool_of_every_server_and_one_of_a_single_server_do_not_contradict() -> None:
    rows = [{"server": "*", "name": "t", "risk": "read"}, {"server": "s", "name": "t", "risk": "write"}]

    assert Register.of({"tools": rows}).tables["tools"] == rows


def test_files_that_are_no_tables_are_left_alone(tmp_path: Path) -> None:
    register = Register.load(folder(tmp_path, {"README.md": "# Ours", "agents.csv": "\ufeffid\na\n\n"}))

    assert register.tables["agents"] == [{"id": "a"}]


def test_an_empty_register_has_every_table_and_no_row() -> None:
    assert not Register.empty()
    assert list(Register.empty().tables) == list(Register.of({}).tables)


@pytest.mark.parametrize("make", [lambda path: path / "none", lambda path: path], ids=["no folder", "no table"])
def test_a_folder_that_is_no_register_is_a_mistake(tmp_path: Path, make: object) -> None:
    with pytest.raises(Mistakes, match=r"there is no such folder|the folder holds no table"):
        Register.load(make(tmp_path))  # type: ignore[operator]


def test_rows_in_memory_are_named_by_their_number() -> None:
    with pytest.raises(Mistakes) as raised:
        Register.of({"agents": [{"id": "a"}, {"id": "b", "mode": "x"}], "agent": []})

    assert [(m.file, m.line) for m in raised.value.found] == [("agent", 0), ("agents", 2)]


def test_the_register_of_the_honest_world_is_sound() -> None:
    register = Register.of(base_register())

    assert register
    assert Register.of(register.tables) == register


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=200), suffix=st.sampled_from([".csv", ".yml"]), table=st.sampled_from(["agents", "people"])
)
def test_no_text_crashes_the_loader(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str, table: str
) -> None:
    place = tmp_path_factory.mktemp("register")
    (place / f"{table}{suffix}").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        register = Register.load(place)
    except Mistakes as mistakes:
        assert mistakes.found  # noqa: PT017 - either outcome is right, as long as it is one of the two
    else:
        assert all(row for row in register.tables[table])
