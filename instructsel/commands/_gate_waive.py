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
    from instructsel.gates.record import read_findings
    from instructsel.gates.waiving import waivers_of, where_of, write_waivers

    target = where_of(config)
    known: list[dict[str, Any]] = []
    if not all("=" in name for name in names):
        path = _verdict(verdict)
        if config is None:
            _check_same(path, target)
        known = read_findings(path)
    written = write_waivers(target, waivers_of(names, known, reason, _day(expires), check))
    if json:
        write_json(
            {
                "file": str(written.path),
                "added": [waiver.as_dict() for waiver in written.added],
                "known": [waiver.as_dict() for waiver in written.known],
            }
        )
    elif not quiet:
        for line in _lines(written):
            display(line)


def _verdict(verdict: Path | None) -> Path:
    """The file of a verdict.

    Raises:
        UsageError: none is named, and none is here.
    """
    path = verdict or next((Path(name) for name in VERDICTS if Path(name).is_file()), None)
    if path is None:
        raise UsageError(
            f"There is neither {' nor '.join(VERDICTS)} here.",
            fix="Write one with: instructsel gate NEW --to json=gate.json; or name it with --verdict.",
        )
    return path


def _check_same(verdict: Path, target: Path) -> None:
    """Refuse a configuration that the verdict's gate did not read: it would not read the waiver, either.

    Raises:
        UsageError: the verdict is of another one.
        ScoresError: it cannot be read.
    """
    from instructsel.gates.record import read_gate

    used = read_gate(verdict).get("config")
    # The folder of another machine says nothing here; the name does.
    if used and not used.startswith("@") and Path(used).name != target.name:
        raise UsageError(
            f"{verdict} is a verdict with the configuration {used}, and the waiver would be written into {target}.",
            fix=f"Name the configuration: --config {used}, or --config {target}.",
        )


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


def _lines(written: Written) -> list[str]:
    lines = [f"{waiver.check} {waiver.row}: waived until {waiver.expires}" for waiver in written.added]
    lines += [f"{waiver.check} {waiver.row}: a waiver stands there already" for waiver in written.known]
    return [*lines, f"wrote {written.path}" if written.added else f"{written.path} stays as it is"]


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
