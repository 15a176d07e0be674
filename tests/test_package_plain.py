"""The plain bundle: unpacked, it loads in stock sigma-cli, and what that skips is what the bundle says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backends import target
from backends.package import Content, NotAllowed, load
from backends.vocabulary import Vocabulary
from harness import sigma_check
from harness.building import build, content
from harness.own import chosen
from harness.paths import Root

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.xdist_group("plain")

ROOT = Root.default()
PACKAGE = load("plain")
VOCABULARIES = {service: Vocabulary.load(ROOT.schemas / f"{service}.schema.json") for service in ("event", "chain")}
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
SIGMA = str(Path(sys.executable).with_name("sigma"))


@pytest.fixture(scope="module")
def made() -> Content:
    return content(ROOT, PACKAGE, list(chosen(ROOT)))


@pytest.fixture(scope="module")
def bundle(made: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    with zipfile.ZipFile(build(PACKAGE, made, folder).path) as archive:
        archive.extractall(folder)
    return folder / PACKAGE.top


def sigma(bundle: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = {**os.environ, **NO_NETWORK, "HOME": str(bundle.parent / "home")}
    return subprocess.run([SIGMA, *arguments], cwd=bundle, env=home, capture_output=True, text=True, check=False)


def named(bundle: Path, stems: Sequence[str]) -> list[str]:
    """Files of the rules, relative to the bundle."""
    every = {path.stem.removeprefix("correlation_").removeprefix("mcp_"): path for path in bundle.glob("rules/*/*.yml")}
    return [str(every[stem].relative_to(bundle)) for stem in stems]


def test_every_rule_is_inside_as_it_is_with_its_cases(bundle: Path) -> None:
    for path in ROOT.rules.rglob("*.yml"):
        for file in (path, path.with_name(f"{path.stem}.cases.json")):
            assert (bundle / "rules" / file.relative_to(ROOT.rules)).read_bytes() == file.read_bytes()


def test_every_target_has_its_pipeline_inside(bundle: Path) -> None:
    assert sorted(path.stem for path in bundle.glob("pipelines/*.yml")) == target.targets()
    assert sorted(json.loads((bundle / "skipped.json").read_text())) == target.targets()


def test_sigma_check_finds_nothing_wrong_in_the_unpacked_bundle(bundle: Path) -> None:
    sigma_check.fill_stock_cache(bundle.parent / "home", VOCABULARIES)
    done = sigma(bundle, "check", "--fail-on-issues", "--exclude", "namespace_tag", "rules")
    assert "Found 0 errors, 0 condition errors and 0 issues." in done.stdout, done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_stock_backends_take_exactly_the_rules_that_the_bundle_says(bundle: Path, every: int) -> None:
    """Each that is skipped is a run of the command: of every fifth in `make test`."""
    said = json.loads((bundle / "skipped.json").read_text())
    stems = [rule["stem"] for rule in json.loads((bundle / "rules.json").read_text())["rules"]]

    def ask(name: str) -> list[str]:
        one, wrong = said[name], []
        command = ("convert", "-t", one["backend"], "-p", f"pipelines/{name}.yml")
        done = sigma(bundle, *command, *named(bundle, [stem for stem in stems if stem not in one["skipped"]]))
        if done.returncode or not done.stdout.strip():
            wrong.append(f"{name} refuses a rule that it takes by the list: {done.stderr[-500:]}")
        taken = [
            s for s in list(one["skipped"])[::every] if sigma(bundle, *command, *named(bundle, [s])).returncode == 0
        ]
        return wrong + [f"{name} takes {stem}, which the list calls skipped" for stem in taken]

    with ThreadPoolExecutor(2) as pool:
        assert [wrong for found in pool.map(ask, said) for wrong in found] == []


def test_a_rule_whose_name_could_leave_the_folder_is_refused(made: Content) -> None:
    hostile = replace(made, rules=(replace(made.rules[0], stem="../x"),))
    with pytest.raises(NotAllowed, match="call it by letters"):
        PACKAGE.files(hostile)


@pytest.mark.parametrize("title", ["a | b", "]</script>", "x\n| y", "`$(id)`", '"quoted"'])
def test_a_title_can_not_break_the_table_of_the_readme(made: Content, title: str) -> None:
    text = str(PACKAGE.files(replace(made, rules=(replace(made.rules[0], title=title),)))["README.md"])
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{made.rules[0].stem}`")]
    assert row.replace("\\|", "").count("|") == 5
    assert "<" not in row.replace("\\<", "")
