"""A judge, or a reward model, as a grader of what a checkpoint answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.grading.generation import Generator, Instructed, Outputs, distinct
from instructsel.grading.judge.judgments import CIRCULAR, Judge, Judgment, Judgments, Pair
from instructsel.models import runner
from instructsel.models.load import LocalModel, locate, settings
from instructsel.models.reward import RewardModel
from instructsel.protocols import Checkpoint, Grades


def paired(instructions: Sequence[str], reference: Outputs, outputs: Outputs) -> tuple[list[Pair], dict[str, str]]:
    """The pairs of a set of instructions, joined on their texts, and why an instruction has none.

    Raises:
        PoolError: an instruction stands twice.
    """
    distinct(instructions, "The set of instructions")
    pairs: list[Pair] = []
    missing: dict[str, str] = {}
    for instruction in instructions:
        output, why = outputs.of(instruction)
        other, _ = reference.of(instruction)
        if output is None:
            missing[instruction] = why or "no_output"
        elif other is None:
            missing[instruction] = "no_reference"
        else:
            pairs.append(Pair(instruction, other, output))
    return pairs, missing


def compare(judge: Judge, outputs: Outputs, reference: Outputs, *, instructions: Sequence[str] | None = None) -> Judgments:
    """A judgment for every instruction of a set: outputs and references joined on its text, what lacks one named with the reason.

    Args:
        judge: PairwiseJudge, AlpacaEval, or another.
        outputs: of the model.
        reference: of another model; for a selection, those of the random arm.
        instructions: the set; by default the reference's.

    Raises:
        PoolError: an instruction stands twice.
    """
    asked = tuple(reference.instructions if instructions is None else instructions)
    pairs, missing = paired(asked, reference, outputs)
    found = judge.judge(pairs)
    said = {row.instruction: row for row in found.rows}
    rows = tuple(said[one] if one in said else Judgment(one, None, missing[one]) for one in asked)
    unasked = sorted({*outputs.instructions} - {*asked})
    return Judgments(
        found.judge,
        rows,
        {
            **found.record,
            "generator": outputs.generator,
            "reference": reference.generator,
            "instructions": len(asked),
            "unasked": len(unasked),
        },
    )


@dataclass(frozen=True, eq=False)
class JudgedOutputs(Instructed):
    """A grader: how often a judge prefers a checkpoint's output to the reference's, instruction by instruction.

    A value is the preference less 1, in [0, 1]: 1 the checkpoint's output, 0 the reference's, 0.5 a tie. Items are digests of the
    instructions. The record counts what was cut, what has no value, disagreements and suspicious outputs, and has the lengths of
    both outputs in characters, item by item, for length control. A judge whose weights also ranked the arm is circular, and the
    record says so.
    """

    reference: Outputs = field(repr=False)
    """The reference's outputs; for a selection, those of the random arm."""
    judge: Judge
    generator: Generator = field(default_factory=Generator)
    name: str = field(default="judged_outputs", kw_only=True)
    """What the grades are called."""
    ranked_with: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Digests of the models that ranked the arms."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Instructions, references, judge and generator; no path."""
        return {
            "kind": "judged_outputs",
            "items": fingerprint(list(self.items)),
            "n": len(self.items),
            "reference": self.reference.digest,
            "judge": dict(self.judge.fingerprint),
            "generator": self.generator.fingerprint,
        }

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """What the judge prefers. The checkpoint is loaded, answers, and is freed before the judge is asked.

        Raises:
            MissingExtra, ModelUnavailable, ModelRefused, UntrustedModel: see `Generator.outputs` and the judge.
        """
        return self.graded(self.generator.outputs(checkpoint, self.instructions))

    def graded(self, outputs: Outputs) -> Grades:
        """What the judge prefers, for outputs that are there already."""
        found = compare(self.judge, outputs, self.reference, instructions=self.instructions)
        values = np.array([0.0 if row.preference is None else row.preference - 1.0 for row in found.rows])
        reasons = tuple(row.reason for row in found.rows)
        return Grades(
            self.name,
            self.items,
            values,
            np.ones(len(values)),
            reasons if any(reasons) else (),
            unit="preference",
            higher_is_better=True,
            truncated=int(outputs.record.get("cut", 0)),
            record={
                "judge": dict(found.judge),
                "settings": {
                    "judge": dict(found.judge),
                    "reference": {"generator": self.reference.generator, "digest": self.reference.digest},
                },
                "models": sorted(self.judge.digests),
                "judged": dict(found.record),
                "generated": dict(outputs.record),
                "nulls": found.nulls,
                "flags": found.flags,
                "lengths": {
                    side: [None if (text := which.of(one)[0]) is None else len(text) for one in self.instructions]
                    for side, which in (("output", outputs), ("reference", self.reference))
                },
                CIRCULAR: bool(self.judge.digests & self.ranked_with),
            },
        )


@dataclass(frozen=True, eq=False)
class RewardGrader(Instructed):
    """A grader: the raw logit that a reward model gives a checkpoint's output, instruction by instruction.

    An output of nothing but white space has no value (empty_output). A reward model that also ranked the arm finds what it was
    told to look for: that is circular, and the record says so.
    """

    reward: str
    """A local folder or a hub id."""
    generator: Generator = field(default_factory=Generator)
    revision: str | None = field(default=None, kw_only=True)
    name: str = field(default="reward", kw_only=True)
    """What the grades are called."""
    probe: bool = field(default=True, kw_only=True)
    """Whether the model must pass the sanity probe first."""
    ranked_with: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Digests of the models that ranked the arms."""

    @cached_property
    def source(self) -> LocalModel:
        """The reward model's files.

        Raises:
            ModelUnavailable: they are neither here nor to be had.
            UntrustedModel: only pickled weights.
        """
        return locate(self.reward, revision=self.revision, needed_by=self.name)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Instructions, reward model and generator; no path."""
        precision, device = settings(self.generator.precision, self.generator.device)
        return {
            "kind": "reward",
            "items": fingerprint(list(self.items)),
            "n": len(self.items),
            "model": {
                "name": self.source.name,
                "revision": self.source.revision,
                "digest": self.source.digest,
                "settings": self.source.settings,
                "precision": precision,
                "device": device,
                "probe": self.probe,
            },
            "generator": self.generator.fingerprint,
        }

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """The reward of each output. The checkpoint is loaded, answers, and is freed before the reward model is.

        Raises:
            MissingExtra, ModelUnavailable, ModelRefused, UntrustedModel: see `Generator.outputs` and `RewardModel.load`.
        """
        return self.graded(self.generator.outputs(checkpoint, self.instructions))

    def graded(self, outputs: Outputs) -> Grades:
        """The reward of each, for outputs that are there already."""
        texts, reasons = list[str](), list[str | None]()
        for instruction in self.instructions:
            text, why = outputs.of(instruction)
            texts.append(text or "")
            reasons.append(None if text and text.strip() else why or ("no_output" if text is None else "empty_output"))
        put = [place for place, reason in enumerate(reasons) if reason is None]
        try:
            model = RewardModel.load(
                self.reward,
                revision=self.revision,
                precision=self.generator.precision,
                device=self.generator.device,
                probe=self.probe,
            )
            answers = model.score([[("user", self.instructions[place]), ("assistant", texts[place])] for place in put])
        finally:
            runner.free_memory()
        values = np.zeros(len(reasons))
        for at, place in enumerate(put):
            reasons[place] = answers.reasons[at]
            values[place] = answers.values[at] if reasons[place] is None else 0.0
        return Grades(
            self.name,
            self.items,
            values,
            np.ones(len(values)),
            tuple(reasons) if any(reasons) else (),
            unit="logit",
            higher_is_better=True,
            truncated=int(outputs.record.get("cut", 0)) + int(answers.truncated.sum()),
            record={
                "reward": model.fingerprint,
                "settings": {"reward": model.fingerprint},
                "models": [model.source.digest],
                "generated": dict(outputs.record),
                "nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items())),
                CIRCULAR: model.source.digest in self.ranked_with,
            },
        )
