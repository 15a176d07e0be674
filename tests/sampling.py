"""Parameters: some of many in `make test`, all of them in `make test-all`; engines, each with its worker."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.case import Bases
from harness.proof import data_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from harness.case import Case
    from harness.matrix import Subject

WORKERS = {"spl": "splunk", "opensearch2": "opensearch", "opensearch3": "opensearch"}
"""The xdist group of an engine's tests, where it is not the engine's name."""


def one_in(count: int, values: Iterable[Any]) -> list[Any]:
    """The values as parameters, all but one in ``count`` marked as slow: always the same ones."""
    return [pytest.param(value, marks=[pytest.mark.slow] * bool(at % count)) for at, value in enumerate(values)]


def shared(values: Iterable[str], least: int) -> list[Any]:
    """Each distinct value as a parameter; those that fewer than ``least`` share are slow."""
    return [
        pytest.param(value, marks=[pytest.mark.slow] * (count < least), id=value[:60])
        for value, count in sorted(Counter(values).items())
    ]


def engines(names: Iterable[str], slow: Collection[str] = ()) -> list[Any]:
    """Each engine as one parameter, run by the worker that runs its other tests; some of them slow."""
    return [
        pytest.param(
            name, marks=[pytest.mark.xdist_group(WORKERS.get(name, name)), *[pytest.mark.slow] * (name in slow)]
        )
        for name in names
    ]


def usual(subjects: list[Subject], least: int) -> list[Subject]:
    """The subjects with those of their cases whose register and time so many share: each other is a data set by itself."""
    bases = Bases.honest()

    def key(case: Case) -> tuple[str, Any]:
        return data_set(case.tables(bases), case.now)

    keys = Counter(key(case) for subject in subjects for case in subject.cases)
    found = [replace(s, cases=tuple(case for case in s.cases if keys[key(case)] >= least)) for s in subjects]
    assert sum(len(subject.cases) for subject in found) > sum(len(subject.cases) for subject in subjects) / 2
    return [subject for subject in found if subject.cases]
