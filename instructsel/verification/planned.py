"""The power statement of a verification, made before its first run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Required, TypedDict

import orjson

from instructsel.artifact import atomic_write, dump_json, file_digest, fingerprint
from instructsel.errors import EnvironmentFault, InstructselError, StudyError
from instructsel.experiments.arms import Arm, rows_digest
from instructsel.experiments.plan import SELECTION
from instructsel.kinds import POWER, head
from instructsel.protocols import Grader, Trainer
from instructsel.stats.power import Plan, Power, power
from instructsel.stats.variance import ITEMS, Components
from instructsel.structured import Refusal, read_json
from instructsel.text import counted
from instructsel.verification.shape import PowerRecord
from instructsel.verification.verdict import ComparisonSettings
from instructsel.verification.verification import Verification

PLANNED: Final = "power.json"
"""The statement made before the first run."""
TABLE: Final = "verification.parquet"
"""In the folder of a verification: every grade of every item."""


def table_at(multiple: float) -> str:
    """The table of grades at a further multiple of the learning rate, beside TABLE.

    >>> table_at(0.33)
    'verification.0.33x.parquet'
    """
    return TABLE.replace(".parquet", f".{multiple:g}x.parquet")


class StatementRecord(TypedDict, total=False):
    """The statement on disk."""

    key: str
    power: Required[list[PowerRecord]]


def first_plan(output: Path, power: Sequence[Expected], depends_on: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The statement of power made before the first run: a later call knows more, and must not claim to have known it before.

    Args:
        output: the folder of the verification.
        power: as it would be stated now.
        depends_on: all that the statement depends on.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    path, key = output / PLANNED, fingerprint(dict(depends_on))
    with suppress(StudyError):
        # One that cannot be read is written anew.
        earlier = read_json(path, StatementRecord, Refusal(StudyError))
        if earlier.get("key") == key:
            return list(earlier["power"])
    before = not any((output / "runs").glob("*.json"))
    statement: list[dict[str, Any]] = orjson.loads(dump_json([{**expectation.as_dict(), "before": before} for expectation in power]))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{output} cannot be used: {error.strerror or error}.", fix="Choose another with -o.") from error
    with atomic_write(path) as file:
        file.write(dump_json({**head(POWER), "key": key, "power": statement}, indent=True) + b"\n")
    return statement


def why_no_power(arms: Sequence[Arm], against: str, seeds: int) -> str:
    """Why the detectable difference cannot be computed before the first runs."""
    by_name = {arm.name: arm for arm in arms}
    if by_name[against].fixed:
        return f"{against} is one model as it is"
    single = [name for name in (SELECTION, against) if by_name[name].replicates * _seeds(by_name[name], seeds) == 1]
    if single:
        return f"one run of {' and '.join(single)} says nothing of how much its runs vary"
    return "no grader knows its items before it has graded"


def conditions(
    trainer: Trainer | None, arms: Sequence[Arm], graders: Sequence[Any], more: Sequence[str], pilot: Path | None, **others: Any
) -> dict[str, Any]:
    """All that a statement of power hangs on: arms and their rows, graders, recipe, pilot, seeds and levels."""
    return {
        "arms": {arm.name: [rows_digest(pool.ids) for pool in arm.pools] or arm.replicates for arm in arms},
        "graders": {grader.name: dict(grader.fingerprint) for grader in graders},
        "more": sorted(more),
        "trainer": None if trainer is None else dict(trainer.fingerprint),
        "pilot": None if pilot is None else file_digest(pilot),
        **others,
    }


STANDARD: Final = "standard deviations over items"


ASSUMED: Final = Components(items=0.03, residual=0.02, seeds=0.0001, replicates=0.0001, item_sd=1.0)
"""Where no pilot is at hand, in standard deviations over items: arms differ by 0.17 from item to item, runs by 0.01 on average.

The middle of what our own verdicts on Dolly show (benchmarks/results/verification_dolly_*), selections against random: items up to
0.07 and residual 0.002 to 0.05 (0.25 on a task of which nearly every item is right), seeds and replicates up to 0.00025.
"""


@dataclass(frozen=True)
class Expected:
    """What a verification that is planned would find, by one grader."""

    grader: str
    baseline: str
    power: Power
    unit: str
    """Of the effects: the grader's, or `standard deviations over items` where no pilot says how large these are."""
    assumed: bool
    """Whether the variances are assumed, for want of a pilot."""
    pool_seeds: bool = False
    """Whether the variance between seeds is pooled over all arms, as if all varied alike."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        components = {name: getattr(self.power.components, name) for name in Components.__dataclass_fields__}
        return {
            "grader": self.grader,
            "baseline": self.baseline,
            "unit": self.unit,
            "assumed": self.assumed,
            "pool_seeds": self.pool_seeds,
            "detectable": self.power.detectable,
            "effect": self.power.effect,
            "power": self.power.power,
            "confidence": self.power.confidence,
            "plan": {name: getattr(self.power.plan, name) for name in Plan.__dataclass_fields__},
            "components": components,
        }

    @property
    def sentence(self) -> str:
        """In words."""
        variances = "assumed variances" if self.assumed else "the variances of the pilot"
        variances += ", seeds pooled as if all arms varied alike" if self.pool_seeds else ""
        return (
            f"{self.grader}: against {self.baseline}, the minimum detectable effect is {self.power.detectable:.2g} {self.unit} "
            f"(80 % power, {counted(self.power.plan.items, 'item')}; {variances})."
        )


def expected(
    arms: Sequence[Arm],
    graders: Iterable[Grader],
    *,
    selection: str,
    baseline: str,
    seeds: int,
    more: int = 0,
    pilot: Verification | None = None,
    settings: ComparisonSettings | None = None,
) -> list[Expected]:
    """What the comparison with one baseline would find, before anything is trained; nothing of graders whose items are not known yet.

    Args:
        arms: of the verification.
        graders: of it; the statement is of those with `items` or a `count` of them, and all count among the comparisons.
        selection: the arm asked about.
        baseline: the one it is compared with.
        seeds: of training.
        more: further graders, such as a judge of the responses.
        pilot: an earlier verification with these graders and arms, that says how much items, seeds and replicates vary.
        settings: the family-wise confidence and the estimand.

    Raises:
        MissingExtra: scipy is not installed.
    """
    settings = settings or ComparisonSettings()
    by_name = {arm.name: arm for arm in arms}
    if selection not in by_name or baseline not in by_name or by_name[baseline].fixed:
        return []
    all_graders = list(graders)
    known = [(grader, n) for grader in all_graders if (n := getattr(grader, "count", None) or len(getattr(grader, "items", ()))) > 1]
    count = (len(all_graders) + more) * (len(arms) - 1)

    (replicates, selection_seeds), (others, theirs) = (
        (arm.replicates, _seeds(arm, seeds)) for arm in (by_name[selection], by_name[baseline])
    )
    if settings.generalize_to != ITEMS and 1 in (replicates * selection_seeds, others * theirs):
        # There will be no outcome: nobody can tell how much an arm's runs vary that has one.
        return []
    # Fixed models, and arms of one seed, lend none.
    further = [(arm.replicates, _seeds(arm, seeds)) for arm in arms if arm.name not in (selection, baseline) and not arm.fixed]
    pooled_with = further if settings.pool_seeds else None
    statements = []
    for grader, n in known:
        plan = Plan(items=n, replicates=replicates, seeds=selection_seeds, baseline_replicates=others, baseline_seeds=theirs)
        computed = None
        if pilot is not None and grader.name in pilot.graders:
            with suppress(InstructselError):
                # A pilot without several runs, or without these arms, says nothing of how much they vary.
                computed = _power(plan, pilot.components(selection, baseline, grader.name), settings, count, pooled_with)
                statements.append(
                    Expected(
                        grader.name, baseline, computed, pilot.graders[grader.name].unit, assumed=False, pool_seeds=settings.pool_seeds
                    )
                )
        if computed is None:
            with suppress(InstructselError):
                # One run a side: nobody could tell how much runs vary.
                computed = _power(plan, ASSUMED, settings, count, pooled_with)
                statements.append(Expected(grader.name, baseline, computed, STANDARD, assumed=True, pool_seeds=settings.pool_seeds))
    return statements


def _seeds(arm: Arm, seeds: int) -> int:
    """Models on each subset of an arm: those of the plan, or those that were trained already."""
    return seeds if arm.pools else max(len(models) for models in arm.models or arm.results)


def _power(
    plan: Plan, components: Components, settings: ComparisonSettings, count: int, pooled_with: Sequence[tuple[int, int]] | None
) -> Power:
    """Of an effect of a tenth of a standard deviation, at the confidence that covers so many comparisons."""
    return power(
        plan,
        components,
        effect=0.1 * (components.item_sd or 1.0),
        confidence=1 - (1 - settings.confidence) / count,
        generalize_to=settings.generalize_to,
        pooled_with=pooled_with,
    )
