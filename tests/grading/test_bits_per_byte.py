"""The held-out loss in bits per byte: plain transformers and Python's own encoding are the references."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel import Pool
from instructsel.errors import UsageError
from instructsel.experiments.store import grades_of, record_of
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.grading.tokenization import differing
from instructsel.protocols import Grades
from instructsel.stats.loss_units import BITS_PER_BYTE, NATS_PER_TOKEN, LossTotals
from tests import tiny
from tests.grading.test_held_out_loss import ROWS, by_hand, grader, model, pool

TULU = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>\n{{ message.content | trim }}{{ eos_token }}"
    "{% else %}<|{{ message.role }}|>\n{{ message.content | trim }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
WIDE = [("say it", "  Zürich — naïve 🜂  \n"), ("boil an egg", "put it into boiling water"), ("why", "¿por qué?")]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("llama") / "model")


def coarse(folder: Path, **changes: Any) -> Path:
    """A tiny llama whose tokens are bytes, so that a text has several times as many of them."""
    model(folder, **changes)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["merges"] = []
    file.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("end_of_turn", [True, False])
def test_the_loss_in_bits_per_byte_is_what_plain_transformers_and_the_bytes_of_the_file_give(
    llama: Path, tmp_path: Path, end_of_turn: bool
) -> None:
    rows = pool(tmp_path, ROWS)
    grades = grader(rows, unit=BITS_PER_BYTE, end_of_turn=end_of_turn).grade(checkpoint_of(str(llama)))
    losses = by_hand(llama, rows, end_of_turn=end_of_turn)
    sizes = [len(example.response.encode("utf-8")) for example in rows.examples()]
    expected = [sum(tokens) / math.log(2) / size for tokens, size in zip(losses, sizes, strict=True)]
    assert grades.values == pytest.approx(expected, rel=3e-6)
    assert grades.weights.tolist() == sizes and grades.unit == "bits per byte" and not grades.higher_is_better
    assert grades.weighted_mean == pytest.approx(sum(map(sum, losses)) / math.log(2) / sum(sizes), rel=3e-6)
    assert grades.bits_per_byte == pytest.approx(grades.weighted_mean) and grades.mean == pytest.approx(sum(expected) / len(expected))


def test_both_units_are_known_whichever_is_asked_for(llama: Path, tmp_path: Path) -> None:
    rows = pool(tmp_path, ROWS)
    per_token, per_byte = (grader(rows, unit=unit).grade(checkpoint_of(str(llama))) for unit in (NATS_PER_TOKEN, BITS_PER_BYTE))
    assert per_byte.in_unit(NATS_PER_TOKEN).values == pytest.approx(per_token.values, rel=1e-12)
    assert per_token.in_unit(BITS_PER_BYTE).values.tolist() == per_byte.values.tolist()
    assert per_token.nats_per_token == pytest.approx(per_token.weighted_mean) == per_byte.nats_per_token
    assert per_token.bits_per_byte == per_byte.bits_per_byte == pytest.approx(per_byte.weighted_mean)
    assert grader(rows).grade(checkpoint_of(str(llama))).values.tolist() == per_token.values.tolist()


def test_bytes_and_items_are_the_same_whatever_the_tokenizer_and_the_template_make_of_a_response(tmp_path: Path) -> None:
    rows = pool(tmp_path, WIDE)
    folders = [
        model(tmp_path / "chatml"),
        model(tmp_path / "trimmed", template=TULU),
        coarse(tmp_path / "bytes"),
        tiny.causal(tmp_path / "none", "llama"),
    ]
    graded = [grader(rows, unit=BITS_PER_BYTE).grade(checkpoint_of(str(folder))) for folder in folders]
    sizes = [len(example.response.encode("utf-8")) for example in rows.examples()]
    assert max(sizes) == len("  Zürich — naïve 🜂  \n".encode())
    for grades in graded:
        assert grades.items == tuple(rows.ids) and grades.reasons == () and grades.weights.tolist() == sizes
    assert graded[2].totals is not None and graded[0].totals is not None
    assert graded[2].totals.tokens.sum() > graded[0].totals.tokens.sum()


def test_a_response_that_lost_its_end_has_a_loss_per_token_and_none_per_byte(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", template="{{ eos_token }}{% for message in messages %}{{ message.content }}{% endfor %}")
    rows = pool(tmp_path, [("", "paris is the capital of france " * 4), ("", "paris is")])
    per_token = grader(rows, max_length=8).grade(checkpoint_of(str(folder)))
    per_byte = per_token.in_unit(BITS_PER_BYTE)
    cut = int(np.argmax(per_token.weights))
    assert per_token.reasons == () and per_byte.reasons[cut] == "response_cut" and per_byte.reasons[1 - cut] is None
    assert per_byte.values[cut] == per_byte.weights[cut] == 0 and per_byte.values[1 - cut] > 0
    assert per_byte.in_unit(NATS_PER_TOKEN).reasons == ()


def test_what_has_no_loss_has_its_reason_in_both_units(tmp_path: Path) -> None:
    folder = model(tmp_path / "nan", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].fill_(float("nan")))
    grades = grader(pool(tmp_path, ROWS), unit=BITS_PER_BYTE).grade(checkpoint_of(str(folder)))
    assert set(grades.reasons) == {"not_finite"} and not grades.values.any()
    assert grades.bits_per_byte is None and grades.nats_per_token is None and math.isnan(grades.weighted_mean)


def test_a_record_keeps_the_totals_and_one_of_the_last_release_has_none(llama: Path, tmp_path: Path) -> None:
    grades = grader(pool(tmp_path, ROWS)).grade(checkpoint_of(str(llama)))
    record = json.loads(json.dumps(record_of(grades, run={"training_seconds": 1.0, "grading_seconds": 1.0})))
    again = grades_of(grades.grader, record)
    assert again.in_unit(BITS_PER_BYTE).values.tolist() == grades.in_unit(BITS_PER_BYTE).values.tolist()
    assert again.record["tokenization"] == grades.record["tokenization"]
    del record["totals"]
    old = grades_of(grades.grader, record)
    assert old.totals is None and old.bits_per_byte is None and old.values.tolist() == grades.values.tolist()
    with pytest.raises(ValueError, match="no totals to give them in bits per byte"):
        old.in_unit(BITS_PER_BYTE)


def test_a_tokenizer_is_known_by_what_it_does_and_not_by_how_its_file_is_written(tmp_path: Path) -> None:
    rows = pool(tmp_path, ROWS)
    folders = {name: model(tmp_path / name) for name in ("one", "written_otherwise")}
    file = folders["written_otherwise"] / "tokenizer.json"
    content = json.loads(file.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0}
    content["model"]["vocab"] = dict(sorted(content["model"]["vocab"].items(), reverse=True))
    file.write_text(json.dumps(content, indent=2))
    folders |= {"bytes": coarse(tmp_path / "bytes"), "tulu": model(tmp_path / "tulu", template=TULU)}
    made = {name: grader(rows).grade(checkpoint_of(str(folder))).record["tokenization"] for name, folder in folders.items()}
    assert made["one"] == made["written_otherwise"]
    assert list(differing(made["one"], made["bytes"])) == ["the tokenizer"]
    assert list(differing(made["one"], made["tulu"])) == ["the chat template"]
    without = grader(rows, end_of_turn=False).grade(checkpoint_of(str(folders["one"]))).record["tokenization"]
    assert list(differing(made["one"], without)) == ["whether the tokens that end a turn are counted"]


def test_examples_have_the_source_that_a_field_of_their_row_names(tmp_path: Path) -> None:
    rows = [{"instruction": f"question {n}", "output": "the sky is blue", "category": "math" if n % 2 else "code"} for n in range(4)]
    (tmp_path / "named.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = Pool.read(tmp_path / "named.jsonl")
    expected = ["math" if int(example.instruction.split()[1]) % 2 else "code" for example in named.examples()]
    assert list(HeldOutLoss(named).item_sources) == expected
    assert HeldOutLoss(named, sources=("a", "b", "b", "b")).item_sources == ("a", "b", "b", "b")
    (tmp_path / "plain.jsonl").write_text("".join(json.dumps({**row, "category": "math"}) + "\n" for row in rows))
    assert HeldOutLoss(Pool.read(tmp_path / "plain.jsonl")).item_sources == ()
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"instruction": "why", "output": "it is"}) + "\n")
    both = Pool.read(tmp_path / "plain.jsonl", other)
    assert set(HeldOutLoss(both).item_sources) == {"plain", "other"}


def test_units_and_totals_that_cannot_be_are_refused(tmp_path: Path) -> None:
    rows = pool(tmp_path, ROWS)
    with pytest.raises(UsageError, match="bits per byte"):
        HeldOutLoss(rows, unit="bits per bite")
    with pytest.raises(UsageError, match="4 examples and 1 sources"):
        HeldOutLoss(rows, sources=("a",))
    with pytest.raises(ValueError, match="1 sums, 2 token counts"):
        LossTotals(np.ones(1), np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match="finite and at least 0"):
        LossTotals(np.ones(1), np.ones(1), -np.ones(1))
    with pytest.raises(ValueError, match="2 items and totals of 1"):
        Grades("loss", ("a", "b"), np.ones(2), np.ones(2), totals=LossTotals(np.ones(1), np.ones(1), np.ones(1)))


def test_a_unit_that_is_said_is_part_of_what_grades_depend_on_and_auto_changes_no_key(tmp_path: Path) -> None:
    rows = pool(tmp_path, ROWS)
    assert "unit" not in grader(rows).fingerprint
    assert grader(rows, unit=BITS_PER_BYTE).fingerprint == {**grader(rows).fingerprint, "unit": BITS_PER_BYTE}
