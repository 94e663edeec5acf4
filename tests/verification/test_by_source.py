"""Source by source: sums by hand are the reference, and chance makes no claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instructsel.protocols import Grades
from instructsel.stats.loss_units import BITS_PER_BYTE, NATS_PER_TOKEN, LossTotals
from instructsel.verification.by_source import NO_CLAIM, SourceTable
from instructsel.verification.grades_table import Run
from instructsel.verification.verdict import BETTER, ComparisonSettings
from instructsel.verification.verification import Verification

SOURCES = ("code", "code", "math", "math", "talk") * 24
TOKENIZATION = {"tokenizer": "1", "template": "t", "end_of_turn": True}


def run(arm: str, replicate: int, seed: int, *, gain: float = 0.0, sources: tuple[str, ...] = SOURCES) -> Run:
    """A run whose losses in `code` are lower by a gain."""
    shared, own = np.random.default_rng(0), np.random.default_rng([ord(arm[0]), replicate, seed])
    n = len(sources)
    tokens, sizes = shared.integers(5, 20, n).astype(float), shared.integers(30, 90, n).astype(float)
    per_token = 2 + shared.normal(0, 0.3, n) + own.normal(0, 0.05, n) - gain * np.array([source == "code" for source in sources])
    items = tuple(f"item{number:03}" for number in range(n))
    grades = Grades(
        "loss",
        items,
        per_token,
        tokens,
        unit=NATS_PER_TOKEN,
        record={"tokenization": TOKENIZATION},
        sources=sources,
        totals=LossTotals(per_token * tokens, tokens, sizes),
    )
    return Run(arm, replicate, seed, grades)


def runs(gain: float) -> list[Run]:
    return [run("selection", 0, seed, gain=gain) for seed in range(3)] + [run("random", draw, seed) for draw in range(3) for seed in (0, 1)]


def test_an_effect_in_one_source_is_shown_there_and_claimed_nowhere_else() -> None:
    table = SourceTable.of(Verification.of(runs(0.3)), "selection", "random")
    outcomes = {part.source: part.outcome for part in table.parts}
    assert outcomes == {"code": BETTER, "math": NO_CLAIM, "talk": NO_CLAIM} and table.comparisons == 3
    code = table.parts[0]
    assert code.items == 48 and code.difference.estimate == pytest.approx(-0.3, abs=0.05)
    assert code.difference.confidence == pytest.approx(1 - 0.05 / 3) and code.p_adjusted is not None and code.p_adjusted < 0.05
    assert code.as_dict()["low"] < code.as_dict()["estimate"] < code.as_dict()["high"] < 0


def test_the_means_of_a_part_are_those_of_its_items_in_both_units() -> None:
    verification = Verification.of(runs(0.3), loss_unit=BITS_PER_BYTE)
    part = SourceTable.of(verification, "selection", "random").parts[1]
    assert part.source == "math"
    which = np.array([source == "math" for source in SOURCES])
    by_draw = []
    for draw in range(3):
        of_draw = [run("random", draw, seed).grades.totals for seed in (0, 1)]
        by_draw.append(
            np.mean([totals.nats[which].sum() / math.log(2) / totals.bytes[which].sum() for totals in of_draw if totals is not None])
        )
    assert part.means["random"]["bits_per_byte"] == pytest.approx(np.mean(by_draw))
    totals = run("random", 0, 0).grades.totals
    assert totals is not None and verification.frame.filter(item="item002", arm="random", replicate=0, seed=0)[
        "value"
    ].item() == pytest.approx(totals.nats[2] / math.log(2) / totals.bytes[2])
    assert part.difference.n_items == 48


def test_twenty_sources_of_chance_make_no_claim_in_nine_studies_of_ten() -> None:
    sources = tuple(f"s{number % 20:02}" for number in range(400))
    claims = 0
    for study in range(20):
        both = [run("selection", 10 + study, seed, sources=sources) for seed in range(3)]
        both += [run("random", 100 * (study + 1) + draw, seed, sources=sources) for draw in range(3) for seed in (0, 1)]
        table = SourceTable.of(Verification.of(both), "selection", "random")
        assert table.comparisons == 20
        claims += any(part.outcome != NO_CLAIM for part in table.parts)
    assert claims <= 4


def test_graders_without_sources_have_no_parts_and_one_run_a_side_makes_no_claim() -> None:
    bare = [run("selection", 0, 0, gain=1.0, sources=SOURCES), run("random", 0, 0)]
    table = SourceTable.of(Verification.of(bare), "selection", "random")
    assert [part.outcome for part in table.parts] == [NO_CLAIM] * 3 and table.parts[0].p_adjusted is None
    shown = SourceTable.of(Verification.of(bare), "selection", "random", ComparisonSettings(generalize_to="items"))
    assert shown.parts[0].outcome == BETTER
    without = [Run(one.arm, 0, 0, Grades("acc", one.grades.items, one.grades.values, one.grades.weights)) for one in bare]
    assert SourceTable.of(Verification.of(without), "selection", "random").parts == ()
