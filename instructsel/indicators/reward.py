"""Rew: what a reward model says of the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final

from instructsel.errors import UsageError
from instructsel.indicators.base import Batch, ModelIndicator, null_on_empty
from instructsel.models.answers import Question
from instructsel.models.reward import RewardModel, structured
from instructsel.pool.example import Example
from instructsel.pool.message import Message

DEFAULT: Final = "OpenAssistant/reward-model-deberta-v3-large-v2"
"""What the public re-implementations of Eq. 4 use; the paper does not name its model."""
TURNS: Final = ("last", "mean", "min")


@cache
def _model(name: str, revision: str | None, precision: str, device: str, probe: bool) -> RewardModel:
    return RewardModel.load(name, revision=revision, precision=precision, device=device, probe=probe)


@dataclass(frozen=True)
class Reward(ModelIndicator):
    """The raw logit of a sequence-classification reward model for the last answer, given all turns before it.

    Never a sigmoid, never a default. Before a run the model must rank known good answers above known bad ones. In a
    conversation of several turns `turns` says which answers are scored: the last one (the default, and what the paper's
    single-turn pairs amount to), or every non-empty one, each given the turns before it and none after, as their mean or their
    minimum. Over-long conversations are cut (the history first, from the left) and counted. Null: empty_response, not_finite,
    out_of_memory, unsupported_language (more than 30 % unknown tokens). A chat template is given calls, results and tools as it takes
    them, reasoning where it is read; other layouts their text.

    Source: Cao et al. 2023, arXiv:2307.06290v1, Table 1. Assumed: the model.
    """

    model: str = DEFAULT
    """A local folder or a hub id."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    probe: bool = True
    """Whether the model must pass the sanity probe first; without it, the score table says so."""
    turns: str = "last"
    """last, mean or min: which answers of a conversation are scored, and how they become one number."""

    symbol_pattern: ClassVar[str] = "rew"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "logit"
    direction: ClassVar[str] = "higher is better"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, Rew"

    def __post_init__(self) -> None:
        if self.turns not in TURNS:
            raise UsageError.named(self.turns, TURNS, noun="policy for turns")

    @property
    def symbol(self) -> str:
        """rew."""
        return "rew"

    def loaded(self) -> RewardModel:
        """The model, loaded and probed once."""
        return _model(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """The conversations up to the answers that are scored, as role, text, role, text, …"""
        return [reason or self._asked(example) for reason, example in zip(null_on_empty(batch), batch.examples, strict=True)]

    def _asked(self, example: Example) -> tuple[Question, ...]:
        last = example.last_answer
        turns = example.messages[: last + 1]
        scored = (
            [last] if self.turns == "last" else [n for n, turn in enumerate(turns) if turn.is_trained and example.text_of(turn).strip()]
        )
        roles = [_role(turn, example, is_first=not number) for number, turn in enumerate(turns)]
        texts = [example.text_of(turn) for turn in turns]
        return tuple(tuple(part for pair in zip(roles[: n + 1], texts, strict=False) for part in pair) for n in scored)

    def finish(self, answers: Sequence[float]) -> float:
        """The last answer's logit, or the mean or minimum over all answers."""
        return math.fsum(answers) / len(answers) if self.turns == "mean" else min(answers)

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """Where its model was not to be had: how to fetch it, and how to do without."""
        missing = (
            f"{symbol} is null (model_unavailable): no reward model is on this machine. With one: instructsel score POOL --reward "
            f"{DEFAULT} (fetch it with: hf download {DEFAULT}). Without: instructsel select --rule eq4-without-reward"
        )
        # What the base class says of a missing model is said better here.
        lines = super().warnings(symbol, {reason: n for reason, n in nulls.items() if reason != "model_unavailable"}, entry)
        return [*([missing] if nulls.get("model_unavailable") else []), *lines]


def _role(turn: Message, example: Example, *, is_first: bool) -> str:
    """The role of a turn, or its structure where it has one; conversations of role and text alone keep their keys in the cache."""
    value = turn.as_dict()
    if not example.with_reasoning:
        value.pop("reasoning_content", None)
    tools = None if example.tools is None or not is_first else example.tools.value
    tools = [tools] if isinstance(tools, dict) else tools if isinstance(tools, list) else None
    return turn.role if len(value) == 2 and not tools else structured(value, tools)
