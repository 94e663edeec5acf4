"""instructsel explain: why an example is in or out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.errors import InstructselError, UsageError
from instructsel.paths import resolved
from instructsel.pool.pool import Pool
from instructsel.pool.sources import label_of
from instructsel.rules import catalog
from instructsel.rules.by_indicator import only_indicator
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.files import find_pool
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.selection.selection_set import SUFFIX, SelectionSet, Subset, sidecar_of
from instructsel.selection.similarity import TOO_SIMILAR
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
    rule: Annotated[
        str | None, typer.Option(help="The rule, where no selection is named; by default the first that the table has the indicators of.")
    ] = None,
    pool: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The pool files, where the score table does not lead to them.")
    ] = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Explain one example: its scores, what each term adds, its rank, and why it was kept or left out.

    Without --selection, --scores and --rule the newest selection of this pool in the working directory is taken.
    """
    chosen = subset_named(selection) if selection is not None else None
    if chosen is None and scores is None and rule is None:
        chosen = _newest_selection(example)
    if chosen is not None:
        table = ScoreTable.read(scores) if scores is not None else chosen[0].table()
        examples = chosen[0].pool(pool)
    else:
        path = scores or newest()
        if scores is None:
            say(f"The newest score table here is taken: {path}")
        table, examples = ScoreTable.read(path), find_pool(path, pool)
    position = examples.position(example)
    if chosen is not None:
        outcome = _selected(chosen[1], examples, position)
    else:
        usable = rule or catalog.usable(table)
        outcome = _ranked(usable, table, examples.ids[position]) if usable is not None else {"rule": None, "contributions": {}}
    record = {**_scored(table, examples, position), **outcome}
    if json:
        write_json(record)
        return
    (conversation,) = examples.examples([position])
    for line in _lines(record, conversation.instruction, conversation.response):
        display(line)


def _newest_selection(example: str) -> tuple[SelectionSet, Subset] | None:
    """The selection in the working directory that was finished last, of those whose pool holds the example; None where there is none."""
    file, _, _ = example.rpartition(":")
    dated: list[tuple[str, str, SelectionSet]] = []
    for path in Path().glob(f"*{SUFFIX}"):
        try:
            selection_set = SelectionSet.read(path)
            if file:
                paths = selection_set.spec.paths if selection_set.spec is not None else ()
                holds = file == "line" or any(Path(file).name in (Path(name).name, label_of(name)) for name in paths)
            else:
                holds = any(name.startswith(example) for name in Selection.read(selection_set.selection.sidecar).frame["id"].to_list())
        except InstructselError:
            continue
        if holds:
            dated.append((selection_set.finished_at or "", path.name, selection_set))
    if not dated:
        return None
    selection_set = max(dated, key=lambda entry: entry[:2])[2]
    say(f"The newest selection of this pool here is taken: {selection_set.selection.file.name}")
    return selection_set, selection_set.selection


def subset_named(path: Path) -> tuple[SelectionSet, Subset]:
    """The selection or baseline that is named by its rows, its sidecar, or the manifest of its set.

    Raises:
        UsageError: there is none.
    """
    if not path.is_file() and not sidecar_of(path).is_file():
        raise UsageError(f"There is no selection {path}.", fix="Make one with: instructsel select SCORES --n N -o chosen.jsonl")
    selection_set = SelectionSet.read(path)
    for subset in selection_set.subsets:
        if resolved(path) in (resolved(subset.file), resolved(subset.sidecar)):
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


def _selected(subset: Subset, examples: Pool, position: int) -> dict[str, Any]:
    """What a selection made of an example."""
    selection = Selection.read(subset.sidecar)
    rule = selection.manifest.get("rule") or {}
    # The sidecar of a baseline records the rule of the selection it is compared with.
    called, seed = selection.baseline, selection.seed
    form = (selection.manifest.get("form") or selection.name) if called is None else called if seed is None else f"{called}, seed {seed}"
    predicts = called is None and only_indicator(rule) is None
    row = selection.explain(examples.ids[position])
    duplicate_of = row["duplicate_of"]
    return {
        "selection": selection.name,
        "form": form,
        "value_is": selection.manifest.get("score") or "the score",
        "predicts": predicts,
        "intercept": rule.get("intercept", 0.0) if predicts else None,
        "contributions": {key.removesuffix(CONTRIBUTION): value for key, value in row.items() if key.endswith(CONTRIBUTION)},
        "value": row["score"],
        **{key: row[key] for key in ("rank", "kept", "reason", "duplicate_of")},
        "duplicate_at": _place(examples, examples.position(duplicate_of)) if duplicate_of else None,
        "ranked": selection.summary.get("ranked") or selection.frame["rank"].count(),
    }


def _ranked(rule_name: str, table: ScoreTable, name: str) -> dict[str, Any]:
    """What a rule makes of an example."""
    rule = catalog.load(rule_name)
    rule.check_columns(table)
    explanation = rule.explain(table, name)
    prediction = rule.predict(table)
    row = table.ids.index(name)
    # Equal values go by the table's order, as they do in a selection.
    earlier = (prediction.values < prediction.values[row]) | ((prediction.values == prediction.values[row]) & (np.arange(len(table)) < row))
    mismatches = rule.check_models(table, allow_mismatch=True)
    predicts = only_indicator(rule.as_dict()) is None
    return {
        "rule": explanation.rule,
        "form": rule.called(mismatches),
        "value_is": explanation.target,
        "predicts": predicts,
        "intercept": explanation.intercept if predicts else None,
        "rank": int((earlier & prediction.valid).sum()) + 1 if prediction.valid[row] else None,
        "ranked": int(prediction.valid.sum()),
        "value": explanation.value,
        "contributions": {symbol: part for symbol, _, _, part, _ in explanation.terms},
        "mismatches": [str(mismatch) for mismatch in mismatches],
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
    predicts = record.get("predicts", False)
    rows = []
    for symbol in {**record["scores"], **record["contributions"]}:
        score, contribution = record["scores"].get(symbol), record["contributions"].get(symbol)
        rows.append(
            [
                symbol,
                f"{score:.6g}" if score is not None else f"null ({record['reasons'].get(symbol, 'not scored')})",
                *([f"{contribution:+.6f}" if contribution is not None else ""] if predicts else []),
            ]
        )
    header = ["indicator", "score", *(["adds to the predicted value"] if predicts else [])]
    lines += [*aligned(rows, header=header, right=range(1, len(header))), ""]
    value = record.get("value")
    if predicts and value is None:
        lines.append("predicted value: null")
    elif predicts:
        lines.append(f"predicted value: {value:.6f} = {record['intercept']:g} + the terms ({record['value_is']}; lower is better)")
    if record.get("ranked") is None:
        lines.append("not ranked: no preset is served by the indicators of this table; name a rule file with --rule")
    else:
        lines.append(_outcome(record))
    for mismatch in record.get("mismatches", []):
        lines.append(f"mismatch: {mismatch}")
    return lines


def _outcome(record: dict[str, Any]) -> str:
    """How the example was ranked, and whether it was kept."""
    form, terms = record["form"], record["contributions"]
    called = f"{form}: "
    if not record["predicts"] and len(terms) == 1:
        (symbol,) = terms
        score = record["scores"].get(symbol)
        called += f"{symbol} {score:.6g}, " if score is not None else f"{symbol} null, "
    rank = f"rank {record['rank']:,} of {record['ranked']:,}" if record["rank"] is not None else "not ranked"
    line = called + rank
    if "kept" in record:
        line += ", kept" if record["kept"] else f", left out: {record['reason']}"
        likeness = "near" if record["reason"] == TOO_SIMILAR else "duplicate of"
        line += f", {likeness} {record['duplicate_at']}" if record["duplicate_at"] else ""
    return line


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
