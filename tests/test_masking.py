"""No secret of a log reaches a report, wherever it was written; what only looks like one stays readable."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import string
import time
import uuid
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sigma.rule import SigmaRule

from backends.vocabulary import Vocabulary
from generator.session import base_event
from harness.finding import Finding, Rejected, ScanResult, Summary
from harness.masking import CONTENT, LONGEST, SHOWN, masked
from harness.naming import Namer
from harness.paths import Root
from harness.report import json_report, jsonl_report, table_report
from harness.ruleset import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Root.default()
EVENTS = Vocabulary.load(ROOT.event_schema)
CHAINS = Vocabulary.load(ROOT.schemas / "chain.schema.json")
TEXTS = sorted(name for name, field in EVENTS.fields.items() if field.kind == "keyword" and not field.enum)
URL_SAFE = string.ascii_letters + string.digits + "-_"
WORD = string.ascii_letters + string.digits
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TYPED = st.text(string.printable.strip(), min_size=8, max_size=30)


def of(alphabet: str, least: int, most: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most or least)


def jwt(*parts: str) -> str:
    return ".".join(["eyJhbGciOiJSUzI1NiJ9", *parts])


MADE = {
    "JWT": st.builds(jwt, of(URL_SAFE, 20, 60), of(URL_SAFE, 43)),
    "JWE": st.builds(jwt, st.just(""), of(URL_SAFE, 16), of(URL_SAFE, 20, 40), of(URL_SAFE, 22)),
    "GitHub": st.builds("{}{}".format, st.sampled_from(["ghp_", "gho_", "ghs_", "github_pat_"]), of(WORD, 36)),
    "GitLab": of(URL_SAFE, 20).map("glpat-{}".format),
    "AWS": of(string.ascii_uppercase + string.digits, 16).map("AKIA{}".format),
    "Slack": of(WORD, 24).map("xoxb-123456789012-{}".format),
    "OpenAI": st.builds("{}{}".format, st.sampled_from(["sk-", "sk-proj-", "sk-ant-api03-"]), of(WORD, 40)),
    "Google": of(URL_SAFE, 35).map("AIza{}".format),
    "Google access token": of(URL_SAFE, 60).map("ya29.{}".format),
    "private key": of(WORD + "+/", 64).map("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----".format),
}
"""Secrets known by their form."""

TOLD: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "a bearer token": ("Authorization: Bearer {}", of(WORD, 20, 40)),
    "a bearer token in a sentence": (
        "sent bearer {} to it",
        of(WORD, 24, 40).filter(lambda s: any(map(str.isdigit, s))),
    ),
    "basic authentication": (
        "authorization=Basic {}",
        TYPED.map(lambda s: base64.b64encode(f"ana:{s}".encode()).decode()),
    ),
    "an unnamed scheme": ("Authorization: Custom {}", of(WORD, 12)),
    "userinfo in a URL": ("https://ana:{}@crm.corp.example/x", of(WORD + "!$*_~", 6, 20)),
    "a password alone in a URL": ("redis://:{}@cache.corp.example", of(WORD, 6, 20)),
    "a password pair": ("password={}", st.builds("{}{}".format, of(WORD, 1), of(WORD + "!#$%*()+-./:?@^_|~", 5, 20))),
    "a quoted password": ('passwd: "{}"', st.builds("{}{}".format, of(WORD, 1), of(WORD + " ,;&='", 6, 20))),
    "an API key": ("X-Api-Key: {}", of(WORD, 6, 40)),
    "a camel-case name": ("clientSecret={}", of(WORD, 6, 40)),
    "a connection string": (
        "Server=db;User Id=sa;Password={};Database=crm",
        of(WORD + "!#&%,", 6, 20).map("p{}q".format),
    ),
    "a storage key": ("AccountName=a;AccountKey={};EndpointSuffix=x", of(WORD + "+/", 44)),
    "a query parameter": ("https://crm.corp.example/x?a=1&access_token={}&b=2", of(WORD, 6, 40)),
    "an authorization code": ("https://app.corp.example/cb?code=c0de1{}&state=s", of(WORD, 16)),
    "a signature": ("https://x.blob.example/y?sv=1&sig={}", of(WORD, 20)),
    "a flag": ("mysqldump --password {} crm", of(WORD, 6, 20)),
    "a cookie": ("Cookie: session={}; theme=dark", of(WORD, 12)),
    "a variable": ("DB_PASSWORD={} ./serve", of(WORD, 6, 20)),
    "a Go data source": ("root:{}@tcp(127.0.0.1:3306)/crm", of(WORD, 6, 20)),
    "an element": ("<password>{}</password>", of(WORD, 6, 20)),
    "SQL": ("ALTER ROLE ana PASSWORD '{}'", of(WORD, 6, 20)),
}
"""Secrets known by what stands around them."""

planted = st.one_of(
    *(secret.map(lambda s: ("{}", s)) for secret in MADE.values()),
    *(st.tuples(st.just(form), secret) for form, secret in TOLD.values()),
)

CARRIERS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in a JSON text": lambda text: json.dumps({"a": [1, {"note": text}], "b": "x"}),
    "in a JSON text in a JSON text": lambda text: json.dumps({"body": json.dumps({"note": text, "n": 1})}),
    "in a query": lambda text: "https://crm.corp.example/x?q=" + quote(text, safe=""),
    "encoded twice": lambda text: "next=" + quote(quote(text, safe=""), safe=""),
    "behind JSON": lambda text: "payload: " + json.dumps({"note": text, "then": "x"}),
}


def said_of(core: str, out: str, around: str = "") -> list[str]:
    """Pieces of the secret that were printed, and that no text around it holds."""
    flat, known = re.sub(r"[\s\\]", "", out), re.sub(r"\s", "", around)
    core = re.sub(r"\s|-----(BEGIN|END) RSA PRIVATE KEY-----", "", core)
    size = min(6, len(core))
    pieces = [core[at : at + size] for at in range(len(core) - size + 1)]
    return [piece for piece in pieces if piece in flat and piece not in known]


@given(planted, ANYTHING, ANYTHING, st.sampled_from(" \t\n(,\"'>|"), st.sampled_from(sorted(CARRIERS)))
@settings(max_examples=600, deadline=None)
@example(("Authorization: Bearer {}", "opaque0123456789abcd"), "", "", " ", "behind JSON")
@example(("{}", "sk-a1B2c3D4e5F6g7H8i9J0k1L2"), "", "", "\t", "behind JSON")
@example(("token={}", "a1B2c3D4e5F6g7H8i9J0k1L2"), "", "", "\n", "behind JSON")
def test_nothing_of_a_secret_is_left_in_any_text(
    secret: tuple[str, str], before: str, after: str, edge: str, carrier: str
) -> None:
    form, core = secret
    around = f"{before} {form} {after}"
    assume(len(set(core)) > 3)
    text = CARRIERS[carrier](f"{before}{edge}{form.format(core)} {after}")
    assert said_of(core, masked(text), around + CARRIERS[carrier](around)) == []


def rule(fields: list[str], service: str = "event") -> Rule:
    """A rule that reads, groups by and speaks of all these fields."""
    told = "\n".join(f"        {name}|exists: true" for name in fields)
    sigma = SigmaRule.from_yaml(
        "title: Every Field\nid: 8b0f5c8e-7e0b-4c07-9d8e-0d3b7d7d5a11\nlevel: low\n"
        f"logsource: {{product: mcp, service: {service}}}\ndetection:\n    selection:\n{told}\n    condition: selection\n"
    )
    sentence = "It says " + " and ".join(f"{{{name}|nothing}}" for name in fields) + "."
    return Rule("every_field", ROOT.rules, "scope", service, "low", sigma, "incident", tuple(fields), 3600, sentence)


@cache
def every_field() -> Rule:
    return rule(TEXTS)


def event_finding(values: dict[str, Any], *, show_sensitive: bool = False, chain: str = "c-1") -> Finding:
    return Namer(EVENTS, show_sensitive=show_sensitive).event_finding(
        every_field(),
        [values],
        [("log.jsonl", 1)],
        count=1,
        places_total=1,
        seen=("2026-10-05T09:00:00.000000Z",) * 2,
        period="2026-10-05T09:00:00.000000Z",
        chain=(chain, "trace"),
    )


def printed(*findings: Finding, rejected: tuple[Rejected, ...] = (), summary: Summary | None = None) -> str:
    """The three reports, one after the other."""
    out = io.StringIO()
    result = ScanResult(findings, (), rejected, summary or Summary(stages={"tool_call": 1}))
    for report in (table_report, json_report, jsonl_report):
        report.render(result, out)
    return out.getvalue()


@given(planted, st.sampled_from(sorted(CARRIERS)), st.booleans(), st.data())
@settings(max_examples=60, deadline=None)
def test_no_report_shows_a_secret_of_any_field(
    secret: tuple[str, str],
    carrier: str,
    show: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    form, core = secret
    assume(len(set(core)) > 5)
    text = CARRIERS[carrier](form.format(core))
    name = data.draw(st.sampled_from(TEXTS))
    plain = {field: f"value-of-{field}" for field in TEXTS}
    values = {**plain, name: [text, "x"] if EVENTS.fields[name].array else text}
    honest = printed(event_finding(plain, show_sensitive=show)) + CARRIERS[carrier](form)
    assert said_of(core, printed(event_finding(values, show_sensitive=show)), honest) == []


SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2"


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("show", [False, True], ids=["", "--show-sensitive"])
def test_a_secret_is_masked_in_every_field(name: str, show: bool) -> None:  # noqa: FBT001
    finding = event_finding({name: [SECRET] if EVENTS.fields[name].array else SECRET}, show_sensitive=show)
    assert SECRET not in printed(finding)
    assert finding.fields[name] is not None


def test_a_secret_that_is_the_chains_own_id_is_masked() -> None:
    chained = {"chain.id": SECRET, "chain.start": "2026-10-05T09:00:00Z", "chain.end": "2026-10-05T09:00:00Z"}
    of_chain = Namer(CHAINS).chain_finding(rule(["chain.id"], "chain"), chained, [("log.jsonl", 1)], 1)
    assert SECRET not in printed(event_finding({}, chain=SECRET), of_chain)


def test_a_secret_in_a_rejected_line_or_in_a_sources_name_is_masked() -> None:
    rejected = (Rejected("log.jsonl", 1, f"the key '{SECRET}' occurs twice in one object"),)
    reasons = {f"the key '{SECRET}' occurs twice in one object": 1}
    summary = Summary(stages={"": 1}, sources={SECRET: 1}, rejected=reasons)
    assert SECRET not in printed(rejected=rejected, summary=summary)


@pytest.mark.parametrize(
    "text",
    [
        '{"password": "my pass, word; & x"}',
        '{"password": ["hunter2pass", {"old": "hunter2pass"}]}',
        '{"credentials": {"user": "hunter2pass"}}',
        '{"pin_password": 837261940}',
        '{"env": [{"name": "DB_PASSWORD", "value": "hunter2pass"}]}',
        '{"args": ["--token", "hunter2pass"]}',
        '{"password": "a", "password": "hunter2pass"}',
        '{"pass\\u0077ord": "hunter2\\u0070ass"}',
        '{"headers": {"Proxy-Authorization": "hunter2pass x"}}',
        '{"kty": "RSA", "n": "q", "d": "hunter2pass"}',
        'body={"password": ["hunter2pass"]}',
        'body={"password": "hunter2pass',
        'body={\\"password\\":\\"hunter2 pass\\"}',
        "%7B%22password%22%3A%22hunter2pass%22%7D",
        "postgres://app:hunter2/pass@db/crm",
        "postgres://app:hunter2@pass@db/crm",
        "curl -u ana:hunter2pass https://crm.corp.example",
        "[" * 4_000 + "password=hunter2pass",
        '{"a": ' * 800 + '"password=hunter2pass"' + "}" * 800,
        "%2525252525252570assword=hunter2pass",
    ],
    ids=lambda text: text[:40],
)
def test_structure_does_not_hide_a_secret(text: str) -> None:
    assert not re.search(r"hunter2|pass\b(?!word)|837261940", masked(text)), masked(text)


def survivors() -> Iterator[tuple[str, str]]:
    """Ordinary text: every example of the schemas, every value of the honest events, and what looks like a secret."""
    for vocabulary in (EVENTS, CHAINS):
        for name, field in vocabulary.fields.items():
            for value in field.example if isinstance(field.example, list) else [field.example]:
                yield name, value
    yield from ((stage, text) for stage in EVENTS.stages for text in _leaves(base_event(stage)))
    yield from (("look-alike", text) for text in LOOK_ALIKES)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield from value if isinstance(value, list) else [value]


LOOK_ALIKES = (
    "https://ana@corp.example/", "https://host:8080/path@x", "mailto:ana@corp.example", "task-0123456789abcdef0123",
    "reset_password", "get_secret", "secrets:read", "secret:read_all", "token:exchange", "max_tokens=4096",
    "urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:grant-type:token-exchange",
    "token_type=Bearer&state=s-1", "next_page_token=abc123def456", '{"progressToken": "p-12345678"}',
    "bearer authentication failed", "Basic information", "the token exchange was refused", "invalid token: audience mismatch",
    "passed: 12, failed: 0", "config=prod design=new", "error code=500", "eyJ", "sk-short", "50%25 off", "[1, 2]", "{}",
    "AKIA", "-----BEGIN CERTIFICATE-----", '{"password": null, "token": true, "secret": ""}', "password=",
)  # fmt: skip


def test_ordinary_values_survive() -> None:
    changed = {(name, v): masked(v) for name, v in survivors() if isinstance(v, str) and masked(v) != v}
    assert changed == {}


@given(
    st.one_of(
        st.uuids().map(str),
        st.binary(min_size=32, max_size=32),
        st.builds("{}.{}@{}.example".format, of(WORD, 1, 9), of(WORD, 1, 9), of(WORD, 1, 9)),
        st.integers().map(str),
    )
)
def test_ids_hashes_and_addresses_survive(value: str | bytes) -> None:
    texts = [value] if isinstance(value, str) else [value.hex(), base64.b64encode(value).decode()]
    assert [masked(text) for text in texts] == texts


@given(
    st.one_of(*MADE.values()),
    st.sampled_from(
        ["{}", "see {} .", "token={}", "Authorization: Bearer {}", '{{"secret": "{}"}}', "https://x/?access_token={}&b"]
    ),
)
@settings(deadline=None)
def test_one_made_secret_has_one_fingerprint_wherever_it_is_seen(secret: str, place: str) -> None:
    secret = re.sub(r"[-_]+\Z", "", secret) if "BEGIN" not in secret else secret
    text = place.format(json.dumps(secret)[1:-1] if place[0] == "{" and len(place) > 2 else secret)
    (alone,) = re.findall(r"\[secret [0-9a-f]{8}\]", masked(secret))
    assert alone in masked(text)


def test_two_made_secrets_have_two_fingerprints() -> None:
    assert masked(SECRET) != masked(SECRET + "x")


@pytest.mark.parametrize("form", [form for form, _ in TOLD.values() if "Bearer" not in form and "bearer" not in form])
def test_a_secret_that_a_person_may_have_chosen_has_no_fingerprint(form: str) -> None:
    """Whoever has a list of passwords could tell by eight digits which it was."""
    weak = base64.b64encode(b"ana:hunter22").decode() if "Basic" in form else "hunter2hunter22"
    shown = masked(form.format(weak))
    assert "[secret]" in shown
    assert not re.search(r"[0-9a-f]{8}", shown)


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_content_is_shown_by_its_length_alone_unless_asked_for(name: str) -> None:
    text = "move the opportunity to won"
    hidden, shown = event_finding({name: text}), event_finding({name: text}, show_sensitive=True)
    assert hidden.fields[name] == "[content, 27 characters]"
    assert hashlib.sha256(text.encode()).hexdigest()[:8] not in printed(hidden)
    assert (shown.fields[name], text in shown.sentence) == (text, True)


def test_the_id_of_a_finding_does_not_depend_on_what_is_shown() -> None:
    values = {"gen_ai.tool.call.arguments": "x", "user.id": "u-ana"}
    assert event_finding(values).id == event_finding(values, show_sensitive=True).id


def test_the_id_of_a_finding_gives_no_password_away() -> None:
    """The id is a hash whose other parts are known."""
    assert event_finding({"user.id": "password=a"}).id == event_finding({"user.id": "password=b"}).id


@given(planted)
@settings(deadline=None)
def test_masking_twice_is_masking_once(secret: tuple[str, str]) -> None:
    once = masked(secret[0].format(secret[1]))
    assert masked(once) == once


def test_long_text_is_cut_after_it_is_masked() -> None:
    text = "x" * (SHOWN - 10) + " password=" + "hunter2" * 100 + " " + "y" * LONGEST
    shown = masked(text)
    assert len(shown) < SHOWN + 30
    assert "hunter" not in shown
    assert shown.endswith(f"… ({len(text)} characters)")


@pytest.mark.parametrize(
    "unit", ["eyJ", "://", "://:", 'password=\\"', "\\", "%25", "<a ", '{"a":', "--token ", ' = "']
)
def test_hostile_text_does_not_hold_up_a_report(unit: str) -> None:
    began = time.perf_counter()
    masked(unit * 100_000)
    assert time.perf_counter() - began < 2


def test_a_lone_surrogate_is_no_obstacle() -> None:
    assert masked("token=\ud800abc %ff \udcff") == "token=[secret] %ff \udcff"


def test_examples_are_what_they_say() -> None:
    """The planted secrets are told apart from a mask: unmasked, each is seen."""
    assert said_of("hunter2", "x hunter2 y") == ["hunter", "unter2"]
    assert uuid.UUID(int=0).hex not in masked(SECRET)
    assert replace(Rejected("f", 1, "x"), reason=SECRET).reason == masked(SECRET)
