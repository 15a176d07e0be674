"""The form of a file of ours (source map, parameters, cases): its JSON Schema, quick to say yes, exact to say no."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import jsonschema
import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Form:
    """A JSON Schema 2020-12. A good document is known by a compiled validator, in a hundredth of the time."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile the schema."""
        self._quick = jsonschema_rs.Draft202012Validator(dict(schema))
        self._exact = jsonschema.Draft202012Validator(schema)

    def errors(self, document: Any) -> Iterator[jsonschema.ValidationError]:
        """What is wrong with a document, as jsonschema words it."""
        try:
            good = self._quick.is_valid(document)
        except ValueError:  # a date that YAML made, or a number that JSON has not
            good = False
        if not good:
            yield from self._exact.iter_errors(document)


@cache
def form_of(schema: str) -> Form:
    """The form that a schema's text describes; compiled once, since many files have it."""
    return Form(json.loads(schema))
