"""The kinds of results that instructsel writes, with the version of each and what reads it: one table.

A result carries `kind` and `schema` in its manifest, or in itself where it is JSON. What reads it is looked up here by its kind and
imported then; nothing recognises a result by its other keys. A new kind is one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from instructsel.errors import ScoresError, UsageError

SCORES: Final = "scores"
SELECTION: Final = "selection"
SELECTION_SET: Final = "selection-set"
STUDY: Final = "study"
STUDY_PLAN: Final = "study-plan"
EFFECTS: Final = "effects"
MIX_FIT: Final = "mix-fit"
SIZE_SEARCH: Final = "size-search"
GRADED_RUN: Final = "graded run"
FAILED_RUN: Final = "failed run"
STUDY_RUN: Final = "study run"
SIZE_RUN: Final = "size-search run"
EXPERIMENT: Final = "experiment"
VERIFICATION: Final = "verification"
VERDICTS: Final = "verdicts"
SKILLS: Final = "skills"
WIN_RATE: Final = "win-rate"
LENGTH_CONTROLLED: Final = "length-controlled"
LENGTH_BIAS: Final = "length-bias"
GRADERS_AGREE: Final = "agreement-of-graders"
TRAINING: Final = "training"
OUTPUTS: Final = "outputs"
ANNOTATIONS: Final = "annotations"
POWER: Final = "power"
ROWS_WITH_SCORES: Final = "rows-with-scores"
AUDIT: Final = "audit"
REPORT: Final = "report"
EXPORT: Final = "export"
GATE: Final = "gate"
BASELINE: Final = "baseline"
EVAL_INDEX: Final = "eval-index"
DEDUP: Final = "dedup"
DECONTAMINATION: Final = "decontamination"
HUMAN: Final = "human-judgments"
MIXTURE: Final = "mixture"
CONVERSION: Final = "conversion"

SCHEMA: Final = "schema"
OLD_SCHEMA: Final = "schema_version"
"""What the last release called it."""


@dataclass(frozen=True)
class Kind:
    """One kind of result."""

    noun: str
    """What messages call it."""
    schema: int
    """The version this release writes; older ones are read, newer ones refused."""
    reader: str = ""
    """`module:function` that makes a result of a path; "" where nothing reads it by its path."""
    file: str = ""
    """Its name in a folder that holds it; "" where it has none of its own."""


KINDS: Final[Mapping[str, Kind]] = {
    SCORES: Kind("a score table", 1, "instructsel.scores.table:ScoreTable.read"),
    SELECTION: Kind("a selection", 1, "instructsel.selection.selection:Selection.read"),
    SELECTION_SET: Kind("a selection with its baselines", 1, "instructsel.selection.selection_set:SelectionSet.read"),
    STUDY: Kind("a study's observations", 1, "instructsel.study.results:read_study", "study.parquet"),
    STUDY_PLAN: Kind("a study", 1, "instructsel.study.results:read_plan", "plan.json"),
    EFFECTS: Kind("an effect matrix", 1, "instructsel.study.results:read_effects"),
    MIX_FIT: Kind("shares fitted to studies", 1),
    SIZE_SEARCH: Kind("a size search", 1, "instructsel.study.results:read_size_search", "search.json"),
    GRADED_RUN: Kind("a graded run", 1),
    FAILED_RUN: Kind("a failed run", 1),
    STUDY_RUN: Kind("a run of a study", 1),
    SIZE_RUN: Kind("a run of a size search", 1),
    EXPERIMENT: Kind("the plan of an experiment", 1),
    VERIFICATION: Kind("a verification", 2, "instructsel.verification.results:read_verification", "verification.parquet"),
    VERDICTS: Kind("verdicts", 2),
    SKILLS: Kind("a table of skills", 2),
    WIN_RATE: Kind("a win rate", 1),
    LENGTH_CONTROLLED: Kind("a length-controlled win rate", 1),
    LENGTH_BIAS: Kind("a length bias", 2),
    GRADERS_AGREE: Kind("an agreement of graders", 1),
    TRAINING: Kind("a training", 1),
    OUTPUTS: Kind("a model's outputs", 1),
    ANNOTATIONS: Kind("a judge's annotations", 1),
    POWER: Kind("a statement of power", 1),
    ROWS_WITH_SCORES: Kind("rows with scores", 1),
    AUDIT: Kind("an audit", 1, "instructsel.audits.reading:read_audit", "audit.json"),
    REPORT: Kind("a report", 1),
    EXPORT: Kind("an export", 1),
    GATE: Kind("a gate's verdict", 1, "instructsel.gates.record:read_gate", "gate.json"),
    BASELINE: Kind("a baseline", 1, "instructsel.gates.baseline.baseline:Baseline.read"),
    EVAL_INDEX: Kind("an index of evaluation items", 1, "instructsel.gates.contamination.index:ItemIndex.read"),
    DEDUP: Kind("a deduplication", 1),
    DECONTAMINATION: Kind("a decontamination", 1),
    HUMAN: Kind("a summary of people's judgments", 1),
    CONVERSION: Kind("a conversion", 1),
    MIXTURE: Kind("a mixture", 1, "instructsel.mixtures.mixture:Mixture.read"),
}


def head(kind: str) -> dict[str, Any]:
    """What every result of a kind begins with.

    >>> head("verification")
    {'kind': 'verification', 'schema': 2}
    """
    return {"kind": kind, SCHEMA: KINDS[kind].schema}


def schema_of(plain: Mapping[str, Any]) -> Any:
    """The schema in a manifest, under its name of today or of the last release; 1 where none is given."""
    return plain.get(SCHEMA, plain.get(OLD_SCHEMA, 1))


def newest_schema(plain: Mapping[str, Any]) -> int:
    """The schema this release writes of the kind that a manifest names; 1 for an unknown kind."""
    kind = plain.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    return 1 if known is None else known.schema


def kind_of(plain: Any, where: object) -> str:
    """The kind that plain data names.

    Raises:
        ScoresError: it names none, or one this release does not know.
    """
    kind = plain.get("kind") if isinstance(plain, Mapping) else None
    if not isinstance(kind, str):
        raise ScoresError(f"{where} is no result of instructsel: it carries no kind.", fix="Name a file that instructsel wrote.")
    if kind not in KINDS:
        known = UsageError.named(kind, KINDS, noun="kind of result")
        raise ScoresError(f"{where}: {known.message}", fix=known.fix)
    return kind


def reader_of(kind: str) -> Any:
    """The function that reads a kind by its path, imported now; None where there is none."""
    module, _, path = KINDS[kind].reader.partition(":")
    if not path:
        return None
    reader: Any = import_module(module)
    for name in path.split("."):
        reader = getattr(reader, name)
    return reader
