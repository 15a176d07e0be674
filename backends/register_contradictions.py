"""What a register says that cannot all be true: between the rows of a table, and between tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.register_tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from backends.errors import Mistake
    from backends.register_rows import Row

_SERVICES = ("workload", "service", "system")


def contradictions(rows: Mapping[str, Sequence[Row]]) -> Iterator[Mistake]:
    """Every contradiction, in the order of the tables; where two rows disagree, at the later one."""
    for name in TABLES:
        yield from _said_twice(rows[name])
    yield from _owned_twice(rows["agents"])
    yield from _servers(rows["servers"])
    yield from _loops(rows["scopes"])
    yield from _people(rows["people"])
    yield from _clients_and_agents(rows["clients"], rows["agents"])
    yield from _people_and_services(rows)
    yield from _coverage(rows["coverage"])


def _said_twice(rows: Sequence[Row]) -> Iterator[Mistake]:
    """A key given twice: always a mistake within a file, between files when the rows differ."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        table = TABLES[row.table]
        identity = row.key if table.key else tuple(str(row.values.get(name, "")).lower() for name in table.columns)
        if not any(identity):
            continue
        before = first.setdefault(identity, row)
        if before is row:
            continue
        name = " of ".join(str(row.values[c]) for c in reversed(table.key) if c in row.values) or row.values.get(
            "person"
        )
        if row.file == before.file:
            yield row.mistake(f"{row.table} lists {name} twice, first on line {before.line}")
            continue
        for column in table.columns:
            if column in row.values and column in before.values and row.values[column] != before.values[column]:
                yield row.mistake(f"{row.table} says another {column} of {name} than {before.place}", column)


def _owned_twice(agents: Sequence[Row]) -> Iterator[Mistake]:
    for column, what in (("service_identities", "service identity"), ("client_ids", "client id")):
        owner: dict[str, Row] = {}
        for row in agents:
            for identity in row.values.get(column, ()):
                before = owner.setdefault(identity.lower(), row)
                if before.key != row.key:
                    other = before.values.get("id")
                    yield row.mistake(f"the {what} {identity} also belongs to agent {other} ({before.place})", column)


def _servers(servers: Sequence[Row]) -> Iterator[Mistake]:
    for row in servers:
        name, approval = row.values.get("name"), row.values.get("approval")
        if approval == "approved" and "revoked_at" in row.values:
            yield row.mistake(
                f"server {name} is approved and has a revoked_at; its approval is revoked, or it has none", "approval"
            )
        classes = [item.partition("=")[0] for item in row.values.get("regions", ())]
        for twice in sorted({c for c in classes if classes.count(c) > 1}):
            yield row.mistake(
                f"server {name} has two regions items for the class {twice}; join them by commas", "regions"
            )
    for column in ("id", "uri"):
        first: dict[str, Row] = {}
        for row in servers:
            if column not in row.values:
                continue
            before = first.setdefault(row.values[column].lower(), row)
            if before.key != row.key:
                other = before.values.get("name")
                yield row.mistake(
                    f"the {column} {row.values[column]} is also server {other}'s ({before.place})", column
                )


def _loops(scopes: Sequence[Row]) -> Iterator[Mistake]:
    """Each loop of parents once, at its first row."""
    parent = {row.key[0]: row.values["parent"].lower() for row in scopes if "parent" in row.values}
    told: set[str] = set()
    for row in scopes:
        way, at = [], row.key[0]
        while at in parent and at not in way and at not in told:
            way.append(at)
            at = parent[at]
        if at in way and at == way[0]:
            yield row.mistake(
                f"the parents of scope {row.values['scope']} form a loop: {' → '.join([*way, at])}", "parent"
            )
        if at in way:
            told.update(way[way.index(at) :] if at == way[0] else ())


def _people(people: Sequence[Row]) -> Iterator[Mistake]:
    first: dict[tuple[str, str, str], Row] = {}
    for row in people:
        values = row.values
        if not values.keys() & {"id", "email", "name"}:
            yield row.mistake("people: a row names an id, an email or a name of the person")
        identities = []
        if "id" in values:
            identities.append(("id", values.get("issuer", ""), values["id"]))
        if "email" in values:
            identities.append(("email", "", values["email"].lower()))
        for identity in identities:
            before = first.setdefault(identity, row)
            if before.values.get("person") != values.get("person"):
                column, issuer, shown = identity
                at = f" at {issuer}" if issuer else ""
                persons = f"{before.values.get('person')} ({before.place}) and {values.get('person')}"
                yield row.mistake(f"the {column} {shown}{at} is two people's: {persons}", column)


def _clients_and_agents(clients: Sequence[Row], agents: Sequence[Row]) -> Iterator[Mistake]:
    owner = {client.lower(): row for row in agents for client in row.values.get("client_ids", ())}
    identity = {name.lower(): row for row in agents for name in row.values.get("service_identities", ())}
    for row in clients:
        client = row.values.get("id", "")
        agent = owner.get(client.lower()) or identity.get(client.lower())
        if agent is None:
            continue
        listed = f"agent {agent.values.get('id')} lists it as its own ({agent.place})"
        if row.values.get("kind") == "human":
            yield row.mistake(f"client {client} is human, and {listed}", "kind")
        if "agent" in row.values and row.values["agent"].lower() != agent.key[0]:
            yield row.mistake(f"client {client} belongs to agent {row.values['agent']}, and {listed}", "agent")


def _people_and_services(rows: Mapping[str, Sequence[Row]]) -> Iterator[Mistake]:
    """An identity that is a service's and a person's: `user.id` could not be told from `user.effective.id`."""
    service: dict[str, tuple[str, Row]] = {}
    for row in rows["agents"]:
        for name in row.values.get("service_identities", ()):
            service.setdefault(name.lower(), (f"a service identity of agent {row.values.get('id')}", row))
    for row in rows["clients"]:
        if row.values.get("kind") in _SERVICES and "id" in row.values:
            service.setdefault(row.key[0], (f"a client of kind {row.values['kind']}", row))
    for row in rows["people"]:
        for column in ("id", "email"):
            known = service.get(str(row.values.get(column, "")).lower())
            if known:
                what, other = known
                shown, person = row.values[column], row.values.get("person")
                yield row.mistake(f"{shown} is an identity of {person}, and {what} ({other.place})", column)


def _coverage(coverage: Sequence[Row]) -> Iterator[Mistake]:
    for row in coverage:
        if ("system" in row.values) == ("agent" in row.values):
            yield row.mistake("coverage: a row names either a system or an agent")
