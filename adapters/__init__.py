"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

from instructsel.adapters.alpaca_eval.files import read_annotations, read_outputs, write_annotations, write_outputs
from instructsel.adapters.alpaca_eval.judge import AlpacaEval
from instructsel.adapters.lm_eval.gold import GoldBits
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, MultipleChoice, write_task
from instructsel.adapters.lm_eval.results import read_results
from instructsel.adapters.lm_eval.suites import SUITES
from instructsel.adapters.recipe import Recipe, recipe
from instructsel.adapters.rows import chat_tokenizer, to_trl
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.generation import Generator
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.grading.graders.judged_outputs import JudgedOutputs
from instructsel.grading.graders.responses import Responses
from instructsel.grading.graders.reward import RewardGrader
from instructsel.grading.judge import HttpJudgeClient, LocalJudgeClient, PairwiseJudge
from instructsel.grading.outputs import Outputs, rotating_reference

__all__ = [
    "SUITES",
    "AlpacaEval",
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
    "TrlTrainer",
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
    "write_task",
]
