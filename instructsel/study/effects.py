"""What each source is worth, outcome by outcome: the effect matrix of a study that adds or leaves out one source at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import orjson

from instructsel.artifact import dump_json, release
from instructsel.errors import StudyError, UsageError
from instructsel.kinds import EFFECTS, head
from instructsel.stats.clusters import Codes, linearised
from instructsel.stats.intervals import adjust
from instructsel.stats.paired_effects import Blocks, Contrast, Prior, contrast, prior
from instructsel.stats.variance import BOTH, CONFIDENCE, RUNS, Estimand
from instructsel.study.folder import Plan, Run, StudyFolder
from instructsel.study.one_source import ADD_ONE, BASE, LESS, MORE, PLUS, UNTOUCHED, WHOLE
from instructsel.study.shape import OutcomeRecord
from instructsel.text import counted

AGAINST: Final = (BASE, MORE, UNTOUCHED)
"""What the sources of an add-one study can be held against: the base, the base with more rows of its own, the model before any training."""
CONTROL: Final = "(more of the base)"
"""What the control is called where sources have rows."""
ALONE: Final = "(the base alone)"
"""What the base is called where sources are held against the model before any training."""
TIE: Final = 1e-12
"""Estimates that differ by no more are one: what no source changes has no best."""
BETTER: Final = "better"
WORSE: Final = "worse"
UNCERTAIN: Final = "uncertain"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class Cell:
    """What one source adds to one outcome."""

    source: str
    outcome: str
    estimate: float | None
    """With the source less without it, in the outcome's unit; None where no replicate has both."""
    low: float | None
    """The lower end of its own interval; None where there is a reason."""
    high: float | None
    p: float | None
    """Of this comparison alone, two-sided."""
    p_adjusted: float | None
    """Holm's, over all cells but the control's, which is no source; None there."""
    df: float | None
    replicates: int
    """That have the source and what it is held against."""
    standing: str
    """better or worse: its own interval leaves out 0; uncertain: it holds 0; unknown: there is none."""
    survives: bool
    """Whether it is told from 0 when all cells are counted."""
    reason: str | None = None
    """Why there is no interval."""


@dataclass(frozen=True)
class Outcome:
    """One grader's part of the matrix."""

    name: str
    unit: str
    higher_is_better: bool
    n_items: int
    """That every run has a value for."""
    baseline: float | None
    """The mean of what sources are held against, over its replicates."""
    untouched: float | None
    """Of the model before any training; None where it was not graded."""
    best: str | None
    """The source with the best estimate; None where several share it."""
    may_be_best: tuple[str, ...]
    """Sources that no other is shown to be better than, all outcomes together at the matrix's confidence."""


@dataclass(frozen=True)
class EffectMatrix:
    """The effects of every source on every outcome."""

    design: str
    """add-one or leave-one."""
    against: str
    """base, more, untouched or whole: what sources are held against."""
    sources: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    cells: tuple[Cell, ...]
    """Source by source, of every outcome; the control's last."""
    confidence: float
    """Of every interval by itself, and of all tests together where they are adjusted."""
    generalize_to: Estimand
    comparisons: int
    """Cells that were adjusted for together."""
    best_everywhere: tuple[str, ...]
    """Sources that may be best on every outcome; none: no source is best everywhere."""
    runs: tuple[int, int]
    """Finished, and planned."""
    replicates: int
    """Planned."""
    settings: Mapping[str, Any]
    """Of the design: rows, add_rows, equal_rows, base."""
    configuration: str
    """The plan's hash."""
    failed: tuple[str, ...] = ()
    """Runs that failed."""
    notes: tuple[str, ...] = ()

    def cell(self, source: str, outcome: str) -> Cell | None:
        """One cell; None where there is none."""
        return next((cell for cell in self.cells if cell.source == source and cell.outcome == outcome), None)

    @property
    def rows(self) -> tuple[str, ...]:
        """The sources, and the base alone and the control where they are rows."""
        return tuple(dict.fromkeys(cell.source for cell in self.cells))

    @property
    def times_best(self) -> dict[str, int]:
        """Source → on how many outcomes it has the best estimate; sources that never do are there with 0."""
        counts = Counter(outcome.best for outcome in self.outcomes)
        return {source: counts[source] for source in sorted(self.sources, key=lambda name: (-counts[name], name))}

    @property
    def regressions(self) -> tuple[Cell, ...]:
        """What is worse than it was before any training, by its own interval; where it survives the correction, it was forgotten."""
        return tuple(cell for cell in self.cells if cell.standing == WORSE) if self.against == UNTOUCHED else ()

    @property
    def verdict(self) -> str:
        """Whether one source is best on every outcome, in a sentence."""
        compared = [outcome for outcome in self.outcomes if outcome.may_be_best]
        if not compared:
            return "Without intervals nothing is known of which source is best."
        of_all = f"{counted(len(compared), 'outcome')} together, {self.confidence:.0%} confidence"
        if len(self.sources) == 1:
            return f"There is one source, {self.sources[0]}: none to compare it with."
        if not self.best_everywhere:
            return f"No source is best on every outcome ({of_all})."
        if len(self.best_everywhere) == 1:
            (source,) = self.best_everywhere
            return (
                f"Every source but {source} is shown to be beaten on some outcome; that {source} is best on all is not excluded, though it has the "
                f"best estimate on {self.times_best[source]} of {len(self.outcomes)} ({of_all})."
            )
        names = ", ".join(self.best_everywhere)
        return f"It is not settled that no source is best everywhere: {names} may be best on every outcome ({of_all})."

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        content = {**asdict(self), "settings": dict(self.settings), "times_best": self.times_best, "verdict": self.verdict}
        plain: dict[str, Any] = orjson.loads(dump_json({**head(EFFECTS), "instructsel": release(), **content}))
        return plain


def of_folder(folder: str | Path, *, against: str = BASE, confidence: float = CONFIDENCE, generalize_to: Estimand = BOTH) -> EffectMatrix:
    """The effect matrix of a study, of what has finished of it.

    An effect is the outcome with a source less the outcome without it: base plus source less the base, or the whole less the whole without
    the source. Both arms share rows, training seed and items within a replicate; see `stats.paired_effects`.

    Args:
        folder: of a study planned with `--add-one` or `--leave-one`.
        against: of an add-one study: `base`; `more`, the base with as many more rows of its own; or `untouched`, the model before any
            training, against which the base alone is a row, too.
        confidence: of the intervals.
        generalize_to: `both` (new runs and new items) or `runs` (new runs on these items).

    Raises:
        StudyError: no plan, another design, nothing finished, or runs graded on different weights.
        UsageError: a control that the study does not have.
    """
    place = StudyFolder(Path(folder))
    plan = place.read()
    if plan is None:
        raise UsageError(f"{folder} holds no plan of a study.", fix=f"Make one with: instructsel study plan POOL … --add-one -o {folder}")
    if plan.of_sources is None:
        raise StudyError(
            f"The study in {folder} neither adds nor leaves out one source at a time.",
            fix="Plan one with --add-one or --leave-one; of mixtures, fit shares: instructsel mix fit",
        )
    status = place.status(plan)
    records: dict[Run, Mapping[str, OutcomeRecord]] = {
        run: record["observation"].get("outcomes", {}) for run, record in status.finished.items()
    }
    if not records:
        raise StudyError(f"No run of {folder} has finished.", fix=f"Begin with: instructsel study run {folder}")
    failed = [run.name for run in status.failed]
    return of_plan(plan, records, failed=failed, against=against, confidence=confidence, generalize_to=generalize_to)


def of_plan(
    plan: Plan,
    records: Mapping[Run, Mapping[str, OutcomeRecord]],
    *,
    failed: Sequence[str] = (),
    against: str = BASE,
    confidence: float = CONFIDENCE,
    generalize_to: Estimand = BOTH,
) -> EffectMatrix:
    """The effect matrix of a plan and what its runs were graded with.

    Args:
        plan: that adds or leaves out one source at a time.
        records: run → outcome → its grades.
        failed: names of runs that failed.
        against: as of `of_folder`.
        confidence: as of `of_folder`.
        generalize_to: as of `of_folder`.

    Raises:
        StudyError, UsageError: as of `of_folder`.
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"The confidence is {confidence}; it lies between 0 and 1.", fix="For example: 0.95")
    if generalize_to not in (BOTH, RUNS):
        raise UsageError.named(generalize_to, (BOTH, RUNS), noun="population of an effect")
    part = plan.of_sources
    if part is None:
        raise StudyError("The plan neither adds nor leaves out one source at a time.", fix="Plan one with --add-one or --leave-one.")
    builder = _Builder(plan, records, _baseline(plan, against), confidence, generalize_to)
    return builder.matrix(part, (len(records), len(plan.runs)), failed)


def _baseline(plan: Plan, against: str) -> str:
    arms = {subset.get("arm") for subset in plan.subsets}
    if WHOLE in arms:
        if against in (MORE, UNTOUCHED):
            raise UsageError(
                "A study that leaves sources out holds the whole against the whole without each; it has no base.",
                fix="Leave --against out.",
            )
        return WHOLE
    if against not in AGAINST:
        raise UsageError.named(against, AGAINST, noun="arm to hold sources against")
    if against not in arms:
        raise UsageError(
            "At equal rows there is no arm of more base rows: the base itself has as many as the others."
            if against == MORE
            else "The study was planned without the model before any training.",
            fix="Leave --against out.",
        )
    return against


def _arm(subset: Mapping[str, Any]) -> str:
    """An arm by what it is and the source it has more or less of."""
    return subset["arm"] if subset.get("source") is None else f"{subset['arm']} {subset['source']}"


@dataclass(frozen=True, eq=False)
class _Builder:
    """The matrix of one plan and its records."""

    plan: Plan
    records: Mapping[Run, Mapping[str, OutcomeRecord]]
    baseline: str
    confidence: float
    generalize_to: Estimand

    @property
    def sources(self) -> tuple[str, ...]:
        """Those that an arm has more or less of."""
        return tuple(sorted({subset["source"] for subset in self.plan.subsets if subset.get("source") is not None}))

    def matrix(self, part: Mapping[str, Any], runs: tuple[int, int], failed: Sequence[str]) -> EffectMatrix:
        """All of it."""
        outcomes, contrasts = [], {}
        # Bonferroni over outcomes: the sets of sources that may be best hold together.
        level = 1.0 - (1.0 - self.confidence) / max(len(self.plan.outcomes), 1)
        for name in self.plan.outcomes:
            records = {run: outcomes_of[name] for run, outcomes_of in self.records.items() if name in outcomes_of}
            blocks, unit, higher = self._blocks(name, records)
            known = prior(blocks, self.baseline)
            for source in self.sources:
                contrasts[source, name] = self._effect(blocks, source, known)
            if self.baseline == UNTOUCHED:
                contrasts[ALONE, name] = self._contrast(blocks, BASE, UNTOUCHED, known)
            if MORE in blocks.runs and self.baseline in (BASE, UNTOUCHED):
                contrasts[CONTROL, name] = self._contrast(blocks, MORE, self.baseline, known)
            # Two trained arms differ by more than one of them from a model that never varies.
            between = prior(blocks, BASE) if self.baseline == UNTOUCHED else known
            outcomes.append(self._outcome(name, unit, higher, blocks, records, contrasts, between, level))
        return self._assembled(part, runs, failed, outcomes, contrasts)

    def _assembled(
        self,
        part: Mapping[str, Any],
        runs: tuple[int, int],
        failed: Sequence[str],
        outcomes: Sequence[Outcome],
        contrasts: Mapping[tuple[str, str], Contrast],
    ) -> EffectMatrix:
        of_sources = {key: effect.p for key, effect in contrasts.items() if key[0] != CONTROL}
        adjusted = adjust(of_sources, self.confidence)
        higher = {outcome.name: outcome.higher_is_better for outcome in outcomes}
        rows = [*self.sources, *(extra for extra in (ALONE, CONTROL) if any(source == extra for source, _ in contrasts))]
        cells = tuple(
            self._cell(source, outcome.name, contrasts[source, outcome.name], adjusted.p_values.get((source, outcome.name)), higher)
            for source in rows
            for outcome in outcomes
            if (source, outcome.name) in contrasts
        )
        sets = [set(outcome.may_be_best) for outcome in outcomes if outcome.may_be_best]
        everywhere = tuple(sorted(set.intersection(*sets))) if sets else ()
        settings = {key: part[key] for key in ("rows", "add_rows", "equal_rows", "base", "seed") if key in part}
        return EffectMatrix(
            design=part["design"],
            against=self.baseline,
            sources=self.sources,
            outcomes=tuple(outcomes),
            cells=cells,
            confidence=self.confidence,
            generalize_to=self.generalize_to,
            comparisons=sum(p is not None for p in of_sources.values()),
            best_everywhere=everywhere,
            runs=runs,
            replicates=part["replicates"],
            settings=settings,
            configuration=self.plan.hash,
            failed=tuple(failed),
            notes=tuple(self._notes(part, runs, failed, cells)),
        )

    def _notes(self, part: Mapping[str, Any], runs: tuple[int, int], failed: Sequence[str], cells: Sequence[Cell]) -> list[str]:
        notes = []
        if runs[0] < runs[1]:
            notes.append(f"{runs[0]:,} of {counted(runs[1], 'run')} have finished: the matrix is of these.")
        if failed:
            notes.append(f"{counted(len(failed), 'run')} failed: {', '.join(failed[:5])}.")
        replicates = sorted({cell.replicates for cell in cells if cell.estimate is not None})
        if replicates and replicates[0] == 1:
            notes.append("An effect with one replicate has no interval: how much runs vary is unknown.")
        if self.baseline == UNTOUCHED:
            notes.append(_forgotten(cells))
        if part["design"] == ADD_ONE and not part.get("equal_rows") and self.baseline == BASE:
            notes.append(
                f"Arms with a source have {part['add_rows']:,} rows more than the base: see the effect of as many more of the base, "
                "or hold sources against it with --against more."
            )
        return notes

    def _blocks(self, name: str, records: Mapping[Run, OutcomeRecord]) -> tuple[Blocks, str, bool]:
        """The values of every run on the items that all runs have."""
        if not records:
            return Blocks({}), "", False
        first = next(iter(records.values()))
        scales = {(record["unit"], record["higher_is_better"]) for record in records.values()}
        if len(scales) > 1:
            raise StudyError(f"{name} was graded in several units.", fix="Grade all runs in the same way.")
        common = set(first["items"]).intersection(*(record["items"] for record in records.values()))
        items = [item for item in first["items"] if item in common]
        weights: Any = None
        values: dict[Run, Any] = {}
        for run, record in records.items():
            place = {item: number for number, item in enumerate(record["items"])}
            order = [place[item] for item in items]
            values[run] = np.array(record["values"], dtype=np.float64)[order]
            own = record.get("weights")
            shares = np.ones(len(items)) if own is None else np.array(own, dtype=np.float64)[order]
            if weights is not None and (shares != weights).any():
                raise StudyError(
                    f"The weights of {name} differ from run to run.", fix="Grade all runs on the same items, with one tokenizer."
                )
            weights = shares
        if items and not weights.sum() > 0:
            raise StudyError(f"The items of {name} weigh nothing.", fix="Grade with items that have tokens.")
        is_weighted = bool(len(items)) and bool((weights != weights[0]).any())
        relative: Any = weights / weights.mean() if is_weighted else None
        runs: dict[str, dict[int, Any]] = {}
        for run, row in values.items():
            table = row[None, :] if relative is None else linearised(row[None, :], relative)
            runs.setdefault(_arm(self.plan.by_name[run.subset]), {})[self.plan.by_name[run.subset]["replicate"]] = table[0]
        if self.baseline == UNTOUCHED and UNTOUCHED in runs:
            # The same model stands beside every replicate: it varies by nothing but its items.
            (untouched,) = runs[UNTOUCHED].values()
            runs[UNTOUCHED] = dict.fromkeys(sorted({replicate for arm in runs.values() for replicate in arm}), untouched)
        unit, higher = scales.pop()
        return Blocks(runs, _codes(first, items), relative), unit, higher

    def _contrast(self, blocks: Blocks, plus: str, minus: str, known: Prior | None) -> Contrast:
        return contrast(blocks, plus, minus, known, generalize_to=self.generalize_to)

    def _effect(self, blocks: Blocks, source: str, known: Prior | None) -> Contrast:
        """With the source less without it."""
        if self.baseline == WHOLE:
            return self._contrast(blocks, WHOLE, f"{LESS} {source}", known)
        return self._contrast(blocks, f"{PLUS} {source}", self.baseline, known)

    def _between(self, blocks: Blocks, first: str, second: str, known: Prior | None) -> Contrast:
        """The effect of one source less that of another."""
        if self.baseline == WHOLE:
            return self._contrast(blocks, f"{LESS} {second}", f"{LESS} {first}", known)
        return self._contrast(blocks, f"{PLUS} {first}", f"{PLUS} {second}", known)

    def _outcome(
        self,
        name: str,
        unit: str,
        higher: bool,
        blocks: Blocks,
        records: Mapping[Run, OutcomeRecord],
        contrasts: Mapping[tuple[str, str], Contrast],
        known: Prior | None,
        level: float,
    ) -> Outcome:
        sign = 1.0 if higher else -1.0
        estimates = {source: sign * effect for source in self.sources if math.isfinite(effect := contrasts[source, name].estimate)}
        highest = [source for source, effect in estimates.items() if math.isclose(effect, max(estimates.values()), abs_tol=TIE)]
        best = highest[0] if len(highest) == 1 else None
        may_be = self._may_be_best(blocks, list(estimates), sign, known, level) if known is not None else ()
        baseline = [values.mean() for values in blocks.runs.get(self.baseline, {}).values()]
        untouched = [record["mean"] for run, record in records.items() if self.plan.by_name[run.subset]["arm"] == UNTOUCHED]
        return Outcome(
            name=name,
            unit=unit,
            higher_is_better=higher,
            n_items=blocks.n_items,
            baseline=float(np.mean(baseline)) if baseline else None,
            untouched=untouched[0] if untouched else None,
            best=best,
            may_be_best=may_be,
        )

    def _may_be_best(self, blocks: Blocks, sources: Sequence[str], sign: float, known: Prior | None, level: float) -> tuple[str, ...]:
        """Sources that no other one is shown to beat: one-sided tests, each at the error that is left divided by the rivals.

        The best source is left out only where one of its rivals is falsely shown to be better, however the best was found.
        """
        if len(sources) < 2:
            return tuple(sources)
        # A two-sided interval at twice the level of a one-sided test.
        confidence = 1.0 - 2.0 * (1.0 - level) / (len(sources) - 1)
        beaten = set()
        for number, first in enumerate(sources):
            for second in sources[number + 1 :]:
                interval = self._between(blocks, first, second, known).interval(confidence)
                if interval is None:
                    continue
                low, high = sorted((sign * interval[0], sign * interval[1]))
                beaten |= {second} if low > 0 else {first} if high < 0 else set()
        return tuple(source for source in sources if source not in beaten)

    def _cell(self, source: str, outcome: str, effect: Contrast, p_adjusted: float | None, higher: Mapping[str, bool]) -> Cell:
        interval = effect.interval(self.confidence)
        standing = UNKNOWN
        if interval is not None:
            standing = UNCERTAIN
            if interval[0] > 0 or interval[1] < 0:
                standing = BETTER if (effect.estimate > 0) == higher[outcome] else WORSE
        return Cell(
            source=source,
            outcome=outcome,
            estimate=effect.estimate if math.isfinite(effect.estimate) else None,
            low=None if interval is None else interval[0],
            high=None if interval is None else interval[1],
            p=effect.p,
            p_adjusted=p_adjusted,
            df=None if effect.spread is None else effect.spread.df_at(self.confidence),
            replicates=len(effect.replicates),
            standing=standing,
            survives=p_adjusted is not None and p_adjusted <= 1.0 - self.confidence,
            reason=effect.reason,
        )


def _forgotten(cells: Sequence[Cell]) -> str:
    """What is worse than before any training, in a sentence."""
    worse = [cell for cell in cells if cell.standing == WORSE]
    if not worse:
        return "Nothing is shown to be worse than the model before any training."
    names = "; ".join(f"{cell.source} on {cell.outcome}{' (forgotten)' if cell.survives else ''}" for cell in worse)
    survive = sum(cell.survives for cell in worse)
    return (
        f"Worse than the model before any training, each by its own interval: {names}. {survive} of {counted(len(worse), 'cell')} "
        f"{'survives' if survive == 1 else 'survive'} the correction and {'is' if survive == 1 else 'are'} called forgotten."
    )


def _codes(record: OutcomeRecord, items: Sequence[str]) -> Codes | None:
    """The number of each item's cluster, from 0; None where every one stands alone."""
    clusters = record.get("clusters")
    if clusters is None:
        return None
    of = dict(zip(record["items"], clusters, strict=True))
    numbers = {label: number for number, label in enumerate(dict.fromkeys(of[item] for item in items))}
    if len(numbers) == len(items):
        return None
    return cast(Codes, np.array([numbers[of[item]] for item in items], dtype=np.int64))


__all__ = ["ALONE", "CONTROL", "Cell", "EffectMatrix", "Outcome", "of_folder", "of_plan"]
