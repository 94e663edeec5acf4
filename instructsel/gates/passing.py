"""The rows that pass a gate, written with their bytes unchanged, in the order in which they stand in their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instructsel.errors import UsageError
from instructsel.pool.writer import check_output, write_rows
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.gates.verdict import Verdict
    from instructsel.pool.pool import Pool


@dataclass(frozen=True)
class Passing:
    """The account of the rows: read = written + rejected + no example."""

    read: int
    written: int
    rejected: int
    """Rows that hold an example with a finding that counts."""
    no_example: int
    """Rows that reading dropped or could not read."""
    passed_over: int = 0
    """Rows that the baseline has already, which nobody looked at and which are not written."""
    unread: int = 0
    """Files that cannot be read, none of whose rows is written."""
    lacking: tuple[str, ...] = ()
    """What the rows had to be asked and were not, in sentences: then none is written, as nobody knows that it passes."""

    def sentence(self) -> str:
        """One line for people."""
        if self.lacking:
            first, *others = self.lacking
            more = f" (and {len(others):,} more)" if others else ""
            return f"not every check that had to run could{more}: {first}"
        return (
            f"{counted(self.read, 'row')} read = {self.written:,} written + {self.rejected:,} with a finding + {self.no_example:,} that "
            f"{'is' if self.no_example == 1 else 'are'} no example"
            + (f"; {counted(self.passed_over, 'row')} of the baseline not written" if self.passed_over else "")
            + (f"; {counted(self.unread, 'file')} that cannot be read left out" if self.unread else "")
        )


def check_passing(pool: Pool, path: str | Path, several: str = "Gate the files of each format by themselves.") -> None:
    """Refuse a file that cannot hold the rows of a pool.

    Args:
        pool: whose rows are written.
        path: the file.
        several: what to do where the rows are of several formats, or make no one table.

    Raises:
        UsageError: the rows are of several formats, or its ending is not that of their files.
    """
    if not pool.files:
        return
    try:
        check_output(pool.files, path, None)
    except UsageError as error:
        # The writer speaks of an option that select has.
        fix = error.fix or ""
        fix = several if fix.startswith("Add --to messages") else fix.partition(", or ")[0].rstrip(".") + "."
        raise UsageError(error.message, fix=fix) from error


def write_passing(verdict: Verdict, path: str | Path, fail_on: str = "error") -> Passing:
    """Write the rows none of whose examples has a finding that counts, of a severity on which the gate fails.

    Where a check that had to be asked could not be, nothing is written: no row is known to pass.

    Raises:
        UsageError: see `check_passing`.
    """
    pool = verdict.change.pool
    rejected = verdict.rejected(fail_on)
    bad = [position for position, name in enumerate(pool.ids) if name in rejected]
    places = _places(pool, bad)
    # Of no file no row was read, and there is no format to write one in.
    known, lacking = verdict.change.known, verdict.lacking
    written = write_rows(pool.files, places, path) if pool.files and not lacking else 0
    n_read, n_examples = pool.report.read - known.excluded, pool.report.kept - known.excluded
    return Passing(n_read, written, n_examples - len(places), n_read - n_examples, known.rows, len(verdict.unread), lacking)


def _places(pool: Pool, rejected: Sequence[int]) -> list[tuple[int, int]]:
    """The rows without the rejected ones. A row of several examples goes with any of them; one that several chains share stays for one."""
    gone = set(rejected)
    every = pool.rows_of([position for position in range(len(pool)) if position not in gone])
    alone = {place for place in pool.rows_of(rejected) if not pool.files[place[0]].chains}
    return sorted(place for place in every if place not in alone)


__all__ = ["Passing", "check_passing", "write_passing"]
