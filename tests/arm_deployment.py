"""A workspace as Azure Resource Manager sees it: it evaluates a template and replaces each resource whole.

Enough of the language for our templates and no more: what it does not know, it raises on. Microsoft Learn, "ARM template
functions" and "Syntax and expressions in ARM templates".
"""

from __future__ import annotations

import csv
import io
import json
import re
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_]\w*)|(-?\d+)|([(),.\[\]]))")
WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w"


class Expressions:
    """Evaluates the texts of one template.

    Args:
        template: the whole.
        values: parameter → value; the others take their defaults.
    """

    def __init__(self, template: dict[str, Any], values: dict[str, Any]) -> None:
        self.template, self.used, self.variables = template, set[str](), dict[str, Any]()
        unknown = set(values) - set(template["parameters"])
        if unknown:
            raise ValueError(f"the template has no parameter {sorted(unknown)}")
        self.values: dict[str, Any] = {}
        for name, form in template["parameters"].items():
            if name not in values and "defaultValue" not in form:
                raise ValueError(f"the parameter {name} has no value")
            value = values[name] if name in values else self.of(form["defaultValue"])
            python = {"string": str, "int": int, "bool": bool, "object": dict}[form["type"]]
            if type(value) is not python:
                raise TypeError(f"the parameter {name} is no {form['type']}")
            self.values[name] = value

    def of(self, value: Any) -> Any:
        """A value with all its expressions evaluated."""
        if isinstance(value, dict):
            return {name: self.of(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.of(one) for one in value]
        if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
            return value
        if value.startswith("[["):
            return value[1:]
        if len(value) > 24_576:
            raise ValueError("an expression is longer than 24,576 characters")
        tokens, at = [], 0
        inner = value[1:-1]
        while at < len(inner.rstrip()):
            match = _TOKEN.match(inner, at)
            if match is None:
                raise ValueError(f"no expression: {inner[at : at + 40]!r}")
            tokens.append(match.groups())
            at = match.end()
        result, rest = self._parsed(tokens)
        if rest:
            raise ValueError(f"more than one expression in {value!r}")
        return result()

    def _parsed(self, tokens: list[Any]) -> tuple[Callable[[], Any], list[Any]]:
        """What evaluates the first value of the tokens, and the rest of them; only what is asked for is evaluated."""
        (text, name, number, _), *rest = tokens
        if name is None:
            constant = text.replace("''", "'") if text is not None else int(number)
            result: Callable[[], Any] = lambda: constant  # noqa: E731
        elif not rest or rest[0][3] != "(":
            raise ValueError(f"no function: {name}")
        else:
            arguments, rest = [], rest[1:]
            while rest[0][3] != ")":
                one, rest = self._parsed(rest)
                arguments.append(one)
                if rest[0][3] == ",":
                    rest = rest[1:]
            result, rest = partial(self._call, name, arguments), rest[1:]
        while rest and rest[0][3] in (".", "["):
            if rest[0][3] == ".":
                key, rest = partial(str, rest[1][1]), rest[2:]
            else:
                key, rest = self._parsed(rest[1:])
                rest = rest[1:]
            result = partial(lambda whole, part: whole()[part()], result, key)
        return result, rest

    def _call(self, name: str, arguments: list[Callable[[], Any]]) -> Any:
        if name == "if":
            asked, yes, no = arguments
            return yes() if asked() else no()
        given = [one() for one in arguments]
        if name == "parameters":
            self.used.add(f"parameters.{given[0]}")
            return self.values[given[0]]
        if name == "variables":
            self.used.add(f"variables.{given[0]}")
            if given[0] not in self.variables:
                self.variables[given[0]] = self.of(self.template["variables"][given[0]])
            return self.variables[given[0]]
        if name == "resourceId":
            kind, *names = given
            if kind.count("/") != len(names):
                raise ValueError(f"resourceId of {kind} has {len(names)} names")
            if kind == "Microsoft.OperationalInsights/workspaces":
                return WORKSPACE.rpartition("/")[0] + "/" + names[0]
            provider, *kinds = kind.split("/")
            return "/".join(
                ["/providers", provider, *(part for pair in zip(kinds, names, strict=True) for part in pair)]
            )
        functions = {
            "concat": lambda *parts: "".join(parts),
            "contains": lambda whole, key: key in whole,
            "json": json.loads,
            "union": _union,
            "guid": lambda *parts: str(uuid5(NAMESPACE_URL, "|".join(parts))),
            "resourceGroup": lambda: {"id": "/subscriptions/s/resourceGroups/g", "location": "westeurope"},
            "extensionResourceId": lambda scope, kind, named: f"{scope}/providers/{kind}/{named}",
            "reference": lambda *_: {
                "endpoints": {"logsIngestion": "https://known.after"},
                "immutableId": "dcr-known-after",
            },
        }
        return functions[name](*given)


def _union(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = deepcopy(first)
    for name, value in second.items():
        both[name] = _union(both[name], value) if isinstance(value, dict) and name in both else value
    return both


def identity(resource: dict[str, Any]) -> str:
    """The id that ``dependsOn`` names a resource by."""
    if "scope" in resource:
        return f"{resource['scope']}/providers/{resource['type']}/{resource['name']}"
    provider, *kinds = resource["type"].split("/")
    names = resource["name"].split("/")
    pairs = (part for pair in zip(kinds, names, strict=True) for part in pair)
    return "/".join(["/providers", provider, *pairs])


class Workspace:
    """What is in the workspace: resources by id, and rows of watchlists, which a deployment only adds to."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, list[dict[str, str]]] = {}

    def deploy(self, template: dict[str, Any], **values: Any) -> Expressions:
        """Deploy in the default mode, Incremental: what the template does not name stays."""
        evaluated = Expressions(template, values)
        wanted = {identity(one): one for one in map(evaluated.of, template["resources"])}
        if len(wanted) != len(template["resources"]):
            raise ValueError("two resources have one name")
        evaluated.of(template["outputs"])
        done: set[str] = set()
        while waiting := [name for name in wanted if name not in done]:
            ready = [name for name in waiting if set(wanted[name].get("dependsOn", ())) <= done]
            if not ready:
                raise ValueError(f"these depend on what there is not: {waiting}")
            for name in ready:
                done.add(name)
                resource = wanted[name]
                if not resource.get("condition", True):
                    continue
                if resource["type"].endswith("/watchlists"):
                    self._append(resource)
                self.resources[name] = {k: v for k, v in resource.items() if k not in ("dependsOn", "condition")}
        return evaluated

    def _append(self, resource: dict[str, Any]) -> None:
        rows = self.rows.setdefault(resource["name"], [])
        rows += [row for row in csv.DictReader(io.StringIO(resource["properties"]["rawContent"])) if row not in rows]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Resources of one type by name."""
        return {one["name"]: one for one in self.resources.values() if one["type"].lower() == kind.lower()}

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """Analytic rules by name, as the service lists them."""
        return self.of("Microsoft.SecurityInsights/alertRules")
