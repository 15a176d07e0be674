"""The rule reference: every rule is on it, every link leads somewhere, and no text of a rule is markup."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from backends.errors import Mistakes
from harness.blindness import needed
from harness.paths import Root
from harness.reference import page
from harness.rule_reference import _code, _paragraph, period, plain, rule_reference
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from pathlib import Path

    from harness.ruleset import Rule

ROOT = Root.default()
RULES = list(load_rules(ROOT.rules))
PAGE = page(ROOT, "rules/README.md")
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIGNS = st.text(st.sampled_from(list("ab 1\\`*_[]()<>|&~$#-+=.!\"'{}:;")), min_size=1, max_size=30)
NEW = """\
title: Tables | Are <b>Bent</b>
id: 6f0b2f3c-54a7-4a0c-9c62-1d0ad3f0c9b1
status: experimental
description: |
    - It *says* [a link](javascript:x) & <script>alert(1)</script> `code` | a cell.
references:
    - https://www.rfc-editor.org/rfc/rfc6749.html
    - RFC 6749, <i>page</i> 10
author: countersign contributors
date: 2026-11-23
logsource:
    product: mcp
    service: event
detection:
    selection:
        chain.stage: access
        user.id|exists: false
    filter_main_blind:
        event.blind: user
    condition: selection and not filter_main_blind
falsepositives:
    - 1. A list | that is none
level: low
"""


def section(stem: str, text: str = PAGE) -> str:
    """What the page says of one rule, without the cases."""
    after = text.partition(f'<a id="{stem}"></a>')[2]
    return re.split(r"\n<details>|\n##", after, maxsplit=1)[0]


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a checkout to which somebody added a chapter, a rule with hostile words, and nothing else."""
    path: Path = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT.schemas, path / "schemas")
    shutil.copytree(ROOT.rules, path / "rules")
    (path / "rules" / "zoo").mkdir()
    (path / "rules" / "zoo" / "mcp_bent_tables.yml").write_text(NEW, encoding="utf-8")
    told = {"case": "Nobody <u>read</u> | it.", "why": "# A heading.", "base": "access"}
    cases = {
        "cases": [{**told, "expect": "fire", "set": {"user.id": None}}, {**told, "case": "Ana did.", "expect": "quiet"}]
    }
    (path / "rules" / "zoo" / "mcp_bent_tables.cases.json").write_text(json.dumps(cases), encoding="utf-8")
    return rule_reference(Root(path))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.stem)
def test_a_rule_is_in_the_index_and_has_a_section(rule: Rule) -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and f"](#{rule.stem})" in row]

    assert len(rows) == 1
    assert f"| {rule.number or '–'} |" in rows[0]
    assert f"| {rule.level} | {rule.kind} | {rule.chapter} | {rule.service} |" in rows[0]
    assert PAGE.count(f'<a id="{rule.stem}"></a>') == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.stem)
def test_a_section_names_every_field_that_the_rule_reads(rule: Rule) -> None:
    keys = re.findall(
        r"^\s+(?:- )?([@a-z][\w.]+)(?:\|\w+)*:", rule.path.read_text("utf-8").split("condition:")[0], re.MULTILINE
    )
    read = {key for key in keys if "." in key}

    assert {name for name in read if f"[`{name}`]" not in section(rule.stem)} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.stem)
def test_a_section_names_tables_grouping_and_blindness_as_the_scan_uses_them(rule: Rule) -> None:
    said = section(rule.stem)

    assert [name for name in (*rule.needs_register, *rule.sharpened_by) if f"#table-{name})" not in said] == []
    assert [name for name in rule.group_by if f"`{name}`" not in said] == []
    assert ("**Blind**" in said) == bool(list(needed(rule)))
    assert [concept for _, concept in needed(rule) if f"`{concept}`" not in said] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.stem)
def test_a_section_holds_every_case_with_its_verdict(rule: Rule) -> None:
    cases = json.loads(rule.cases.read_text(encoding="utf-8"))["cases"]

    lines = [f"- **{case['expect']}**: {plain(case['case'])} {plain(case['why'])}" for case in cases]
    assert [line for line in lines if line not in PAGE.splitlines()] == []


def test_every_link_leads_to_an_anchor_or_a_file() -> None:
    fields = page(ROOT, "schemas/README.md")
    anchors = set(re.findall('<a id="([^"]+)">', fields)) | {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall("^#+ (.*)", fields, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(([^)]+)\)", PAGE))
    outside = {link.partition("#")[2] for link in links if link.startswith("../schemas/README.md#")}

    assert outside <= anchors
    assert {link[1:] for link in links if link.startswith("#")} == {rule.stem for rule in RULES}
    assert {link for link in links if link.endswith(".yml") and not (ROOT.rules / link).is_file()} == set()


def test_a_new_rule_needs_no_change_here(added: str) -> None:
    assert f"{len(RULES) + 1} Sigma rules" in added
    assert "| – | [`bent_tables`](#bent_tables) |" in added
    assert "## Chapter zoo" in added
    assert "`user` of a `tool_call`" in section("bent_tables", added)


def test_a_rule_without_a_number_comes_last(added: str) -> None:
    assert re.findall(r"^\| \S+ \| \[`(\w+)`", added, re.MULTILINE)[-1] == "bent_tables"


def test_words_of_a_rule_cannot_become_markup(added: str) -> None:
    html = MARKDOWN.render(added)

    assert "<script" not in html
    assert "javascript:x)" in html
    assert 'href="javascript' not in html
    assert [tag for tag in ("<b>", "<i>", "<u>") if tag in html] == []


def test_a_bar_in_a_title_adds_no_cell(added: str) -> None:
    rows = re.findall(r"(?:^\|.*\n)+", added, re.MULTILINE)[0].splitlines()

    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_a_reference_that_is_no_address_is_text(added: str) -> None:
    assert "- RFC 6749, \\<i\\>page\\</i\\> 10" in added
    assert "- <https://www.rfc-editor.org/rfc/rfc6749.html>" in added


@given(SIGNS)
def test_escaped_text_reads_as_it_was_written(text: str) -> None:
    tokens = MARKDOWN.parseInline(f"x{plain(text)}")[0].children or []

    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == f"x{' '.join(text.split())}"


@given(SIGNS)
def test_a_paragraph_of_any_text_is_a_paragraph(text: str) -> None:
    kinds = [token.type for token in MARKDOWN.parse(_paragraph(text))]

    assert kinds == (["paragraph_open", "inline", "paragraph_close"] if text.strip() else [])


@given(SIGNS)
def test_code_of_any_text_is_code(text: str) -> None:
    tokens = MARKDOWN.parseInline(_code(f"a{text}b"))[0].children or []

    assert [(token.type, token.content) for token in tokens] == [("code_inline", " ".join(f"a{text}b".split()))]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86_400, "day"), (172_800, "2 days"), (3_600, "hour"), (900, "15 minutes"), (61, "61 seconds")],
)
def test_a_period_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert period(seconds) == words


def test_a_rule_that_cannot_be_read_is_a_mistake_with_its_file(tmp_path: Path) -> None:
    shutil.copytree(ROOT.schemas, tmp_path / "schemas")
    (tmp_path / "rules" / "zoo").mkdir(parents=True)
    (tmp_path / "rules" / "zoo" / "mcp_broken.yml").write_text("title: [", encoding="utf-8")

    with pytest.raises(Mistakes, match=r"mcp_broken\.yml"):
        rule_reference(Root(tmp_path))
