"""The Splunk app: all that an admin uploads as one file, and nothing to be installed beside it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from backends.package import Content, NotAllowed, Package
from backends.splunk import checks, dashboards, knowledge, searches
from backends.splunk.conf import written

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "countersign"

HEAD = "Made by countersign build. An upgrade replaces this folder; change settings in local."


def files(content: Content) -> dict[str, str | bytes]:
    """Everything below the app's folder, but the list of rules, the SBOM and the checksums.

    Raises:
        NotAllowed: a name or a text that Splunk does not take, or a package that fails its own checks.
    """
    every = list(searches.made(content))
    macros = dict(searches.SHARED)
    for one in every:
        macros |= one.macros
    tables, transforms = knowledge.lookup_files(content)
    types, tags = knowledge.event_types()
    confs = {
        "app": _app(content),
        "savedsearches": searches.stanzas(every),
        "macros": knowledge.macro_stanzas(macros),
        "props": knowledge.props(content.events),
        "transforms": transforms,
        "eventtypes": types,
        "tags": tags,
    }
    found: dict[str, str | bytes] = {
        **{f"default/{name}.conf": written(stanzas, HEAD) for name, stanzas in confs.items()},
        "metadata/default.meta": written(_META),
        "app.manifest": json.dumps(_manifest(content), indent=2) + "\n",
        "README.md": dashboards.rendered("README.md.j2", rules=content.rules, version=content.version),
        "LICENSE": (content.root / "LICENSE").read_text(encoding="utf-8"),
        **dashboards.pages(),
        **tables,
    }
    if wrong := checks.wrong({path: said if isinstance(said, str) else "" for path, said in found.items()}):
        raise NotAllowed(wrong[0])
    return found


def _app(content: Content) -> Mapping[str, Mapping[str, str]]:
    return {
        "install": {"is_configured": "0", "state": "enabled", "build": _build(content.version)},
        "package": {"id": APP, "check_for_updates": "0"},
        "id": {"name": APP, "version": content.version},
        "ui": {"is_visible": "1", "label": "Countersign", "supported_themes": "light,dark"},
        "launcher": {
            "author": "countersign contributors",
            "description": "Who authorised this action? Detections for what AI agents do over MCP, and for whom.",
            "version": content.version,
        },
    }


def _build(version: str) -> str:
    """A whole number that grows with the version: 0.1.0 is 100."""
    parts = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return str(sum(part * 100 ** (len(parts) - 1 - place) for place, part in enumerate(parts)))


_META: Mapping[str, Mapping[str, str]] = {
    "": {"access": "read : [ * ], write : [ admin, sc_admin ]", "export": "system"},
    "views": {"export": "none"},
    "nav": {"export": "none"},
}
"""Enterprise Security and data models see what is exported; pages stay in the app."""


def _manifest(content: Content) -> Mapping[str, object]:
    """app.manifest, schema 2.0.0 of Splunk's packaging toolkit."""
    return {
        "schemaVersion": "2.0.0",
        "info": {
            "title": "Countersign",
            "id": {"group": None, "name": APP, "version": content.version},
            "author": [{"name": "countersign contributors", "email": None, "company": None}],
            "releaseDate": None,
            "description": "Detections for the authorisation of AI agents over MCP and OAuth",
            "classification": {"intendedAudience": "Security", "categories": ["Security, Fraud & Compliance"]},
            "commonInformationModels": None,
            "license": {"name": "Apache-2.0", "text": "LICENSE", "uri": None},
            "privacyPolicy": {"name": None, "text": None, "uri": None},
            "releaseNotes": {"name": "README", "text": "./README.md", "uri": None},
        },
        "dependencies": None,
        "tasks": None,
        "inputGroups": None,
        "incompatibleApps": None,
        "platformRequirements": None,
        "supportedDeployments": ["_standalone", "_distributed", "_search_head_clustering"],
        "targetWorkloads": ["_search_heads", "_indexers"],
    }


PACKAGE = Package(name="countersign-splunk", target="splunk", suffix=".tgz", top=APP, told="pack", files=files)
