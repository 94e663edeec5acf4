"""instructsel mix fit: the shares of a mixture, proposed from finished studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, messages, reported, say, write_json
from instructsel.errors import UsageError
from instructsel.experiments.limits import MOST_ROWS
from instructsel.magnitude import LARGEST_WHOLE
from instructsel.text import aligned, counted, wrapped

EXAMPLES: Final = """Examples:
  instructsel mix fit examples/study.csv --rows 2000 --available forum=900,manual=400,quiz=2000,essays=600
  instructsel mix fit examples/study.csv --rows 2000 --available forum=900,manual=400,quiz=2000,essays=600 --max-repeats 2 --json

\b
Of a study's folder the files of its pool are known, and the recipe can be mixed at once: mix fit STUDY -o fitted.toml, then mix fitted.toml
"""
WIDTH: Final = 80
COUNTED: Final = 2000
"""Rows of a source whose tokens are counted."""


@reported
def command(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY...", help="Folders of finished studies, or their observations (.parquet, .csv).")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the proposal as a recipe (.toml).")] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_ROWS, help="Rows of the mixture, repeats counted; by default as many as the studies' runs have."),
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, max=LARGEST_WHOLE, help="Tokens of the mixture, instead of rows.")] = None,
    max_repeats: Annotated[int, typer.Option(min=1, max=1000, help="Times that a row may stand in the mixture.")] = 4,
    outcome: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Outcomes whose mean is to be small; all by default. May be repeated.")
    ] = None,
    pool: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="The pool files, a source each, where the studies do not lead to them.")
    ] = None,
    available: Annotated[
        str | None, typer.Option(metavar="SOURCE=ROWS[,…]", help="Rows there are of each source, where no pool is at hand.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="What counts tokens: embedded, a local folder, or a hub id; the studies' base by default.")
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the recipe, and of the draws behind the optimism.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Propose the shares of sources from finished studies, and say what they are expected to give."""
    from instructsel.artifact import atomic_write
    from instructsel.rules.observations import Observations
    from instructsel.study.mixing import MixSettings, mix_fit, recipe_text
    from instructsel.study.study import Study

    if output is not None:
        _check_output(output, studies, pool or [])
    read = [_read(path) for path in studies]
    for path, study in zip(studies, read, strict=True):
        if not isinstance(study, Study | Observations):
            raise UsageError(f"{path} is no study.", fix="Give the folder of a study, or its study.parquet.")
    launches = [launch for study in read if isinstance(study, Study) if (launch := _launch(study)) is not None]
    counter = tokenizer or next((launch["base"] for launch in launches), None)
    there, reading = _available(available, pool, launches, counter if tokens is not None else None, quiet=quiet)
    fit = mix_fit(
        read,
        there,
        MixSettings(rows, tokens, max_repeats, tuple(outcome or ()), confidence, seed),
    )
    if output is not None:
        with atomic_write(output) as file:
            file.write(recipe_text(fit, output.stem, reading=reading).encode())
        say(f"wrote {output}; next: instructsel mix {output}", quiet=quiet)
    if json:
        write_json(fit.as_dict())
        return
    if not quiet:
        for line in lines(fit):
            display(line)


def _check_output(output: Path, studies: Sequence[str], pool: Sequence[str]) -> None:
    """Refuse a recipe that is an input, or a file that is no recipe.

    Raises:
        UsageError: it is.
        EnvironmentFault: its folder is missing or not writable.
    """
    from instructsel.artifact import check_outputs
    from instructsel.mixtures.recipe import SUFFIX, MixtureRecipe

    if output.suffix != SUFFIX:
        raise UsageError(f"{output} does not end in {SUFFIX}.", fix="Give the recipe this ending.")
    check_outputs([output], [*studies, *pool])
    if output.exists():
        try:
            MixtureRecipe.read(output)
        except UsageError as error:
            raise UsageError(f"{output} exists and is no recipe.", fix="Name another file with -o, or remove that one.") from error


def _read(path: str) -> Any:
    """A study by its path: of another writer's .csv or .parquet, too."""
    from instructsel.reports.reading import read_artifact
    from instructsel.rules.observations import SUFFIXES, Observations
    from instructsel.tables import kind_inside

    target = Path(path)
    is_foreign = target.is_file() and (target.suffix in (".csv", ".jsonl") or (target.suffix == ".parquet" and kind_inside(target) is None))
    return Observations.read(target) if is_foreign and target.suffix in SUFFIXES else read_artifact(target)


def _launch(study: Any) -> Mapping[str, Any] | None:
    """Where a study's files are; None where it was planned from Python, or its plan is gone."""
    from instructsel.study.folder import StudyFolder

    plan = None if study.folder is None else StudyFolder(study.folder).read()
    return None if plan is None else plan.launch


def _available(
    given: str | None, pool: Sequence[str] | None, launches: Sequence[Mapping[str, Any]], counter: str | None, *, quiet: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Source → what there is of it, and how its files are read, as a recipe has it."""
    from instructsel.pool import spec
    from instructsel.study.mixing import Available

    if given is not None:
        return {name: Available(count) for name, count in _counts(given).items()}, {}
    files = list(pool or []) or list(dict.fromkeys(name for launch in launches for name in launch["pools"]))
    if not files:
        raise UsageError(
            "It is not known how many rows there are of each source: the studies do not lead to their pool.",
            fix="Name the files with --pool, or the numbers with --available SOURCE=ROWS,…",
        )
    recorded = {} if pool else next(iter(launches))["reading"]
    rows = spec.Reading.of(recorded).read(files, message=messages(quiet=quiet))
    places: dict[str, list[int]] = {}
    for position, source in enumerate(rows.sources):
        places.setdefault(source, []).append(position)
    sources_of: dict[int, set[str]] = {}
    for source, positions in places.items():
        for number in set(rows.file_of[positions].tolist()):
            sources_of.setdefault(number, set()).add(source)
    sizes = {} if counter is None else _tokens(rows, places, counter)
    there = {}
    for source, positions in places.items():
        numbers = sorted(set(rows.file_of[positions].tolist()))
        alone = all(sources_of[number] == {source} for number in numbers)
        paths = tuple(str(Path(rows.files[number].source.name).absolute()) for number in numbers) if alone else ()
        there[source] = Available(len(positions), sizes.get(source), paths)
    return there, _as_recipe(recorded)


def _as_recipe(recorded: Mapping[str, Any]) -> dict[str, str]:
    """How a pool was read, by the names that a recipe has; what is as by default is left out."""
    from instructsel.mixtures.recipe import READING
    from instructsel.pool.spec import Reading

    usual = Reading().as_dict()
    names = {field: key for key, field in READING.items()}
    return {
        names.get(field, field): value
        for field, value in recorded.items()
        if value is not None and value != usual.get(field) and isinstance(value, str) and field not in ("source_field", "reasoning")
    }


def _counts(given: str) -> dict[str, int]:
    counts = {}
    for part in given.split(","):
        name, equals, count = part.strip().rpartition("=")
        if not equals or not name or not count.isdigit() or not int(count):
            raise UsageError(f"'{part.strip()}' is not SOURCE=ROWS.", fix="For example: --available dolly=15000,lima=1000")
        counts[name] = int(count)
    return counts


def _tokens(pool: Any, places: Mapping[str, Sequence[int]], counter: str) -> dict[str, float]:
    """Source → tokens of a row in the tokenizer's chat template, the mean over some rows that lie at equal distances."""
    import numpy as np

    from instructsel.selection.tokens import chat_tokens

    counts = chat_tokens(counter)
    sizes = {}
    for source, positions in places.items():
        step = max(len(positions) // COUNTED, 1)
        some = np.array(positions[::step][:COUNTED], dtype=np.int64)
        sizes[source] = float(np.mean(counts.count(list(pool.examples(some)))))
    return sizes


def lines(fit: Any) -> list[str]:
    """A proposal for people, at most 80 columns wide."""
    total = sum(fit.rows.values())
    loss = fit.proposal.loss
    names = ", ".join(outcome.name for outcome in fit.outcomes)
    what = names if len(fit.outcomes) == 1 else f"mean of {names}"
    table = [
        [
            source,
            f"{fit.proposal.shares[source]:.1%}",
            f"{fit.rows[source]:,}",
            f"{fit.available[source].rows:,}",
            f"{fit.repeats[source]:.2f}",
            "at its limit" if source in fit.at_limit else "",
        ]
        for source in fit.sources
    ]
    rivals = [["the proposal", *_predicted(loss), "", ""]]
    for rival in fit.rivals:
        rivals.append([rival.name, *_predicted(rival.loss), *_gain(rival.against), "" if rival.fits_limits else "too few rows"])
    quality = [
        [
            outcome.name,
            f"{outcome.loo_r2:.2f}",
            f"{outcome.loo_error:.3g}",
            f"{outcome.p:.2g}",
            "" if outcome.explained else "not explained",
        ]
        for outcome in fit.outcomes
    ]
    size = f"{total:,} rows" + ("" if fit.tokens is None else f", about {fit.tokens:,.0f} tokens")
    text = [
        *wrapped(
            f"{size}, each row {counted(fit.settings.max_repeats, 'time')} at most; fitted to {counted(fit.runs, 'run')} on "
            f"{counted(fit.compositions, 'composition')}",
            WIDTH,
        ),
        "",
        *aligned(table, header=["source", "share", "rows", "there are", "repeats", ""], right=(1, 2, 3, 4), width=WIDTH),
        "",
        *wrapped(
            f"Predicted loss of a new run ({what}{', ' + fit.unit if fit.unit else ''}), {fit.settings.confidence:.0%} intervals; "
            "behind it the proposal less the mixture, below 0 where it is better:",
            WIDTH,
        ),
        "",
        *aligned(rivals, header=["mixture", "loss", "interval", "proposal less this", ""], right=(1,), width=WIDTH),
        "",
        *aligned(quality, header=["outcome", "R² left out", "error of ln L", "p", ""], right=(1, 2, 3), width=WIDTH),
        "",
        *wrapped(f"The proposal's loss is too low by about {fit.optimism:.2g}, for the same fit chose it.", WIDTH),
    ]
    for rival in fit.rivals[:2]:
        if rival.against is not None and rival.against.high > 0:
            text += wrapped(f"It is not shown to be better than {rival.name}: the interval of the difference holds 0.", WIDTH)
    for note in fit.notes:
        text += wrapped(f"note: {note}", WIDTH)
    return text


def _predicted(loss: Any) -> list[str]:
    return [f"{loss.value:.4g}", f"{loss.low:.4g} to {loss.high:.4g}"]


def _gain(gain: Any) -> list[str]:
    return [f"{gain.value:+.3g} ({gain.low:+.3g} to {gain.high:+.3g})"]


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"

__all__ = ["command", "lines"]
