"""The options of judge-app, group by group as its help shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.errors import UsageError

SERVER: Final = "Server"
SUMMARY: Final = "Results"
DATABASE: Final = "judgments.sqlite3"
MOST_PORT: Final = 65_535
MOST_SEED: Final = 2**31 - 1


@dataclass(frozen=True)
class EvaluationOptions:
    """Who judges what."""

    db: Annotated[
        Path, typer.Option("--db", metavar="FILE", help="The evaluation: pairs, annotators and judgments. Called again, it goes on.")
    ] = Path(DATABASE)
    annotators: Annotated[
        str, typer.Option("--annotators", metavar="NAME[,NAME…]", help="Who judges; each gets a link of their own.", rich_help_panel=SERVER)
    ] = "annotator"
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="Of several models' outputs, the one that the others are compared with; every two by default.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=MOST_SEED, help="Of the order of pairs and sides, where the evaluation begins; by default nobody knows it."
        ),
    ] = None


@dataclass(frozen=True)
class ServerOptions:
    """Where the app is served."""

    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="HOST", help="Where to listen; with --public-url also where other machines reach it.", rich_help_panel=SERVER
        ),
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=0, max=MOST_PORT, help="The port; 0 takes a free one.", rich_help_panel=SERVER)] = 8_787
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            metavar="URL",
            help="What others reach the app by, such as the address of a proxy with https.",
            rich_help_panel=SERVER,
        ),
    ] = None
    new_links: Annotated[bool, typer.Option("--new-links", help="End all sessions, and print other links.", rich_help_panel=SERVER)] = False


@dataclass(frozen=True)
class ResultOptions:
    """What is said of the judgments."""

    summary: Annotated[
        bool,
        typer.Option(
            "--summary", help="Print win rates, agreement, order effects and annotators, and serve nothing.", rich_help_panel=SUMMARY
        ),
    ] = False
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", help="Write the judgments (.csv, .jsonl, .xlsx), and serve nothing.", rich_help_panel=SUMMARY
        ),
    ] = None
    votes: Annotated[
        str,
        typer.Option(
            "--votes",
            metavar="all|first",
            help="Of an instance's annotators, count all, or the first, as open-instruct does.",
            rich_help_panel=SUMMARY,
        ),
    ] = "all"
    confidence: Annotated[
        float, typer.Option("--confidence", min=0.5, max=0.9999, help="Confidence level of the intervals.", rich_help_panel=SUMMARY)
    ] = 0.95

    def __post_init__(self) -> None:
        if not math.isfinite(self.confidence):
            raise UsageError("--confidence is a number between 0.5 and 0.9999.", fix="For example: --confidence 0.95")
        if self.votes not in ("all", "first"):
            raise UsageError.named(self.votes, ("all", "first"), noun="way to count votes")

    @property
    def wanted(self) -> bool:
        """Whether judgments are summed up or written, and nothing is served."""
        return self.summary or self.export is not None


__all__ = ["EvaluationOptions", "ResultOptions", "ServerOptions"]
