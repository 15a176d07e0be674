"""Rules and Sigma filters in a folder of one's own, beside the pack's: read, and everything wrong said at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.duckdb.target import compile_rules
from backends.errors import Mistake, Mistakes
from backends.marked_yaml import MarkedYaml
from backends.target import Inexpressible
from backends.vocabulary import Vocabulary
from harness.filter_file import document, narrowed, read_filter, strangers
from harness.parameters import Parameters
from harness.rule_file import SERVICES, read_rule
from harness.ruleset import RuleSet, completed, in_order, load_rules, named, twice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.filter_file import Filter
    from harness.paths import Root
    from harness.ruleset import Rule

_HINT = "# yaml-language-server: $schema="


@dataclass(frozen=True)
class Own:
    """What a folder holds.

    Attributes:
        folder: the folder, as a person gave it.
        rules: its good rules.
        filters: its good filters.
        files: every YAML file in it.
        mistakes: everything that is wrong, but for what cases say.
    """

    folder: Path
    rules: tuple[Rule, ...] = ()
    filters: tuple[Filter, ...] = ()
    files: tuple[Path, ...] = ()
    mistakes: tuple[Mistake, ...] = field(default=())


def read_own(folder: Path, root: Root, pack: RuleSet) -> Own:
    """Read a folder; nothing is raised.

    A file with ``filter:`` is a filter, any other YAML a rule. Grouping, period and sentence of the rules are in the
    folder's own ``parameters.json``; without one, the pack's defaults hold.
    """
    vocabularies = {service: Vocabulary.load(root.schemas / f"{service}.schema.json") for service in SERVICES}
    files = tuple(sorted(path for path in folder.rglob("*") if _is_yaml(path.relative_to(folder))))
    if not files:
        return Own(folder, mistakes=(Mistake(str(folder), 0, "it holds no rule and no filter: no file ends in .yml"),))
    found: list[Mistake] = []
    rule_files, filters = [], []
    for path in files:
        marks = MarkedYaml.read_all(path)
        found += _hint(path)
        if not marks[0].mistakes and any(map(document, marks)):
            one, wrong = read_filter(marks[0], path, vocabularies)
            found += wrong
            if len(marks) > 1:
                found.append(marks[1].mistake((), "a file holds one filter; give the second a file of its own"))
            filters += [one] if one else []
        else:
            rule_files.append(read_rule(path, folder, vocabularies, own=True))
    rules, wrong = completed(rule_files, _parameters(folder, root), vocabularies)
    found += [*wrong, *twice(rules)]
    found += [mistake for rule in rules for mistake in _inexpressible(rule, vocabularies)]
    known = [*pack, *rules]
    found += [mistake for one in filters for mistake in strangers(one, known)]
    return Own(folder, tuple(in_order(rules)), tuple(filters), files, tuple(sorted(set(found))))


def _is_yaml(path: Path) -> bool:
    """A YAML file in no hidden folder, where CI and editors keep theirs."""
    return path.suffix in {".yml", ".yaml"} and not any(part.startswith(".") for part in path.parts)


def _parameters(folder: Path, root: Root) -> Parameters:
    own = folder / "parameters.json"
    schema = root.schemas / "parameters.schema.json"
    if own.exists():
        return Parameters.read(own, schema)
    pack = Parameters.read(root.parameters, schema)
    return replace(pack, document={"defaults": pack.document["defaults"], "rules": {}})


def _inexpressible(rule: Rule, vocabularies: Mapping[str, Vocabulary]) -> Iterator[Mistake]:
    try:
        compile_rules({rule.stem: rule.judged}, vocabularies["event"], vocabularies["chain"])
    except Inexpressible as refused:
        yield Mistake(str(rule.path), 0, f"the scan can't run this rule: {refused}")


def _hint(path: Path) -> Iterator[Mistake]:
    """A hint to editors that leads nowhere helps nobody."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for number, line in enumerate(lines, 1):
        if line.startswith(_HINT):
            yield from hinted(path, number, line.removeprefix(_HINT).strip())


def hinted(path: Path, line: int, schema: str) -> Iterator[Mistake]:
    """What is wrong with the schema that a file names for editors; an address on the web is taken as it is."""
    if "://" in schema or (path.parent / schema).is_file():
        return
    yield Mistake(str(path), line, f"the editor's hint leads nowhere: there is no file {schema} from here")


def cases_hints(path: Path) -> Iterator[Mistake]:
    """The same for a file of cases."""
    try:
        text = path.read_text(encoding="utf-8")
        schema = json.loads(text).get("$schema")
    except (OSError, ValueError, AttributeError, RecursionError):
        return  # said elsewhere
    if isinstance(schema, str):
        line = next((number for number, line in enumerate(text.splitlines(), 1) if '"$schema"' in line), 0)
        yield from hinted(path, line, schema)


def chosen(
    root: Root,
    selectors: Sequence[str] = (),
    levels: Sequence[str] = (),
    chapters: Sequence[str] = (),
    filters: Iterable[Path] = (),
) -> RuleSet:
    """The rules that a person asks for, narrowed by their filters.

    Args:
        root: where the pack lies.
        selectors: stem, number, id, file or glob of stems, of the pack or of a folder named here; or such a folder, for
            all rules in it. Nothing is the whole pack.
        levels: only these levels.
        chapters: only these chapters.
        filters: folders whose filters are laid over the rules.

    Raises:
        Mistakes: everything that is wrong with rules, filters and selectors.
    """
    pack = load_rules(root.rules, root.schemas)
    folders = [word for word in selectors if not any(named(rule, word) for rule in pack) and Path(word).is_dir()]
    own = [read_own(Path(folder), root, pack) for folder in folders]
    known = RuleSet((*pack, *(rule for each in own for rule in each.rules)))
    narrowing = [_filters(folder, root, known) for folder in filters]
    found = sorted({mistake for each in (*own, *narrowing) for mistake in each.mistakes})
    words = [word for word in selectors if word not in folders]
    rules = RuleSet(())
    try:
        asked = known.select(words, levels, chapters)
        paths = {rule.path for each in own for rule in each.rules}
        of_folders = RuleSet(tuple(rule for rule in known.select((), levels, chapters) if rule.path in paths))
        also = asked if words or not folders else RuleSet(())
        rules = in_order([*of_folders, *(rule for rule in also if rule.path not in paths)])
        found += twice(rules.rules)
    except Mistakes as wrong:
        found += wrong.found
    if found:
        raise Mistakes(found)
    every = [one for each in narrowing for one in each.filters]
    return replace(rules, rules=tuple(narrowed(rule, every) for rule in rules)) if every else rules


def _filters(folder: Path, root: Root, known: RuleSet) -> Own:
    if not folder.is_dir():
        return Own(folder, mistakes=(Mistake(str(folder), 0, "there is no such folder of filters"),))
    own = read_own(folder, root, known)
    if not own.filters and not own.mistakes:
        message = "it holds no filter; a filter is a YAML file with a section filter:"
        return replace(own, mistakes=(Mistake(str(folder), 0, message),))
    return own
