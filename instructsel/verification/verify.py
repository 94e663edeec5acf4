"""What every trained model got on every item, and the verdicts that follow: is a selection better than a baseline?"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import atomic_write, fingerprint, manifest_path, read_manifest, write_manifest
from instructsel.errors import ScoresError, StudyError, UsageError
from instructsel.extras import require
from instructsel.protocols import Grades
from instructsel.verification.intervals import (
    LEVEL,
    METHODS,
    NEW_RUNS,
    REPEATS,
    TARGETS,
    ArmValues,
    Components,
    Interval,
    Target,
    compare,
    components,
    holm,
)

if TYPE_CHECKING:
    import polars as pl

KIND: Final = "verification"
"""The manifest's `kind`."""

BETTER: Final = "better"
WORSE: Final = "worse"
NO_DIFFERENCE: Final = "no detectable difference"
NOT_ENOUGH: Final = "not enough data"
Word = Literal["better", "worse", "no detectable difference", "not enough data"]

COARSE: Final = 0.1
"""In standard deviations over items: a comparison that would miss more than this cannot say that there is no difference."""
MAX_MISSING: Final = 0.05
"""The share of items that may lack a value in some run before nothing is said."""
SHORT: Final = 40
"""Characters of a setting that a message shows."""
NAMED: Final = 3
"""Runs or items a message names before it counts the rest."""

AGAIN: Final = "Name a file that a verification wrote, or verify again."

Label = tuple[str, int, int]


@dataclass(frozen=True, eq=False)
class Run:
    """One trained model's grades by one grader."""

    arm: str
    """The selection or baseline it was trained on."""
    draw: int
    """Which subset of the arm: a selection has one, random selection several."""
    seed: int
    """Of the training."""
    grades: Grades
    """Item by item."""
    seconds: float = 0.0
    """What a judge or reward model took, where one graded the run's answers."""

    @property
    def name(self) -> str:
        """As messages name it."""
        return _named((self.arm, self.draw, self.seed))


@dataclass(frozen=True)
class Scale:
    """What a grader's values mean."""

    unit: str = ""
    """E.g. nats per token."""
    higher_is_better: bool = False
    """The direction of every verdict."""
    truncated: int = 0
    """Items of which a model did not see everything, over all runs."""
    settings: Mapping[str, Any] | None = None
    """How all models were graded: the judge and its reference, or the tasks with their versions, hashes and shots; None where unknown."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the settings: they stand once, with the grader."""
        return {"unit": self.unit, "higher_is_better": self.higher_is_better, "truncated": self.truncated}


@dataclass(frozen=True)
class Verdict:
    """What can be said of one selection against one baseline by one grader."""

    selection: str
    """The arm asked about."""
    baseline: str
    """The arm it is compared with."""
    grader: str
    """By whose values."""
    word: Word
    """`better`, `worse`, `no detectable difference` or `not enough data`."""
    interval: Interval
    """Of selection less baseline, at the level that covers all comparisons of the question together (Bonferroni)."""
    scale: Scale
    """The grader's unit and direction."""
    level: float
    """Of the question: 1 less the chance of a wrong `better` or `worse` among all of its comparisons."""
    p_adjusted: float | None
    """The p value, adjusted for the number of comparisons (Holm); None where there is no interval."""
    comparisons: int
    """How many were adjusted for."""
    missing: int
    """Items left out because some run of either arm has no value."""
    reason: str | None = None
    """Why there is not enough data, or None."""
    circular: bool = False
    """Whether the grader's own model ranked the rows of either arm: shown, and counted nowhere."""

    @property
    def gain(self) -> float:
        """The difference in the good direction, in the grader's unit."""
        return self.interval.estimate if self.scale.higher_is_better else -self.interval.estimate

    @property
    def statement(self) -> str:
        """The verdict in words, with the interval and what would have been seen."""
        found, unit = self.interval, f" {self.scale.unit}" if self.scale.unit else ""
        parts = [f"{self.selection} against {self.baseline} on {self.grader}: {self.word}."]
        if found.low is not None and found.high is not None:
            parts.append(
                f"Difference {found.estimate:+.4g}{unit}, {100 * found.level:.4g} % interval {found.low:+.4g} to {found.high:+.4g} "
                f"({found.method}; {found.n_items} items, {_runs(found, 0)} against {_runs(found, 1)}); "
                f"{'higher' if self.scale.higher_is_better else 'lower'} is better."
            )
        elif math.isfinite(found.estimate):
            parts.append(f"Difference {found.estimate:+.4g}{unit}, without an interval.")
        if found.detectable is not None:
            in_sd = "" if found.detectable_sd is None else f" ({found.detectable_sd:.2g} standard deviations over items)"
            parts.append(f"A difference of {found.detectable:.4g}{unit}{in_sd} would be found four times in five.")
        if self.reason is not None:
            parts.append(self.reason)
        if self.circular:
            parts.append(
                f"Circular: {self.grader} also ranked the rows of an arm and finds what it was told to look for; it does not count."
            )
        return " ".join(parts)

    @property
    def sentence(self) -> str:
        """The statement, and what the interval speaks of."""
        return " ".join((self.statement, *self.interval.notes))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("interval", "scale")},
            "interval": self.interval.as_dict(),
            "scale": self.scale.as_dict(),
            "statement": self.statement,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Verdicts:
    """The verdicts that answer one question, adjusted for being several."""

    verdicts: tuple[Verdict, ...]
    """One for each baseline and grader."""

    @property
    def word(self) -> Word:
        """`worse` if any is, else `better` if any is; `no detectable difference` if all say so; else `not enough data`.

        What a circular grader says is not among them.
        """
        words = {verdict.word for verdict in self.verdicts if not verdict.circular}
        if WORSE in words:
            return WORSE
        if BETTER in words:
            return BETTER
        return NO_DIFFERENCE if words == {NO_DIFFERENCE} else NOT_ENOUGH

    def against(self, baseline: str) -> Self:
        """Those against one baseline, adjusted for all."""
        return replace(self, verdicts=tuple(verdict for verdict in self.verdicts if verdict.baseline == baseline))

    def __iter__(self) -> Any:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"word": self.word, "verdicts": [verdict.as_dict() for verdict in self.verdicts]}


@dataclass(frozen=True)
class NotWorse:
    """Whether a selection is shown to be at most a margin worse than a baseline (non-inferiority)."""

    margin: float
    """How much worse would still do, in the grader's unit."""
    bound: float | None
    """The one-sided bound of the gain: it is at least this, at the level; None without an interval."""
    p: float | None
    """One-sided, that a selection worse by the margin would come out like this."""
    level: float
    """One-sided."""
    interval: Interval
    """Two-sided at 2 · level − 1: the bound is its bad end."""
    reason: str | None = None
    """Why nothing can be said, or None."""

    @property
    def shown(self) -> bool:
        """Whether the bound is above − margin. False says that it was not shown, not that the selection is worse."""
        return self.bound is not None and self.bound > -self.margin


@dataclass(frozen=True, eq=False)
class Verification:
    """Arms, the models trained on them, and what each got on each item."""

    frame: pl.DataFrame = field(repr=False)
    """arm, draw, seed, grader, item, value, weight, reason; sorted by grader, arm, draw, seed, item. No value: null and a reason."""
    graders: Mapping[str, Scale]
    """Name → what its values mean."""
    fixed: frozenset[str] = frozenset()
    """Arms that are one model as it is, such as the base: no training of theirs could have come out otherwise."""

    @classmethod
    def of(cls, runs: Iterable[Run], *, fixed: Iterable[str] = ()) -> Self:
        """A verification of what was graded; the same for any order of runs and items.

        Args:
            runs: of all arms and graders.
            fixed: arms that are one model as it is.

        Raises:
            StudyError: nothing was graded, a run was graded twice by one grader, a run was graded on other items than the rest, or
                a grader's unit or direction differs from run to run, or a fixed arm has several runs.
        """
        import polars as pl

        whole = frozenset(fixed)

        by_grader: dict[str, dict[Label, Run]] = {}
        for run in runs:
            found = by_grader.setdefault(run.grades.grader, {})
            label = (run.arm, run.draw, run.seed)
            if label in found:
                raise StudyError(f"{run.grades.grader} graded {run.name} twice.", fix="Give every training its own draw or seed.")
            found[label] = run
            if run.arm in whole and len([each for each in found if each[0] == run.arm]) > 1:
                raise StudyError(f"{run.arm} is one model as it is, and has several runs.", fix="Give it one, or do not call it fixed.")
        if not by_grader:
            raise StudyError("Nothing was graded.", fix="Grade at least one model of each arm.")
        frames, graders = [], {}
        for grader, found in sorted(by_grader.items()):
            graders[grader] = _scale(grader, found.values())
            items = _items(grader, found)
            for label in sorted(found):
                frames.append(_frame(label, found[label].grades, items))
        return cls(pl.concat(frames), graders, whole & {label[0] for found in by_grader.values() for label in found})

    @property
    def arms(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted({arm for table in self._tables.values() for arm, _, _ in table.labels}))

    @cached_property
    def _tables(self) -> dict[str, _Table]:
        import polars as pl

        return {grader: _Table.of(self.frame.filter(pl.col("grader") == grader)) for grader in sorted(self.graders)}

    def difference(
        self,
        arm: str,
        baseline: str,
        grader: str,
        *,
        level: float = LEVEL,
        target: Target = NEW_RUNS,
        weighted: bool = False,
        repeats: int = REPEATS,
        seed: int = 0,
    ) -> Interval:
        """The difference arm less baseline, over the items that every run of both has a value for.

        Args:
            arm: its name.
            baseline: another's.
            grader: by whose values.
            level: of the two-sided interval.
            target: `new runs`; `these models`, for finished results with one run each; or `these items`.
            weighted: items count by their weight (tokens, for a loss) instead of alike.
            repeats: of the bootstrap beside it; 0 for none.
            seed: of the bootstrap.

        Raises:
            UsageError: an arm, grader or target that there is not; weights that differ from run to run.
            MissingExtra: scipy is not installed.
        """
        selection, other, others, _ = self._sides(arm, baseline, grader, weighted)
        if selection is None or other is None:
            absent = arm if selection is None else baseline
            return Interval(
                math.nan, level, target, 0, (0, 0), (0, 0), method=METHODS[target], reason=f"{grader} graded no model of {absent}."
            )
        return compare(selection, other, others=others, level=level, target=target, repeats=repeats, seed=seed)

    def components(self, arm: str, baseline: str, grader: str, *, weighted: bool = False) -> Components:
        """The variance components this verification shows, for planning another with `power`.

        Raises:
            UsageError: an arm or grader that there is not, or fewer than two items in common.
        """
        selection, other, others, _ = self._sides(arm, baseline, grader, weighted)
        if selection is None or other is None:
            raise UsageError(f"{grader} graded no model of {arm if selection is None else baseline}.")
        return components(selection, other, others=others)

    def verdict(self, selection: str, baseline: str, grader: str, **settings: Any) -> Verdict:
        """The verdict of one grader against one baseline; the settings are those of `verdicts`."""
        return self.verdicts(selection, [baseline], graders=[grader], **settings).verdicts[0]

    def verdicts(
        self,
        selection: str,
        baselines: Sequence[str],
        *,
        graders: Sequence[str] | None = None,
        level: float = LEVEL,
        target: Target = NEW_RUNS,
        weighted: bool = False,
        coarse: float = COARSE,
        max_missing: float = MAX_MISSING,
        repeats: int = REPEATS,
        seed: int = 0,
        circular: Collection[tuple[str, str]] = (),
    ) -> Verdicts:
        """Is the selection better than the baselines?

        Better or worse is what stays significant after Holm's correction over all graders and baselines; intervals have
        Bonferroni's level, so that Holm may find what the interval does not quite exclude. Where there is no difference to
        be found, it takes a minimal detectable effect of at most `coarse` to say so; else there is not enough data.

        Args:
            selection: the arm asked about.
            baselines: the arms it is compared with.
            graders: those that count; None for all.
            level: 1 less the chance of a wrong verdict among all comparisons.
            target: as of `difference`.
            weighted: as of `difference`.
            coarse: the largest acceptable minimal detectable effect, in standard deviations of both arms' values over items, pooled.
            max_missing: the largest acceptable share of items without a value in some run.
            repeats: of the bootstrap.
            seed: of the bootstrap.
            circular: (baseline, grader) where the grader's own model ranked rows of either arm: corrected for among themselves, and
                no part of the word.

        Raises:
            UsageError: an arm, grader or target that there is not, the selection among its baselines, or none.
            MissingExtra: scipy is not installed.
        """
        names = sorted(self.graders) if graders is None else list(dict.fromkeys(graders))
        against = list(dict.fromkeys(baselines))
        if not against or not names:
            raise UsageError("A verdict needs a baseline and a grader.", fix="For example: baselines=['random']")
        if selection in against:
            raise UsageError(f"{selection} cannot be its own baseline.", fix="Name another arm.")
        asked = [(baseline, grader) for baseline in against for grader in names]
        first = [
            self.difference(selection, baseline, grader, level=level, target=target, weighted=weighted, repeats=0)
            for baseline, grader in asked
        ]
        reasons = [
            found.reason or self._too_many_missing(selection, baseline, grader, max_missing)
            for found, (baseline, grader) in zip(first, asked, strict=True)
        ]
        usable = [None if reason else found.p for found, reason in zip(first, reasons, strict=True)]
        apart = [pair in circular for pair in asked]
        families = {kind: [p if own == kind else None for p, own in zip(usable, apart, strict=True)] for kind in (False, True)}
        corrected = {kind: holm(found) for kind, found in families.items()}
        counts = {kind: max(sum(value is not None for value in found), 1) for kind, found in families.items()}
        verdicts = []
        for at, ((baseline, grader), reason, own) in enumerate(zip(asked, reasons, apart, strict=True)):
            p, count = corrected[own][at], counts[own]
            interval = self.difference(
                selection, baseline, grader, level=1 - (1 - level) / count, target=target, weighted=weighted, repeats=repeats, seed=seed
            )
            scale = self.graders[grader]
            word, why = _judged(interval, scale, p, level, coarse, reason)
            missing = self._missing(selection, baseline, grader)[0]
            verdicts.append(Verdict(selection, baseline, grader, word, interval, scale, level, p, count, missing, why, own))
        return Verdicts(tuple(verdicts))

    def not_worse(
        self,
        arm: str,
        baseline: str,
        grader: str,
        *,
        margin: float,
        level: float = LEVEL,
        target: Target = NEW_RUNS,
        weighted: bool = False,
        max_missing: float = MAX_MISSING,
    ) -> NotWorse:
        """Whether the arm is shown to be at most `margin` worse than the baseline, one-sided at the level; not adjusted for others.

        Raises:
            UsageError: a margin that is not above 0; a level of at most 0.5; an arm, grader or target that there is not.
            MissingExtra: scipy is not installed.
        """
        if not (math.isfinite(margin) and margin > 0):
            raise UsageError(f"A margin of {margin} cannot be.", fix="Give a number above 0 in the grader's unit.")
        if not 0.5 < level < 1.0:
            raise UsageError(f"A one-sided level of {level} cannot be.", fix="Give a number between 0.5 and 1, e.g. 0.95.")
        found = self.difference(arm, baseline, grader, level=2 * level - 1, target=target, weighted=weighted, repeats=0)
        reason = found.reason or self._too_many_missing(arm, baseline, grader, max_missing)
        if reason or found.low is None or found.high is None or found.standard_error is None:
            return NotWorse(margin, None, None, level, found, reason)
        special = require("scipy.special", needed_by="an interval with few runs")
        higher = self.graders[grader].higher_is_better
        gain = found.estimate if higher else -found.estimate
        p = float(special.stdtr(found.df, -(gain + margin) / found.standard_error))
        return NotWorse(margin, found.low if higher else -found.high, p, level, found)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: the runs of every arm, what is missing where and why, and every run's mean."""
        import polars as pl

        reasons = self.frame.filter(pl.col("value").is_null()).select("grader", "reason").rows()
        arms: dict[str, dict[str, list[int]]] = {}
        for arm, draw, seed in self._labels:
            arms.setdefault(arm, {}).setdefault(str(draw), []).append(seed)
        return {
            "kind": KIND,
            "arms": arms,
            "fixed": sorted(self.fixed),
            "graders": {
                grader: {
                    **scale.as_dict(),
                    **({} if scale.settings is None else {"settings": dict(scale.settings)}),
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
        import polars as pl

        target = _parquet(path)
        try:
            manifest = read_manifest(target)
            data = target.read_bytes()
        except ScoresError as error:
            raise StudyError(error.message, fix=AGAIN) from error
        except OSError as error:
            raise StudyError(f"{target} cannot be read: {error.strerror or error}.", fix=AGAIN) from error
        if manifest is None:
            raise StudyError(f"{manifest_path(target)} is missing.", fix="It belongs to the file; keep the two together.")
        if manifest.get("kind") != KIND:
            raise StudyError(f"{target} holds {manifest.get('kind') or 'something else'}, not a verification.", fix=AGAIN)
        # Before polars sees it: a damaged footer can end the process in an allocation of petabytes.
        if manifest.get("sha256") != hashlib.sha256(data).hexdigest():
            raise StudyError(f"{target} is damaged: it is not the file its manifest describes.", fix=AGAIN)
        try:
            given = {
                name: (each["unit"], each["higher_is_better"], each["truncated"], each.get("settings"))
                for name, each in manifest["graders"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"{manifest_path(target)} does not say what the graders' values mean.", fix=AGAIN) from error
        graders = {name: Scale(*each) for name, each in sorted(given.items())}
        return cls(pl.read_parquet(data), graders, frozenset(manifest.get("fixed") or ()))

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
        return f"{missing} of {n} items have no value in some run, more than {100 * limit:g} %: those left may be the easy ones."


@dataclass(frozen=True, eq=False)
class _Table:
    """One grader's values as an array."""

    labels: tuple[Label, ...]
    items: tuple[str, ...]
    values: NDArray[np.float64]  # (runs, items), NaN where there is none
    weights: NDArray[np.float64]  # (runs, items)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """Of a frame sorted by run and item in which all runs have the same items."""
        labels = tuple(frame.select("arm", "draw", "seed").unique(maintain_order=True).rows())
        shape = (len(labels), len(frame) // len(labels))
        return cls(
            labels,
            tuple(frame["item"].head(shape[1]).to_list()),
            frame["value"].fill_null(math.nan).to_numpy().reshape(shape),
            frame["weight"].to_numpy().reshape(shape),
        )

    def rows(self, arm: str) -> NDArray[np.bool_]:
        """(runs,), which are of an arm."""
        return np.array([name == arm for name, _, _ in self.labels], dtype=bool)

    def complete(self, arm: str) -> NDArray[np.bool_]:
        """(items,), which have a value in all runs of an arm."""
        return np.array(np.isfinite(self.values[self.rows(arm)]).all(axis=0), dtype=bool)

    def values_of(self, arm: str, kept: NDArray[np.bool_], weighted: bool) -> ArmValues:
        """An arm's values on these items."""
        rows = self.rows(arm)
        draws = tuple(draw for name, draw, _ in self.labels if name == arm)
        values = self.values[rows][:, kept]
        if weighted and kept.any():
            values = _linearised(values, self.shared_weights(kept))
        return ArmValues(arm, draws, values)

    def shared_weights(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(items kept,), their weights, mean 1."""
        weights = self.weights[:, kept]
        if (weights != weights[0]).any():
            raise UsageError("The weights of items differ from run to run.", fix="Compare without weights.")
        if not (weights[0] >= 0).all() or not weights[0].sum() > 0:
            raise UsageError("The weights of items are not all at least 0, or all 0.", fix="Compare without weights.")
        shared: NDArray[np.float64] = weights[0] / weights[0].mean()
        return shared

    def missing(self) -> dict[str, int]:
        """Arm → items without a value, over its runs."""
        lacking = (~np.isfinite(self.values)).sum(axis=1).tolist()
        found: Counter[str] = Counter()
        for (arm, _, _), count in zip(self.labels, lacking, strict=True):
            found[arm] += count
        return dict(sorted(found.items()))

    def means(self) -> list[dict[str, Any]]:
        """Of each run, over the items it has a value for."""
        found = []
        for (arm, draw, seed), values in zip(self.labels, self.values, strict=True):
            kept = values[np.isfinite(values)].tolist()
            found.append(
                {"arm": arm, "draw": draw, "seed": seed, "items": len(kept), "mean": math.fsum(kept) / len(kept) if kept else None}
            )
        return found


def _linearised(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(runs, items) whose plain mean is the weighted mean and whose variance over items is that of the weighted mean, times n."""
    means = (values * weights).mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = means + weights * (values - means)
    return found


def _judged(interval: Interval, scale: Scale, p: float | None, level: float, coarse: float, reason: str | None) -> tuple[Word, str | None]:
    """The word, and why there is not enough data."""
    if reason is not None or p is None:
        return NOT_ENOUGH, reason
    if p < 1 - level:
        return (BETTER if (interval.estimate > 0) == scale.higher_is_better else WORSE), None
    found = interval.detectable_sd
    if found is None:
        return NOT_ENOUGH, "Without a variance over items it cannot be said how small a difference would have been found."
    if found > coarse:
        missed = f"It would miss differences of up to {found:.2g} standard deviations over items; {coarse:g} are asked for."
        return NOT_ENOUGH, missed + _more(interval, coarse)
    return NO_DIFFERENCE, None


def _more(interval: Interval, coarse: float) -> str:
    """What would be enough, as a sentence."""
    needed = interval.needed(coarse)
    if needed is None or interval.spread is None:
        return ""
    ways = [f"{needed.items} items with these runs"] * (needed.items is not None)
    if needed.runs is not None:
        counted = list(dict.fromkeys(side.counted for side in interval.spread.sides))
        ways.append(f"{needed.runs} {' and '.join(counted)} a side with these items")
    return f" That takes {' or '.join(ways)}." if ways else " That takes more items and more runs."


def _runs(found: Interval, side: int) -> str:
    draws, seeds = found.n_draws[side], found.n_seeds[side]
    return f"{draws} draw{'s' * (draws != 1)} with {seeds} run{'s' * (seeds != 1)}"


def _named(label: Label) -> str:
    return f"{label[0]} (draw {label[1]}, seed {label[2]})"


def _scale(grader: str, runs: Collection[Run]) -> Scale:
    found = {(run.grades.unit, run.grades.higher_is_better) for run in runs}
    if len(found) > 1:
        said = ", ".join(f"{unit or 'no unit'} ({'higher' if higher else 'lower'} is better)" for unit, higher in sorted(found))
        raise StudyError(f"{grader} has values of several kinds: {said}.", fix="Grade all models in the same way.")
    judges = {fingerprint(run.grades.record["judge"]) for run in runs if run.grades.record.get("judge")}
    if len(judges) > 1:
        raise StudyError(f"{grader} has the judgments of {len(judges)} judges.", fix="Have one judge judge all models: judges differ.")
    unit, higher = found.pop()
    return Scale(unit, higher, sum(run.grades.truncated for run in runs), _settings(grader, runs))


def _settings(grader: str, runs: Collection[Run]) -> Mapping[str, Any] | None:
    """How all models were graded, where it was written down.

    Raises:
        StudyError: not all of them in the same way: values of two tasks, shots or references are no comparison of models.
    """
    known: dict[str, tuple[Run, Mapping[str, Any]]] = {}
    for run in runs:
        settings = run.grades.record.get("settings")
        if settings:
            known.setdefault(fingerprint(settings), (run, settings))
    if not known:
        return None
    (first, one), *others = known.values()
    for run, other in others:
        differing = list(_differing(one, other))
        raise StudyError(
            f"{grader} graded {first.name} and {run.name} in different ways: {'; '.join(differing[:NAMED])}"
            + (f"; and {len(differing) - NAMED} more." if len(differing) > NAMED else "."),
            fix="Grade all models in the same way.",
        )
    return one


def _differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two settings differ, in words."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            yield from _differing(one.get(key), other.get(key), f"{path} {key}".strip())
    elif one != other:
        yield f"{path} {_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def _items(grader: str, found: Mapping[Label, Run]) -> tuple[str, ...]:
    """The items of a grader, sorted, if all runs were graded on the same ones."""
    sets = {label: frozenset(run.grades.items) for label, run in found.items()}
    # The items most runs have; where as many have others, those of the run that comes first by name.
    counts = Counter(sets.values())
    usual = sets[max(sorted(sets), key=lambda label: counts[sets[label]])]
    other = [label for label in sorted(sets) if sets[label] != usual]
    if other:
        named = ", ".join(_named(label) for label in other[:NAMED]) + (f" and {len(other) - NAMED} more" if len(other) > NAMED else "")
        differing = sorted(sets[other[0]] ^ usual)
        raise StudyError(
            f"{grader} graded {named} on other items than the rest: {', '.join(differing[:NAMED])}"
            + (f" and {len(differing) - NAMED} more." if len(differing) > NAMED else "."),
            fix="Grade all models on the same items; an item without a value has a reason.",
        )
    if not usual:
        raise StudyError(f"{grader} graded no item.", fix="Give it items.")
    return tuple(sorted(usual))


def _frame(label: Label, grades: Grades, items: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    order = sorted(range(len(grades.items)), key=lambda at: grades.items[at])
    reasons = [grades.reasons[at] for at in order] if grades.reasons else [None] * len(order)
    values = [None if reason is not None else value for value, reason in zip(grades.values[order].tolist(), reasons, strict=True)]
    arm, draw, seed = label
    n = len(items)
    return pl.DataFrame(
        {
            "arm": [arm] * n,
            "draw": [draw] * n,
            "seed": [seed] * n,
            "grader": [grades.grader] * n,
            "item": list(items),
            "value": values,
            "weight": grades.weights[order].tolist(),
            "reason": reasons,
        },
        schema={
            "arm": pl.String,
            "draw": pl.Int64,
            "seed": pl.Int64,
            "grader": pl.String,
            "item": pl.String,
            "value": pl.Float64,
            "weight": pl.Float64,
            "reason": pl.String,
        },
    )


def _parquet(path: str | Path) -> Path:
    target = Path(path)
    if target.suffix != ".parquet":
        raise UsageError(f"{target} does not end in .parquet.", fix="Give the file this ending.")
    return target


__all__ = ["TARGETS", "NotWorse", "Run", "Scale", "Verdict", "Verdicts", "Verification", "Word"]
