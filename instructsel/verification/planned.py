"""The power statement of a verification, made before its first run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import atomic_write, dump_json, file_digest, fingerprint
from instructsel.errors import EnvironmentFault, InstructselError
from instructsel.experiments.arms import Arm, rows_digest
from instructsel.experiments.plan import SELECTION
from instructsel.protocols import Grader, Trainer
from instructsel.stats.power import Plan, Power, power
from instructsel.stats.variance import BOTH, CONFIDENCE, Components, Estimand
from instructsel.verification.verification import Verification

PLANNED: Final = "power.json"
"""The statement made before the first run."""
TABLE: Final = "verification.parquet"
"""In the folder of a verification: every grade of every item."""


def first_plan(output: Path, power: Sequence[Expected], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of a comparison before its first run: a later call knows more, and must not claim to have known it before.

    Args:
        output: the folder of the verification.
        power: as it would be said now.
        asked: all that the statement hangs on.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    path, key = output / PLANNED, fingerprint(dict(asked))
    with suppress(OSError, orjson.JSONDecodeError, AttributeError):
        kept = orjson.loads(path.read_bytes())
        if kept.get("key") == key and isinstance(kept.get("power"), list):
            return list(kept["power"])
    before = not any((output / "runs").glob("*.json"))
    told: list[dict[str, Any]] = orjson.loads(dump_json([{**each.as_dict(), "before": before} for each in power]))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{output} cannot be used: {error.strerror or error}.", fix="Choose another with -o.") from error
    with atomic_write(path) as file:
        file.write(dump_json({"key": key, "power": told}, indent=True) + b"\n")
    return told


def why_no_power(arms: Sequence[Arm], against: str, seeds: int) -> str:
    """Why the detectable difference cannot be computed before the first runs."""
    by_name = {arm.name: arm for arm in arms}
    if by_name[against].fixed:
        return f"{against} is one model as it is"
    if seeds == 1 and all(by_name[name].replicates == 1 for name in (SELECTION, against)):
        return "one run an arm says nothing of how much runs vary"
    return "no grader knows its items before it has graded"


def asked_of(
    trainer: Trainer | None, arms: Sequence[Arm], graders: Sequence[Any], more: Sequence[str], pilot: Path | None, **others: Any
) -> dict[str, Any]:
    """All that a statement of power hangs on: arms and their rows, graders, recipe, pilot, seeds and levels."""
    return {
        "arms": {each.name: [rows_digest(pool.ids) for pool in each.pools] or each.replicates for each in arms},
        "graders": {each.name: dict(each.fingerprint) for each in graders},
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
    found: Power
    unit: str
    """Of the effects: the grader's, or `standard deviations over items` where no pilot says how large these are."""
    assumed: bool
    """Whether the variances are assumed, for want of a pilot."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        components = {name: getattr(self.found.components, name) for name in Components.__dataclass_fields__}
        return {
            "grader": self.grader,
            "baseline": self.baseline,
            "unit": self.unit,
            "assumed": self.assumed,
            "detectable": self.found.detectable,
            "effect": self.found.effect,
            "power": self.found.power,
            "confidence": self.found.confidence,
            "plan": {name: getattr(self.found.plan, name) for name in Plan.__dataclass_fields__},
            "components": components,
        }

    @property
    def sentence(self) -> str:
        """In words."""
        of = "assumed variances" if self.assumed else "the variances of the pilot"
        return (
            f"{self.grader}: against {self.baseline}, a difference of {self.found.detectable:.2g} {self.unit} would be found four times in "
            f"five ({self.found.plan.items} items; {of})."
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
    confidence: float = CONFIDENCE,
    generalize_to: Estimand = BOTH,
) -> list[Expected]:
    """What the comparison with one baseline would find, before anything is trained; nothing of graders whose items are not known yet.

    Args:
        arms: of the verification.
        graders: of it; what is said is of those with `items` or a `count` of them, and all count among the comparisons.
        selection: the arm asked about.
        baseline: the one it is compared with.
        seeds: of training.
        more: graders beside these, such as a judge of the answers.
        pilot: an earlier verification with these graders and arms, that says how much items, seeds and replicates vary.
        confidence: of all comparisons together.
        generalize_to: as of `compare`.

    Raises:
        MissingExtra: scipy is not installed.
    """
    by_name = {arm.name: arm for arm in arms}
    if selection not in by_name or baseline not in by_name or by_name[baseline].fixed:
        return []
    asked = list(graders)
    known = [(grader, n) for grader in asked if (n := getattr(grader, "count", None) or len(getattr(grader, "items", ()))) > 1]
    count = (len(asked) + more) * (len(arms) - 1)

    def shape(arm: Arm) -> tuple[int, int]:
        return arm.replicates, seeds if arm.pools else max(len(each) for each in arm.models or arm.results)

    (replicates, own), (others, theirs) = shape(by_name[selection]), shape(by_name[baseline])
    found = []
    for grader, n in known:
        plan = Plan(items=n, replicates=replicates, seeds=own, baseline_replicates=others, baseline_seeds=theirs)
        told = None
        if pilot is not None and grader.name in pilot.graders:
            with suppress(InstructselError):
                # A pilot without several runs, or without these arms, says nothing of how much they vary.
                told = _power(plan, pilot.components(selection, baseline, grader.name), confidence, count, generalize_to)
                found.append(Expected(grader.name, baseline, told, pilot.graders[grader.name].unit, assumed=False))
        if told is None:
            with suppress(InstructselError):
                # One run a side: nobody could tell how much runs vary.
                found.append(
                    Expected(grader.name, baseline, _power(plan, ASSUMED, confidence, count, generalize_to), STANDARD, assumed=True)
                )
    return found


def _power(plan: Plan, components: Components, confidence: float, count: int, generalize_to: Estimand) -> Power:
    """Of an effect of a tenth of a standard deviation, at the confidence that covers so many comparisons."""
    return power(
        plan, components, effect=0.1 * (components.item_sd or 1.0), confidence=1 - (1 - confidence) / count, generalize_to=generalize_to
    )
