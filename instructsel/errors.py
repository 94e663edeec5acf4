"""What can go wrong, and the exit code it ends a command with.

InstructselError
├── UsageError            2   a flag, setting or argument that cannot be
│   ├── UnknownIndicator  2
│   ├── UnknownRule       2
│   ├── UnknownExample    2
│   └── ModelMismatch     2   a rule applied to scores from models it was not fitted with
├── EnvironmentFault      4   the machine lacks something
│   ├── MissingExtra      4   an optional package
│   ├── ModelUnavailable  4   weights that are neither here nor to be had
│   ├── UntrustedModel    4   weights of another digest, pickles, code in a model repository
│   └── ModelRefused      4   weights that load but do not pass the sanity probe
│       └── TemplateRefused 4 a chat template that refuses a conversation
├── PoolError             3   a file that cannot be read as a pool; carries the read report so far
│   └── TooManyBadRows    3   more quarantined rows than the limit
├── ScoresError           3   a score table that cannot be read or does not fit
│   └── TooManyNulls      3   an indicator the rule uses is null too often
├── BaselineError         3   a baseline that cannot be read, or that this release does not read
├── ObservationsError     3   observations that cannot be read, or do not determine a fit
├── StudyError            3   a study whose folder, sources or evaluation set cannot be used
├── TrainingError         3   a fine-tune that cannot begin: rows without a loss token, a base that does not fit
├── IndexTooSmall         3   fewer than i + 1 examples for the i-th neighbor
├── Negative              1   a gate, a verification or a fit that came out negative
│   └── TrainingDiverged  1   a fine-tune whose loss is not finite, or grew beyond all reason
└── NothingToDo           5
Each class also derives from the builtin a caller would expect. Precedence where several apply: 2 > 4 > 3 > 1 > 5 > 0.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from instructsel.read_report import ReadReport


ARGUMENTS: Final = {
    "map": 'format=Mapped.parse("{}")',
    "role": 'roles=["{}"]',
    "format": 'format="{}"',
    "columns": 'columns=["{}"]',
    "delimiter": 'delimiter="{}"',
    "source-field": 'source_field="{}"',
    "undesirable": 'undesirable="{}"',
    "reasoning": 'reasoning="{}"',
    "to": 'to="{}"',
    "n": "budget={}",
    "fraction": "budget=Fraction({})",
    "tokens": "budget=Tokens({})",
    "by": 'by("{}")',
    "min": "minima={{…}}",
    "max-similarity": "max_similarity={}",
    "max-null-fraction": "max_null_fraction={}",
    "max-bad-fraction": "max_bad_fraction={}",
    "max-failed-fraction": "max_failed_fraction={}",
    "max-unmatched-fraction": "max_unmatched_fraction={}",
    "max-skipped-fraction": "max_skipped_fraction={}",
    "max-length": "max_length={}",
    "allow-mismatch": "allow_mismatch=True",
    "allow-unlike": "allow_unlike=True",
    "allow-contamination": "allow_contamination=True",
    "indicators": 'indicators="{}"',
    "join": 'join="{}"',
    "column": 'column="{}"',
    "tokenizer": 'tokenizer="{}"',
    "device": 'device="{}"',
    "precision": 'precision="{}"',
    "loss": 'loss="{}"',
    "loss-unit": 'loss_unit="{}"',
    "method": 'method="{}"',
    "margin": "margin={}",
    "seed": "seed={}",
    "no-cache": "cache=None",
    "require": 'require="{}"',
    "lm-eval": 'lm_eval="{}"',
    "judge": 'judge="{}"',
    "jobs": "jobs={}",
}
"""Option of the command line → how the same is said in Python, with its value."""
COMMANDS: Final = re.compile(r"\b(?:instructsel|python|hf|git|pip|trl|huggingface-cli) [^;:]*?(?=[;:]|[.,]? (?:or|and|to) |\.?$)")
"""Lines for a shell in a message, whose options are not those of a call."""
OPTIONS: Final = re.compile(
    r"(?<![\w-])--([a-z][a-z-]*[a-z]|n)(?:[ =]('[^']*'|\S*=\S+|[A-Z0-9][\w./-]*|(?<=--to )messages|(?<=--format )\w+))?"
)
"""An option, and what looks like its value."""


def in_python(text: str) -> str:
    """The options that a message names as arguments of the SDK; "" where it names none.

    >>> in_python("Say what they are: --role AI=assistant --role 'Q 1=user'. Or raise --max-bad-fraction.")
    'roles=["AI=assistant", "Q 1=user"], max_bad_fraction=…'
    """
    found: dict[str, list[str]] = {}
    for name, value in OPTIONS.findall(COMMANDS.sub("", text)):
        if name in ARGUMENTS:
            values = found.setdefault(name, [])
            if value := value.strip("'").rstrip(".,;)"):
                values.append(value)
    return ", ".join(ARGUMENTS[name].format('", "'.join(values) or "…") for name, values in found.items())


PRECEDENCE: Final = (2, 4, 3, 1, 5, 0)
"""Exit codes, the one that wins first."""


def decisive(codes: Iterable[int]) -> int:
    """The exit code of a command in which several things went wrong.

    >>> decisive([1, 3]), decisive([])
    (3, 0)
    """
    return min(codes, key=PRECEDENCE.index, default=0)


class InstructselError(Exception):
    """The root: whatever this package raises on purpose."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        """The cause, in one line."""
        self.fix = fix
        """What to write or do instead, in one line, or None."""

    @property
    def line(self) -> str:
        """Cause and fix in one line, with the options of the command line."""
        return self.message if self.fix is None else f"{self.message} {self.fix}"

    def __str__(self) -> str:
        arguments = in_python(self.line)
        return f"{self.line} In Python: {arguments}" if arguments else self.line


class UsageError(InstructselError, ValueError):
    """A flag, setting or argument that cannot be."""

    @classmethod
    def named(cls, name: str, known: Iterable[str], *, noun: str = "name", where: str = "") -> Self:
        """The error for a name that is not among the known ones `where`, with the closest as a suggestion."""
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(names)}."
        return cls(f"There is no {noun} '{name}'{f' {where}' if where else ''}.", fix=hint)


class UnknownIndicator(UsageError):
    """An indicator's symbol that no file and no plug-in answers to."""


class UnknownRule(UsageError):
    """A rule that is neither a preset nor a readable file."""


class UnknownExample(UsageError, KeyError):
    """An id that is not in the pool or the table."""

    def __str__(self) -> str:
        return InstructselError.__str__(self)


class NoSourceField(UsageError):
    """No row has the field that is to be its source."""


class ModelMismatch(UsageError):
    """A rule applied to scores from models other than those it was fitted with."""


class EnvironmentFault(InstructselError, RuntimeError):
    """The machine lacks something: an extra, a model, memory, disk."""

    exit_code = 4


class MissingExtra(EnvironmentFault, ImportError):
    """An optional package that is not installed; the fix is the pip line that brings it."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        EnvironmentFault.__init__(self, message, fix=fix)


class ModelUnavailable(EnvironmentFault):
    """A model that is neither on this machine nor to be had from the hub now."""


class UntrustedModel(EnvironmentFault):
    """Weights of another digest than promised, pickled weights, or a repository that wants to run code."""


class ModelRefused(EnvironmentFault):
    """A model that loads but whose head or answers are not what the indicator needs."""


class TemplateRefused(ModelRefused, ValueError):
    """A chat template that refuses a conversation: roles that it does not take, or an error of its own."""


class PoolError(InstructselError, ValueError):
    """A file that cannot be read as a pool. `report` says what had been read when it was refused."""

    exit_code = 3

    def __init__(self, message: str, *, fix: str | None = None, report: ReadReport | None = None) -> None:
        super().__init__(message, fix=fix)
        self.report = report


class EmptyFile(PoolError):
    """A file without rows: refused where it is all there is, and named where there are others."""


class TooManyBadRows(PoolError):
    """More rows were quarantined than `max_bad_fraction` allows."""


class ScoresError(InstructselError, ValueError):
    """A score table that cannot be read, or that does not belong to the pool."""

    exit_code = 3


class TooManyNulls(ScoresError):
    """An indicator the rule uses is null in more rows than `max_null_fraction` allows."""


class BaselineError(InstructselError, ValueError):
    """A baseline that cannot be read, or that this release does not read."""

    exit_code = 3


class ObservationsError(InstructselError, ValueError):
    """Observations that cannot be read, or from which nothing can be fitted."""

    exit_code = 3


class StudyError(InstructselError, ValueError):
    """A study whose folder, sources or evaluation set cannot be used."""

    exit_code = 3


class TrainingError(InstructselError, ValueError):
    """A fine-tune that cannot begin: rows without a loss token, a base or a folder that does not fit."""

    exit_code = 3


class IndexTooSmall(InstructselError, ValueError):
    """The i-th neighbor was asked of fewer than i + 1 examples."""

    exit_code = 3


class Negative(InstructselError):
    """A gate, a verification or a fit that ran and came out negative."""

    exit_code = 1


class TrainingDiverged(Negative, ArithmeticError):
    """A fine-tune whose loss is not finite, or grew beyond all reason."""


class NothingToDo(InstructselError):
    """The command ran and there was nothing for it to do."""

    exit_code = 5
