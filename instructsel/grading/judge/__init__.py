"""Which of two outputs is better: judges, what they are asked, what they say, and graders made of them."""

from __future__ import annotations

from instructsel.grading.judge.clients import HttpJudgeClient, JudgeClient, LocalJudgeClient, Reply
from instructsel.grading.judge.compare import compare
from instructsel.grading.judge.injection import find_injection_patterns
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
from instructsel.grading.judge.pairwise import ATTENTION_CHECKS, PairwiseJudge
from instructsel.grading.judge.prompt import question

__all__ = [
    "ATTENTION_CHECKS",
    "CIRCULAR",
    "IDENTICAL",
    "SUSPICIOUS",
    "SWAP_DISAGREES",
    "TIE",
    "HttpJudgeClient",
    "Judge",
    "JudgeClient",
    "Judgment",
    "Judgments",
    "LocalJudgeClient",
    "Pair",
    "PairwiseJudge",
    "Reply",
    "compare",
    "find_injection_patterns",
    "name_of",
    "question",
]
