"""Judgments of two models' outputs, joined on the instructions."""

from __future__ import annotations

from collections.abc import Sequence

from instructsel.grading.judge.judgments import Judge, Judgment, Judgments, Pair
from instructsel.grading.outputs import Outputs, distinct


def paired(instructions: Sequence[str], reference: Outputs, outputs: Outputs) -> tuple[list[Pair], dict[str, str]]:
    """The pairs of a set of instructions, joined on their texts, and why an instruction has none.

    Raises:
        PoolError: an instruction stands twice.
    """
    distinct(instructions, "The set of instructions")
    pairs: list[Pair] = []
    missing: dict[str, str] = {}
    for instruction in instructions:
        output, reason = outputs.of(instruction)
        other, _ = reference.of(instruction)
        if output is None:
            missing[instruction] = reason or "no_output"
        elif other is None:
            missing[instruction] = "no_reference"
        else:
            pairs.append(Pair(instruction, other, output))
    return pairs, missing


def compare(judge: Judge, outputs: Outputs, reference: Outputs, *, instructions: Sequence[str] | None = None) -> Judgments:
    """A judgment for every instruction of a set: outputs and references joined on its text, a missing one named with its reason.

    Args:
        judge: PairwiseJudge, AlpacaEval, or another.
        outputs: of the model.
        reference: of another model; for a selection, those of the random arm.
        instructions: the set; by default the reference's.

    Raises:
        PoolError: an instruction stands twice.
    """
    instructions = tuple(reference.instructions if instructions is None else instructions)
    pairs, missing = paired(instructions, reference, outputs)
    judgments = judge.judge(pairs)
    judged = {row.instruction: row for row in judgments.rows}
    rows = tuple(judged.get(instruction) or Judgment(instruction, None, missing[instruction]) for instruction in instructions)
    return Judgments(
        judgments.judge,
        rows,
        {
            **judgments.record,
            "generator": outputs.generator,
            "reference": reference.generator,
            "instructions": len(instructions),
            "unasked": len({*outputs.instructions} - {*instructions}),
        },
    )


__all__ = ["compare", "paired"]
