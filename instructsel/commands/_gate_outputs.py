"""What a gate writes: the verdict in several forms, every finding, and the rows that pass. All of it is checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import typer

from instructsel import kinds
from instructsel.artifact import atomic_write, check_outputs, check_replaced, manifest_path, release
from instructsel.errors import UsageError
from instructsel.gates.outputs.base import Output, Setting
from instructsel.gates.outputs.registry import output_named
from instructsel.gates.passing import check_passing, write_passing
from instructsel.gates.verdict import FAIL_ON
from instructsel.pool.naming import files_of
from instructsel.pool.outputs import check_apart
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.commands._gate_options import VerdictOptions
    from instructsel.gates.verdict import Verdict
    from instructsel.pool.pool import Pool

STDOUT: Final = "-"


@dataclass
class Outputs:
    """The outputs of a run."""

    forms: tuple[tuple[Output, str], ...]
    """A form, and its file or STDOUT."""
    findings: Path | None
    fix_out: Path | None
    fail_on: str
    force: bool
    written: list[str] = field(default_factory=list)
    """What was written, in lines for people."""

    @classmethod
    def of(cls, options: VerdictOptions, *, json: bool = False) -> Self:
        """From the flags.

        Raises:
            UsageError: a form or a severity that there is not, an ending that no table has, or two forms on stdout, where `json` is one.
        """
        if options.fail_on not in FAIL_ON:
            raise UsageError.named(options.fail_on, FAIL_ON, noun="severity to fail on")
        forms = []
        for text in options.to or ():
            name, equals, file = text.partition("=")
            if equals and not file:
                raise UsageError(f"--to {text} names no file.", fix=f"For example: --to {name}=gate.out, or --to {name}=-")
            output = output_named(name)
            forms.append((output, file or output.file))
        if json + sum(file == STDOUT for _, file in forms) > 1:
            raise UsageError("Two forms of the verdict cannot both be written to stdout.", fix="Name a file: --to NAME=FILE")
        if options.findings is not None:
            from instructsel.tables import checked_suffix

            checked_suffix(options.findings)
        return cls(tuple(forms), options.findings, options.fix_out, options.fail_on, options.force)

    @property
    def on_stdout(self) -> bool:
        """Whether stdout carries a form that a program reads; annotations stand between the lines for people."""
        return any(file == STDOUT and output.name != "github" for output, file in self.forms)

    def check(self, inputs: Sequence[str]) -> None:
        """Refuse outputs that cannot be written, are inputs, or would replace what is no verdict.

        Raises:
            UsageError: one is an input, a folder, another output, or somebody's file.
            EnvironmentFault: its folder is missing or not writable.
        """
        flags: dict[Path, str] = {Path(file): "--to" for _, file in self.forms if file != STDOUT}
        targets: list[Path] = [Path(file) for _, file in self.forms if file != STDOUT]
        for path, flag in ((self.findings, "--findings"), (self.fix_out, "--fix-out")):
            if path is not None:
                flags[path] = flag
                targets.append(path)
        if self.findings is not None:
            targets.append(manifest_path(self.findings))
            flags[manifest_path(self.findings)] = "--findings"
        check_outputs(targets, files_of(inputs), flags=flags)
        check_apart(targets, inputs, flags=flags)
        for output, file in self.forms:
            check_replaced(file, kinds.GATE, "a verdict", force=self.force or output.wrote(file), flag="--to")
        if self.findings is not None:
            check_replaced(self.findings, kinds.GATE, "a table of findings", force=self.force, flag="--findings")
        if self.fix_out is not None and self.fix_out.exists() and self.fix_out.stat().st_size and not self.force:
            raise UsageError(f"{self.fix_out} exists.", fix="Name another file with --fix-out, or replace it with --force.")

    def check_rows(self, pool: Pool) -> None:
        """Refuse an output of rows that is a file of the pool, or that cannot hold its rows.

        Raises:
            UsageError: it is, or cannot.
        """
        check_outputs([path for path in (self.findings, self.fix_out) if path], [file.source.name for file in pool.files])
        if self.fix_out is not None:
            check_passing(pool, self.fix_out)

    def write(self, verdict: Verdict) -> None:
        """Write all of them."""
        setting = Setting(self.fail_on, None if self.findings is None else str(self.findings), release())
        if self.findings is not None:
            verdict.write_findings(self.findings, self.fail_on)
            self.written.append(f"wrote {self.findings}: {counted(len(verdict.findings), 'finding')}")
        for output, file in self.forms:
            content = output.render(verdict, setting)
            if file == STDOUT:
                typer.echo(content.decode("utf-8", "replace"), nl=False)
                continue
            with atomic_write(file) as out:
                out.write(content)
            self.written.append(f"wrote {file}")
        if self.fix_out is not None:
            passing = write_passing(verdict, self.fix_out, self.fail_on)
            verb = "wrote" if verdict.change.pool.files and not passing.lacking else "nothing is written to"
            self.written.append(f"{verb} {self.fix_out}: {passing.sentence()}")


__all__ = ["STDOUT", "Outputs"]
