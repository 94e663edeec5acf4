"""The gate's checks by vectors: rows and questions that say the same in other words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.gates.change import Change
from instructsel.gates.checks.embedding_duplicate import EmbeddingDuplicate
from instructsel.gates.checks.paraphrased_contamination import ParaphrasedContamination
from instructsel.gates.contamination.index import ItemIndex
from instructsel.gates.vectors import nearest
from instructsel.pool.pool import Pool
from tests.gates.checks.hits_of import hits_of

SUBJECTS = ("tide", "bread", "clock", "other")


@pytest.fixture(autouse=True)
def by_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder whose vectors are those of the subject that a text names."""

    def encode(texts: list[str]) -> Any:
        numbers = [next((number for number, subject in enumerate(SUBJECTS) if subject in text), 3) for text in texts]
        vectors = np.eye(len(SUBJECTS), dtype=np.float32)[numbers].reshape(len(texts), len(SUBJECTS))
        return vectors, np.array([bool(text.strip()) for text in texts], dtype=bool)

    for module in ("embedding_duplicate", "paraphrased_contamination"):
        monkeypatch.setattr(f"instructsel.gates.checks.{module}.encode_with", lambda name: encode)


def rows(*prompts: str) -> list[dict[str, str]]:
    return [{"instruction": prompt, "output": "Yes, at nine."} for prompt in prompts]


def test_of_rows_with_one_vector_one_stays_and_the_others_name_it() -> None:
    hits = hits_of(EmbeddingDuplicate(), rows("When is the tide high?", "At what hour does the tide peak?", "How is bread made?"))
    ((line, hit),) = hits
    assert {line + 1, int(str(hit.related).rpartition(":")[2])} == {1, 2}
    assert "(cosine 1.00)" in hit.message


def test_a_question_in_other_words_names_the_set_and_the_item(tmp_path: Path) -> None:
    path = tmp_path / "harbours.jsonl"
    path.write_text(
        "".join(json.dumps({"question": text}) + "\n" for text in ("Why does bread rise in an oven?", "When is the tide at its lowest?"))
    )
    ((line, hit),) = hits_of(
        ParaphrasedContamination(sets=(str(path),)), rows("At which hour does the tide turn?", "Is a clock ever right?")
    )
    assert (line, hit.key) == (0, "harbours")
    assert hit.message == "The row asks item 2 of the evaluation set harbours in other words (cosine 1.00)."


def test_without_texts_of_items_it_says_what_would_let_it_run(tmp_path: Path) -> None:
    change = Change(Pool.of(rows("When is the tide high?")))
    assert "sets = [" in str(ParaphrasedContamination().locked(change))
    index = tmp_path / "evals.index"
    ItemIndex.of_items("s", []).write(index)
    assert "holds no texts" in str(ParaphrasedContamination(sets=(str(index),)).locked(change))


def test_the_nearest_vector_is_found_in_blocks_and_never_one_that_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    ours, others = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (random.normal(size=(20, 8)), random.normal(size=(50, 8)))
    )
    but = random.random(50) < 0.3
    values = ours @ others.T
    values[:, but] = -2
    monkeypatch.setattr("instructsel.gates.vectors.WINDOW", 7)
    best, similarity = nearest(ours.astype(np.float32), others.astype(np.float16), but=but)
    assert (best == values.argmax(axis=1)).mean() > 0.9
    assert np.abs(similarity - values.max(axis=1)).max() < 1e-2
    assert nearest(ours.astype(np.float32), np.zeros((0, 8), np.float16))[0].tolist() == [-1] * 20
