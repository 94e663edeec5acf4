"""instructsel dedup: a pool without the rows that repeat others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel import kinds
from instructsel.commands import _cleaning as shared
from instructsel.commands import _options as options
from instructsel.commands._console import display, messages, reported, watching
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.gates.defaults import COSINE, JACCARD, LOWEST
from instructsel.kinds import head
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.text import aligned

if TYPE_CHECKING:
    from instructsel.gates.cleaning import Repetition

EXAMPLES: Final = """Examples:
  instructsel dedup examples/pool.jsonl -o /tmp/distinct.jsonl --pairs /tmp/pairs.parquet
  instructsel dedup examples/pool.jsonl examples/clean.jsonl --exact-only --dry-run
"""
COMPARED: Final = "Comparing"
SHOWN: Final = 5
"""Pairs that are shown."""


@dataclass(frozen=True)
class ComparingOptions:
    """When a row repeats another one."""

    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="prompt|response|both",
            help="What is compared: prompt and response as one text, or one.",
            rich_help_panel=COMPARED,
        ),
    ] = "both"
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            min=LOWEST,
            max=1,
            help="Jaccard similarity of the runs of five words from which a row repeats another one.",
            rich_help_panel=COMPARED,
        ),
    ] = JACCARD
    exact_only: Annotated[
        bool, typer.Option("--exact-only", help="Look for equal rows alone: equal to a trainer.", rich_help_panel=COMPARED)
    ] = False
    embedding: Annotated[
        str | None,
        typer.Option(
            "--embedding",
            metavar="MODEL",
            help="Also compare vectors: embedded (all-MiniLM-L6-v2), a folder, or a hub id.",
            rich_help_panel=COMPARED,
        ),
    ] = None
    cosine: Annotated[
        float, typer.Option("--cosine", min=0, max=1, help="Cosine similarity of vectors, with --embedding.", rich_help_panel=COMPARED)
    ] = COSINE

    def rule(self) -> Repetition:
        """What is looked for.

        Raises:
            UsageError: two options that exclude each other.
        """
        from instructsel.gates.cleaning import Repetition

        if self.exact_only and self.embedding is not None:
            raise UsageError("--exact-only and --embedding exclude each other.", fix="Leave one out.")
        return Repetition(self.on, None if self.exact_only else self.threshold, self.cosine if self.embedding is not None else None)


COMPARING: Final = ComparingOptions()


@reported
@with_options
def command(
    files: Annotated[list[str], typer.Argument(metavar="POOL...", help="The pool: files of any format, folders, or hf://OWNER/NAME.")],
    outputs: shared.CleaningOutputs = shared.OUTPUTS,
    compared: ComparingOptions = COMPARING,
    max_bad_fraction: shared.MaxBadFraction = 0.05,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Write a pool without the rows that repeat others, and say of each which row it repeats, and how much.

    Each row that goes has a partner that stays, with the similarity of these two; what stays does not depend on the order of files or rows.
    """
    from instructsel.gates.cleaning import Cleaned, check_bad_rows, pairs_frame, repeated

    rule, embedding = compared.rule(), compared.embedding
    targets = outputs.targets(kinds.DEDUP, "a deduplication")
    targets.check(files)
    # In the order of their names: what is written is the same, however they are listed.
    pool = read.settled().read(sorted(files), message=messages(quiet=quiet))
    targets.check_rows(pool)
    check_bad_rows(pool, max_bad_fraction)
    removed = repeated(pool, rule, encode=None if embedding is None else _encoder(embedding), progress=watching(quiet=quiet))
    cleaned = Cleaned.of(pool, (pair.removed for pair in removed), with_others=False)
    frame = pairs_frame(cleaned, removed, compared.on)
    counts = Counter(pair.kind for pair in removed)
    about: dict[str, Any] = {
        **head(kinds.DEDUP),
        "duplicates": dict(sorted(counts.items())),
        "on": compared.on,
        "threshold": rule.threshold,
        "cosine": rule.cosine,
        "encoder": embedding,
    }
    if not quiet and not json and len(frame):
        shown = [
            (f"{row['file']}:{row['line']}", row["kind"], f"{row['similarity']:.2f}", f"{row['kept_file']}:{row['kept_line']}")
            for row in frame.head(SHOWN).to_dicts()
        ]
        for line in aligned(shown, header=("row", "kind", "similarity", "repeats"), right=(2,)):
            display(line)
        if len(frame) > SHOWN:
            display(f"… and {len(frame) - SHOWN:,} more{'' if outputs.pairs else '; --pairs FILE writes all of them'}.")
    targets.write(cleaned, frame, about, json=json, quiet=quiet)


def _encoder(name: str) -> Any:
    """Texts → their vectors, and which have one.

    Raises:
        MissingExtra, ModelUnavailable, ModelRefused: the encoder cannot be had.
    """
    from instructsel.gates.vectors import encode_with

    return encode_with(name)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
