"""Losses of models with other tokenizers or chat templates are compared in bits per byte, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructsel import Pool
from instructsel.errors import StudyError, UsageError
from instructsel.experiments.arms import Arm
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.protocols import Checkpoint, Grades
from instructsel.stats.loss_units import AUTO, BITS_PER_BYTE, NATS_PER_TOKEN, LossTotals
from instructsel.verification.grades_table import Run
from instructsel.verification.run import verify_arms
from instructsel.verification.verdict import BETTER, WORSE
from instructsel.verification.verification import Verification
from tests.grading.test_bits_per_byte import TULU, coarse
from tests.grading.test_held_out_loss import ROWS, model, pool

EVALUATION = [(f"{prompt} {n}", response) for n in range(4) for prompt, response in ROWS]


def trained(folder: Path, seed: int, steps: int) -> Path:
    """A tiny model that has learned the responses of ROWS in its own tokens, for so many steps; a seed moves its weights a little."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    rows = [
        torch.tensor([tokenizer(f"<|assistant|>\n{response}<|endoftext|>", add_special_tokens=False)["input_ids"]]) for _, response in ROWS
    ]
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        for row in rows:
            network(input_ids=row, labels=row).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.002 * torch.randn(weights.shape, generator=generator)
    network.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return pool(tmp_path_factory.mktemp("evaluation"), EVALUATION)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Checkpoint, ...]]:
    """Three models with tokens of whole words, three with tokens of bytes, and three of the first with another chat template."""
    place = tmp_path_factory.mktemp("models")
    words = [trained(model(place / f"words{seed}"), seed, 2) for seed in range(3)]
    by_bytes = [trained(coarse(place / f"bytes{seed}"), seed, 12) for seed in range(3)]
    tulu = [model(place / f"tulu{seed}", template=TULU, seed=seed) for seed in range(3)]
    return {
        name: tuple(checkpoint_of(str(folder)) for folder in folders)
        for name, folders in (("words", words), ("bytes", by_bytes), ("tulu", tulu))
    }


def graded(evaluation: Pool, checkpoints: Mapping[str, Sequence[Checkpoint]], *names: str, unit: str = AUTO) -> list[Run]:
    grader = HeldOutLoss(evaluation, unit=unit, precision="fp32", device="cpu")
    return [Run(name, 0, seed, grader.grade(model)) for name in names for seed, model in enumerate(checkpoints[name])]


@pytest.fixture(scope="module")
def runs(evaluation: Pool, checkpoints: dict[str, tuple[Checkpoint, ...]]) -> list[Run]:
    return graded(evaluation, checkpoints, "words", "bytes", "tulu")


def of(runs: Sequence[Run], *names: str) -> list[Run]:
    return [run for run in runs if run.arm in names]


def means(runs: Sequence[Run], arm: str, unit: str) -> float:
    return float(np.mean([run.grades.in_unit(unit).mean for run in runs if run.arm == arm]))


def test_three_models_of_another_tokenizer_are_not_better_for_needing_more_tokens(runs: list[Run]) -> None:
    # As one would compare them: per token the models of bytes seem better by far, and per byte they are worse.
    naive = [
        replace(
            run,
            grades=replace(
                run.grades, totals=None, record={key: value for key, value in run.grades.record.items() if key != "tokenization"}
            ),
        )
        for run in of(runs, "words", "bytes")
    ]
    wrong = Verification.of(naive).verdict("bytes", "words", "held_out_loss")
    assert wrong.outcome == BETTER and wrong.interval.estimate < -0.5 and wrong.scale.unit == NATS_PER_TOKEN
    assert means(runs, "bytes", BITS_PER_BYTE) > means(runs, "words", BITS_PER_BYTE)
    verification = Verification.of(of(runs, "words", "bytes"))
    right = verification.verdict("bytes", "words", "held_out_loss")
    assert right.scale.unit == BITS_PER_BYTE and right.outcome == WORSE
    assert right.interval.estimate == pytest.approx(means(runs, "bytes", BITS_PER_BYTE) - means(runs, "words", BITS_PER_BYTE))
    note = verification.graders["held_out_loss"].unit_note
    assert note == "In bits per byte: the tokenizer of bytes (replicate 0, seed 0) and words (replicate 0, seed 0) differs."
    assert verification.as_dict()["graders"]["held_out_loss"]["unit_note"] == note


@pytest.mark.parametrize(("other", "what"), [("bytes", "the tokenizer"), ("tulu", "the chat template")])
def test_a_loss_per_token_of_other_tokens_is_refused_with_both_models_and_what_differs(runs: list[Run], other: str, what: str) -> None:
    with pytest.raises(StudyError) as refused:
        Verification.of(of(runs, "words", other), loss_unit=NATS_PER_TOKEN)
    assert f"{what} of {other} (replicate 0, seed 0) and words (replicate 0, seed 0) differs" in refused.value.message
    assert "bits-per-byte" in str(refused.value.fix)
    assert Verification.of(of(runs, "words", other)).graders["held_out_loss"].unit == BITS_PER_BYTE


def test_models_of_one_tokenizer_and_template_are_compared_per_token_unless_bits_are_asked_for(runs: list[Run]) -> None:
    for unit in (AUTO, NATS_PER_TOKEN):
        scale = Verification.of(of(runs, "words"), loss_unit=unit).graders["held_out_loss"]
        assert (scale.unit, scale.unit_note) == (NATS_PER_TOKEN, "")
    verification = Verification.of(of(runs, "words"), loss_unit=BITS_PER_BYTE)
    assert verification.graders["held_out_loss"].unit == BITS_PER_BYTE
    for run, mean in zip(of(runs, "words"), verification.as_dict()["graders"]["held_out_loss"]["means"], strict=True):
        assert mean["mean"] == pytest.approx(run.grades.in_unit(BITS_PER_BYTE).mean)
        assert (mean["bits_per_byte"], mean["nats_per_token"]) == pytest.approx((run.grades.bits_per_byte, run.grades.nats_per_token))
    with pytest.raises(UsageError, match="bits per byte"):
        Verification.of(runs, loss_unit="bits")


def test_a_grader_that_was_asked_for_a_unit_is_taken_at_its_word(evaluation: Pool, checkpoints: dict[str, tuple[Checkpoint, ...]]) -> None:
    per_token = graded(evaluation, checkpoints, "words", "bytes", unit=NATS_PER_TOKEN)
    with pytest.raises(StudyError, match="cannot be compared per token"):
        Verification.of(per_token)
    assert Verification.of(per_token, loss_unit=BITS_PER_BYTE).graders["held_out_loss"].unit == BITS_PER_BYTE
    per_byte = graded(evaluation, checkpoints, "words", unit=BITS_PER_BYTE)
    assert Verification.of(per_byte).graders["held_out_loss"].unit == BITS_PER_BYTE
    with pytest.raises(StudyError, match="asked for"):
        Verification.of([*per_byte, *of(per_token, "bytes")])


def test_arms_in_one_verification_and_records_read_back_are_compared_alike(
    evaluation: Pool, checkpoints: dict[str, tuple[Checkpoint, ...]], runs: list[Run], tmp_path: Path
) -> None:
    arms = [Arm(name, checkpoints=(checkpoints[name],)) for name in ("words", "bytes")]
    grader = HeldOutLoss(evaluation, precision="fp32", device="cpu")
    first = verify_arms(arms, graders=[grader], folder=tmp_path)
    again = verify_arms(arms, graders=[grader], folder=tmp_path)
    expected = Verification.of(of(runs, "words", "bytes"))
    for verified in (first, again):
        assert verified.verification.frame.equals(expected.frame)
        assert verified.verification.graders == expected.graders
        with pytest.raises(StudyError, match="the tokenizer of bytes"):
            verified.in_loss_unit(NATS_PER_TOKEN)
    alone = verify_arms(arms[:1], graders=[grader], folder=tmp_path)
    assert alone.verification.graders["held_out_loss"].unit == NATS_PER_TOKEN
    in_bits = alone.in_loss_unit(BITS_PER_BYTE)
    assert in_bits.verification.frame.equals(Verification.of(of(runs, "words"), loss_unit=BITS_PER_BYTE).frame)
    assert in_bits.with_runs(in_bits.runs).verification.graders["held_out_loss"].unit == BITS_PER_BYTE


def test_a_table_keeps_unit_note_and_totals(runs: list[Run], tmp_path: Path) -> None:
    verification = Verification.of(of(runs, "words", "bytes"))
    verification.write(tmp_path / "v.parquet")
    again = Verification.read(tmp_path / "v.parquet")
    assert again.frame.equals(verification.frame) and again.graders == verification.graders
    first = verification.frame.row(0, named=True)
    assert first["value"] == pytest.approx(first["nats"] / np.log(2) / first["bytes"]) and first["weight"] == first["bytes"]


def simulated(unit: str = NATS_PER_TOKEN, *, tokenization: Any = None, totals: bool = True, request: str = AUTO) -> Grades:
    tokens, sizes = np.array([2.0, 4.0, 3.0]), np.array([8.0, 10.0, 12.0])
    nats = np.array([3.0, 5.0, 7.0])
    record = {"loss_unit": request, **({} if tokenization is None else {"tokenization": tokenization})}
    all_totals = LossTotals(nats, tokens, sizes)
    values, weights = all_totals.per(unit)
    return Grades("loss", ("a", "b", "c"), values, weights, unit=unit, record=record, totals=all_totals if totals else None)


ONE = {"tokenizer": "1", "template": "t", "end_of_turn": True}


def test_records_of_the_last_release_are_compared_among_themselves_with_a_note_and_not_with_others() -> None:
    old = simulated(totals=False)
    scale = Verification.of([Run("a", 0, 0, old), Run("b", 0, 0, old)]).graders["loss"]
    assert scale.unit == NATS_PER_TOKEN and scale.unit_note.startswith("No record says in which tokenizer")
    with pytest.raises(StudyError, match=r"loss cannot be compared in bits per byte: a .* without the bytes .*no record says") as refused:
        Verification.of([Run("a", 0, 0, old), Run("b", 0, 0, simulated(tokenization=ONE))])
    assert "Grade it again" in str(refused.value.fix)
    # With totals and without a tokenizer: another one, for all that is known.
    nameless = Verification.of([Run("a", 0, 0, simulated()), Run("b", 0, 0, simulated(tokenization=ONE))]).graders["loss"]
    assert nameless.unit == BITS_PER_BYTE and "no record says" in nameless.unit_note


def test_values_in_both_units_of_one_tokenizer_are_brought_into_one() -> None:
    runs = [Run("a", 0, 0, simulated(tokenization=ONE)), Run("b", 0, 0, simulated(BITS_PER_BYTE, tokenization=ONE))]
    verification = Verification.of(runs)
    assert verification.graders["loss"].unit == NATS_PER_TOKEN
    assert verification.difference("a", "b", "loss", generalize_to="items").estimate == pytest.approx(0)


def test_a_grade_in_another_unit_is_left_as_it_is() -> None:
    grades = Grades("accuracy", ("a", "b"), np.ones(2), np.ones(2), unit="acc", higher_is_better=True)
    verification = Verification.of([Run("a", 0, 0, grades), Run("b", 0, 0, grades)], loss_unit=BITS_PER_BYTE)
    assert verification.graders["accuracy"].unit == "acc" and verification.frame["bytes"].null_count() == 4
    assert "bits_per_byte" not in verification.as_dict()["graders"]["accuracy"]["means"][0]
