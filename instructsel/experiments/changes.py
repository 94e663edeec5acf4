"""What a plan changes of the one whose results are in a folder: results of another plan are not replaced without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from instructsel.experiments.plan import SAME_TASKS, Experiment, GradingSettings

HELD_OUT: Final = "held-out "
"""What digests of held-out rows are called, before their number."""
DEPENDENT: Final[Mapping[str, tuple[str, ...]]] = {
    "lm_eval": ("num_fewshot", "chat_template", "items"),
    "gold_bits": ("num_fewshot", "chat_template", "items"),
    "instructions": ("max_new_tokens",),
    "judge": ("judge_revision", "judge_url"),
    "annotator": ("judge_revision",),
}
"""Setting of what grades → settings that its values depend on."""


def replaced(earlier: Experiment, plan: Experiment) -> list[str]:
    """What of the earlier plan would be gone: another training, arm, grader or rows, or fewer of them.

    Args:
        earlier: the plan in the folder, with paths that hold from everywhere, as of the other.
        plan: the one to be run; rows are compared where it has digests.

    >>> from instructsel.experiments.plan import PlannedArm
    >>> arms = PlannedArm("selection", results=(("a",),)), PlannedArm("random", results=(("b",),))
    >>> replaced(Experiment(arms, seeds=2), Experiment(arms, seeds=1)), replaced(Experiment(arms, seeds=2), Experiment(arms, seeds=3))
    (['seeds 2 → 1'], [])
    """
    changes = [f"seeds {earlier.seeds} → {plan.seeds}"] if plan.seeds < earlier.seeds else []
    if earlier.trains:
        rates = _rates(earlier), _rates(plan)
        # The first is what the table is of; others may be added behind it.
        if not _begins(*rates):
            changes.append(_change("learning_rates", *rates))
        before, after = _training(earlier), _training(plan)
        changes += [_change(key, before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)]
    by_name = {arm.name: arm for arm in plan.arms}
    for arm in earlier.arms:
        other = by_name.get(arm.name)
        if other is None:
            changes.append(f"no arm {arm.name}")
        elif any(not _begins(getattr(arm, kind), getattr(other, kind)) for kind in ("checkpoints", "results")):
            changes.append(f"other models or results of the arm {arm.name}")
    return changes + _graders(earlier, plan) + (_rows(earlier.digests, plan.digests) if plan.digests else [])


def added(earlier: Experiment, plan: Experiment) -> list[str]:
    """What a plan has more than the earlier one, and which statistics differ."""
    changes = [f"seeds {earlier.seeds} → {plan.seeds}"] if plan.seeds > earlier.seeds else []
    if len(_rates(plan)) > len(_rates(earlier)):
        changes.append(_change("learning_rates", _rates(earlier), _rates(plan)))
    names = {arm.name for arm in earlier.arms}
    changes += [f"arm {arm.name} added" for arm in plan.arms if arm.name not in names]
    before, after = _replicates(earlier.digests), _replicates(plan.digests)
    changes += [f"replicates of {name} {count} → {after[name]}" for name, count in before.items() if after.get(name, 0) > count]
    if len(plan.grading.held_out) > len(earlier.grading.held_out):
        changes.append(f"held-out files {len(earlier.grading.held_out)} → {len(plan.grading.held_out)}")
    for settings, others in ((earlier.grading, plan.grading), (earlier.statistics, plan.statistics)):
        names_of = [field.name for field in fields(settings) if field.name != "held_out"]
        changes += [
            _change(name, getattr(settings, name), getattr(others, name))
            for name in names_of
            if getattr(settings, name) != getattr(others, name)
        ]
    return changes


def _training(plan: Experiment) -> dict[str, Any]:
    """Settings of training by name, those of the recipe among them; the device and the tracker change no plan."""
    settings = {field.name: getattr(plan.training, field.name) for field in fields(plan.training)}
    recipe = settings.pop("recipe")
    for name in ("device", "learning_rates", "report_to", "project"):
        del settings[name]
    return {**settings, **recipe}


def _rates(plan: Experiment) -> tuple[float, ...]:
    """The multiples of the learning rate; the recipe's own alone where none is named."""
    return plan.training.learning_rates or (1.0,)


def _graders(earlier: Experiment, plan: Experiment) -> list[str]:
    before, after = earlier.grading, plan.grading
    changes = []
    if not _tasks(before.lm_eval) <= _tasks(after.lm_eval):
        changes.append(_change("lm_eval", before.lm_eval, after.lm_eval))
    if not _gold(before) <= _gold(after):
        changes.append(_change("gold_bits", before.gold_bits, after.gold_bits))
    names = ["instructions", "judge", "annotator", "reward"]
    changes += [
        _change(name, value, getattr(after, name))
        for name in names
        if (value := getattr(before, name)) is not None and value != getattr(after, name)
    ]
    dependent = [name for grader, others in DEPENDENT.items() if getattr(before, grader) for name in others]
    changes += [
        _change(name, getattr(before, name), getattr(after, name))
        for name in dict.fromkeys(dependent)
        if getattr(before, name) != getattr(after, name)
    ]
    return changes


def _gold(grading: GradingSettings) -> set[str]:
    return _tasks(grading.lm_eval if grading.gold_bits == SAME_TASKS else grading.gold_bits)


def _tasks(text: str | None) -> set[str]:
    return {task.strip() for task in (text or "").split(",") if task.strip()}


def _rows(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Whose rows differ; held-out files are compared by their rows, in any order."""
    held_out = [{digest for name, digest in digests.items() if name.startswith(HELD_OUT)} for digests in (before, after)]
    arms = [name for name, digest in before.items() if not name.startswith(HELD_OUT) and after.get(name) != digest]
    names = list(dict.fromkeys(name.rpartition(" ")[0] or name for name in arms))
    return [f"other rows of {name}" for name in names] + ["other held-out rows"] * (not held_out[0] <= held_out[1])


def _replicates(digests: Mapping[str, str]) -> dict[str, int]:
    """Arm → how many replicates have rows."""
    counts: dict[str, int] = {}
    for name in digests:
        arm, _, number = name.rpartition(" ")
        if arm and number.isdigit() and not name.startswith(HELD_OUT):
            counts[arm] = counts.get(arm, 0) + 1
    return counts


def _begins(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether all replicates of before are the first of after."""
    return after[: len(before)] == before


def _change(name: str, before: Any, after: Any) -> str:
    texts = [
        "none" if value is None or value == "" else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for value in (before, after)
    ]
    return f"{name.replace('_', ' ')} {texts[0] or 'none'} → {texts[1] or 'none'}"


def listed(changes: Iterable[str], most: int = 4) -> str:
    """Changes as one phrase, the first of them.

    >>> listed(["seeds 2 → 3", "arm longest added"])
    'seeds 2 → 3, arm longest added'
    """
    items = list(changes)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


__all__ = ["added", "listed", "replaced"]
