"""Who acts: nobody, somebody else, or with a token that was not meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generator.attacks import again, at, stranger_to, without

if TYPE_CHECKING:
    from generator.attacks import Attack, Event


def service_call_without_person(events: list[Event]) -> list[Event]:
    """The server calls under the agent's own service identity, and names nobody."""
    call = at(events, "tool_call")
    call["user"] = {"effective": {"id": f"svc-{call['gen_ai']['agent']['id']}"}}
    return events


def argument_for_somebody_else(events: list[Event]) -> list[Event]:
    """The arguments name a person who is not the one who is signed in."""
    other = stranger_to(at(events, "prompt"))["email"]
    at(events, "tool_call")["gen_ai"]["tool"]["call"]["arguments"] = f'{{"id":"r-1","on_behalf_of":"{other}"}}'
    return events


def person_dropped_downstream(events: list[Event]) -> list[Event]:
    """The system behind the server sees the server's service identity only."""
    access = at(events, "access")
    access["user"] = {"effective": {"id": f"svc-{access['gen_ai']['agent']['id']}"}}
    return events


def person_exchanged_downstream(events: list[Event]) -> list[Event]:
    """The system behind the server is told another person."""
    at(events, "access")["user"] = stranger_to(at(events, "prompt"))
    return events


def token_of_another_server(events: list[Event]) -> list[Event]:
    """The server takes a token that was issued for another one."""
    at(events, "tool_call")["oauth"]["token"]["audience"] = ["https://elsewhere.corp.example/mcp"]
    return events


def token_handed_on(events: list[Event]) -> list[Event]:
    """The server sends the token that it received to the system behind it."""
    access, call = at(events, "access"), at(events, "tool_call")
    access["oauth"]["token"]["hash"] = call["oauth"]["token"]["hash"]
    return events


def token_long_expired(events: list[Event]) -> list[Event]:
    """A token of last month is accepted."""
    token = at(events, "tool_call")["oauth"]["token"]
    token["issued_at"], token["expires_at"] = "2020-01-01T00:00:00Z", "2020-01-01T00:15:00Z"
    return events


def user_only_in_the_arguments(events: list[Event]) -> list[Event]:
    """The server calls under the agent's own service identity; for whom, only the arguments say."""
    call = at(events, "tool_call")
    arguments = f'{{"id":"r-1","on_behalf_of":"{call["user"]["email"]}"}}'
    call["user"] = {"effective": {"id": f"svc-{call['gen_ai']['agent']['id']}"}}
    call["gen_ai"]["tool"]["call"]["arguments"] = arguments
    return events


def exchange_that_hides_the_agent(events: list[Event]) -> list[Event]:
    """The agent's exchange gives it a token that names the person and no actor."""
    oauth = at(events, "token")["oauth"]
    oauth["act"], oauth["delegation"] = {"present": False}, {"type": "impersonation"}
    return events


def assertion_nobody_checked(events: list[Event]) -> list[Event]:
    """The server takes a user assertion without looking at its signature."""
    at(events, "tool_call")["oauth"]["assertion"] = {"type": "jwt", "verified": False}
    return events


def token_for_any_server(events: list[Event]) -> list[Event]:
    """The client asks for a token and does not say for which server."""
    del at(events, "token")["oauth"]["resource"]
    return events


def agent_asks_in_its_own_name(events: list[Event]) -> list[Event]:
    """The agent gets a token for itself, though a person is present."""
    token = at(events, "token")
    token["user"] = {"effective": {"id": f"svc-{token['gen_ai']['agent']['id']}"}}
    token["event"]["action"] = "issue"
    for name in ("act", "subject_token_type"):
        token["oauth"].pop(name, None)
    token["oauth"] |= {"grant_type": "client_credentials", "delegation": {"type": "client_credentials"}}
    return events


def one_identity_for_everybody(events: list[Event]) -> list[Event]:
    """Whoever holds the hub's identity asks in the names of six people, one after the other."""
    found = []
    for number in range(6):
        call = again(at(events, "tool_call"), number, 40 * number)
        call["user"] = {"id": f"u-{number + 1:05d}", "effective": {"id": f"hub-{call['source']['ip']}"}}
        call["oauth"].pop("act", None)
        call["oauth"].pop("delegation", None)
        found.append(call)
    return [*without(events, "tool_call"), *found]


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        service_call_without_person,
        argument_for_somebody_else,
        person_dropped_downstream,
        person_exchanged_downstream,
        token_of_another_server,
        token_handed_on,
        token_long_expired,
        user_only_in_the_arguments,
        exchange_that_hides_the_agent,
        assertion_nobody_checked,
        token_for_any_server,
        agent_asks_in_its_own_name,
        one_identity_for_everybody,
    )
}
