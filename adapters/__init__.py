"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructsel.adapters.alpaca_eval.files import read_annotations, read_outputs, write_annotations, write_outputs
    from instructsel.adapters.alpaca_eval.judge import AlpacaEval
    from instructsel.adapters.lm_eval.code_tests import CodeTests
    from instructsel.adapters.lm_eval.gold import GoldBits
    from instructsel.adapters.lm_eval.grader import LmEval
    from instructsel.adapters.lm_eval.own_task import Generation, MultipleChoice, write_task
    from instructsel.adapters.lm_eval.released_files import write_released
    from instructsel.adapters.lm_eval.results import read_results
    from instructsel.adapters.lm_eval.suites import SUITES
    from instructsel.adapters.recipes import Recipe, recipe
    from instructsel.adapters.rows import chat_tokenizer, to_trl
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.checkpoint import checkpoint_of
    from instructsel.grading.generation import Generator
    from instructsel.grading.graders.held_out_loss import HeldOutLoss
    from instructsel.grading.graders.judged_outputs import JudgedOutputs
    from instructsel.grading.graders.responses import Responses
    from instructsel.grading.graders.reward import RewardGrader
    from instructsel.grading.graders.toxic_responses import ToxicResponses
    from instructsel.grading.graders.truthful_responses import TruthfulResponses
    from instructsel.grading.judge import HttpJudgeClient, LocalJudgeClient, PairwiseJudge
    from instructsel.grading.outputs import Outputs, rotating_reference

__all__ = [
    "SUITES",
    "AlpacaEval",
    "CodeTests",
    "Generation",
    "Generator",
    "GoldBits",
    "HeldOutLoss",
    "HttpJudgeClient",
    "JudgedOutputs",
    "LmEval",
    "LocalJudgeClient",
    "MultipleChoice",
    "Outputs",
    "PairwiseJudge",
    "Recipe",
    "Responses",
    "RewardGrader",
    "ToxicResponses",
    "TrlTrainer",
    "TruthfulResponses",
    "chat_tokenizer",
    "checkpoint_of",
    "read_annotations",
    "read_outputs",
    "read_results",
    "recipe",
    "rotating_reference",
    "to_trl",
    "write_annotations",
    "write_outputs",
    "write_released",
    "write_task",
]

_PLACES = {
    "AlpacaEval": "instructsel.adapters.alpaca_eval.judge",
    "CodeTests": "instructsel.adapters.lm_eval.code_tests",
    "Generation": "instructsel.adapters.lm_eval.own_task",
    "Generator": "instructsel.grading.generation",
    "GoldBits": "instructsel.adapters.lm_eval.gold",
    "HeldOutLoss": "instructsel.grading.graders.held_out_loss",
    "HttpJudgeClient": "instructsel.grading.judge",
    "JudgedOutputs": "instructsel.grading.graders.judged_outputs",
    "LmEval": "instructsel.adapters.lm_eval.grader",
    "LocalJudgeClient": "instructsel.grading.judge",
    "MultipleChoice": "instructsel.adapters.lm_eval.own_task",
    "Outputs": "instructsel.grading.outputs",
    "PairwiseJudge": "instructsel.grading.judge",
    "Recipe": "instructsel.adapters.recipes",
    "Responses": "instructsel.grading.graders.responses",
    "RewardGrader": "instructsel.grading.graders.reward",
    "SUITES": "instructsel.adapters.lm_eval.suites",
    "ToxicResponses": "instructsel.grading.graders.toxic_responses",
    "TruthfulResponses": "instructsel.grading.graders.truthful_responses",
    "TrlTrainer": "instructsel.adapters.trl",
    "chat_tokenizer": "instructsel.adapters.rows",
    "checkpoint_of": "instructsel.grading.checkpoint",
    "read_annotations": "instructsel.adapters.alpaca_eval.files",
    "read_outputs": "instructsel.adapters.alpaca_eval.files",
    "read_results": "instructsel.adapters.lm_eval.results",
    "recipe": "instructsel.adapters.recipes",
    "rotating_reference": "instructsel.grading.outputs",
    "to_trl": "instructsel.adapters.rows",
    "write_annotations": "instructsel.adapters.alpaca_eval.files",
    "write_outputs": "instructsel.adapters.alpaca_eval.files",
    "write_released": "instructsel.adapters.lm_eval.released_files",
    "write_task": "instructsel.adapters.lm_eval.own_task",
}


def __getattr__(name: str) -> Any:
    """The names of __all__, imported when they are asked for: a reader of one adapter need not load the others."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
