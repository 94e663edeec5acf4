"""What a report is made of: results, or the files they stand in, sorted by their kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import polars as pl

from instructsel import kinds
from instructsel.artifact import file_digest, fingerprint, read_manifest
from instructsel.audits.shape import AuditRecord
from instructsel.errors import InstructselError, UsageError
from instructsel.experiments.arms import rows_digest
from instructsel.experiments.plan import BASE, WHOLE_POOL
from instructsel.gates.shape import GateRecord
from instructsel.paths import resolved
from instructsel.reports.reading import AGAIN, artifact_kind, read_artifact
from instructsel.rules.observations import Observations
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.baselines.registry import names as baseline_names
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.shape import SidecarManifest
from instructsel.shapes import Misfit, checked
from instructsel.stats.variance import BOTH, CONFIDENCE, ESTIMANDS, Estimand
from instructsel.study.effects import of_folder
from instructsel.study.shape import EffectsRecord
from instructsel.study.size_curve import SizeCurve
from instructsel.study.study import Study
from instructsel.verification.results import TABLE as VERIFIED
from instructsel.verification.results import VERDICT
from instructsel.verification.schema import as_record
from instructsel.verification.verdict import ComparisonSettings
from instructsel.verification.verification import Verification

ARM: Final = "selection"
"""What `instructsel verify` calls the arm of the selection."""
UNTRAINED: Final = (BASE, WHOLE_POOL, "full", "all")
"""Arms that are no selection, besides the baselines."""
PARTS: Final[Mapping[str, str]] = {
    kinds.SKILLS: "skills",
    kinds.LENGTH_BIAS: "length_bias",
    kinds.LENGTH_CONTROLLED: "length_controlled",
    kinds.WIN_RATE: "win_rate",
    kinds.VERDICTS: "verdicts",
}
"""Kinds that are a part of a verification → its key there."""


@dataclass(frozen=True)
class SourceFile:
    """Where a result was read from."""

    name: str
    """Of the file, without its folder."""
    kind: str
    """selection, baseline, scores, study, verification, size-search, effects, audit or gate."""
    digest: str | None
    """SHA-256 of its bytes; None for a folder."""


@dataclass(frozen=True, eq=False)
class ReportInputs:
    """The results of a report."""

    selection: Selection | None = None
    """What the report is about."""
    baselines: tuple[Selection, ...] = ()
    """Other selections of the same pool."""
    table: ScoreTable | None = None
    """Scores of that pool."""
    studies: tuple[Study | Observations, ...] = ()
    """Fine-tuned sets and their losses."""
    verifications: tuple[Mapping[str, Any], ...] = ()
    """As plain data under the keys of schema 2: `verdicts`, `arms` and `graders`, `skills`, `length_bias`, `win_rate`,
    `length_controlled`, whatever is there."""
    sizes: tuple[Mapping[str, Any], ...] = ()
    """Size curves as plain data."""
    effects: tuple[Mapping[str, Any], ...] = ()
    """Effect matrices as plain data; see `study.shape.EffectsRecord`."""
    audits: tuple[Mapping[str, Any], ...] = ()
    """Audits as plain data; see `audits.shape.AuditRecord`."""
    gates: tuple[Mapping[str, Any], ...] = ()
    """Verdicts of gates as plain data; see `gates.shape.GateRecord`."""
    files: tuple[SourceFile, ...] = ()
    """Those that were read, in the order given."""
    notes: tuple[str, ...] = ()
    """What was not there, or does not fit, in sentences."""


def gather(results: Sequence[Any], *, arm: str | None = None) -> ReportInputs:
    """Sort results by what they are, and read those that are named by their files.

    Args:
        results: Selection (the first is the one reported, the others its baselines), SelectionSet, ScoreTable, Study, Observations,
            Verification or Verdicts, SizeCurve, EffectMatrix, Audit, a gate's Verdict, plain data of the last six with its `kind`, or paths.
        arm: of a verification, the one that is the selection.

    Raises:
        UsageError: no results, something that is no result, two score tables, selections and scores of different pools, or a
            verification whose selection cannot be told from its baselines.
        ScoresError: a file that is missing, damaged, or no result.
        StudyError: the same of a study or a verification.
    """
    if not results:
        raise UsageError("A report is made of at least one result.", fix=AGAIN)
    paths = [resolved(result) for result in results if isinstance(result, str | Path)]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice.name} is given twice.", fix="Name every result once.")
    inputs, sidecar = ReportInputs(), None
    for result in results:
        if isinstance(result, str | Path):
            inputs, sidecar = _with_file(inputs, Path(result), arm, sidecar)
        else:
            inputs, _ = _with_result(inputs, result, arm)
    if inputs.table is None and inputs.selection is not None:
        inputs = _with_scores(inputs, sidecar)
    return _of_one_pool(inputs)


def _with_file(inputs: ReportInputs, path: Path, arm: str | None, sidecar: Path | None) -> tuple[ReportInputs, Path | None]:
    """The results with those of a file or folder; and the sidecar of the selection, where that is it."""
    kind, target = artifact_kind(path)
    result = read_artifact(path)
    if kind == kinds.SELECTION_SET:
        return _with_set(inputs, path, result), sidecar
    notes: tuple[str, ...] = ()
    recorded: Mapping[str, Any] = {}
    if kind == kinds.VERIFICATION:
        result, notes = _of_arm(path, result, arm)
        # Of a verdict that is looked at for another arm, the grades beside it.
        recorded = _recorded(target / VERIFIED if target.is_dir() else target.with_name(VERIFIED) if target.suffix == ".json" else target)
    inputs, role = _with_result(inputs, result, arm, recorded=recorded)
    file = SourceFile(path.name if path.is_dir() else target.name, role, None if path.is_dir() else file_digest(target))
    inputs = replace(inputs, notes=(*inputs.notes, *notes), files=(*inputs.files, file))
    return inputs, target if role == "selection" else sidecar


def _with_set(inputs: ReportInputs, path: Path, chosen: Any) -> ReportInputs:
    """The results with a selection, its baselines, and its score table where that is where it was."""
    for subset, selection in zip(chosen.subsets, chosen.selections(), strict=True):
        inputs, role = _with_result(inputs, selection, None)
        inputs = replace(inputs, files=(*inputs.files, SourceFile(subset.sidecar.name, role, file_digest(subset.sidecar))))
    if inputs.table is not None:
        return inputs
    try:
        table = chosen.table()
    except InstructselError as error:
        return replace(inputs, notes=(*inputs.notes, error.message))
    file = SourceFile(chosen.scores.name, "scores", file_digest(chosen.scores))
    return replace(inputs, table=table, files=(*inputs.files, file))


def _with_result(
    inputs: ReportInputs, result: Any, arm: str | None, *, recorded: Mapping[str, Any] | None = None
) -> tuple[ReportInputs, str]:
    """The results with one more, and what it is to the report."""
    if isinstance(result, Selection):
        if inputs.selection is None:
            return replace(inputs, selection=result), "selection"
        return replace(inputs, baselines=(*inputs.baselines, result)), "baseline"
    if isinstance(result, ScoreTable):
        if inputs.table is not None:
            raise UsageError("Two score tables are given.", fix="Name the one that the selection was made from.")
        return replace(inputs, table=result), "scores"
    if isinstance(result, Study) and result.of_sources and result.folder is not None:
        matrix = of_folder(result.folder).as_dict()
        return replace(inputs, studies=(*inputs.studies, result), effects=(*inputs.effects, matrix)), "study"
    if isinstance(result, Study | Observations):
        return replace(inputs, studies=(*inputs.studies, result)), "study"
    if isinstance(result, SizeCurve):
        return replace(inputs, sizes=(*inputs.sizes, result.as_dict())), kinds.SIZE_SEARCH
    if isinstance(result, SelectionSet):
        return _with_set(inputs, Path(), result), "selection"
    if isinstance(result, Verification):
        return replace(inputs, verifications=(*inputs.verifications, _judged(result, inputs, arm, recorded or {}))), kinds.VERIFICATION
    record = result if isinstance(result, Mapping) else result.as_dict() if hasattr(result, "as_dict") else None
    kind = record.get("kind") if isinstance(record, Mapping) else None
    if record is not None and kind == kinds.AUDIT:
        return replace(inputs, audits=(*inputs.audits, _shaped(record, AuditRecord, "audit"))), kinds.AUDIT
    if record is not None and kind == kinds.EFFECTS:
        return replace(inputs, effects=(*inputs.effects, _shaped(record, EffectsRecord, "effect matrix"))), kinds.EFFECTS
    if record is not None and kind == kinds.GATE:
        return replace(inputs, gates=(*inputs.gates, _shaped(record, GateRecord, "gate's verdict"))), kinds.GATE
    if record is None or kind not in (kinds.VERIFICATION, kinds.SIZE_SEARCH, *PARTS):
        what = "Plain data without the kind of a result" if isinstance(result, Mapping) else type(result).__name__
        raise UsageError(f"{what} is nothing that can be reported.", fix=AGAIN)
    if kind == kinds.SIZE_SEARCH:
        return replace(inputs, sizes=(*inputs.sizes, record)), kind
    verification = {PARTS[kind]: record} if kind in PARTS else record
    return replace(inputs, verifications=(*inputs.verifications, as_record(verification, "The record"))), kinds.VERIFICATION


def _shaped(record: Mapping[str, Any], shape: Any, noun: str) -> Mapping[str, Any]:
    """A result as plain data, of the shape that its section reads."""
    try:
        content: Mapping[str, Any] = checked(record, shape)
    except Misfit as misfit:
        raise UsageError(f"The {noun} cannot be reported: {misfit}.", fix=AGAIN) from misfit
    return content


def _of_arm(path: Path, result: Any, arm: str | None) -> tuple[Any, tuple[str, ...]]:
    """The verdict, or its grades where they are to be looked at for another arm; and what is to be said of that."""
    if path.is_dir() and not isinstance(result, Mapping):
        note = f"{VERDICT} is missing, damaged, or of other grades: the verdicts are recomputed; runs, costs and plans are not known."
        return result, (note,)
    if not isinstance(result, Mapping) or arm is None or result.get("selection") in (None, arm):
        return result, ()
    table = (path if path.is_dir() else path.parent) / VERIFIED
    if not table.exists():
        raise UsageError(f"{path.name} is about {result['selection']}, and its grades are not beside it.", fix=f"Name {VERIFIED}.")
    return read_artifact(table), (f"The verification was made of {result['selection']}; here its grades are looked at for {arm}.",)


def _recorded(table: Path) -> Mapping[str, Any]:
    """What `verify` recorded beside the grades: verdicts, selection, baseline, outcome, and the base model's standing."""
    try:
        return as_record((read_manifest(table) or {}).get("run") or {}, table) if table.is_file() else {}
    except InstructselError:
        return {}


def _judged(verification: Verification, inputs: ReportInputs, arm: str | None, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Grades as plain data, with the verdicts that follow from them."""
    record = verification.as_dict()
    selection, others = _sides(sorted(record["arms"]), arm, inputs)
    if selection is None or not others:
        return record
    known = {key: recorded[key] for key in ("selection", "against", "outcome", "model", "missing") if key in recorded}
    ranked = leaked_arms(recorded)
    leakage = {(name, grader) for grader, arms in ranked.items() for name in others if selection in arms or name in arms}
    estimand = recorded.get("generalize_to")
    generalize_to = cast(Estimand, estimand if estimand in ESTIMANDS else BOTH)
    pool_seeds = recorded.get("pool_seeds") is True
    # The bootstrap stands beside the interval and changes no verdict.
    settings = ComparisonSettings(_confidence(recorded), generalize_to, n_resamples=0, pool_seeds=pool_seeds)
    verdicts = verification.verdicts(selection, others, settings=settings, leakage=leakage)
    stated = known if known.get("selection") == selection else {}
    fixed = set(record.get("fixed") or ())
    rivals = [name for name in others if name not in fixed]
    against = stated.get("against") or (RANDOM if RANDOM in others else rivals[0] if len(rivals) == 1 else None)
    record |= {"leakage": ranked, "generalize_to": generalize_to, "pool_seeds": pool_seeds, "verdicts": verdicts.as_dict()}
    record |= {"selection": selection, **stated}
    if against is not None:
        record |= {"against": against, "outcome": stated.get("outcome") or verdicts.against(against).outcome}
    return record


def _confidence(recorded: Mapping[str, Any]) -> float:
    """At which a verification was judged when it was made."""
    verdicts = (recorded.get("verdicts") or {}).get("verdicts") or []
    levels = {finite(verdict.get("confidence")) for verdict in verdicts if isinstance(verdict, Mapping)}
    return next(iter(levels)) or CONFIDENCE if len(levels) == 1 else CONFIDENCE


def leaked_arms(plain: Mapping[str, Any]) -> dict[str, list[str]]:
    """Grader → the arms whose rows its own model ranked; without arms where nobody recorded them."""
    leakage = plain.get("leakage") or {}
    if not isinstance(leakage, Mapping):
        return {str(grader): [] for grader in leakage}
    return {str(grader): [str(arm) for arm in arms] for grader, arms in leakage.items()}


def _sides(arms: Sequence[str], arm: str | None, inputs: ReportInputs) -> tuple[str | None, list[str]]:
    """The arm that is the selection, and those it is compared with."""
    if arm is not None:
        if arm not in arms:
            raise UsageError.named(arm, arms, noun="arm")
        return arm, [name for name in arms if name != arm]
    names = (ARM, inputs.selection.name if inputs.selection is not None else "")
    named = next((name for name in names if name in arms), None)
    rivals = {*baseline_names(), *UNTRAINED, *(one.baseline for one in inputs.baselines), *(one.name for one in inputs.baselines)}
    candidates = [named] if named is not None else [name for name in arms if name not in rivals]
    if len(arms) < 2:
        return None, []
    if len(candidates) != 1:
        raise UsageError(
            f"Which of the arms {', '.join(arms)} is the selection cannot be told.", fix="Name it with --arm, or arm= in Python."
        )
    return candidates[0], [name for name in arms if name != candidates[0]]


def _with_scores(inputs: ReportInputs, sidecar: Path | None) -> ReportInputs:
    """With the scores the selection was made from, where they can be had."""
    assert inputs.selection is not None
    if inputs.selection.candidates is not None:
        return replace(inputs, table=inputs.selection.candidates.table)
    path = ((read_manifest(sidecar, SidecarManifest) or {}).get("run") or {}).get("scores") if sidecar is not None else None
    if path and Path(path).is_file():
        file = SourceFile(Path(path).name, "scores", file_digest(path))
        return replace(inputs, table=ScoreTable.read(path), files=(*inputs.files, file))
    sentence = "The score table behind the selection is not there: distributions are of what each term adds to the value."
    return replace(inputs, notes=(*inputs.notes, sentence))


def _of_one_pool(inputs: ReportInputs) -> ReportInputs:
    """All of one pool, in the order of the ids.

    Raises:
        UsageError: they are not.
    """
    if inputs.selection is None:
        return inputs
    selection = _in_order(inputs.selection)
    ids = selection.frame["id"]
    baselines = []
    for baseline in map(_in_order, inputs.baselines):
        if len(baseline.frame) != len(ids) or not (baseline.frame["id"] == ids).all():
            raise UsageError(f"{baseline.name} was selected from another pool than {selection.name}.", fix="Report selections of one pool.")
        baselines.append(baseline)
    if inputs.table is not None:
        table = inputs.table
        if len(table) != len(ids) or not (table.frame["id"] == ids).all():
            raise UsageError("The scores are not of the pool the selection was made from.", fix="Name the right table with --scores.")
        used, scored = selection.manifest.get("indicators") or {}, table.manifest.get("indicators") or {}
        differing = [symbol for symbol in used if symbol in scored and used[symbol] != scored[symbol]]
        if differing:
            sentence = f"The scores of {', '.join(differing)} are not those the selection was made from: they were scored in another way."
            inputs = replace(inputs, notes=(*inputs.notes, sentence))
    _check_rows(selection, inputs.verifications)
    return replace(inputs, selection=selection, baselines=tuple(baselines))


def _check_rows(selection: Selection, verifications: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a verdict on other rows than those that were selected.

    Raises:
        UsageError: the verification's selection has other rows.
    """
    digest = rows_digest(sorted(selection.kept_ids))
    for record in verifications:
        subsets = (record.get("subsets") or {}).get(str(record.get("selection"))) or []
        if subsets and all(isinstance(subset, Mapping) and subset.get("digest") != digest for subset in subsets):
            raise UsageError(
                f"The verification is of other rows than {selection.name} keeps: its verdict says nothing of them.",
                fix="Report the two apart, or name the selection that was verified.",
            )


def _in_order(selection: Selection) -> Selection:
    if selection.frame["id"].is_sorted():
        return selection
    return replace(selection, frame=selection.frame.sort("id", maintain_order=True))


def finite(value: Any) -> float | None:
    """A number, or None for what is none or is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def digest_of(value: Any) -> str:
    """A digest of plain data, of halves of surrogate pairs, too."""
    try:
        return fingerprint(value)
    except TypeError:
        return fingerprint(json.dumps(value, sort_keys=True, default=str))


def kept_digest(selection: Selection) -> str:
    """A digest of the kept ids, best first."""
    return digest_of(list(selection.kept_ids))


def sources(selection: Selection) -> pl.Series:
    """The source of every row, "" where there is none."""
    return selection.frame["source"].cast(pl.String).fill_null("")


Texts = Callable[[Sequence[str]], Mapping[str, tuple[str, str]]]
"""Ids → instruction and response."""

__all__ = ["ReportInputs", "SourceFile", "Texts", "digest_of", "finite", "gather", "kept_digest", "leaked_arms", "sources"]
