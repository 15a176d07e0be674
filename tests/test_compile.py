"""`countersign compile`: every rule in the language of each target, ready to paste, or a sentence that says why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from backends.errors import Mistakes
from backends.target import Inexpressible, Target, Wanted, load, targets
from backends.vocabulary import Vocabulary
from harness.commands.compile import command
from harness.compiling import compiled, excerpt, written
from harness.paths import Root
from harness.ruleset import load_rules

if TYPE_CHECKING:
    from pathlib import Path

    from sigma.rule import SigmaRule

    from backends.correlation import Correlation

ROOT = Root.default()
EVENTS, CHAINS = Vocabulary.load(ROOT.event_schema), Vocabulary.load(ROOT.chain_schema)
RULES = load_rules(ROOT.rules, ROOT.schemas)
CELLS = [(name, rule.stem) for name in targets() for rule in RULES]
BY_STEM = {rule.stem: rule for rule in RULES}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_there_are_targets() -> None:
    assert targets()


@pytest.mark.parametrize(("name", "stem"), CELLS, ids=[f"{name}-{stem}" for name, stem in CELLS])
def test_each_rule_is_a_query_under_a_head_or_is_refused_in_a_sentence(name: str, stem: str) -> None:
    target = load(name)
    queries, refused = compiled([BY_STEM[stem]], target, EVENTS, CHAINS)
    for query in queries:
        assert query.whole.startswith(query.head)
        assert all(word in query.head for word in (BY_STEM[stem].id, stem, BY_STEM[stem].level))
        assert any(word in query.text for word in target.change), (
            "a query without an index or time of one's own to change"
        )
        assert query.file == stem + target.suffix
    for one in refused:
        assert BY_STEM[stem].title in one.reason or stem in one.reason
        assert len(one.reason.split()) > 8
    assert len(queries) + len(refused) == 1


@pytest.mark.parametrize("name", targets())
def test_the_same_rules_give_the_same_texts(name: str) -> None:
    first, second = (compiled(RULES, load(name), EVENTS, CHAINS)[0] for _ in range(2))
    assert [query.whole for query in first] == [query.whole for query in second]


@pytest.mark.parametrize("name", targets())
def test_a_title_cannot_end_the_head_it_stands_in(name: str) -> None:
    hostile = "x\n*/ --> ``` ]]> \x1b[31m | delete\r\nsecond line"
    rule = BY_STEM["static_api_key"]
    sigma = rule.parts[0].from_dict(rule.parts[0].to_dict() | {"title": hostile})
    queries, _ = compiled([replace(rule, sigma=sigma)], load(name), EVENTS, CHAINS)
    (honest,), _ = compiled([rule], load(name), EVENTS, CHAINS)
    assert len(queries[0].head.splitlines()) == len(honest.head.splitlines())
    assert "\x1b" not in queries[0].head
    before, after = (mark.strip() for mark in load(name).comment("x").split("x"))
    if after:
        assert queries[0].head.count(after) == honest.head.count(after)
    else:
        assert all(line.startswith(before) for line in queries[0].head.splitlines())


def test_files_are_written_whole_beside_the_views_they_call(tmp_path: Path) -> None:
    name = targets()[0]
    done = call("-t", name, "-o", str(tmp_path / "out"), "static_api_key", "orphan_write")
    target = load(name)
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    beside = {f"views/{view}" for view in (*target.views, *target.made(ROOT.path))}
    assert found >= beside
    assert found - beside <= {f"{stem}{target.suffix}" for stem in ("static_api_key", "orphan_write")}
    assert done.exit_code in {0, 1}
    assert f"static_api_key{target.suffix}" in found


def test_what_is_refused_is_said_and_the_rest_is_compiled(tmp_path: Path) -> None:
    def only_one(wanted: Wanted, _events: Vocabulary, _chains: Vocabulary) -> str:
        if wanted.stem != "static_api_key":
            raise Inexpressible(f"rule {wanted.stem!r} can't be said here")
        return "the query"

    picky = replace(load(targets()[0]), compile=only_one)
    queries, refused = compiled([BY_STEM["static_api_key"], BY_STEM["orphan_write"]], picky, EVENTS, CHAINS)
    assert [query.rule.stem for query in queries] == ["static_api_key"]
    assert [(one.rule.stem, one.reason) for one in refused] == [
        ("orphan_write", "rule 'orphan_write' can't be said here")
    ]
    assert written(queries, picky, tmp_path, ROOT.path)[0].name.startswith("static_api_key")


def test_an_unknown_target_is_a_mistake_that_lists_the_known() -> None:
    done = call("-t", "nosuch")
    assert done.exit_code == 2
    assert all(name in done.output for name in targets())


def test_an_unknown_rule_is_a_mistake() -> None:
    with pytest.raises(Mistakes, match="nosuch"):
        call("-t", targets()[0], "nosuch")


def test_a_file_in_the_place_of_a_folder_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "views").write_text("a file")  # root may write anywhere, but not below a file
    queries, _ = compiled([BY_STEM["static_api_key"]], load(targets()[0]), EVENTS, CHAINS)
    with pytest.raises(Mistakes, match="name another with -o"):
        written(queries, load(targets()[0]), tmp_path, ROOT.path)


@pytest.mark.parametrize("name", targets())
def test_explain_shows_sigma_the_views_words_and_the_result(name: str) -> None:
    chosen = next(
        s for s in ("long_lived_token", "static_api_key") if compiled([BY_STEM[s]], load(name), EVENTS, CHAINS)[0]
    )
    done = call("-t", name, "--explain", chosen)
    query, *_ = compiled([BY_STEM[chosen]], load(name), EVENTS, CHAINS)[0]
    assert {"long_lived_token": "oauth.token.over_limit: true", "static_api_key": "mcp.server.auth: api_key"}[
        chosen
    ] in done.output
    assert "the views' words" in done.output
    assert load(name).language in done.output
    assert query.text.split()[0] in done.output
    assert bool(excerpt(BY_STEM[chosen], load(name))) is bool(load(name).views)


def test_a_filter_of_ones_own_is_in_the_query(tmp_path: Path) -> None:
    (tmp_path / "filter.yml").write_text(
        "title: Ours\nid: 11111111-2222-4333-8444-555555555555\nlogsource: {product: mcp, service: event}\n"
        "filter:\n  rules: [" + BY_STEM["static_api_key"].id + "]\n  selection: {mcp.server.name: our-own-server}\n"
        "  condition: not selection\n"
    )
    for name in targets():
        done = call("-t", name, "--filters", str(tmp_path), "static_api_key")
        assert "our-own-server" in done.output, done.output
        assert "our-own-server" not in call("-t", name, "static_api_key").output


def test_of_a_field_that_is_not_in_the_schema_the_rule_is_refused() -> None:
    rule = BY_STEM["static_api_key"].parts[0]
    detection = {"selection": {"no.such.field": "x"}, "condition": "selection"}
    stranger: SigmaRule | Correlation = rule.from_dict(rule.to_dict() | {"detection": detection})
    for name in targets():
        target: Target = load(name)
        with pytest.raises(Inexpressible, match=r"no\.such\.field"):
            target.compile(Wanted("static_api_key", stranger), EVENTS, CHAINS)


@pytest.mark.parametrize("name", targets())
def test_what_is_made_from_schemas_and_maps_lies_beside_the_views(name: str, tmp_path: Path) -> None:
    target = load(name)
    made = target.made(ROOT.path)
    assert made == target.made(ROOT.path)
    assert not set(made) & set(target.views)
    queries, _ = compiled([BY_STEM["static_api_key"]], target, EVENTS, CHAINS)
    paths = written(queries, target, tmp_path, ROOT.path)
    assert {path.name for path in paths} >= set(made)
