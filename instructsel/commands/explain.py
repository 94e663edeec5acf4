"""instructsel explain: why an example is in or out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say
from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.files import find_pool
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.selection.selection_set import SelectionSet, Subset, sidecar_of
from instructsel.text import aligned, clean, excerpt

EXAMPLES: Final = """Examples:
  instructsel explain pool.jsonl:3 --selection /tmp/chosen.jsonl
  instructsel explain pool.jsonl:3 --scores /tmp/demo.scores.parquet --rule longest
"""


@reported
def command(
    example: Annotated[str, typer.Argument(metavar="EXAMPLE", help="FILE:LINE, an id, or the beginning of an id (8 characters or more).")],
    selection: Annotated[Path | None, typer.Option(help="The selection: its rows, or the ….selection.parquet beside them.")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="The score table; by default that of the selection, or else the newest one here.")
    ] = None,
    rule: Annotated[str, typer.Option(help="The rule, where no selection is named.")] = "eq4",
    pool: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The pool files, where the score table does not lead to them.")
    ] = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Explain one example: its scores, what each term adds, its rank, and why it was kept or left out."""
    chosen = subset_named(selection) if selection is not None else None
    if chosen is not None:
        table = ScoreTable.read(scores) if scores is not None else chosen[0].table()
        examples = chosen[0].pool(pool)
    else:
        path = scores or newest()
        if scores is None:
            say(f"The newest score table here is taken: {path}")
        table, examples = ScoreTable.read(path), find_pool(path, pool)
    position = examples.position(example)
    outcome = _selected(chosen[1].sidecar, examples, position) if chosen is not None else _ranked(rule, table, examples.ids[position])
    record = {**_scored(table, examples, position), **outcome}
    if json:
        typer.echo(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode())
        return
    (conversation,) = examples.examples([position])
    for line in _lines(record, conversation.instruction, conversation.response):
        display(line)


def subset_named(path: Path) -> tuple[SelectionSet, Subset]:
    """The selection or baseline that is named by its rows, its sidecar, or the manifest of its set.

    Raises:
        UsageError: there is none.
    """
    if not path.is_file() and not sidecar_of(path).is_file():
        raise UsageError(f"There is no selection {path}.", fix="Make one with: instructsel select SCORES --n N -o chosen.jsonl")
    selection_set = SelectionSet.read(path)
    for subset in selection_set.subsets:
        if path.resolve() in (subset.file.resolve(), subset.sidecar.resolve()):
            return selection_set, subset
    return selection_set, selection_set.selection


def _scored(table: ScoreTable, examples: Pool, position: int) -> dict[str, Any]:
    """Where an example stands and what it scored."""
    name = examples.ids[position]
    file, lines = examples.locate(position)
    (conversation,) = examples.examples([position])
    row = table.frame.filter(table.frame["id"] == name).row(0, named=True)
    return {
        "id": name,
        "source": conversation.source,
        "file": file,
        "lines": list(lines),
        "turns": len(conversation.messages),
        "scores": {symbol: row[symbol] for symbol in table.symbols},
        "reasons": {symbol: row[f"{symbol}_reason"] for symbol in table.symbols if row[f"{symbol}_reason"]},
    }


def _selected(path: Path, examples: Pool, position: int) -> dict[str, Any]:
    """What a selection made of an example."""
    selection = Selection.read(path)
    row = selection.explain(examples.ids[position])
    duplicate_of = row["duplicate_of"]
    return {
        "selection": selection.name,
        "form": selection.manifest["form"],
        "value_is": selection.manifest["score"],
        "intercept": selection.manifest["rule"]["intercept"],
        "contributions": {key.removesuffix(CONTRIBUTION): value for key, value in row.items() if key.endswith(CONTRIBUTION)},
        "value": row["score"],
        **{key: row[key] for key in ("rank", "kept", "reason", "duplicate_of")},
        "duplicate_at": _place(examples, examples.position(duplicate_of)) if duplicate_of else None,
        "ranked": selection.summary["ranked"],
    }


def _ranked(rule_name: str, table: ScoreTable, name: str) -> dict[str, Any]:
    """What a rule makes of an example."""
    rule = catalog.load(rule_name)
    rule.check_columns(table)
    explanation = rule.explain(table, name)
    return {
        "rule": explanation.rule,
        "value_is": explanation.target,
        "intercept": explanation.intercept,
        "value": explanation.value,
        "contributions": {symbol: part for symbol, _, _, part, _ in explanation.terms},
        "mismatches": [str(mismatch) for mismatch in rule.check_models(table, allow_mismatch=True)],
    }


def _place(examples: Pool, position: int) -> str:
    file, lines = examples.locate(position)
    return f"{Path(file).name}:{lines[0]}"


def _lines(record: dict[str, Any], instruction: str, response: str) -> list[str]:
    """The record for people."""
    where = f"{Path(record['file']).name}:{record['lines'][0]}"
    extent = f", lines {', '.join(map(str, record['lines']))}" if len(record["lines"]) > 1 else ""
    lines = [
        clean(f"{where}{extent}  ({record['turns']} turns, id {record['id']})"),
        f"instruction: {excerpt(instruction, 66)}",
        f"response:    {excerpt(response, 66)}",
        "",
    ]
    rows = []
    for symbol in {**record["scores"], **record["contributions"]}:
        score, contribution = record["scores"].get(symbol), record["contributions"].get(symbol)
        rows.append(
            [
                symbol,
                f"{score:.6g}" if score is not None else f"null ({record['reasons'].get(symbol, 'not scored')})",
                f"{contribution:+.6f}" if contribution is not None else "",
            ]
        )
    lines += aligned(rows, header=["indicator", "score", "adds to the predicted value"], right=(1, 2))
    value = record.get("value")
    if value is None:
        lines += ["", "predicted value: null"]
    else:
        lines += ["", f"predicted value: {value:.6f} = {record['intercept']:g} + the terms ({record['value_is']}; lower is better)"]
    if "kept" in record:
        state = "kept" if record["kept"] else f"left out: {record['reason']}"
        rank = f"rank {record['rank']:,} of {record['ranked']:,}" if record["rank"] is not None else "not ranked"
        duplicate = f", duplicate of {record['duplicate_at']}" if record["duplicate_at"] else ""
        lines.append(f"{record['form']} ({record['selection']}): {state}, {rank}{duplicate}")
    for mismatch in record.get("mismatches", []):
        lines.append(f"mismatch: {mismatch}")
    return lines


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
