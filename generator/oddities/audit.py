"""What can be answered afterwards, told oddly: prompts by their hash, calls by one id, prompts that nobody typed."""

from __future__ import annotations

from generator.story import NO_AGENT, Story, every, step, told, work

_NO_IDS = {"chain.prompt.id": None, "trace.id": None, "gen_ai.tool.call.id": None}
_HASH = {"chain.prompt.hash": "hmac-{id}"}


def _by_transaction() -> Story:
    """The server knows the call by the vendor's transaction alone; the other records carry it beside the trace."""
    named = {"transaction.id": "tx-{id}"}
    return Story(0.25, told(*every(named, tool_call={**_NO_IDS, **_HASH, **named})))


def _by_call_id() -> Story:
    """A desktop client knows the call by its own number in the conversation, and the prompt by its hash."""
    alone = {**_NO_IDS, **NO_AGENT, "gen_ai.tool.call.id": "call-{id}-0"}
    return Story(0.25, told(step("tool_call", {**alone, **_HASH}), step("tool_response", alone)), writes=False)


def _desktop() -> Story:
    """A desktop client logs its call and the prompt's hash, and nothing else of it is logged: no prompt, no answer."""
    alone = {**_NO_IDS, **NO_AGENT, "gen_ai.conversation": None, "transaction.id": "desk-{id}"}
    return Story(0.5, told(step("tool_call", {**alone, **_HASH})), writes=False)


def _document() -> Story:
    """A new ticket starts an agent, which only reads."""
    return Story(0.4, told(*work(prompt={"chain.prompt.origin": "{tool_output|agent}"})), writes=False)


def _handed_on() -> Story:
    """A person's prompt makes one agent start another, which writes: both prompts lie in one trace."""
    worker = {"gen_ai.agent.id": "{agent2}", "gen_ai.agent.name": "{agent2_name}", "chain.agent.parent_id": "{agent}"}
    second = {**worker, "chain.prompt.id": "prompt-{id}-1"}
    client = {"oauth.client.id": "{client2}", "oauth.token.client_id": "{client2}", "oauth.act.sub": "{agent2}"}
    prompt = step("prompt", {**second, "chain.prompt.origin": "agent", "chain.prompt.hash": "hmac-{id}-1"})
    _, *rest = every(second, token=client, tool_call=client, access=client)
    return Story(0.4, told(step("prompt"), prompt, *rest), writes=True)


STORIES: dict[str, Story] = {
    "prompt by its hash": Story(0.25, told(*work(tool_call={"chain.prompt.id": None, **_HASH}))),
    "prompt by its text": Story(
        0.25, told(*work(tool_call={"chain.prompt.id": None, "chain.prompt.text": "How is {resource} doing?"}))
    ),
    "call by the prompt alone": Story(0.25, told(*work(tool_call={"trace.id": None, "gen_ai.tool.call.id": None}))),
    "call by the trace alone": Story(
        0.25, told(*work(tool_call={"chain.prompt.id": None, **_HASH, "gen_ai.tool.call.id": None}))
    ),
    "call by the transaction alone": _by_transaction(),
    "call by its number alone": _by_call_id(),
    "desktop": _desktop(),
    "started by a ticket": _document(),
    "handed on": _handed_on(),
}
