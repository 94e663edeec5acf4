"""Which of two outputs is better: judges, what they are asked, what they say, and graders made of them."""

from __future__ import annotations

from instructsel.adapters.judge.attacks import signs
from instructsel.adapters.judge.graders import JudgedOutputs, RewardGrader, compare
from instructsel.adapters.judge.judgments import (
    CIRCULAR,
    IDENTICAL,
    SUSPICIOUS,
    SWAP_DISAGREES,
    TIE,
    Judge,
    Judgment,
    Judgments,
    Pair,
    name_of,
)
from instructsel.adapters.judge.pairwise import CANARIES, PairwiseJudge
from instructsel.adapters.judge.prompt import question
from instructsel.adapters.judge.voices import Endpoint, LocalVoice, Reply, Voice

__all__ = [
    "CANARIES",
    "CIRCULAR",
    "IDENTICAL",
    "SUSPICIOUS",
    "SWAP_DISAGREES",
    "TIE",
    "Endpoint",
    "Judge",
    "JudgedOutputs",
    "Judgment",
    "Judgments",
    "LocalVoice",
    "Pair",
    "PairwiseJudge",
    "Reply",
    "RewardGrader",
    "Voice",
    "compare",
    "name_of",
    "question",
    "signs",
]
