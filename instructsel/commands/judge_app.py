"""instructsel judge-app: people judge pairs of responses in a local web app."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.artifact import check_outputs
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._judge_options import EvaluationOptions, ResultOptions, ServerOptions
from instructsel.errors import UsageError
from instructsel.text import counted, excerpt

if TYPE_CHECKING:
    from instructsel.human.comparison import Comparison
    from instructsel.human.record import Record
    from instructsel.human.store import JudgmentStore
    from instructsel.human.summary import Votes

EXAMPLES: Final = """Examples:
  instructsel judge-app examples/judgments.csv --summary
  instructsel judge-app examples/judgments.csv --votes first --summary --export /tmp/judgments.jsonl

\b
Without --summary and --export the app is served:
judge-app examples/comparisons.jsonl --annotators ada,ben
"""
SIBLINGS: Final = ("-wal", "-shm", "-journal")
"""What SQLite adds to the name of a file."""


@reported
@with_options
def command(
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Comparisons (JSON lines of prompt and completions), outputs of two or more models, or, with --summary or --export, judgments.",
        ),
    ] = None,
    evaluation: EvaluationOptions,
    server: ServerOptions,
    results: ResultOptions,
    common: options.CommonOptions,
    print_config: options.PrintConfig = False,
) -> None:
    """Have people judge pairs of responses, blind, in a local web app, and say how they judged and how far they agree.

    Every judgment is on the disk before the next pair is shown. The link of each annotator is printed when the app starts.
    """
    from instructsel.human.files import is_judgments, read_judgments

    named, quiet = list(files or ()), common.quiet
    if results.export is not None:
        _check_export(results.export, [*named, evaluation.db])
    judged = [file for file in named if is_judgments(file)]
    if judged and not results.wanted:
        raise UsageError(f"{judged[0]} holds judgments, and nothing to judge.", fix="Add --summary, or --export FILE.")
    if judged:
        if len(judged) < len(named):
            other = next(file for file in named if file not in judged)
            raise UsageError(f"{other} holds no judgments, and {judged[0]} does.", fix="Give files of one kind.")
        _results([record for file in judged for record in read_judgments(file)], results, common)
        return
    from instructsel.human.app.server import Address

    # Before anything is read or made: who could reach it.
    address = None if results.wanted else Address(server.host, server.port, server.public_url)
    pairs, db = _pairs(named, evaluation.reference, quiet=quiet), evaluation.db
    check_outputs([db, *(db.with_name(db.name + sibling) for sibling in SIBLINGS)], named, flags={db: "--db"})
    store = _opened(db, pairs, evaluation.seed, quiet=quiet)
    try:
        if address is None:
            _results(list(store.records()), results, common)
        else:
            _serve(store, address, evaluation.annotators, new_links=server.new_links, quiet=quiet)
    finally:
        store.close()


def _check_export(export: Path, inputs: list[Any]) -> None:
    """Refuse a place for the judgments, before any work.

    Raises:
        UsageError: an input, another ending, or a file that is none of judgments.
        EnvironmentFault: a folder that is not there.
    """
    from instructsel.human.files import SUFFIXES, is_judgments

    if export.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{excerpt(str(export))} ends in none of {', '.join(SUFFIXES)}.", fix="Give the file one of these endings.")
    check_outputs([export], inputs, flags={export: "--export"})
    if export.exists() and export.stat().st_size and not is_judgments(export):
        raise UsageError(f"{export} exists and holds no judgments.", fix="Name another file with --export.")


def _pairs(files: list[str], reference: str | None, *, quiet: bool) -> list[Comparison]:
    """The pairs in files of comparisons and of outputs.

    Raises:
        PoolError: a file that is neither.
        UsageError: outputs of one model alone.
    """
    from instructsel.adapters.alpaca_eval.files import read_outputs
    from instructsel.human.comparison import compare_outputs, is_comparisons, numbered, read_comparisons

    comparisons = [file for file in files if is_comparisons(file)]
    outputs = [read_outputs(file) for file in files if file not in comparisons]
    if reference is not None and not outputs:
        raise UsageError("--reference is one of several models' outputs.", fix="Leave it out.")
    pairs = [pair for file in comparisons for pair in read_comparisons(file)]
    if outputs:
        pairs += compare_outputs(outputs, reference=reference)
    distinct, repeated = numbered(pairs)
    if repeated:
        say(f"note: {counted(repeated, 'pair')} left out: the same as another one.", quiet=quiet)
    return distinct


def _opened(db: Path, pairs: list[Comparison], seed: int | None, *, quiet: bool) -> JudgmentStore:
    """The evaluation, with the pairs in it.

    Raises:
        UsageError: nothing to judge.
        ObservationsError: no such file, or one that cannot be read.
    """
    from instructsel.human.store import JudgmentStore

    store = JudgmentStore.open(db, seed=seed, create=bool(pairs))
    before = store.n_pairs
    added = store.add(pairs) if pairs else 0
    if not store.n_pairs:
        store.close()
        raise UsageError(f"{db} has no pairs.", fix="Name a file of comparisons.")
    if before and pairs:
        say(f"{db} goes on: {counted(before, 'pair')}{f' and {added:,} more' if added else ''}.", quiet=quiet)
    return store


def _results(records: list[Record], wanted: ResultOptions, common: options.CommonOptions) -> None:
    """Write the judgments, and say what they say."""
    from instructsel.human.files import write_judgments
    from instructsel.human.plain_text import spoken
    from instructsel.human.summary import summarize

    printed: dict[str, Any] = {}
    # First what may fail for want of judgments: nothing is written then.
    votes: Votes = "first" if wanted.votes == "first" else "all"
    result = summarize(records, votes=votes, confidence=wanted.confidence) if wanted.summary else None
    if result is not None:
        printed["summary"] = result.as_dict()
    if wanted.export is not None:
        printed |= {"export": str(wanted.export), "exported": write_judgments(wanted.export, records)}
    if common.json:
        write_json(printed)
    elif result is not None and not common.quiet:
        for line in spoken(result):
            display(line) if line else write()
    if wanted.export is not None:
        say(f"{counted(printed['exported'], 'record')} → {wanted.export}", quiet=common.quiet)


def _serve(store: JudgmentStore, address: Any, annotators: str, *, new_links: bool, quiet: bool) -> None:
    """Print the links, and serve until the process is asked to end.

    Raises:
        UsageError: a name that cannot be.
        MissingExtra: Starlette, uvicorn or markdown-it-py is not installed.
        EnvironmentFault: the address cannot be listened on.
    """
    from instructsel.human.app.server import links, serve

    names = list(dict.fromkeys(name.strip() for name in annotators.split(",")))
    for name in names:
        store.annotator(name)
    if new_links:
        store.renew()

    def ready(port: int) -> None:
        say(
            f"{counted(store.n_pairs, 'pair')} to judge. Each annotator signs in with a link of their own; who has it judges in their name:",
            quiet=quiet,
        )
        # On stdout and unwrapped, whatever is quiet: without them nobody can sign in.
        for name, link in links(store, address, port).items():
            write(f"{name}  {link}")
        say("Ctrl-C ends the app; the same command goes on.", quiet=quiet)

    with contextlib.suppress(KeyboardInterrupt):
        serve(store, address, ready=ready)
    counts = ", ".join(f"{name} {store.n_judged(number):,}" for name, number in store.annotators.items())
    say(f"judged: {counts}, of {store.n_pairs:,}.", quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
