"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

from instructsel.adapters.alpaca_eval import AlpacaEval, read_annotations, read_outputs, write_annotations, write_outputs
from instructsel.adapters.generate import Generator, Outputs
from instructsel.adapters.held_out_loss import HeldOutLoss, checkpoint_of
from instructsel.adapters.judge import Endpoint, JudgedOutputs, LocalVoice, PairwiseJudge, RewardGrader
from instructsel.adapters.lm_eval import LmEval, read_results
from instructsel.adapters.lm_eval_tasks import SUITES, write_task
from instructsel.adapters.preferences import Answers, in_turn
from instructsel.adapters.recipe import Recipe, recipe
from instructsel.adapters.rows import to_trl
from instructsel.adapters.trl import TrlTrainer

__all__ = [
    "SUITES",
    "AlpacaEval",
    "Answers",
    "Endpoint",
    "Generator",
    "HeldOutLoss",
    "JudgedOutputs",
    "LmEval",
    "LocalVoice",
    "Outputs",
    "PairwiseJudge",
    "Recipe",
    "RewardGrader",
    "TrlTrainer",
    "checkpoint_of",
    "in_turn",
    "read_annotations",
    "read_outputs",
    "read_results",
    "recipe",
    "to_trl",
    "write_annotations",
    "write_outputs",
    "write_task",
]
