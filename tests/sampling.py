"""Some of many parameters in `make test`, all of them in `make test-all`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable


def one_in(count: int, values: Iterable[Any]) -> list[Any]:
    """The values as parameters, all but one in ``count`` marked as slow: always the same ones."""
    return [pytest.param(value, marks=[pytest.mark.slow] * bool(at % count)) for at, value in enumerate(values)]
