"""The rule reference: what every rule means, reads, needs and is proven by, as a page to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backends.vocabulary import Vocabulary
from harness.blindness import needed
from harness.explain import explain
from harness.rule_file import SERVICES
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from harness.explain import Explanation, Reading
    from harness.paths import Root
    from harness.ruleset import Rule

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_FIELDS = "../schemas/README.md"
_RECORD = {"event": "record", "chain": "chain"}

_MARKUP = re.compile(r"[\\`*\[\]<>|&~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown (GitHub's) may read as more than text; an underscore inside a word is only text."""

_OPENING = re.compile(r"([-+#=]|\d{1,9}(?=[.)]))")
"""What begins a list, a heading or an underline where a line begins with it."""

_LINK = re.compile(r"https?://[^\s<>\\]+")


def rule_reference(root: Root) -> str:
    """The page ``rules/README.md``, without the line that says how it was made.

    Raises:
        Mistakes: a rule, the parameters or a cases file can't be read.
    """
    vocabularies = {service: Vocabulary.load(root.schemas / f"{service}.schema.json") for service in SERVICES}
    rules = list(load_rules(root.rules, root.schemas))
    parts = [_introduction(rules)]
    for chapter in _chapters(rules):
        parts.append(f"## Chapter {plain(chapter)}\n")
        for rule in rules:
            if rule.chapter == chapter:
                parts += _section(rule, explain(rule, vocabularies, root.schemas / "cases.schema.json"))
    return "\n".join(parts).rstrip() + "\n"


def _introduction(rules: list[Rule]) -> str:
    index = "\n".join(f"| {' | '.join(_row(rule))} |" for rule in rules)
    return f"""# Rules

{len(rules)} Sigma rules, one a file, each with its cases beside it. The rules, their cases and `parameters.json` are
the source of this page; `countersign explain RULE` says the same of one rule, and prints its condition.

How to read it: an **event** rule sees one record, a **chain** rule everything from the prompt to the change. An
*incident* is a record or chain that somebody has to look at; a *posture* is a state that every call repeats. **Reads**
names each field and what its absence means to the rule. **Blind** names what a source must be able to say; where its
source map declares that it never can, the rule stays quiet, and the scan says so. All fields are in
[the field reference]({_FIELDS}), the register's tables [there too]({_FIELDS}#the-register).

| no. | rule | title | level | kind | chapter | record | stages |
|--:|---|---|---|---|---|---|---|
{index}
"""


def _row(rule: Rule) -> Iterator[str]:
    yield str(rule.number or "–")
    yield f"[`{rule.stem}`](#{rule.stem})"
    yield from (plain(rule.title), rule.level, rule.kind, plain(rule.chapter), rule.service)
    yield ", ".join(map(plain, rule.stages)) or "–"


def _chapters(rules: Iterable[Rule]) -> Iterable[str]:
    """Chapters in the order of their first rule."""
    return dict.fromkeys(rule.chapter for rule in rules)


def _section(rule: Rule, said: Explanation) -> Iterator[str]:
    number = f"{said.number}. " if said.number else ""
    file = f"{rule.chapter}/{rule.path.name}"
    yield f'### <a id="{said.stem}"></a>{number}{plain(said.title)}\n'
    yield f"{said.level} · {said.kind} · {said.service} · [`{said.stem}`]({file}) · {_code(said.id)}\n"
    yield f"{_paragraph(said.description)}\n"
    yield from _bullets("Reads", (_reading(each, said.service) for each in said.reads))
    yield from _bullet("Register", _register(said))
    yield from _bullet("Blind", _blind(rule))
    yield from _bullet("Finding", _finding(said))
    yield from _bullets("False positives", map(_paragraph, said.false_positives))
    yield from _bullet("Tags", ", ".join(_tag(tag, title) for tag, title in said.tags.items()))
    yield from _bullets("References", map(_reference, said.references))
    yield from _cases(said.cases)
    yield ""


def _bullet(label: str, text: str) -> Iterator[str]:
    if text:
        yield f"- **{label}**: {text}"


def _bullets(label: str, items: Iterable[str]) -> Iterator[str]:
    some = list(items)
    if some:
        yield f"- **{label}**"
        yield from (f"  - {item}" for item in some)


def _reading(reading: Reading, service: str) -> str:
    """The field, and what its absence means, once for all parts of the rule to which it means the same."""
    anchor = reading.field if service == "event" else f"chain-record-{reading.field}"
    parts: dict[str, list[str]] = {}
    for said in reading.missing:
        part, _, meaning = said.partition(": ")
        parts.setdefault(meaning, []).append(part)
    missing = "; ".join(f"{plain(meaning)} ({', '.join(map(_code, at))})" for meaning, at in parts.items())
    return f"[`{reading.field}`]({_FIELDS}#{anchor}): {missing}"


def _register(said: Explanation) -> str:
    needs = " and ".join(map(_table, said.needs_register))
    sharpened = ", ".join(map(_table, said.sharpened_by))
    parts = [
        f"needs {needs}; without it the rule stays quiet" if needs else "",
        f"{sharpened} let it find more or err less" if sharpened else "",
    ]
    return "; ".join(filter(None, parts)) or "none is read"


def _table(name: str) -> str:
    return f"[`{name}`]({_FIELDS}#table-{name})"


def _blind(rule: Rule) -> str:
    """The concepts without which it stays quiet, each with the stages at which it must be sayable."""
    stages: dict[str, list[str]] = {}
    for stage, concept in needed(rule):
        if stage not in stages.setdefault(concept, []):
            stages[concept].append(stage)
    return ", ".join(f"{_code(concept)} of a {' or '.join(map(_code, at))}" for concept, at in stages.items())


def _finding(said: Explanation) -> str:
    record = _RECORD.get(said.service, said.service)
    what = "a state" if said.kind == "posture" else f"one or more {record}s"
    group = ", ".join(map(_code, said.group_by))
    return f"{what} told once for each {group} and {period(said.period_sec)}, as {_code(said.sentence)}"


def period(seconds: int) -> str:
    """3600 → hour, 900 → 15 minutes."""
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0)
    count = seconds // size
    return name if count == 1 else f"{count} {name}s"


def _tag(tag: str, title: str | None) -> str:
    return f"{_code(tag)} ({plain(title)})" if title else _code(tag)


def _reference(text: str) -> str:
    return f"<{text}>" if _LINK.fullmatch(text) else _paragraph(text)


def _cases(cases: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The cases, folded up: a rule has a dozen or two."""
    told = list(cases)
    if not told:
        return
    fire = sum(case["expect"] == "fire" for case in told)
    yield f"\n<details><summary>Cases: {fire} fire, {len(told) - fire} quiet</summary>\n"
    yield from (f"- **{case['expect']}**: {plain(case['case'])} {plain(case['why'])}" for case in told)
    yield "\n</details>"


def plain(text: str) -> str:
    """Text from a rule within a line of Markdown: one line, and nothing in it is markup."""
    return _MARKUP.sub(lambda sign: f"\\{sign[0]}", " ".join(text.split()))


def _paragraph(text: str) -> str:
    """The same where it begins a line."""
    escaped = plain(text)
    opening = _OPENING.match(escaped)
    if opening is None:
        return escaped
    return f"{opening[1]}\\{escaped[opening.end() :]}" if opening[1].isdigit() else f"\\{escaped}"


def _code(text: str) -> str:
    """Text as code, fenced by more backticks than it holds in a row."""
    one_line = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", one_line)), default=0))
    space = " " if "`" in one_line else ""
    return f"{fence}{space}{one_line}{space}{fence}"
