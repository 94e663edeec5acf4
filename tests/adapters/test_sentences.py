"""IFEval without a network: the model that splits sentences is NLTK's own, or there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters.lm_eval.sentences import DIGEST, model_digest, prepare_ifeval, splits_sentences
from instructsel.adapters.lm_eval.task_code import Function
from instructsel.errors import EnvironmentFault

data: Any = pytest.importorskip("nltk.data")
english: Any = pytest.importorskip("punkt.data.english")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which NLTK has no data."""
    monkeypatch.setattr(data, "path", [])


@pytest.mark.usefixtures("nowhere")
def test_without_nltks_data_sentences_are_split_by_the_same_model() -> None:
    from nltk.tokenize.punkt import PunktTokenizer

    with pytest.raises(LookupError):
        PunktTokenizer("english")
    prepare_ifeval.__wrapped__()
    tokenizer = PunktTokenizer("english")
    model = tokenizer._params
    # What NLTK reads of the written files is its own published model, every part of it.
    assert model_digest(model.abbrev_types, model.collocations, model.sent_starters, dict(model.ortho_context)) == DIGEST
    assert tokenizer.tokenize("Dr. Smith of St. Ives paid $3.50 on Jan. 5. He slept! Did he? No.") == [
        "Dr. Smith of St. Ives paid $3.50 on Jan. 5.", "He slept!", "Did he?", "No.",
    ]  # fmt: skip
    # As the harness asks for it, by its old name and for words.
    from lm_eval.tasks.ifeval import instructions_util

    assert instructions_util.count_sentences("Mr. Poe left. Then he came back.") == 2
    assert instructions_util.nltk.word_tokenize("It's late. Go.") == ["It", "'s", "late", ".", "Go", "."]


@pytest.mark.usefixtures("nowhere")
def test_another_model_than_nltks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(english, "ABBREV_TYPES", english.ABBREV_TYPES - {"dr"})
    with pytest.raises(EnvironmentFault, match="is not NLTK's"):
        prepare_ifeval.__wrapped__()
    assert data.path == []


def test_nltks_data_is_used_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizers" / "punkt_tab" / "english").mkdir(parents=True)
    monkeypatch.setattr(data, "path", [str(tmp_path)])
    prepare_ifeval.__wrapped__()
    assert data.path == [str(tmp_path)]


def test_the_language_of_a_text_does_not_change_from_run_to_run() -> None:
    import langdetect

    prepare_ifeval.__wrapped__()
    assert langdetect.DetectorFactory.seed == 0
    # Short and mixed: without a seed it is now one language and now another.
    assert len({langdetect.detect("Hallo hello bonjour") for _ in range(10)}) == 1


def test_a_task_is_known_by_the_code_that_it_names() -> None:
    assert splits_sentences({"process_results": Function("/x/lm_eval/tasks/ifeval/utils.process_results")})
    assert splits_sentences({"process_results": Function("/x/tasks/leaderboard/ifeval/utils.process_results")})
    assert not splits_sentences({"process_results": Function("/x/lm_eval/tasks/gsm8k/utils.process_results"), "task": "ifeval"})
