"""Pairs of responses to the same prompt, for people to judge: open-instruct's files of comparisons, and outputs of several models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

from instructsel.artifact import fingerprint
from instructsel.errors import PoolError, UsageError
from instructsel.grading.outputs import Outputs, digest_of
from instructsel.structured import BOM, Refusal, parse_json, read_bytes
from instructsel.text import encodable, excerpt

FORM: Final = 'Give JSON lines of {"id": …, "prompt": …, "completions": [{"model": …, "completion": …}, …]}.'
REFUSAL: Final = Refusal(PoolError, FORM)
LONGEST_NAME: Final = 200
LONGEST_ID: Final = 1_000
PEEKED: Final = 64 << 10


class CompletionRow(TypedDict):
    """A model's response."""

    model: str
    completion: str


class ComparisonRow(TypedDict):
    """A line of a file of comparisons."""

    id: NotRequired[Any]
    prompt: str
    completions: list[CompletionRow]


@dataclass(frozen=True)
class Comparison:
    """Two responses to one prompt."""

    instance_id: str
    prompt: str
    model_a: str
    model_b: str
    completion_a: str
    completion_b: str
    index: int = 0
    """Its place among the pairs of all files, from 0."""

    @cached_property
    def digest(self) -> str:
        """Of prompt, models and responses, whichever of them is called A."""
        sides = sorted([[self.model_a, digest_of(self.completion_a)], [self.model_b, digest_of(self.completion_b)]])
        return fingerprint([self.instance_id, digest_of(self.prompt), sides])


def is_comparisons(path: str | Path) -> bool:
    """Whether a file's first line is one of a file of comparisons."""
    try:
        with open(path, "rb") as file:
            head = file.read(PEEKED)
    except (OSError, ValueError):
        return False
    first = next((line for line in head.removeprefix(BOM).splitlines() if line.strip()), b"")
    return first.lstrip().startswith(b"{") and b'"completions"' in first


def read_comparisons(path: str | Path) -> list[Comparison]:
    """The pairs of a file of comparisons, in its order; of more than two responses on a line, every two.

    Raises:
        PoolError: it cannot be read, or a line is not of the form; the line is named.
    """
    pairs: list[Comparison] = []
    for number, line in enumerate(read_bytes(path, REFUSAL).removeprefix(BOM).split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number:,}"
        row = parse_json(line, ComparisonRow, where, REFUSAL)
        pairs += _pairs_of(row, where)
    if not pairs:
        raise PoolError(f"{path} has no comparison.", fix=FORM)
    return pairs


def compare_outputs(models: Sequence[Outputs], *, reference: str | None = None) -> list[Comparison]:
    """The outputs of models to the same instructions, in pairs.

    Args:
        models: of different names.
        reference: the model that every other one is compared with; every two by default.

    Raises:
        UsageError: fewer than two models, one name twice, or a reference that is none of them.
        PoolError: no instruction that two of them responded to.
    """
    names = [model.generator for model in models]
    if len(models) < 2 or len(set(names)) < len(names):
        raise UsageError(
            f"Outputs of two or more models are compared; found {', '.join(names) or 'none'}.",
            fix="Give a file to each, with a generator of its own.",
        )
    if reference is not None and reference not in names:
        raise UsageError.named(reference, names, noun="model")
    pairs: list[Comparison] = []
    for one, other in itertools.combinations(models, 2):
        if reference is not None and reference not in (one.generator, other.generator):
            continue
        for instruction in one.instructions:
            first, second = one.of(instruction)[0], other.of(instruction)[0]
            if first is not None and second is not None:
                where = f"The instruction {excerpt(instruction, 40)!r}"
                row: ComparisonRow = {
                    "id": digest_of(instruction),
                    "prompt": instruction,
                    "completions": [{"model": one.generator, "completion": first}, {"model": other.generator, "completion": second}],
                }
                pairs += _pairs_of(row, where)
    if not pairs:
        raise PoolError("No two models responded to the same instruction.", fix="Generate responses of all to the same instructions.")
    return pairs


def numbered(pairs: Sequence[Comparison]) -> tuple[list[Comparison], int]:
    """The pairs with their places, without those that stand there twice, and how many these were."""
    distinct = {pair.digest: pair for pair in reversed(pairs)}
    unique = [pair for pair in pairs if distinct.pop(pair.digest, None) is not None]
    return [_at(index, pair) for index, pair in enumerate(unique)], len(pairs) - len(unique)


def _at(index: int, pair: Comparison) -> Comparison:
    return Comparison(pair.instance_id, pair.prompt, pair.model_a, pair.model_b, pair.completion_a, pair.completion_b, index)


def _pairs_of(row: ComparisonRow, where: str) -> Iterator[Comparison]:
    """The pairs of one line.

    Raises:
        PoolError: fewer than two responses, a model twice, or a text that cannot be.
    """
    responses = row["completions"]
    names = [response["model"].strip() for response in responses]
    identity = row.get("id")
    instance = digest_of(row["prompt"]) if identity is None else str(identity)
    reason = ""
    if len(responses) < 2 or len(set(names)) < len(names):
        reason = f"a comparison has responses of two or more models; found {', '.join(excerpt(name, 40) for name in names[:4]) or 'none'}"
    elif not all(0 < len(name) <= LONGEST_NAME for name in names):
        reason = f"the name of a model has 1 to {LONGEST_NAME} characters"
    elif isinstance(identity, bool | dict | list | float) or not 0 < len(instance) <= LONGEST_ID:
        reason = f"id is a text of at most {LONGEST_ID:,} characters, or a whole number"
    elif not all(map(encodable, [row["prompt"], instance, *names, *(response["completion"] for response in responses)])):
        reason = "a text has half of a surrogate pair, which no UTF-8 has"
    if reason:
        raise REFUSAL.of(where, reason)
    for one, other in itertools.combinations(range(len(responses)), 2):
        yield Comparison(instance, row["prompt"], names[one], names[other], responses[one]["completion"], responses[other]["completion"])


__all__ = ["Comparison", "compare_outputs", "is_comparisons", "numbered", "read_comparisons"]
