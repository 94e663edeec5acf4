"""Which of two outputs is better: judges, what they are asked, what they say, and graders made of them."""

from __future__ import annotations

from instructsel.grading.judge.clients import Endpoint, LocalVoice, Reply, Voice
from instructsel.grading.judge.graders import JudgedOutputs, RewardGrader, compare
from instructsel.grading.judge.injection import signs
from instructsel.grading.judge.judgments import (
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
from instructsel.grading.judge.pairwise import CANARIES, PairwiseJudge
from instructsel.grading.judge.prompt import question

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
