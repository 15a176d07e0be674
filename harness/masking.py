"""Secrets are masked in every output, whatever made the rule fire.

A secret is known by its own form (a JWT, a vendor's key, a private key), by what stands before it (``Bearer``,
``password=``, ``--token``, a key of a JSON object), or by its place in a URL. Text is looked at as it is, as JSON where
it is JSON, and percent-decoded. In doubt too much is masked.

A mark tells two sightings of one secret to be the same by eight hexadecimal digits of its SHA-256, but only where a
machine made the secret. Those digits are no help against 80 random bits. A password that a person chose is another
matter: with a list of passwords, eight digits single it out. So what is known only by its name or place, and content,
which can be as short as "yes", are marked without a fingerprint. A keyed hash would need a key that every scan of a
team shares, and reports are compared without one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = frozenset({"chain.prompt.text", "chain.response.text", "gen_ai.tool.call.arguments", "url.query", "url.full"})
"""Fields that hold what people wrote or sent: only their length is shown unless asked for."""

LONGEST, SHOWN = 6_000, 2_000
"""Characters of a text that are looked at, and that are shown once it is masked: more is no use, and takes time."""

_EDGE = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"  # a line break may be written as two characters

FORMS = {
    "private key": r"-----BEGIN[A-Z0-9 +]*PRIVATE[ +]KEY.*?(?:-----END[A-Z0-9 +]*PRIVATE[ +]KEY[A-Z +]*-----|\Z)",
    "age key": r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
    "JWT, JWE": r"eyJ[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*){0,3}\.[A-Za-z0-9_-]+",
    "GitHub": r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}",
    "GitLab": r"gl(?:pat|oas|rt|dt|ptt|cbt|ft)-[A-Za-z0-9_.-]{16,}",
    "AWS": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    "Slack": r"xox[abceoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/[A-Za-z0-9/_-]{20,}",
    "OpenAI, Anthropic": _EDGE + r"sk-[A-Za-z0-9_-]{16,}",
    "Stripe": _EDGE + r"(?:[rsp]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,}",
    "Google": r"AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"
    r"|(?<![0-9])1//0[A-Za-z0-9_-]{20,}",
    "Azure": r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",
    "npm, PyPI": r"npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}",
    "Hugging Face": _EDGE + r"hf_[A-Za-z]{30,}",
    "DigitalOcean": r"do[opr]_v1_[a-f0-9]{60,}",
    "SendGrid": r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "Databricks": _EDGE + r"dapi[a-f0-9]{32}",
    "Atlassian": r"ATATT3[A-Za-z0-9_=-]{30,}",
    "Vault": _EDGE + r"hv[sb]\.[A-Za-z0-9_-]{20,}",
    "Telegram": r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    "Shopify": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "Linear, Notion": r"lin_api_[A-Za-z0-9]{30,}|ntn_[A-Za-z0-9]{40,}",
}
"""Secrets that are known by their own form: all are made by machines."""

_MADE = re.compile("|".join(FORMS.values()), re.DOTALL)
_SCHEME = re.compile(
    _EDGE + r"(?i:(bearer|basic|dpop|negotiate|apikey|token))(?:[ \t]{1,4}|\+)([A-Za-z0-9._~+/=-]{8,})"
)
_USERINFO = re.compile(  # a password may hold a slash, but what follows host: is a port
    r"(?<=://)(?:[^\s/?#@:\[]{0,200}:[^\s/?#]{0,400}|[^\s/?#@:\[]{0,200}:(?!\d{1,5}[/?#])[^\s@\"']{0,400}"
    r"|[A-Za-z0-9_.~-]{16,400})(?=@)"
)
_PLACED = (
    re.compile(r":([^\s:@]+)@(?:tcp|unix)\("),  # a data source name of Go's MySQL driver
    re.compile(_EDGE + r"(?i:(?:identified\s{1,4}by|password)\s{1,4})('[^']*|\"[^\"]*)"),  # SQL
    re.compile(r"(?:(?<!\S)|(?<=\\[nrt]))(?:-u|--user|--proxy-user)[ =]{1,4}([^\s:]+:\S+)"),  # curl
)
_ELEMENT = re.compile(r"<(?:\w+:)?([A-Za-z][\w.-]{1,60})(?:\s[^<>]*)?>([^<]+)(?=</)")
_FLAG = re.compile(r"(?:(?<!\S)|(?<=\\[nrt])|(?<=[\"']))--?([A-Za-z][\w-]{1,60})[ \t]{1,4}(?=[^\s-])")
_SEPARATOR = re.compile(r"(?:\\{0,8}[\"']|%22)?\s{0,8}(=>|:=|[=:]+|%3[AaDd])\s{0,8}")
_NAME = re.compile(r"[\w.\[\]-]+$")
_OPENING = re.compile(r"(\\{0,8})([\"'])|%22")
_CLOSING = re.compile(r"\\[\"'](?=\s{0,8}(?:[,}\]:;]|$))")
_ENDS = {quote: re.compile(rf"(?<!\\)(?:\\\\)*{quote}") for quote in "\"'"}
_LINE = re.compile(r"[^\r\n\"']*")
_BARE = re.compile(r"(?:[^\s&;,\"'\\]|&(?![\w.%\[\]-]+=)|;(?=\S)(?![\w .-]+=)|,(?=\S)|[\"'](?=\w)|\\(?![\"']))+")
_MARKED = re.compile(r"\[secret(?: [0-9a-f]{8})?\](?![A-Za-z0-9])")
_VERB = re.compile(  # a scope such as secrets:read is no pair
    r"(?:\*|all|admin|create|delete|exchange|get|introspect|issue|list|manage|read|refresh|reset|revoke|rotate|update|use"
    r"|view|write)(?:[._:-](?:all|any|own|self))?(?![\w-])"
)

_ALWAYS = re.compile(
    r"password|passwd|passphrase|passcode|secret|credential|authorization$|cookie$|code_verifier$|client_assertion$"
    r"|(?:api|private|access|account|signing|encryption|master|auth|shared|subscription|session)_?key"
    r"|(?:access|refresh|id|api|auth|bearer|session|security|csrf)_?tokens?$"
)
_MAYBE = re.compile(r"(?:^|_)(?:pwd|pass|token|sig|signature|assertion|jwt|bearer)\d*$")
_ORDINARY = re.compile(
    r"_(?:age|arn|at|count|field|file|length|manager|method|names?|path|policy|present|ref|required|reset|rotation|scope"
    r"|status|store|strength|types?|ur[il]|valid|version)$"
    r"|(?:^|_)(?:cancellation|continuation|cursor|next|page|progress|stop|sync)_?token$"
)
_NAMING = ("name", "key", "header", "field")
_JWK = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_LONG, _SHORT = 24, 6
_DECODED = 3  # how many times over a text may be percent-encoded


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits by which two sightings of one secret can be told to be the same."""
    return hashlib.sha256(re.sub(r"\\[nr]|\s", "", secret).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def masked(text: str, *, sensitive: bool = False) -> str:
    """The text without its secrets, at most ``SHOWN`` characters; of a sensitive text only the length."""
    if sensitive:
        return f"[content, {len(text)} characters]"
    safe = _text(text[:LONGEST], _DECODED)
    return safe if len(text) <= LONGEST and len(safe) <= SHOWN else f"{safe[:SHOWN]}… ({len(text)} characters)"


def _text(text: str, depth: int) -> str:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            document = json.loads(text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)
            return _dumped(safe) if (safe := _safe(document, depth)) != document else text
        except (ValueError, RecursionError):
            pass  # it only begins like JSON
    return _plain(text, depth)


class _Object(list[Any]):
    """The members of a JSON object as (key, value), in order: a key that occurs twice keeps both values."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _safe(value: Any, depth: int, hide: str = "") -> Any:
    """A JSON value without secrets; ``hide`` says that a key calls it one: always, or maybe."""
    if isinstance(value, _Object):
        return _Object((_plain(k, depth), _safe(v, depth, hide or told)) for (k, v), told in _told(value))
    if isinstance(value, list):
        flags = [_kind(v.lstrip("-")) if isinstance(v, str) and v[:1] == "-" and "=" not in v else "" for v in value]
        return [_safe(v, depth, hide or flag) for v, flag in zip(value, ["", *flags], strict=False)]
    if not isinstance(value, str) or _MARKED.fullmatch(value):
        return value
    if value.strip() and _secret(hide, value):
        made = _MADE.fullmatch(value.strip())
        return _mark(made[0] if made else None)
    return value if isinstance(value, _Number) else _text(value, depth)


def _told(members: _Object) -> Iterator[tuple[tuple[str, Any], str]]:
    """The members of an object, each with what its key or a sibling says: ``{"name": "token", "value": ...}``."""
    names = sorted({v for k, v in members if isinstance(v, str) and k.lower() in _NAMING})
    named = next((kind for name in names if (kind := _kind(name))), "")
    private = any(k == "kty" for k, _ in members)
    for key, value in members:
        told = _kind(key) or (named if key.lower() in {"value", "values"} else "")
        yield (key, value), told or ("always" if private and key in _JWK else "")


def _dumped(value: Any) -> str:
    if isinstance(value, _Object):
        return "{" + ", ".join(f"{_dumped(k)}: {_dumped(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dumped, value)) + "]"
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


@lru_cache(4096)
def _kind(name: str) -> str:
    """Whether a name says that its value is a secret: ``always``, ``maybe`` (if it looks like one), or not at all."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^\w]+", "_", name).lower().strip("_")
    if _ORDINARY.search(plain):
        return ""
    return "always" if _ALWAYS.search(plain) else "maybe" if _MAYBE.search(plain) else ""


def _made(text: str, least: int) -> bool:
    """Whether a text looks made rather than said: it has a digit, or is longer than a word."""
    return len(text) >= least and (len(text) >= _LONG or any(c.isdigit() for c in text))


def _mark(made: str | None) -> str:
    return f"[secret {fingerprint(made)}]" if made else "[secret]"


def _plain(text: str, depth: int) -> str:
    """Text that is no JSON document."""
    shown: list[str] = []
    end = 0
    for start, stop, made in _merged(sorted(_found(text), key=lambda span: span[:2])):
        shown += [_decoded(text[end:start], depth), _mark(made)]
        end = stop
    return "".join([*shown, _decoded(text[end:], depth)])


def _decoded(text: str, depth: int) -> str:
    """The text as it is, or percent-decoded and masked where that brings a secret to light."""
    if "%" not in text:
        return text
    if not depth:
        return "[secret]"  # nobody encodes a text so often without something to hide
    decoded = unquote(text, errors="surrogateescape")
    return safe if decoded != text and (safe := _text(decoded, depth - 1)) != decoded else text


def _merged(spans: list[tuple[int, int, str | None]]) -> Iterator[tuple[int, int, str | None]]:
    """Spans that overlap, as one; it keeps the fingerprint of the one made secret in it."""
    at = 0
    while at < len(spans):
        start, stop, made = spans[at]
        inside = {made} - {None}
        at += 1
        while at < len(spans) and spans[at][0] < stop:
            stop, inside = max(stop, spans[at][1]), inside | ({spans[at][2]} - {None})
            at += 1
        yield start, stop, inside.pop() if len(inside) == 1 else None


def _found(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Where secrets lie: start, end, and the secret itself if a machine made it."""
    for match in _MADE.finditer(text):
        yield *match.span(), match[0]
    for match in _SCHEME.finditer(text):
        scheme, secret = match[1].lower(), match[2].rstrip(".")
        if _authenticates(scheme, secret):
            strong = scheme != "basic" and len(secret) >= _LONG
            yield match.start(2), match.start(2) + len(secret), secret if strong else None
    for match in _USERINFO.finditer(text):
        if ":" in match[0] or _made(match[0], _SHORT):
            yield *match.span(), None
    for form in _PLACED:
        yield from ((*match.span(1), None) for match in form.finditer(text))
    yield from ((*match.span(2), None) for match in _ELEMENT.finditer(text) if _secret(_kind(match[1]), match[2]))
    for match in _FLAG.finditer(text):
        if _kind(match[1]) and not _MARKED.match(text, match.end()):
            yield *_value(text, match.end(), match[1]), None
    yield from _pairs(text)


def _authenticates(scheme: str, secret: str) -> bool:
    """Whether what follows an authentication scheme's name is a credential, and not the next word of a sentence."""
    if scheme == "token":
        return len(secret) >= 20 and any(c.isdigit() for c in secret)  # noqa: PLR2004 - shorter ones are ids
    if scheme == "basic":
        try:
            return b":" in base64.b64decode(secret[: len(secret) // 4 * 4])
        except ValueError:
            return False
    return _made(secret, 8) or not (secret[1:].islower() or secret.isupper())


def _pairs(text: str) -> Iterator[tuple[int, int, None]]:
    """Values that stand behind a name of a secret."""
    for match in _SEPARATOR.finditer(text):
        before = re.sub(r"\\[nrt]", " ", text[max(0, match.start() - 64) : match.start()])
        name = _NAME.search(unquote(before) if "%" in before else before)
        start = match.end()
        if not name or start == len(text):
            continue
        kind = _kind(name[0])
        if name[0] == "code" and match[1] == "=":  # an authorization code in a redirect
            kind = "maybe"
        if not kind or _MARKED.match(text, start) or (match[0] == ":" and _VERB.match(text, start)):
            continue
        start, stop = _value(text, start, name[0])
        if _secret("always" if match[1] != ":" and name[0] != "code" else kind, text[start:stop]):
            yield start, stop, None


def _secret(kind: str, value: str) -> bool:
    return bool(value) and (kind == "always" or (kind == "maybe" and _made(value, _SHORT)))


def _value(text: str, start: int, name: str) -> tuple[int, int]:
    """Where the value at ``start`` lies, without quotes; it ends with the text where nobody can tell."""
    opening = _OPENING.match(text, start)
    if opening and opening[2]:
        closing = (_CLOSING if opening[1] else _ENDS[opening[2]]).search(text, opening.end())
        return opening.end(), closing.start() if closing else len(text)
    if text[start] in "[{":
        return start, len(text)
    until = _LINE if name.lower().endswith(("authorization", "cookie")) else _BARE
    found = until.match(text, start)
    return start, found.end() if found else start
