"""Which SIEMs can be compared, and how each is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.elastic.register import SHAPES
from backends.sentinel.arm import EXCEPTIONS
from backends.sentinel.register import SHAPES as WATCHLISTS
from backends.splunk.register import COLUMNS
from harness.drift import elastic, opensearch, sentinel, splunk
from harness.drift.reading import Reader
from harness.replay.kit.transport import Connection, Refused, who

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.drift.difference import Compared

OF_SOURCES = {
    "elastic": {"countersign-blind", "countersign-client-ids"},
    "splunk": {"countersign_blind", "countersign_sources"},
}
"""Lookups that come from the pack's source maps and not from a team's register."""


@dataclass(frozen=True)
class Asked:
    """What a person says of the SIEM.

    Attributes:
        url: its address; of Elasticsearch for elastic.
        kibana: address of Kibana.
        space: of Kibana.
        workspace: resource id of the workspace of Sentinel.
        register: whether the register that is installed is known, so that its rows can be compared.
        timeout: seconds that a request may take.
        ca: file of certificates to trust.
        insecure: whether certificates are not checked.
        environment: variables that say who asks.
    """

    url: str | None
    kibana: str | None
    space: str
    workspace: str | None
    register: bool
    timeout: float
    ca: str | None
    insecure: bool
    environment: Mapping[str, str]

    def reader(self, url: str, scheme: str, *tokens: str, more: Mapping[str, str] | None = None) -> Reader:
        """A server to be read."""
        headers = {**who(self.environment, scheme, *tokens), **(more or {})}
        return Reader(Connection(url, headers, timeout=self.timeout, ca=self.ca, insecure=self.insecure))


def _elastic(asked: Asked, files: Mapping[str, str], compared: Compared) -> None:
    if not asked.url and not asked.kibana:
        raise Refused("--url is needed, the address of Elasticsearch, or --kibana, or both")
    skipped = set() if asked.register else set(SHAPES) - OF_SOURCES["elastic"]
    if asked.kibana:
        elastic.rules(asked.reader(asked.kibana, "ApiKey", "COUNTERSIGN_API_KEY"), files, compared, asked.space)
    else:
        compared.skipped.append("the rules: --kibana is needed for them")
    if asked.url:
        elastic.nodes(asked.reader(asked.url, "ApiKey", "COUNTERSIGN_API_KEY"), files, compared, skipped)
    else:
        compared.skipped.append("templates, pipelines and lookups: --url is needed for them")


def _opensearch(asked: Asked, files: Mapping[str, str], compared: Compared) -> None:
    skipped = () if asked.register else ("register",)
    opensearch.compare(asked.reader(_url(asked), "Bearer"), files, compared, skipped)


def _splunk(asked: Asked, files: Mapping[str, str], compared: Compared) -> None:
    skipped = set() if asked.register else set(COLUMNS) - OF_SOURCES["splunk"]
    splunk.compare(asked.reader(_url(asked), "Bearer"), files, compared, skipped)


def _sentinel(asked: Asked, files: Mapping[str, str], compared: Compared) -> None:
    workspace = asked.workspace or ""
    if not sentinel.WORKSPACE.fullmatch(workspace):
        raise Refused(
            "--workspace is needed, the workspace's resource id: az monitor log-analytics workspace show --query id"
        )
    skipped = {EXCEPTIONS} | (set() if asked.register else {f"countersign_{name}" for name in WATCHLISTS})
    reader = asked.reader(asked.url or "https://management.azure.com", "Bearer")
    sentinel.compare(reader, files, compared, workspace, skipped)


def _url(asked: Asked) -> str:
    if not asked.url:
        raise Refused("--url is needed, the server's address")
    return asked.url


TARGETS: Mapping[str, Callable[[Asked, Mapping[str, str], Compared], None]] = {
    "elastic": _elastic,
    "opensearch": _opensearch,
    "splunk": _splunk,
    "sentinel": _sentinel,
}
"""SIEM → what compares it: what a person says, the package's files, and what takes the differences."""
