"""A kit as a folder: written beside its place and then put there, so that a half-written kit is never found."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from backends.errors import Mistake, Mistakes
from harness.case import moment, rfc3339
from harness.compiling import compiled
from harness.replay.choosing import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.duckdb.target import Sources
    from backends.target import Target
    from backends.vocabulary import Vocabulary
    from harness.replay.choosing import Plan
    from harness.replay.forms import Form
    from harness.ruleset import Rule

KIT = Path(__file__).parent / "kit"
PROGRAMS = ("send.py", "check.py")
SHARED = ("transport.py", "dates.py")
SHOWN = 2000


def files(
    plan: Plan,
    form: Form,
    target: Target,
    rules: Sequence[Rule],
    fields: tuple[Vocabulary, Vocabulary],
    sources: Sources,
    version: str,
) -> tuple[dict[str, str], Mapping[str, str]]:
    """Everything in a kit: path → text; and stem → why the target can't express a rule.

    Args:
        plan: what it holds.
        form: of the SIEM.
        target: whose queries are asked.
        rules: those of the plan.
        fields: of events, of chains.
        sources: what the source maps say.
        version: of the pack.
    """
    events, chains = fields
    queries, stopped = compiled(rules, target, events, chains)
    asked = {
        query.rule.stem: {
            "id": query.rule.id,
            "title": query.rule.title,
            "level": query.rule.level,
            "of_chains": query.rule.service == "chain",
            **form.question(query),
        }
        for query in queries
    }
    batches = list(form.batches(plan, events))
    made = {f"batches/{number:03d}{form.suffix}": body for number, body in enumerate(batches, 1)}
    made |= {f"register-{target.name}/{n}": t for n, t in form.register(plan.tables, sources, events, queries).items()}
    made |= {f"register/{name}.yml": _yaml(rows) for name, rows in plan.tables.items() if rows}
    refused = {one.rule.stem: one.reason for one in stopped}
    made["kit.json"] = _json(_said(plan, form, target, version, set(asked), refused, events))
    made["queries.json"] = _json(asked)
    made["README.md"] = readme(plan, form, target, asked, refused)
    made |= {name: program(name, form.siem) for name in (*PROGRAMS, *SHARED)}
    made["siem.py"] = program(f"{form.siem}.py", form.siem)
    return made, refused


def program(name: str, siem: str) -> str:
    """A program as it lies in a kit, where the modules it imports lie beside it."""
    text = (KIT / name).read_text(encoding="utf-8")
    text = re.sub(r"from harness\.replay\.kit import splunk as siem", "import siem", text)
    text = text.replace("from harness.replay.kit import dates", "import dates")
    text = text.replace("from harness.replay.kit.transport import", "from transport import")
    if "harness" in text:
        raise ValueError(f"{name} for {siem} would need more than what is in the kit")
    return text


def written(made: Mapping[str, str], folder: Path) -> None:
    """Put a kit at its place; an older kit there is replaced whole, anything else is left alone.

    Raises:
        Mistakes: the folder holds something that is no kit, or can't be written.
    """
    own = not folder.exists() or (folder.is_dir() and ((folder / "kit.json").is_file() or not any(folder.iterdir())))
    if not own:
        raise Mistakes([Mistake(str(folder), 0, "it holds something that is no kit; name an empty folder with -o")])
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, text in made.items():
                path = place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            place.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            place.rename(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as wrong:
        message = f"it can't be written ({wrong.strerror}); name another folder with -o"
        raise Mistakes([Mistake(str(folder), 0, message)]) from None


def _said(
    plan: Plan,
    form: Form,
    target: Target,
    version: str,
    asked: set[str],
    refused: Mapping[str, str],
    events: Vocabulary,
) -> dict[str, Any]:
    """What the programs read: expectations of the rules that the target takes."""
    times = [moment(record["@timestamp"]) for case in plan.cases for record in case.records]
    return {
        "target": target.name,
        "pack": version,
        "prefix": PREFIX,
        "mark": plan.mark,
        "at": rfc3339(plan.at),
        "first": rfc3339(min(times, default=plan.at)),
        "records": len(times),
        "times": form.times(events),
        "settle_sec": form.settle_sec,
        "cases": [
            {
                "label": case.label,
                "stem": case.stem,
                "fires": case.fires,
                "sentence": case.sentence,
                "why": case.why,
                "records": len(case.records),
                "needs_register": case.fires and case.stem not in plan.bare[case.label],
            }
            for case in plan.cases
        ],
        "expected": {label: [stem for stem in stems if stem in asked] for label, stems in plan.expected.items()},
        "bare": {label: [stem for stem in stems if stem in asked] for label, stems in plan.bare.items()},
        "chains": {str(begin): label for begin, label in sorted(plan.chains.items())},
        "left_out": dict(plan.left_out),
        "not_expressible": dict(refused),
    }


def readme(plan: Plan, form: Form, target: Target, asked: Mapping[str, Any], refused: Mapping[str, str]) -> str:
    """What a person reads first."""
    needing = sorted({c.stem for c in plan.cases if c.fires and c.stem not in plan.bare[c.label]} & set(asked))
    attacks = [case for case in plan.cases if case.fires]
    count, honest = sum(len(case.records) for case in plan.cases), [case for case in plan.cases if not case.fires]
    deleting = form.deleting.replace("{mark}", plan.mark).replace("{index}", "mcp")
    lines = [
        f"# Replay kit for {target.product}",
        "",
        f"{count} records of {len(attacks)} attacks and {len(honest)} honest cases, marked `{plan.mark}`.",
        "They name people and systems that do not exist.",
        "",
        f"1. Install the package, on a test system where you can.{_NEEDS if needing else ''}",
        "2. `python3 send.py --dry-run`, then `python3 send.py --url …`; `--help` says which address and which token.",
        *_CHECK,
        f"4. Take the records out again: `{deleting}`",
        "",
    ]
    if needing:
        lines += ["## The register", "", form.installing, *_REGISTER, "", ", ".join(needing) + ".", ""]
    lines += ["## What must fire", "", "| rule | attack | honest work beside it |", "|---|---|---|"]
    for stem in dict.fromkeys(case.stem for case in plan.cases if case.stem in asked):
        attack = next((case.sentence for case in attacks if case.stem == stem), "-")
        beside = next((case.sentence for case in honest if case.stem == stem), "-")
        lines.append(f"| {stem} | {_cell(attack)} | {_cell(beside)} |")
    if plan.left_out or refused:
        lines += ["", "## What is not in it", ""]
        lines += [f"- {label}: {why}." for label, why in plan.left_out.items()]
        lines += [f"- {stem}: {_cell(why)}" for stem, why in refused.items()]
    return "\n".join(lines) + "\n"


_NEEDS = " Some rules need the kit's register, see below."
_CHECK = (
    "3. `python3 check.py --url …` asks each rule's query over the records. `--alerts` asks, an hour and a half later,",
    "   what the schedule found by itself. Exit code 1 says that something is not as it must be.",
)
_REGISTER = (
    "It replaces yours, so use a test system, or make the kit with `--register` and your own.",
    "Without it say `check.py --without-register`; these rules then stay quiet:",
)


def _cell(text: str) -> str:
    return (
        " ".join(text[:SHOWN].split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    )


def _json(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _yaml(rows: Any) -> str:
    text: str = yaml.safe_dump([dict(row) for row in rows], sort_keys=True, allow_unicode=True, width=1000)
    return text
