"""The app's pages as Simple XML, and the searches behind them.

Values that a person types or clicks get into a search by ``|s`` (in quotes, escaped), into a link by ``|u``; the only
bare tokens are hashes that a search of ours made.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATES = Path(__file__).parent / "package"

VIEWS = ("countersign_overview", "countersign_chain", "countersign_coverage")
"""Pages in the order of the navigation; the first is the default."""

TITLES = {"countersign_overview": "Overview", "countersign_chain": "One chain", "countersign_coverage": "Coverage"}

REGISTER = ("agents", "clients", "servers", "tools", "people", "coverage")
"""Tables of the register whose rows the coverage page counts."""

_FINDINGS = "search `countersign_findings`"
_RECORDS = "search `countersign_index`\n| `countersign_events`"
_RANK = (
    'eval rank=case(countersign_level="critical",1,countersign_level="high",2,countersign_level="medium",3,'
    'countersign_level="low",4,isnotnull(countersign_level),5)'
)

OVERVIEW: Mapping[str, str] = {
    "total": f"{_FINDINGS}\n| stats count AS findings",
    "severe": f'{_FINDINGS}\n| where countersign_level="critical" OR countersign_level="high"\n'
    "| stats count AS findings",
    "chains": f"{_FINDINGS}\n| stats dc(countersign_chain) AS chains",
    "days": f"{_FINDINGS}\n| timechart span=1d count BY countersign_level",
    "rules": f"{_FINDINGS}\n| stats count AS findings max(_time) AS _time BY countersign_title countersign_level "
    f"countersign_rule\n| {_RANK}\n| sort 0 num(rank) -num(findings)\n"
    "| table countersign_level countersign_title findings _time countersign_rule",
    "people": f"{_FINDINGS}\n| stats count AS findings dc(countersign_rule) AS rules BY user\n"
    "| sort 0 -num(rules) -num(findings)\n| table user rules findings",
    "latest": f"{_FINDINGS}\n| sort 0 -num(_time)\n| table _time countersign_level countersign_title "
    "countersign_sentence user countersign_agent dest countersign_chain countersign_record",
}

_FACTS = (
    *("chain.complete", "chain.missing", "chain.blind", "chain.has_prompt", "chain.user_linked", "chain.answered"),
    *("chain.user_propagated", "chain.agent_propagated", "chain.user_changed", "chain.conflict", "chain.id_dropped"),
    *("chain.id_dropped_at", "chain.token_passed_through", "chain.orphan_write", "chain.wrote_under_read_scope"),
    *("chain.wrote_with_read_only_tool", "chain.prompt_untrusted_only", "chain.third_party", "chain.restricted_shared"),
)

CHAIN: Mapping[str, str] = {
    "chain": f"{_RECORDS}\n| `countersign_chains`\n"
    '| where \'chain.id\'=$chain|s$ OR isnotnull(mvfind(cs_records,"^".$record|s$."[|]"))\n'
    '| eval members=mvjoin(mvmap(cs_records,mvindex(split(cs_records,"|"),0)),"|"), _time=\'chain.start\' / 1000000\n'
    "| table _time chain.id chain.id_source chain.duration_sec chain.users chain.effective_users chain.agents "
    f"chain.servers chain.tools chain.systems chain.scopes {' '.join(_FACTS)} members",
    "summary": "table _time chain.id chain.id_source chain.duration_sec chain.users chain.effective_users "
    "chain.agents chain.servers chain.tools chain.systems chain.scopes",
    "facts": f"table {' '.join(_FACTS)}\n| transpose column_name=fact",
    "records": f'{_RECORDS}\n| eval cs_record=md5(_raw)\n| where match(cs_record,"^(?:$members$)\\z")\n'
    "| dedup cs_record\n| sort 0 num(cs_ts) str(cs_record)\n"
    "| table _time chain.stage event.action event.outcome user.id user.effective.id gen_ai.agent.id oauth.client.id "
    "mcp.server.name gen_ai.tool.name service.target.name chain.operation oauth.scope.presented oauth.token.hash "
    "chain.prompt.id trace.id transaction.id event.dataset observer.name",
    "findings": f'{_FINDINGS}\n| where countersign_chain=$chain|s$ OR match(countersign_record,"^(?:$members$)\\z")\n'
    "| sort 0 num(_time)\n| table _time countersign_level countersign_title countersign_sentence",
}

COVERAGE: Mapping[str, str] = {
    "arrives": "search `countersign_index`\n| stats count AS records max(_time) AS _time BY event.dataset chain.stage\n"
    "| sort 0 str(event.dataset) str(chain.stage)",
    "readable": "search `countersign_index`\n| stats count AS sent",
    "read": f"{_RECORDS}\n| stats count AS read",
    "sees": "| inputlookup countersign_sees\n| lookup countersign_rules stem AS rule OUTPUT title level\n"
    "| chart values(sees) OVER title BY dataset",
    "blind": '| inputlookup countersign_sees\n| where sees!="fires" AND ($dataset|s$="*" OR dataset=$dataset|s$)\n'
    "| lookup countersign_rules stem AS rule OUTPUT title level stages\n| table dataset sees level title stages",
    "needs": '| inputlookup countersign_rules\n| where needs_register!=""\n| table title level needs_register',
    "datasets": "| inputlookup countersign_sees\n| dedup dataset\n| table dataset",
    "schedule": "| rest /servicesNS/-/countersign/saved/searches splunk_server=local\n"
    '| where match(title,"^Countersign - ")\n'
    "| table title disabled cron_schedule next_scheduled_time dispatch.earliest_time",
    **{
        f"register_{name}": f"| inputlookup countersign_{name}\n| stats count AS rows"  # one row an entry
        for name in REGISTER
    },
}

SEARCHES: Mapping[str, Mapping[str, str]] = {
    "countersign_overview": OVERVIEW,
    "countersign_chain": CHAIN,
    "countersign_coverage": COVERAGE,
}
"""Page → name of a search → its text, tokens and all."""


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: str, **given: object) -> str:
    """A template of the folder ``package``, with every value escaped."""
    return _environment().get_template(template).render(**given)


def pages() -> dict[str, str]:
    """Path in the app → text, of the navigation and the views."""
    found = {
        f"default/data/ui/views/{name}.xml": rendered(f"{name}.xml.j2", searches=SEARCHES[name], register=REGISTER)
        for name in VIEWS
    }
    found["default/data/ui/nav/default.xml"] = rendered("nav.xml.j2", views=VIEWS)
    return found
