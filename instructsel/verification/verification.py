"""Every grade of every trained model, and the verdicts that follow: is a selection better than a baseline?"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import atomic_write, manifest_path, read_manifest, write_manifest
from instructsel.errors import ScoresError, StudyError, UsageError
from instructsel.kinds import VERIFICATION, head
from instructsel.shapes import Misfit, checked
from instructsel.stats.intervals import Interval, adjust, compare
from instructsel.stats.loss_units import AUTO, UNIT_CHOICES
from instructsel.stats.variance import (
    BOTH,
    CONFIDENCE,
    ESTIMANDS,
    ITEMS,
    METHODS,
    RESAMPLES,
    RUNS,
    ArmValues,
    Components,
    Estimand,
    components,
)
from instructsel.structured import Refusal, read_bytes
from instructsel.text import counted, excerpt
from instructsel.verification.grades_table import (
    Label,
    Run,
    _frame,
    _items,
    _named,
    _scale,
    _Table,
    checked_grades,
    shared_labels,
    with_labels,
)
from instructsel.verification.loss_unit import in_one_unit
from instructsel.verification.shape import VerificationManifest
from instructsel.verification.verdict import MAX_MISSING, ComparisonSettings, NonInferiority, Scale, Verdict, Verdicts, _judged

if TYPE_CHECKING:
    import polars as pl

PER_RUN: Final = "Results per run hold no items: the interval covers new runs, graded on the same items."
"""What is said of an interval from results per run."""
ONE_RUN: Final = "With one result of {}, it is unknown how much its runs vary; two runs or more are needed."
NO_ITEMS: Final = "There are results per run and no items, so that an interval over new items cannot be had."

AGAIN: Final = "Name a file that a verification wrote, or verify again."


@dataclass(frozen=True, eq=False)
class Verification:
    """Arms, the models trained on them, and their grades item by item."""

    frame: pl.DataFrame = field(repr=False)
    """arm, replicate, seed, grader, item, value, weight, reason, cluster, source, nats, tokens, bytes; sorted by grader, arm, replicate,
    seed, item.

    No value: null and a reason. No cluster or source: null. nats, tokens and bytes are the totals of a loss, null for other grades.
    """
    graders: Mapping[str, Scale]
    """Name → what its values mean."""
    fixed: frozenset[str] = frozenset()
    """Arms that are a fixed model, such as the base: no training variance."""

    @classmethod
    def of(cls, runs: Iterable[Run], *, fixed: Iterable[str] = (), allow_unlike: bool = False, loss_unit: str = AUTO) -> Self:
        """A verification of what was graded; the same for any order of runs and items.

        Args:
            runs: of all arms and graders.
            fixed: arms that are a fixed model, not trained here.
            allow_unlike: whether batch size, number format, device, backend and release may differ from run to run.
            loss_unit: of losses: nats per token, bits per byte, or auto, which takes what the graders were asked for, or else nats per
                token where all models of a grader have one tokenizer and chat template, and bits per byte where they do not.

        Raises:
            UsageError: another unit.
            StudyError: nothing was graded, a run was graded twice by one grader, a run was graded on other items than the rest or
                has them in other clusters, a grader's unit, direction or settings differ from run to run, a fixed arm has several
                runs, or losses per token are asked for of models whose tokenizers or chat templates differ.
        """
        import polars as pl

        if loss_unit not in UNIT_CHOICES:
            raise UsageError.named(loss_unit, UNIT_CHOICES, noun="unit of a loss")
        untrained = frozenset(fixed)
        by_grader: dict[str, dict[Label, Run]] = {}
        for run in runs:
            graded = by_grader.setdefault(run.grades.grader, {})
            label = (run.arm, run.replicate, run.seed)
            if label in graded:
                raise StudyError(f"{run.grades.grader} graded {run.name} twice.", fix="Give every training its own replicate or seed.")
            graded[label] = run
            if run.arm in untrained and sum(arm == run.arm for arm, _, _ in graded) > 1:
                raise StudyError(f"{run.arm} is a fixed model, and has several runs.", fix="Give it one run, or do not call it fixed.")
        if not by_grader:
            raise StudyError("Nothing was graded.", fix="Grade at least one model of each arm.")
        frames, graders = [], {}
        for grader, runs_of_grader in sorted(by_grader.items()):
            converted, unit = in_one_unit(grader, list(runs_of_grader.values()), loss_unit)
            graded = dict(zip(runs_of_grader, converted, strict=True))
            graders[grader] = _scale(grader, graded.values(), unit_note="" if unit is None else unit.note, allow_unlike=allow_unlike)
            items = _items(grader, graded)
            clusters, sources = (shared_labels(grader, graded, kind, items) for kind in ("clusters", "sources"))
            frames.append(_frame(graded, items, clusters, sources))
        return cls(pl.concat(frames), graders, untrained & {label[0] for graded in by_grader.values() for label in graded})

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted({arm for table in self._tables.values() for arm, _, _ in table.labels}))

    @cached_property
    def _tables(self) -> dict[str, _Table]:
        # Thousands of graders are told apart in one pass.
        parts = self.frame.partition_by("grader", as_dict=True)
        return {grader: _Table.of(parts.get((grader,), self.frame.clear())) for grader in sorted(self.graders)}

    def difference(
        self,
        arm: str,
        baseline: str,
        grader: str,
        *,
        confidence: float = CONFIDENCE,
        generalize_to: Estimand = BOTH,
        weighted: bool = False,
        n_resamples: int = RESAMPLES,
        seed: int = 0,
        pool_seeds: bool = False,
    ) -> Interval:
        """The difference arm less baseline, over the items that every run of both has a value for.

        Args:
            arm: its name.
            baseline: another's.
            grader: by whose values.
            confidence: of the two-sided interval.
            generalize_to: `both`; `items`, for finished results with one run each; or `runs`.
            weighted: items count by their weight (tokens, for a loss) instead of alike.
            n_resamples: of the bootstrap beside it; 0 for none.
            seed: of the bootstrap.
            pool_seeds: as of `compare`.

        Raises:
            UsageError: an unknown arm, grader or estimand; weights that differ from run to run.
            MissingExtra: scipy is not installed.
        """
        selection, rival, others, _ = self._sides(arm, baseline, grader, weighted)
        if selection is None or rival is None:
            absent = arm if selection is None else baseline
            return Interval(
                math.nan,
                confidence,
                generalize_to,
                0,
                (0, 0),
                (0, 0),
                method=METHODS[generalize_to],
                reason=f"{grader} graded no model of {absent}.",
            )
        options: dict[str, Any] = {
            "others": others,
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
            "pool_seeds": pool_seeds,
        }
        if not self.graders[grader].aggregated:
            return compare(selection, rival, generalize_to=generalize_to, **options)
        return _per_run(compare(selection, rival, generalize_to=RUNS, **options), (selection, rival), generalize_to)

    def components(self, arm: str, baseline: str, grader: str, *, weighted: bool = False) -> Components:
        """The variance components this verification shows, for planning another with `power`.

        Raises:
            UsageError: an arm or grader that there is not, or fewer than two items in common.
        """
        selection, other, others, _ = self._sides(arm, baseline, grader, weighted)
        if selection is None or other is None:
            raise UsageError(f"{grader} graded no model of {arm if selection is None else baseline}.")
        return components(selection, other, others=others)

    def verdict(self, selection: str, baseline: str, grader: str, *, settings: ComparisonSettings | None = None) -> Verdict:
        """The verdict of one grader against one baseline; the settings are those of `verdicts`."""
        return self.verdicts(selection, [baseline], graders=[grader], settings=settings).verdicts[0]

    def verdicts(
        self,
        selection: str,
        baselines: Sequence[str],
        *,
        graders: Sequence[str] | None = None,
        settings: ComparisonSettings | None = None,
        leakage: Collection[tuple[str, str]] = (),
    ) -> Verdicts:
        """Is the selection better than the baselines?

        Better or worse is what stays significant after Holm's correction over all graders and baselines; intervals hold at
        Bonferroni's level, so that Holm may detect what the interval does not quite exclude. No detectable difference takes a
        minimum detectable effect of at most `smallest_effect`; else there is not enough data.

        Args:
            selection: the arm under test.
            baselines: the arms it is compared with.
            graders: those that count; None for all.
            settings: confidence, estimand, weights, the smallest effect of interest, and the bootstrap.
            leakage: (baseline, grader) where the grader's own model ranked rows of either arm: adjusted among themselves, and no part
                of the outcome.

        Raises:
            UsageError: an unknown arm, grader or estimand, the selection among its baselines, or none.
            MissingExtra: scipy is not installed.
        """
        settings = settings or ComparisonSettings()
        names = sorted(self.graders) if graders is None else list(dict.fromkeys(graders))
        against = list(dict.fromkeys(baselines))
        if not against or not names:
            raise UsageError("A verdict needs a baseline and a grader.", fix="For example: baselines=['random']")
        if selection in against:
            raise UsageError(f"{selection} cannot be its own baseline.", fix="Name another arm.")

        def measured(pair: tuple[str, str], level: float, resamples: int) -> Interval:
            return self.difference(
                selection,
                *pair,
                confidence=level,
                generalize_to=settings.generalize_to,
                weighted=settings.weighted,
                n_resamples=resamples,
                seed=settings.seed,
                pool_seeds=settings.pool_seeds,
            )

        pairs = [(baseline, grader) for baseline in against for grader in names]
        reasons: dict[tuple[str, str], str | None] = {}
        p_values: dict[tuple[str, str], float | None] = {}
        for pair in pairs:
            interval = measured(pair, settings.confidence, 0)
            reasons[pair] = interval.reason or interval.assumption or self._too_many_missing(selection, *pair, settings.max_missing)
            p_values[pair] = None if reasons[pair] else interval.p
        # Two families: the comparisons that decide the outcome, and those with leakage, which do not count.
        deciding = adjust({pair: p for pair, p in p_values.items() if pair not in leakage}, settings.confidence)
        leaking = adjust({pair: p for pair, p in p_values.items() if pair in leakage}, settings.confidence)
        verdicts = []
        for pair in pairs:
            family = leaking if pair in leakage else deciding
            interval = measured(pair, family.confidence, settings.n_resamples)
            scale, p = self.graders[pair[1]], family.p_values[pair]
            outcome, reason = _judged(interval, scale, p, settings.confidence, settings.smallest_effect, reasons[pair])
            missing = self._missing(selection, *pair)[0]
            if missing and not scale.aggregated and self._too_many_missing(selection, *pair, settings.max_missing) is None:
                interval = replace(interval, notes=(*interval.notes, f"{pair[1]}: {self._left_out(selection, *pair)}."))
            verdicts.append(
                Verdict(
                    selection, *pair, outcome, interval, scale, settings.confidence, p, family.comparisons, missing, reason, pair in leakage
                )
            )
        return Verdicts(tuple(verdicts))

    def non_inferior(
        self,
        arm: str,
        baseline: str,
        grader: str,
        *,
        margin: float,
        confidence: float = CONFIDENCE,
        generalize_to: Estimand = BOTH,
        weighted: bool = False,
        max_missing: float = MAX_MISSING,
        pool_seeds: bool = False,
    ) -> NonInferiority:
        """Whether the arm is shown to be at most `margin` worse than the baseline, one-sided at the confidence; not adjusted for others.

        Raises:
            UsageError: a margin that is not above 0; a confidence of at most 0.5; an unknown arm, grader or estimand.
            MissingExtra: scipy is not installed.
        """
        if not (math.isfinite(margin) and margin > 0):
            raise UsageError(f"A margin of {margin} cannot be.", fix="Give a number above 0 in the grader's unit.")
        if not 0.5 < confidence < 1.0:
            raise UsageError(f"A one-sided confidence of {confidence} cannot be.", fix="Give a number between 0.5 and 1, e.g. 0.95.")
        interval = self.difference(
            arm,
            baseline,
            grader,
            confidence=2 * confidence - 1,
            generalize_to=generalize_to,
            weighted=weighted,
            n_resamples=0,
            pool_seeds=pool_seeds,
        )
        reason = interval.reason or interval.assumption or self._too_many_missing(arm, baseline, grader, max_missing)
        if reason or interval.low is None or interval.high is None or interval.spread is None:
            return NonInferiority(margin, None, None, confidence, interval, reason)
        higher = self.graders[grader].higher_is_better
        gain = interval.estimate if higher else -interval.estimate
        half = interval.spread.p_value(gain + margin) / 2.0
        p = half if gain + margin > 0 else 1.0 - half
        return NonInferiority(margin, interval.low if higher else -interval.high, p, confidence, interval)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: the runs of every arm, what is missing where and why, and every run's mean."""
        import polars as pl

        reasons = self.frame.filter(pl.col("value").is_null()).select("grader", "reason").rows()
        arms: dict[str, dict[str, list[int]]] = {}
        for arm, replicate, seed in self._labels:
            arms.setdefault(arm, {}).setdefault(str(replicate), []).append(seed)
        return {
            **head(VERIFICATION),
            "arms": arms,
            "fixed": sorted(self.fixed),
            "graders": {
                grader: {
                    **scale.as_dict(),
                    **({} if scale.settings is None else {"settings": dict(scale.settings)}),
                    **({"unlike": list(scale.unlike)} if scale.unlike else {}),
                    **({"unit_note": scale.unit_note} if scale.unit_note else {}),
                    **({"aggregated": True} if scale.aggregated else {}),
                    "items": len(self._tables[grader].items),
                    "missing": self._tables[grader].missing(),
                    "reasons": dict(sorted(Counter(reason for name, reason in reasons if name == grader).items())),
                    "not_graded": [_named(label) for label in self._labels if label not in self._tables[grader].labels],
                    "means": self._tables[grader].means(),
                }
                for grader, scale in sorted(self.graders.items())
            },
        }

    def write(self, path: str | Path, *, run: dict[str, Any] | None = None) -> None:
        """Write .parquet, the same bytes for the same grades, and the manifest with its digest as JSON beside it.

        Args:
            path: where.
            run: what differs from run to run (seconds); goes into the JSON only.

        Raises:
            UsageError: another suffix than .parquet.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        target = _parquet(path)
        # A crash between the two files must leave no manifest rather than the one of the file that stood here before.
        if target.parent.is_dir():
            manifest_path(target).unlink(missing_ok=True)
        memory = io.BytesIO()
        self.frame.write_parquet(memory, compression="zstd", row_group_size=1 << 18, statistics=False)
        data = memory.getvalue()
        with atomic_write(target) as file:
            file.write(data)
        write_manifest(target, {**self.as_dict(), "sha256": hashlib.sha256(data).hexdigest()}, run=run or {})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A verification from its .parquet and the manifest beside it.

        Raises:
            UsageError: another suffix than .parquet.
            StudyError: either is missing or damaged, or is no verification, or of a newer release.
        """
        from instructsel.tables import parsed_parquet

        target = _parquet(path)
        try:
            manifest = read_manifest(target)
        except ScoresError as error:
            raise StudyError(error.message, fix=error.fix if "newer" in error.message else AGAIN) from error
        data = read_bytes(target, Refusal(StudyError, AGAIN))
        if manifest is None:
            raise StudyError(f"{manifest_path(target)} is missing.", fix="It belongs to the file; keep the two together.")
        if manifest.get("kind") != VERIFICATION:
            raise StudyError(f"{target} holds {excerpt(str(manifest.get('kind') or 'something else'))}, not a verification.", fix=AGAIN)
        # Before polars sees it: a damaged footer can end the process in an allocation of petabytes.
        if manifest.get("sha256") != hashlib.sha256(data).hexdigest():
            raise StudyError(f"{target} is damaged: it is not the file its manifest describes.", fix=AGAIN)
        refusal = Refusal(StudyError, AGAIN)
        try:
            checked(manifest, VerificationManifest)
        except Misfit as misfit:
            raise refusal.of(manifest_path(target), str(misfit)) from misfit
        graders = {
            name: Scale(
                scale["unit"],
                scale["higher_is_better"],
                scale["truncated"],
                scale.get("settings"),
                tuple(scale.get("unlike") or ()),
                scale.get("unit_note") or "",
                bool(scale.get("aggregated")),
            )
            for name, scale in sorted(manifest["graders"].items())
        }
        # Schema 1 called a replicate a draw.
        frame = parsed_parquet(data, target, refusal).rename({"draw": "replicate"}, strict=False)
        return cls(checked_grades(with_labels(frame), graders, target, refusal), graders, frozenset(manifest.get("fixed") or ()))

    @cached_property
    def _labels(self) -> tuple[Label, ...]:
        """Every run that some grader graded."""
        return tuple(sorted({label for table in self._tables.values() for label in table.labels}))

    def _checked(self, arms: Sequence[str], grader: str) -> _Table:
        if grader not in self.graders:
            raise UsageError.named(grader, self.graders, noun="grader")
        for arm in arms:
            if arm not in self.arms:
                raise UsageError.named(arm, self.arms, noun="arm")
        return self._tables[grader]

    def _sides(
        self, arm: str, baseline: str, grader: str, weighted: bool
    ) -> tuple[ArmValues | None, ArmValues | None, list[ArmValues], NDArray[np.bool_]]:
        """Both arms on the items they have in common, the others on those of these they have, and which items these are."""
        table = self._checked((arm, baseline), grader)
        common = table.complete(arm) & table.complete(baseline)
        if not table.rows(arm).any() or not table.rows(baseline).any():
            return (
                table.values_of(arm, common, weighted) if table.rows(arm).any() else None,
                table.values_of(baseline, common, weighted) if table.rows(baseline).any() else None,
                [],
                common,
            )
        present = sorted({name for name, _, _ in table.labels} - {arm, baseline})
        others = [table.values_of(name, common & table.complete(name), weighted) for name in present]
        sides = [replace(table.values_of(name, common, weighted), fixed=name in self.fixed) for name in (arm, baseline)]
        return sides[0], sides[1], others, common

    def _missing(self, arm: str, baseline: str, grader: str) -> tuple[int, int]:
        """Items left out of a comparison, and all items."""
        table = self._checked((arm, baseline), grader)
        common = table.complete(arm) & table.complete(baseline)
        return int((~common).sum()), len(common)

    def _too_many_missing(self, arm: str, baseline: str, grader: str, limit: float) -> str | None:
        missing, n = self._missing(arm, baseline, grader)
        if missing <= limit * n:
            return None
        return f"{self._without_value(arm, baseline, grader)}, more than {100 * limit:g} %: those left may be the easy ones."

    def _left_out(self, arm: str, baseline: str, grader: str) -> str:
        """Which items a comparison lacks, and why."""
        missing, _ = self._missing(arm, baseline, grader)
        return f"{self._without_value(arm, baseline, grader)}, and {'is' if missing == 1 else 'are'} left out"

    def _without_value(self, arm: str, baseline: str, grader: str) -> str:
        """How many items have no value in some run of either arm, with the reasons."""
        missing, n = self._missing(arm, baseline, grader)
        counts = self._reasons(arm, baseline, grader)
        why = f" ({', '.join(f'{reason} {count}' for reason, count in counts.items())})" if counts else ""
        return f"{missing:,} of {counted(n, 'item')} {'has' if missing == 1 else 'have'} no value in some run{why}"

    def _reasons(self, arm: str, baseline: str, grader: str) -> dict[str, int]:
        """Reason → items that have no value for it in some run of either arm."""
        import polars as pl

        absent = self.frame.filter(pl.col("value").is_null() & (pl.col("grader") == grader) & pl.col("arm").is_in([arm, baseline]))
        rows = absent.select("item", "reason").unique().sort("item", "reason").rows()
        return dict(sorted(Counter(reason or "unknown" for _, reason in rows).items()))


def _per_run(interval: Interval, sides: Sequence[ArmValues], generalize_to: Estimand) -> Interval:
    """The interval of results per run, over runs; none where it was to be over items, or one run says nothing of how runs of its arm vary."""
    single = [side.arm for side in sides if side.runs == 1 and not side.fixed]
    reason = NO_ITEMS if generalize_to == ITEMS else ONE_RUN.format(" and ".join(single)) if single else None
    if reason is None or interval.reason:
        return interval if interval.reason else replace(interval, notes=(PER_RUN, *interval.notes))
    gone: dict[str, Any] = dict.fromkeys(("low", "high", "standard_error", "df", "p", "bootstrap_low", "bootstrap_high", "spread"))
    kind: dict[str, Any] = {"generalize_to": ITEMS, "method": METHODS[ITEMS]} if generalize_to == ITEMS else {}
    return replace(interval, **gone, **kind, reason=reason, notes=())


def _parquet(path: str | Path) -> Path:
    target = Path(path)
    if target.suffix != ".parquet":
        raise UsageError(f"{target} does not end in .parquet.", fix="Give the file this ending.")
    return target


__all__ = ["ESTIMANDS", "Verification"]
