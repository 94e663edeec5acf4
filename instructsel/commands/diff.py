"""instructsel diff: what two selections, or two rules, have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands._console import reported, say
from instructsel.errors import UsageError
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.diff import Difference, diff, diff_rules
from instructsel.selection.selection import Selection
from instructsel.text import aligned

EXAMPLES: Final = """Examples:
  instructsel diff /tmp/tenth.selection.parquet /tmp/tenth.random-seed0.selection.parquet
  instructsel diff longest eq4-without-reward --scores /tmp/demo.scores.parquet --n 50
"""


@reported
def command(
    a: Annotated[str, typer.Argument(metavar="A", help="The sidecar of a selection (….selection.parquet), or a rule.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one, of the same kind.")],
    scores: Annotated[Path | None, typer.Option(help="For rules: the score table; the newest one here by default.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="For rules: how many examples each would keep; a tenth by default.")] = None,
    top: Annotated[int, typer.Option(min=0, help="How many of the examples that moved most are listed.")] = 10,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Compare two selections of one pool, or two rules over one score table."""
    sidecars = [Path(name).suffix in (".parquet", ".csv") for name in (a, b)]
    if any(sidecars):
        if not all(sidecars):
            raise UsageError("One of the two is a selection and the other is not.", fix="Name two sidecars, or two rules.")
        found = diff(Selection.read(a), Selection.read(b), top=top)
    else:
        path = scores or newest()
        if scores is None:
            say(f"taking the newest score table here: {path}")
        table = ScoreTable.read(path)
        found = diff_rules(table, catalog.load(a), catalog.load(b), n=n if n is not None else max(1, len(table) // 10), top=top)
    if json:
        typer.echo(orjson.dumps(found.as_dict(), option=orjson.OPT_INDENT_2).decode())
        return
    for line in _lines(found):
        typer.echo(line)


def _lines(found: Difference) -> list[str]:
    lines = [f"kept by both {found.both:,}, only by {found.a} {found.only_a:,}, only by {found.b} {found.only_b:,}"]
    if found.jaccard is not None:
        lines.append(f"Jaccard similarity {found.jaccard:.3f}")
    if found.spearman is not None:
        lines.append(f"Spearman correlation of the ranks {found.spearman:+.3f} over {found.ranked:,} examples ranked by both")
    rows = [
        [
            moved.id,
            f"{moved.rank_a:,}",
            f"{moved.rank_b:,}",
            "kept" if moved.kept_a else "out",
            "kept" if moved.kept_b else "out",
            f"{moved.term} {moved.term_shift:+.2f} sd" if moved.term and moved.term_shift is not None else "",
        ]
        for moved in found.moved
    ]
    if rows:
        lines += ["", "moved most:", *aligned(rows, header=["id", found.a, found.b, "", "", "by"], right=(1, 2))]
    return lines


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
