"""instructsel diff: what two selections, or two rules, have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.commands.explain import subset_named
from instructsel.errors import InstructselError, UsageError
from instructsel.experiments.limits import MOST_ROWS
from instructsel.pool.pool import Pool
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.diff import Difference, Moved, diff, diff_rules
from instructsel.selection.files import find_pool
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.text import aligned, counted, excerpt

EXAMPLES: Final = """Examples:
  instructsel diff /tmp/tenth.selection.parquet /tmp/tenth.random-seed0.selection.parquet
  instructsel diff longest eq4-without-reward --scores /tmp/demo.scores.parquet --n 50
"""
TEXT: Final = 60
"""Characters shown of an instruction."""
MOST_BY: Final = "the term that moved the row most: what it adds in B minus what it adds in A, in standard deviations of the score"
"""What the last column of a table shows."""

Place = Callable[[str], tuple[str, str]]
"""An id → FILE:LINE and the beginning of its instruction."""


@reported
def command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="A selection (its rows, or the ….selection.parquet beside them), or a rule.", autocompletion=_completion.rules
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The other one, of the same kind.", autocompletion=_completion.rules)],
    scores: Annotated[Path | None, typer.Option(help="For rules: the score table; the newest one here by default.")] = None,
    pool: Annotated[list[str] | None, typer.Option(metavar="FILE", help="The pool files, where they are no longer found.")] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, max=MOST_ROWS, help="For rules: how many examples each keeps; a tenth by default.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=MOST_ROWS, help="How many examples are listed of each kind.")] = 10,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Compare two selections of one pool, or two rules over one score table."""
    selections = [name not in catalog.names() and Path(name).suffix != catalog.SUFFIX for name in (a, b)]
    if any(selections):
        if not all(selections):
            raise UsageError("One of the two is a selection and the other is a rule.", fix="Name two selections, or two rules.")
        (selection_set, first), (other_set, second) = subset_named(Path(a)), subset_named(Path(b))
        _check_same_pool((a, b), selection_set, other_set)
        difference = diff(Selection.read(first.sidecar), Selection.read(second.sidecar), top=top)
        places = _places(lambda: find_pool(scores, pool) if scores is not None else selection_set.pool(pool))
    else:
        table = scores or newest()
        if scores is None:
            say(f"The newest score table here is taken: {table}")
        scored = ScoreTable.read(table)
        difference = diff_rules(scored, catalog.load(a), catalog.load(b), n=n if n is not None else max(1, len(scored) // 10), top=top)
        places = _places(lambda: find_pool(table, pool))
    if json:
        write_json(difference.as_dict())
        return
    for line in _lines(difference, _shown(a, b), places):
        display(line)


def _check_same_pool(names: tuple[str, str], *sets: SelectionSet) -> None:
    """Refuse selections of two pools.

    Raises:
        UsageError: they are; the files of both pools are named.
    """
    if sets[0].fingerprint == sets[1].fingerprint:
        return
    pools = [", ".join(selections.spec.paths) if selections.spec is not None else "an unrecorded pool" for selections in sets]
    raise UsageError(
        f"{names[0]} and {names[1]} are selections of different pools: {pools[0]} and {pools[1]}.", fix="Select both from the same pool."
    )


def _shown(a: str, b: str) -> tuple[str, str]:
    """What the two are called: files by their names, where these differ, so that no path is too long for the terminal."""
    short = Path(a).name, Path(b).name
    return (a, b) if short[0] == short[1] else short


def _places(read: Callable[[], Pool]) -> Place:
    """Where an example stands and how it begins; its id alone where the pool cannot be read."""
    try:
        examples = read()
    except InstructselError as error:
        say(f"Examples are shown by id: {error.line}")
        return lambda name: (name, "")

    def place(name: str) -> tuple[str, str]:
        position = examples.position(name)
        file, rows = examples.locate(position)
        (example,) = examples.examples([position])
        return f"{Path(file).name}:{rows[0]}", excerpt(example.instruction, TEXT)

    return place


def _lines(difference: Difference, names: tuple[str, str], place: Place) -> list[str]:
    sizes = difference.both + difference.only_a, difference.both + difference.only_b
    lines = [
        # Not as a table of 80 columns: a path is not broken.
        *(f"{label}  {name:{max(map(len, names))}}  {size:,} kept" for label, name, size in zip("AB", names, sizes, strict=True)),
        "",
        f"only A keeps {difference.only_a:,}, only B keeps {difference.only_b:,}, both keep {difference.both:,}",
    ]
    if difference.jaccard is not None:
        lines.append(f"Jaccard similarity of the kept examples: {difference.jaccard:.3f}")
    if difference.spearman is not None:
        lines.append(
            f"Spearman correlation of the ranks: {difference.spearman:+.3f}, over {counted(difference.ranked, 'example')} that both rank"
        )
    for heading, total, examples in (
        ("only A keeps", difference.only_a, difference.kept_by_a),
        ("only B keeps", difference.only_b, difference.kept_by_b),
        ("moved most in rank", None, difference.moved),
    ):
        if examples:
            count = f", the best {len(examples):,} of {total:,}" if total is not None and total > len(examples) else ""
            lines += ["", f"{heading}{count}:", *_table(examples, place)]
    if any(example.term for example in (*difference.kept_by_a, *difference.kept_by_b, *difference.moved)):
        lines += ["", f"most by: {MOST_BY}"]
    return lines


def _table(examples: tuple[Moved, ...], place: Place) -> list[str]:
    rows = []
    for example in examples:
        where, text = place(example.id)
        shift = f"{example.term} {example.term_shift:+.2f} SD" if example.term and example.term_shift is not None else ""
        rows.append([f"{where} {text}".strip(), _rank(example.rank_a, example.kept_a), _rank(example.rank_b, example.kept_b), shift])
    return aligned(rows, header=["example", "rank in A", "rank in B", "most by"], right=(1, 2))


def _rank(rank: int, is_kept: bool) -> str:
    return f"{rank:,}{' kept' if is_kept else ''}" if rank else "none"


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
