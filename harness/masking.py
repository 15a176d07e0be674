"""Secrets are masked in every output, whatever made the rule fire."""

from __future__ import annotations

import hashlib
import re

CONTENT = frozenset({"chain.prompt.text", "chain.response.text", "gen_ai.tool.call.arguments", "url.query", "url.full"})
"""Fields that hold what people wrote or sent: shown as a fingerprint unless asked for."""

_SECRETS = re.compile(
    r"(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))"
    r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?)"
    r"|(?P<bearer>(?i:\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,})"
    r"|(?P<known>\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|sk-[A-Za-z0-9_-]{16,}|[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|glpat-[A-Za-z0-9_-]{16,}))"
    r"|(?P<userinfo>(?<=://)[^/\s:@]+:[^/\s@]+(?=@))"
    r"|(?P<pair>(?i:(?:password|passwd|pwd|secret|api[_-]?key|access_token|refresh_token|client_secret|authorization|sig)"
    r"[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]{3,})",
    re.DOTALL,
)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits by which two sightings of one secret can be told to be the same."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def masked(text: str, *, sensitive: bool = False) -> str:
    """The text without its secrets; a sensitive text is replaced whole."""
    if sensitive:
        return f"[content, {len(text)} characters, {fingerprint(text)}]"
    return _SECRETS.sub(lambda match: f"[secret {fingerprint(match[0])}]", text)
