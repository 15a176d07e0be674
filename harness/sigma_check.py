"""``sigma check`` with every SigmaHQ validator, offline: pinned lists (``harness/data/``), our log source, our tags.

The validators keep their lists in module state and in a disk cache; both are pointed at a folder of ours. The caches of
the stock command line stay as they are unless `fill_stock_cache` is asked for one.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import diskcache
from sigma.data import mitre_attack, mitre_d3fend
from sigma.plugins import InstalledSigmaPlugins
from sigma.validation import SigmaValidator
from sigma.validators.base import (
    SigmaRuleValidator,
    SigmaTagValidator,
    SigmaValidationIssue,
    SigmaValidationIssueSeverity,
)
from sigma.validators.core.tags import NamespaceTagValidator

from backends.errors import Mistake, Mistakes
from harness.taxonomy import DATA, NAMESPACES, titles

try:
    from sigma.validators.sigmahq.data import data_filename, data_taxonomy, data_windows_eventid, data_windows_provider
    from sigma.validators.sigmahq.data.base import _JSONDisk  # the form in which the loaders keep what they read
except ImportError:  # pragma: no cover - a development dependency
    message = "needs pysigma-validators-sigmahq; 'make setup' installs it"
    raise Mistakes([Mistake("countersign rules --check", 0, message)]) from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sigma.correlations import SigmaCorrelationRule
    from sigma.rule import SigmaRule, SigmaRuleTag

    from backends.vocabulary import Vocabulary

_LISTS = {
    "sigmahq_taxonomy.json": data_taxonomy,
    "sigmahq_filename.json": data_filename,
    "sigmahq_windows_eventid.json": data_windows_eventid,
    "sigmahq_windows_provider.json": data_windows_provider,
}


class KnownNamespaceValidator(NamespaceTagValidator):
    """Sigma's own namespaces and ours; upstream they are a class attribute, not data."""

    allowed_namespace = NamespaceTagValidator.allowed_namespace | set(NAMESPACES)


@dataclass
class UnknownTaxonomyTagIssue(SigmaValidationIssue):
    """An id that the pinned list of its namespace does not hold."""

    description: ClassVar[str] = "The tag is in none of the pinned lists (harness/data/tags.json)"
    severity: ClassVar[SigmaValidationIssueSeverity] = SigmaValidationIssueSeverity.MEDIUM
    tag: SigmaRuleTag


class TaxonomyTagValidator(SigmaTagValidator):
    """Check tags of OWASP, ATLAS and ISO against the pinned ids."""

    def validate_tag(self, tag: SigmaRuleTag) -> list[SigmaValidationIssue]:
        """One issue for an unknown id of a namespace of ours."""
        if tag.namespace in NAMESPACES and tag.name not in titles()[tag.namespace]:
            return [UnknownTaxonomyTagIssue([self.rule], tag)]
        return []


def validators() -> dict[str, type[SigmaRuleValidator]]:
    """Every validator that is installed, by the name that ``sigma list validators`` gives; one replaced, one added."""
    found: dict[str, Any] = dict(
        InstalledSigmaPlugins.autodiscover(include_backends=False, include_pipelines=False).validators
    )
    found["namespace_tag"] = KnownNamespaceValidator
    found["taxonomy_tag"] = TaxonomyTagValidator
    return dict(sorted(found.items()))


def issues(
    rules: Iterable[SigmaRule | SigmaCorrelationRule], vocabularies: Mapping[str, Vocabulary]
) -> list[SigmaValidationIssue]:
    """What all validators have against the rules.

    Args:
        rules: parsed rules, with their source where the name of the file counts.
        vocabularies: the fields of an event and of a chain record, by service.
    """
    with pinned(vocabularies):
        found = SigmaValidator(validators().values()).validate_rules(iter(cast("list[SigmaRule]", list(rules))))
    return sorted(found, key=lambda issue: (_file(issue), type(issue).__name__, _details(issue)))


def check(rules: Iterable[SigmaRule | SigmaCorrelationRule], vocabularies: Mapping[str, Vocabulary]) -> list[Mistake]:
    """`issues` as mistakes with file and line."""
    return [
        Mistake(_file(issue), _line(issue), f"{type(issue).__name__.removesuffix('Issue')}: {_said(issue)}")
        for issue in issues(rules, vocabularies)
    ]


@contextmanager
def pinned(vocabularies: Mapping[str, Vocabulary]) -> Iterator[None]:
    """While it lasts, pySigma and the SigmaHQ validators read the pinned lists and nothing else."""
    with tempfile.TemporaryDirectory(prefix="countersign-sigma-") as folder:
        _point_at(_checked_out(Path(folder), vocabularies), Path(folder) / "cache")
        yield


def fill_stock_cache(home: Path, vocabularies: Mapping[str, Vocabulary]) -> None:
    """Put the pinned lists where the stock ``sigma check`` looks before it asks the network.

    Args:
        home: what its ``HOME`` will be.
        vocabularies: the fields of an event and of a chain record, by service.
    """
    caches = home / ".cache" / "pysigma"
    with tempfile.TemporaryDirectory(prefix="countersign-sigma-") as folder:
        lists = _checked_out(Path(folder), vocabularies)
        _point_at(lists, caches)
        for module, key, known in (
            (data_taxonomy, "sigmahq_taxonomy", ("version", "fieldsname", "redundant_fields", "logsource_definition")),
            (data_filename, "sigmahq_filename", ("version", "pattern")),
        ):
            _default(caches / "sigmahq", f"{key}_default", {f"{key}_{n}": getattr(module, f"{key}_{n}") for n in known})
        names = ("sigmahq_category_no_eventid_version", "sigmahq_category_no_eventid")
        _default(caches / "sigmahq", "sigmahq_eventid_default", {n: getattr(data_windows_eventid, n) for n in names})
        names = ("sigmahq_provider_version", "sigmahq_provider_name")
        _default(caches / "sigmahq", "sigmahq_provider_default", {n: getattr(data_windows_provider, n) for n in names})
        _ = (
            mitre_attack.mitre_attack_version,
            mitre_d3fend.mitre_d3fend_version,
        )  # read into the cache under its own key
        mitre_attack.set_cache_dir(str(Path(folder) / "closed"))  # closes the caches that were filled
        mitre_d3fend.set_cache_dir(str(Path(folder) / "closed"))


def _default(folder: Path, key: str, value: Mapping[str, Any]) -> None:
    with diskcache.Cache(str(folder), disk=_JSONDisk) as stored:
        stored.set(key, dict(value))


def _point_at(lists: Path, caches: Path) -> None:
    for module, name in ((mitre_attack, "attack.json"), (mitre_d3fend, "d3fend.json")):
        module.set_cache_dir(
            str(caches / f"mitre_{name.removesuffix('.json')}")
        )  # before set_url, which clears a cache
        module.set_url(str(lists / name))
    for name, loader in _LISTS.items():
        loader.set_cache_dir(str(caches / "sigmahq"))
        loader.set_url(str(lists / name))


def _checked_out(folder: Path, vocabularies: Mapping[str, Vocabulary]) -> Path:
    """A copy of the pinned lists whose digests hold, with the fields of our log sources filled in."""
    for line in (DATA / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        digest, name = line.split()
        content = (DATA / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise Mistakes(
                [Mistake(str(DATA / name), 0, "is not the list that SHA256SUMS pins; see README.md beside it")]
            )
        (folder / name).write_bytes(content)
    taxonomy = json.loads((folder / "sigmahq_taxonomy.json").read_bytes())
    for service, vocabulary in vocabularies.items():
        taxonomy["taxonomy"][f"mcp_none_{service}"]["field"]["native"] = list(vocabulary.fields)
    (folder / "sigmahq_taxonomy.json").write_text(json.dumps(taxonomy), encoding="utf-8")
    return folder


def _details(issue: SigmaValidationIssue) -> str:
    own = [f for f in fields(issue) if f.name not in {"rules", "severity", "description"}]
    return ", ".join(f"{f.name} {getattr(issue, f.name)}" for f in own)


def _said(issue: SigmaValidationIssue) -> str:
    details = _details(issue)
    return issue.description.rstrip(".") + (f" ({details})" if details else "")


def _file(issue: SigmaValidationIssue) -> str:
    source = issue.rules[0].source
    return str(source.path) if source is not None else str(issue.rules[0].title)


def _line(issue: SigmaValidationIssue) -> int:
    """The first line that holds a value of the issue; 0 where none does."""
    values = [str(getattr(issue, f.name)) for f in fields(issue) if f.name not in {"rules", "severity", "description"}]
    source = issue.rules[0].source
    if source is None or not source.path.exists():
        return 0
    for number, line in enumerate(source.path.read_text(encoding="utf-8").splitlines(), 1):
        if any(value and re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", line) for value in values):
            return number
    return 0
