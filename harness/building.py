"""Packages: gather what they are made from, add what is inside, and write one archive, whole or not at all.

The same content gives the same bytes: entries are sorted, times are the content's own date, owners are nobody.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from backends import target as targets
from backends.errors import Mistake, Mistakes
from backends.package import Content, NotAllowed, Package, Packed
from backends.register import Register
from backends.sources import SourceMaps
from backends.vocabulary import Vocabulary
from harness import blind_table
from harness.compiling import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.paths import Root
    from harness.ruleset import Rule

MADE_WITH = ("pysigma", "pysigma-backend-elasticsearch", "pysigma-backend-kusto", "pysigma-backend-splunk", "sqlglot")
"""Libraries that a query's text can depend on."""


@dataclass(frozen=True)
class Built:
    """An archive that was written.

    Attributes:
        path: where it lies.
        sha256: of its bytes.
        rules: how many it holds.
        refused: stem → why the target can't express the rule.
    """

    path: Path
    sha256: str
    rules: int
    refused: Mapping[str, str]


def content(root: Root, package: Package, rules: Sequence[Rule], register: Path | None = None) -> Content:
    """Everything that a package is made from.

    Args:
        root: the content root.
        package: which; its target compiles the rules.
        rules: in the order of the catalogue, filters laid over them.
        register: folder or file of the team's register; None: empty tables.

    Raises:
        Mistakes: the register, with every broken row.
    """
    events, chains = Vocabulary.load(root.event_schema), Vocabulary.load(root.chain_schema)
    maps = SourceMaps.load(root.sources)
    texts: dict[str, str] = {rule.stem: "" for rule in rules}
    refused: dict[str, str] = {}
    if package.target:
        queries, stopped = compiled(rules, targets.load(package.target), events, chains)
        texts = {query.rule.stem: query.text for query in queries}
        refused = {one.rule.stem: one.reason for one in stopped}
    tables = (Register.load(register) if register else Register.empty()).tables
    return Content(
        version=version("countersign"),
        rules=tuple(packed(rule, texts[rule.stem]) for rule in rules if rule.stem in texts),
        refused=refused,
        register=tables,
        never=tuple((n, stage, tuple(what)) for n, one in maps.items() for stage, what in sorted(one.never.items())),
        client_ids=tuple((name, key) for name, one in maps.items() for key in sorted(one.client_ids)),
        events=events,
        chains=chains,
        root=root.path,
        blind=_blind(root.rules / blind_table.FILE),
    )


def _blind(path: Path) -> dict[tuple[str, str], str]:
    """What each rule sees of each source; nothing where the content root has no such table."""
    if not path.is_file():
        return {}
    said = json.loads(path.read_text(encoding="utf-8"))
    return {(stem, source): word for stem, words in said.items() for source, word in words.items()}


def packed(rule: Rule, query: str) -> Packed:
    """A rule as a package holds it."""
    sigma = rule.sigma
    changed = max(str(one.modified or one.date or "") for one in rule.documents)
    return Packed(
        stem=rule.stem,
        id=rule.id,
        title=rule.title,
        description=" ".join(str(sigma.description or "").split()),
        sentence=rule.sentence,
        level=rule.level,
        kind=rule.kind,
        chapter=rule.chapter,
        service=rule.service,
        query=query,
        version=int(changed.replace("-", "")),
        references=tuple(map(str, sigma.references or ())),
        tags=tuple(map(str, sigma.tags or ())),
        falsepositives=tuple(map(str, sigma.falsepositives or ())),
        fields=rule.fields,
        reads=tuple(sorted(rule.reads)),
        group_by=rule.group_by,
        period_sec=rule.period_sec,
        window_sec=rule.correlation.window_us // 1_000_000 if rule.correlation else 0,
        needs_register=rule.needs_register,
        stages=rule.stages,
        source=rule.path.read_text(encoding="utf-8"),
        judged=rule.judged,
    )


def build(package: Package, made_from: Content, folder: Path) -> Built:
    """Write a package's archive; one that is there is replaced only by a whole one.

    Raises:
        Mistakes: a name that the SIEM does not take; the folder can't be written.
    """
    try:
        files = {path: _bytes(said) for path, said in package.files(made_from).items()}
    except NotAllowed as refused:
        raise Mistakes([Mistake(package.name, 0, str(refused))]) from None
    files |= _told(package, made_from, files)
    named = {f"{package.top}/{path}": data for path, data in files.items()}
    data = (_tar if package.suffix == ".tgz" else _zip)(named, dated(made_from))
    path = folder / f"{package.name}-{made_from.version}{package.suffix}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _written(path, data)
        digest = hashlib.sha256(data).hexdigest()
        _written(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n".encode())
    except OSError as wrong:
        message = f"it can't be written ({wrong.strerror}); name another folder with -o"
        raise Mistakes([Mistake(str(folder), 0, message)]) from None
    return Built(path, digest, len(made_from.rules), made_from.refused)


def dated(made_from: Content) -> datetime:
    """The date of the newest rule: the same content has the same date."""
    newest = str(max((rule.version for rule in made_from.rules), default=19800101))
    return datetime.strptime(newest, "%Y%m%d").replace(tzinfo=UTC)


def _told(package: Package, made_from: Content, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The list of rules and versions, the SBOM, and the checksums of everything."""
    below = f"{package.told}/" if package.told else ""
    told = {
        f"{below}rules.json": _json(listed(made_from)),
        f"{below}sbom.cdx.json": _json(sbom(package, made_from, files)),
    }
    every = {**files, **told}
    lines = [f"{hashlib.sha256(every[path]).hexdigest()}  {path}\n" for path in sorted(every)]
    return {**told, f"{below}SHA256SUMS": "".join(lines).encode()}


def listed(made_from: Content) -> dict[str, Any]:
    """What is inside, and what is not and why."""
    keys = ("stem", "id", "title", "level", "kind", "chapter", "service", "version", "needs_register", "window_sec")
    return {
        "pack": made_from.version,
        "rules": [{key: getattr(rule, key) for key in keys} for rule in made_from.rules],
        "not_expressible": dict(sorted(made_from.refused.items())),
    }


def sbom(package: Package, made_from: Content, files: Mapping[str, bytes]) -> dict[str, Any]:
    """CycloneDX 1.6: the pack, its files with their digests, and the libraries that made the queries."""
    whole = hashlib.sha256(b"".join(hashlib.sha256(files[path]).digest() for path in sorted(files))).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{package.name}/{whole}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": package.name,
                "version": made_from.version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "tools": {"components": [_library(name) for name in ("countersign", *MADE_WITH)]},
        },
        "components": [
            {
                "type": "file",
                "name": path,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(files[path]).hexdigest()}],
            }
            for path in sorted(files)
        ],
    }


def _library(name: str) -> dict[str, str]:
    found = version(name)
    return {"type": "library", "name": name, "version": found, "purl": f"pkg:pypi/{name}@{found}"}


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _bytes(said: str | bytes) -> bytes:
    return said.encode() if isinstance(said, str) else said


def _tar(files: Mapping[str, bytes], when: datetime) -> bytes:
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0, filename="") as packed_,
        tarfile.open(fileobj=packed_, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted({*files, *(str(p) for f in files for p in Path(f).parents if str(p) != ".")}):
            entry = tarfile.TarInfo(path)
            entry.mtime, entry.mode = int(when.timestamp()), 0o644
            if path in files:
                entry.size = len(files[path])
                archive.addfile(entry, io.BytesIO(files[path]))
            else:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
    return out.getvalue()


def _zip(files: Mapping[str, bytes], when: datetime) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            entry = zipfile.ZipInfo(path, when.timetuple()[:6])
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, files[path])
    return out.getvalue()


def _written(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as out:
        place = Path(out.name)
        try:
            out.write(data)
            out.flush()
            place.chmod(0o644)
            place.replace(path)
        except OSError:
            place.unlink(missing_ok=True)
            raise
