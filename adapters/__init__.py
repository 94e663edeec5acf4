"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

from instructsel.adapters.alpaca_eval.files import read_annotations, read_outputs, write_annotations, write_outputs
from instructsel.adapters.alpaca_eval.judge import AlpacaEval
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.adapters.lm_eval.results import read_results
from instructsel.adapters.lm_eval.suites import SUITES
from instructsel.adapters.recipe import Recipe, recipe
from instructsel.adapters.rows import to_trl
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.generation import Generator, Outputs
from instructsel.grading.held_out_loss import HeldOutLoss, checkpoint_of
from instructsel.grading.judge import HttpJudgeClient, JudgedOutputs, LocalJudgeClient, PairwiseJudge, RewardGrader
from instructsel.grading.preferences import Responses, rotating_reference

__all__ = [
    "SUITES",
    "AlpacaEval",
    "Generator",
    "HeldOutLoss",
    "HttpJudgeClient",
    "JudgedOutputs",
    "LmEval",
    "LocalJudgeClient",
    "Outputs",
    "PairwiseJudge",
    "Recipe",
    "Responses",
    "RewardGrader",
    "TrlTrainer",
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
