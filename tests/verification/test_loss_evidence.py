"""What a verdict that rests on a loss alone says of losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from instructsel.protocols import Grades
from instructsel.reports.plain_text import headline, spoken
from instructsel.verification.grades_table import Run
from instructsel.verification.loss_evidence import loss_evidence, rests_on_loss
from instructsel.verification.run import Verified
from instructsel.verification.summary import summary
from instructsel.verification.verification import Verification


def graded(grader: str, unit: str, effect: float, arm: str, seed: int, *, higher: bool = False) -> Run:
    random = np.random.default_rng([seed, len(arm)])
    values = np.random.default_rng(0).normal(2, 0.5, 60) + random.normal(0, 0.02, 60) + (effect if arm == "selection" else 0)
    return Run(arm, 0, seed, Grades(grader, tuple(f"i{n:02}" for n in range(60)), values, np.ones(60), unit=unit, higher_is_better=higher))


def concluded(*graders: tuple[str, str, float]) -> tuple[dict[str, Any], Any]:
    runs = [graded(*grader, arm, seed) for grader in graders for arm in ("selection", "random") for seed in range(3)]
    return summary(Verified(Verification.of(runs), (), (), runs=tuple(runs)), selection="selection", against="random")


def test_the_figures_are_those_that_were_recomputed() -> None:
    evidence = loss_evidence()
    assert (evidence.comparisons, evidence.share, evidence.source) == (1750, 0.628, "arXiv 2602.14696")
    assert evidence.by_task == {"TyDiQA": 0.96, "GSM8K": 0.71, "MMLU-Pro": 0.67, "BBH": 0.55, "HumanEval": 0.26}
    assert "62.8 % of cells (TyDiQA 96 %, GSM8K 71 %, MMLU-Pro 67 %, BBH 55 %, HumanEval 26 %" in evidence.sentence


def test_a_verdict_of_losses_alone_says_so_in_every_output() -> None:
    record, verdicts = concluded(("loss", "nats per token", -0.4))
    assert rests_on_loss(verdicts) and record["rests_on_loss"]["statement"] == loss_evidence().sentence
    assert loss_evidence().sentence in headline(record)
    assert "62.8% of cells" in " ".join(" ".join(spoken(record, verdicts)).split())


def test_a_verdict_that_a_task_shares_does_not_rest_on_loss_alone_and_one_that_only_the_loss_decides_does() -> None:
    record, verdicts = concluded(("loss", "bits per byte", -0.4), ("errors", "", -0.4))
    assert not rests_on_loss(verdicts) and record["rests_on_loss"] is None and not any("loss alone" in line for line in headline(record))
    assert rests_on_loss(concluded(("loss", "bits per byte", -0.4), ("errors", "", 0.0))[1])
    assert not rests_on_loss(concluded(("errors", "", -0.4))[1])
