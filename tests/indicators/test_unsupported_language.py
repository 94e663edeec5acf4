"""Texts in scripts that a tokenizer does not know have no length and no neighbors, and the note names another model."""

from __future__ import annotations

from typing import Any

from instructsel.indicators import registry
from instructsel.indicators.base import Batch
from instructsel.indicators.instruction_length import InstructionLength
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.indicators.response_length import ResponseLength
from instructsel.models.load import MINILM
from instructsel.pool.pool import Pool
from instructsel.scores.neighborhood import Space

THAI = [("ทำไมฝนถึงเปียก", "เพราะฝนคือน้ำที่ตกลงมาจากท้องฟ้า"), ("แมวกินอะไร", "แมวกินปลาและเนื้อเป็นส่วนใหญ่"), ("บวกสองกับสาม", "คำตอบคือห้า")]
KNOWN = [("Why is rain wet?", "It is water."), ("Was frisst eine Katze?", "Fische und Mäuse."), ("Сколько будет 2 и 3?", "Пять.")]
LONG = [("Name a key.", "ab" * 200)]


def pool() -> Pool:
    return Pool.of([{"instruction": ask, "output": answer} for ask, answer in [*THAI, *KNOWN, *LONG]])


def reasons_of(rows: Pool, reasons: list[str | None]) -> dict[str, str | None]:
    return dict(zip((example.response for example in rows.examples()), reasons, strict=True))


def expected() -> dict[str, str | None]:
    return {**{answer: "unsupported_language" for _, answer in THAI}, **{answer: None for _, answer in [*KNOWN, *LONG]}}


def test_a_length_in_tokens_that_stand_for_nothing_is_null() -> None:
    rows = pool()
    batch = Batch(tuple(rows.examples()))
    for indicator in (ResponseLength(), InstructionLength()):
        scored = indicator.score(batch)
        assert reasons_of(rows, scored.reasons) == expected()
        assert [value is None for value in scored.values] == [reason is not None for reason in scored.reasons]


def test_an_example_in_a_script_that_the_encoder_does_not_know_is_nobody_s_neighbor() -> None:
    rows = pool()
    indicator = NeighborDistance(1, device="cpu", precision="fp32")
    scored = indicator.score(Batch(tuple(rows.examples())))
    assert reasons_of(rows, scored.reasons) == expected()
    assert all(value is None or value > 0 for value in scored.values)
    assert Space.of(rows, indicator).reasons == scored.reasons


def test_the_note_counts_the_examples_and_names_another_model() -> None:
    def warned(symbol: str, **entry: Any) -> str:
        return registry.kind_of(symbol).warnings(symbol, {"unsupported_language": 7}, entry)[0]

    assert "7 examples" in warned("len", tokenizer={"name": MINILM}) and "--model len=" in warned("len", tokenizer={"name": MINILM})
    assert "--model len_in=" in warned("len_in", tokenizer={"name": MINILM})
    assert "7 examples" in warned("knn_6", model={"name": MINILM}) and "--model knn_6=" in warned("knn_6", model={"name": MINILM})


def test_a_pool_in_such_a_script_alone_has_no_distances_and_is_not_called_too_small() -> None:
    rows = Pool.of([{"instruction": ask, "output": answer} for ask, answer in THAI])
    scored = NeighborDistance(6, device="cpu", precision="fp32").score(Batch(tuple(rows.examples())))
    assert (scored.values, scored.reasons) == ([None] * 3, ["unsupported_language"] * 3)
