"""The matrix as pages: Markdown for the documentation, one self-contained HTML file for everybody else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import jinja2

from backends.lake.shipped import cell
from harness import stock
from harness.blind_table import FIRES
from harness.engine_matrix import BOUNDED, DIFFERS, EQUAL, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.blind_table import Seen
    from harness.engine_matrix import Matrix, Stand

WORDS = {EQUAL: "equal", BOUNDED: "bounded", REFUSED: "not expressible", DIFFERS: "DIFFERS"}

NOT_RUN = {
    "Splunk": "No Splunk can be had here. Every search is parsed by a strict parser and run by an interpreter of the SPL "
    "that is emitted; each of its commands is tested by the examples of Splunk's documentation.",
    "Microsoft Sentinel": "Every query is bound by Microsoft's own parser against the table schema, and run by "
    "duckdb-kql; no workspace was asked.",
    "Kibana": "Each ES|QL query is executed on an Elasticsearch node; importing and scheduling it is Kibana's.",
    "OpenSearch monitors": "The body of a monitor's query is executed as a search; the monitor itself is not run.",
}
"""What can't be run here, and what stands in for it."""

CHAINS = {
    "DuckDB": "joined and judged as the log is scanned; exact.",
    "Spark": "the same statements, translated; exact.",
    "Splunk": "the macro `countersign_chains`, at search time; exact.",
    "Sentinel": "the function `countersign_chains()`, at query time; exact.",
    "Elasticsearch 8.19": "within each rule's ES|QL query: what is said with INLINE STATS is lowered to STATS, MV_EXPAND and "
    "DISSECT; exact, and nothing has to be refreshed.",
    "Elasticsearch 9": "the same text with INLINE STATS as it stands (`views/chains-9.esql`); not run here.",
    "OpenSearch": "none: a monitor joins no records. `countersign scan` or the Spark job over the same logs gives them.",
}
"""What each way gives of the chain facts, all of which a test compares with DuckDB's."""


def markdown(matrix: Matrix, seen: Sequence[Seen], one_in: int = 1) -> str:
    """The page ``docs/matrix.md``; ``one_in`` says which of the variants were executed too, 0 that none was."""
    rows = _rows(matrix)
    engines = matrix.engines
    variants = {0: "", 1: " and on every variant of them"}.get(one_in, f" and on one in {one_in} of their variants")
    lines = [
        "# Every rule on every engine",
        "",
        f"A cell is a rule on the engine of its column. It was executed on all cases of the rule{variants},",
        "and on the cases of the other rules, and each verdict compared with the oracle, an evaluator written from the Sigma",
        "specification. The number says how many verdicts.",
        "**equal**: the same verdict on each. **bounded**: a scheduled window stands in for a sliding one; it misses",
        "nothing, and what more it may find is said below. **not expressible**: the target refuses the rule, and why is",
        "said below.",
        "",
        *(f"- **{engine.title}**: {engine.runs}." for engine in engines),
        "",
        f"| rule | {' | '.join(engine.title for engine in engines)} |",
        f"|---|{'---|' * len(engines)}",
    ]
    for stem, stands in rows.items():
        lines.append(f"| {stem} | {' | '.join(_cell(stands.get(engine.name)) for engine in engines)} |")
    total = {engine.name: [0, 0] for engine in engines}
    for stand in matrix.stands:
        total[stand.engine][0] += stand.cells
        total[stand.engine][1] += len(stand.failures)
    lines.append(f"| **cells, differing** | {' | '.join(f'{n:,}, {wrong}' for n, wrong in total.values())} |")
    lines += _reasons(matrix)
    lines += ["", "## Facts of chains", "", *(f"- **{where}**: {way}" for where, way in CHAINS.items())]
    lines += _stock(matrix)
    lines += ["", "## Not run here", "", *(f"- **{what}**: {instead}" for what, instead in NOT_RUN.items())]
    return "\n".join([*lines, *_blindness(seen), ""])


def _rows(matrix: Matrix) -> dict[str, dict[str, Stand]]:
    rows: dict[str, dict[str, Stand]] = {}
    for stand in matrix.stands:
        rows.setdefault(stand.stem, {})[stand.engine] = stand
    return rows


def _cell(stand: Stand | None) -> str:
    if stand is None:
        return ""
    said = WORDS[stand.state] + (f" {stand.cells:,}" if stand.cells else "")
    if stand.failures:
        said += f" in {len(stand.failures)}"
    return said + (f" (stock: {stand.stock.word})" if stand.stock else "")


def _reasons(matrix: Matrix) -> list[str]:
    titles = {engine.name: engine.title for engine in matrix.engines}
    why: dict[tuple[str, str, str], list[str]] = {}
    for stand in matrix.stands:
        if stand.why:
            why.setdefault((stand.state, titles[stand.engine], _general(stand)), []).append(stand.stem)
    lines: list[str] = []
    for state, head in ((BOUNDED, "Bounded"), (REFUSED, "Not expressible")):
        told = [(title, reason, stems) for (at, title, reason), stems in why.items() if at == state]
        if told:
            lines += ["", f"## {head}", ""]
            lines += [f"- **{title}**: {reason} ({', '.join(stems)})" for title, reason, stems in told]
    return lines


def _stock(matrix: Matrix) -> list[str]:
    """What the stock backends make of the rules, an engine a row, and their reasons."""
    lines: list[str] = []
    reasons: dict[tuple[str, str, str], list[str]] = {}
    examples: list[str] = []
    for engine in matrix.engines:
        told = [(stand.stem, stand.stock) for stand in matrix.stands if stand.engine == engine.name and stand.stock]
        if not told:
            continue
        words = Counter(DIFFERS if said.others else said.word for _, said in told)
        cells, wrong = sum(said.cells for _, said in told), sum(len(said.others) for _, said in told)
        counts = " | ".join(str(words[word]) for word in (stock.EQUAL, DIFFERS, stock.NOT_RUN, stock.REFUSED))
        lines.append(f"| {engine.title} | `{stock.STOCK[engine.name].package}` | {counts} | {wrong:,} of {cells:,} |")
        for stem, said in told:
            if said.why:
                reasons.setdefault((engine.title, said.word, said.why), []).append(stem)
            if said.others:
                examples.append(f"- **{engine.title}**, {stem}, {said.word}, such as: {said.others[0]}")
    if not lines:
        return []
    return [
        "",
        "## What the stock backends make of the rules",
        "",
        "In brackets above: the stock pySigma backend with the project's pipeline, run on the same engine and views over the",
        "cases as they are written. So a difference is one of the rule's wording alone; the views are ours.",
        "",
        "| engine | stock backend | rules equal | differ | do not run | refused | verdicts that differ |",
        "|---|---|---|---|---|---|---|",
        *lines,
        "",
        *(f"- **{title}**, {word}: {cell(why)} ({', '.join(stems)})" for (title, word, why), stems in reasons.items()),
        *examples,
    ]


def _general(stand: Stand) -> str:
    """A reason without the rule's name, so that rules refused for one reason stand together."""
    head, colon, rest = stand.why.partition(": ")
    return rest if colon and head.startswith("rule ") else stand.why


def _blindness(seen: Sequence[Seen]) -> list[str]:
    if not seen:
        return []
    sources = list(dict.fromkeys(one.source for one in seen))
    rows: dict[str, dict[str, Seen]] = {}
    for one in seen:
        rows.setdefault(one.stem, {})[one.source] = one
    lines = [
        "",
        "## What each rule sees of each source",
        "",
        "Every case on which a rule fires, cut down to what the source's map says its records can hold, and judged.",
        "**fires**: on how many of the cases. **posture only**: the rule stays quiet, and a rule on blindness tells of the gap.",
        "**blind**: neither. Logs of several sources together see more than each of them.",
        "",
        f"| rule | {' | '.join(sources)} |",
        f"|---|{'---|' * len(sources)}",
    ]
    for stem, by_source in rows.items():
        lines.append(f"| {stem} | {' | '.join(_sight(by_source[source]) for source in sources)} |")
    return lines


def _sight(one: Seen) -> str:
    fired, of = one.cases
    return f"fires, {fired} of {of}" if one.word == FIRES else one.word


_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>countersign: every rule on every engine</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
table { border-collapse: collapse; } th, td { border: 1px solid #8886; padding: .2rem .6rem; text-align: left; }
th { position: sticky; top: 0; background: Canvas; } td { white-space: nowrap; }
.equal { background: #2a92; } .bounded { background: #da32; }
.refused { background: #8882; } .differs { background: #d335; }
</style>
</head>
<body>
<h1>Every rule on every engine</h1>
<p>{{ cells }} cells executed, {{ wrong }} differ from the oracle.</p>
<table>
<thead><tr><th>rule</th>
{%- for engine in engines %}<th title="{{ engine.runs }}">{{ engine.title }}</th>{% endfor %}</tr></thead>
<tbody>
{% for stem, stands in rows.items() %}<tr><td>{{ stem }}</td>
{%- for engine in engines %}{% set stand = stands[engine.name] %}
<td class="{{ classes[stand.state] }}" title="{{ stand.why }}">{{ cell(stand) }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
<h2>Not run here</h2>
<dl>{% for what, instead in not_run.items() %}<dt>{{ what }}</dt><dd>{{ instead }}</dd>{% endfor %}</dl>
</body>
</html>
"""


def html(matrix: Matrix) -> str:
    """The same as one HTML file that loads nothing."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_HTML)
    classes: Mapping[str, str] = {EQUAL: "equal", BOUNDED: "bounded", REFUSED: "refused", DIFFERS: "differs"}
    return template.render(
        engines=matrix.engines,
        rows=_rows(matrix),
        classes=classes,
        cell=_cell,
        cells=f"{sum(stand.cells for stand in matrix.stands):,}",
        wrong=sum(len(stand.failures) for stand in matrix.stands),
        not_run=NOT_RUN,
    )
