"""instructsel gate waive: findings that somebody looked at and takes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, write_json
from instructsel.errors import UsageError

if TYPE_CHECKING:
    from instructsel.gates.waiving import Written

EXAMPLES: Final = """Examples:
  instructsel gate waive examples/pool.jsonl:39 --verdict /tmp/findings.parquet --reason "empty on purpose" --expires 2099-12-31 --config /tmp/gate.toml
  instructsel gate waive 'empty-response=*' --reason "filled in by the next release" --expires 2099-12-31 --config /tmp/gate.toml
"""
VERDICTS: Final = ("gate.json", "findings.parquet")


@reported
def command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="FINDING...",
            help="Of a verdict: a fingerprint, the id of a row, or its place as the gate prints it (new.jsonl:17). Or CHECK=ROW, with the id of a row, "
            "or * for every row.",
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why these rows may join.")],
    expires: Annotated[str, typer.Option("--expires", metavar="DAY", help="The last day on which it holds: 2027-03-01.")],
    check: Annotated[str, typer.Option("--check", metavar="CHECK", help="Only findings of this check: its kind, number or name.")] = "",
    verdict: Annotated[
        Path | None,
        typer.Option(
            "--verdict",
            metavar="FILE",
            help="What gate --to json or --findings wrote; gate.json or findings.parquet here by default.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The configuration; as of gate by default, else a new gate.toml.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Write a waiver of findings into the configuration, with a reason and a last day.

    The text that stands there stays as it is.
    """
    from instructsel.gates.waiving import waivers_of, where_of, write_waivers

    known = [] if all("=" in name for name in names) else _findings(verdict)
    written = write_waivers(where_of(config), waivers_of(names, known, reason, _day(expires), check))
    if json:
        write_json(
            {
                "file": str(written.path),
                "added": [_plain(waiver) for waiver in written.added],
                "known": [_plain(waiver) for waiver in written.known],
            }
        )
    elif not quiet:
        for line in _lines(written):
            display(line)


def _findings(verdict: Path | None) -> list[dict[str, Any]]:
    """The findings of a verdict.

    Raises:
        UsageError: none is named, and none is here.
        ScoresError: it cannot be read.
    """
    from instructsel.gates.record import read_findings

    path = verdict or next((Path(name) for name in VERDICTS if Path(name).is_file()), None)
    if path is None:
        raise UsageError(
            f"There is neither {' nor '.join(VERDICTS)} here.",
            fix="Write one with: instructsel gate NEW --to json=gate.json; or name it with --verdict.",
        )
    return read_findings(path)


def _day(text: str) -> date:
    """The last day of a waiver.

    Raises:
        UsageError: it is no day, or is over.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--expires is {text!r}; a day is expected.", fix="For example: --expires 2027-03-01") from None
    if day < datetime.now(UTC).date():
        raise UsageError(f"--expires is {day}, which is over.", fix="Name a day to come.")
    return day


def _plain(waiver: Any) -> dict[str, str]:
    return {"check": waiver.check, "row": waiver.row, "reason": waiver.reason, "expires": waiver.expires.isoformat()}


def _lines(written: Written) -> list[str]:
    lines = [f"{waiver.check} {waiver.row}: waived until {waiver.expires}" for waiver in written.added]
    lines += [f"{waiver.check} {waiver.row}: a waiver stands there already" for waiver in written.known]
    return [*lines, f"wrote {written.path}" if written.added else f"{written.path} stays as it is"]


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
