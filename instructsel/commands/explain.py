"""instructsel explain: why an example is in or out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.artifact import read_manifest
from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import reported, say
from instructsel.errors import UsageError
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.files import find_pool
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.text import aligned, clean, excerpt

EXAMPLES: Final = """Examples:
  instructsel explain pool.jsonl:3 --selection /tmp/chosen.selection.parquet
  instructsel explain pool.jsonl:3 --scores /tmp/demo.scores.parquet --rule longest
"""


@reported
def command(
    example: Annotated[str, typer.Argument(metavar="ID", help="An id, the beginning of one (8 characters or more), or FILE:LINE.")],
    selection: Annotated[Path | None, typer.Option(help="The sidecar of a selection (….selection.parquet).")] = None,
    scores: Annotated[Path | None, typer.Option(help="A score table; the newest one here by default.")] = None,
    rule: Annotated[str, typer.Option(help="The rule, where no selection is named.", autocompletion=_completion.rules)] = "eq4",
    pool: Annotated[list[str] | None, typer.Option(help="The pool files, where the score table does not lead to them.")] = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Explain one example: its scores, what each term adds, its rank, and why it was kept or left out."""
    sidecar = Selection.read(selection) if selection else None
    if scores is None and selection is not None:
        named = ((read_manifest(selection) or {}).get("run") or {}).get("scores")
        scores = Path(named) if named and Path(named).exists() else None
        if scores is None:
            raise UsageError(f"{selection} does not lead to its score table.", fix="Name it with --scores.")
    path = scores or newest()
    if scores is None:
        say(f"taking the newest score table here: {path}")
    table = ScoreTable.read(path)
    whole = find_pool(path, pool)
    position = whole.position(example)
    name = whole.ids[position]
    file, lines = whole.locate(position)
    (found,) = whole.examples([position])
    row = table.frame.filter(table.frame["id"] == name).row(0, named=True)
    plain: dict[str, Any] = {
        "id": name,
        "source": found.source,
        "file": file,
        "lines": list(lines),
        "turns": len(found.messages),
        "scores": {symbol: row[symbol] for symbol in table.symbols},
        "reasons": {symbol: row[f"{symbol}_reason"] for symbol in table.symbols if row[f"{symbol}_reason"]},
    }
    if sidecar is not None:
        mine = sidecar.explain(name)
        parts = {key.removesuffix(CONTRIBUTION): value for key, value in mine.items() if key.endswith(CONTRIBUTION)}
        plain |= {"selection": sidecar.name, "form": sidecar.manifest["form"], "value_is": sidecar.manifest["value"]}
        plain |= {"intercept": sidecar.manifest["rule"]["intercept"], "contributions": parts}
        plain |= {key: mine[key] for key in ("rank", "value", "kept", "reason", "duplicate_of")}
        plain["ranked"] = sidecar.summary["ranked"]
    else:
        chosen = catalog.load(rule)
        chosen.check_columns(table)
        told = chosen.explain(table, name)
        plain |= {"rule": told.rule, "value_is": told.target, "intercept": told.intercept, "value": told.value}
        plain |= {"contributions": {symbol: part for symbol, _, _, part, _ in told.terms}}
        plain |= {"mismatches": [str(mismatch) for mismatch in chosen.check_models(table, allow_mismatch=True)]}
    if json:
        typer.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode())
        return
    _print(plain, found.instruction, found.response)


def _print(plain: dict[str, Any], instruction: str, response: str) -> None:
    where = ", ".join(map(str, plain["lines"]))
    typer.echo(f"{plain['id']}  {clean(Path(plain['file']).name)}, line {where}; {plain['turns']} turns")
    typer.echo(f"instruction: {excerpt(instruction)}")
    typer.echo(f"response:    {excerpt(response)}\n")
    rows = []
    for symbol in {**plain["scores"], **plain["contributions"]}:
        value, part = plain["scores"].get(symbol), plain["contributions"].get(symbol)
        rows.append(
            [
                symbol,
                f"{value:.6g}" if value is not None else f"null ({plain['reasons'].get(symbol, 'not scored')})",
                f"{part:+.6f}" if part is not None else "",
            ]
        )
    for line in aligned(rows, header=["indicator", "score in the pool", "adds to the value"], right=(1, 2)):
        typer.echo(line)
    value = plain.get("value")
    typer.echo(
        f"\nvalue: {value:.6f} = {plain['intercept']:g} + the terms ({clean(plain['value_is'])}; lower is better)"
        if value is not None
        else "\nvalue: null"
    )
    if "kept" in plain:
        state = "kept" if plain["kept"] else f"left out: {plain['reason']}"
        rank = f", rank {plain['rank']:,} of {plain['ranked']:,}" if plain["rank"] is not None else ", not ranked"
        typer.echo(
            f"{clean(plain['form'])} ({plain['selection']}): {state}{rank}"
            + (f", repeats {plain['duplicate_of']}" if plain["duplicate_of"] else "")
        )
    for mismatch in plain.get("mismatches", []):
        typer.echo(f"mismatch: {clean(mismatch)}")


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
