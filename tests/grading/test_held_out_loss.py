"""The held-out loss: plain transformers at batch 1 and TRL's own evaluation are the references."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructsel import Pool
from instructsel.adapters import to_trl
from instructsel.errors import ModelRefused, ModelUnavailable, UsageError
from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import HeldOutLoss, SharedCheckpoint
from instructsel.models import likelihood
from instructsel.models.likelihood import LikelihoodModel
from instructsel.pool.example import Example
from instructsel.protocols import Checkpoint, Grader, Grades
from tests import tiny

EOS = 1
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ROWS = [
    ("how do i boil an egg", "put it into boiling water for about eight minutes"),
    ("the capital of france", "paris"),
    ("please give me three tips for staying healthy", "eat plenty of fruit and vegetables , move every day , sleep seven hours"),
    ("why is the sky blue", "it is blue"),
]


def model(folder: Path, *, template: str = TEMPLATE, **changes: Any) -> Path:
    """A tiny llama with a chat template, which ends an answer with the end-of-text token."""
    tiny.causal(folder, "llama", **changes)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return folder


def pool(folder: Path, rows: list[tuple[str, str]], name: str = "heldout.jsonl") -> Pool:
    folder.mkdir(exist_ok=True)
    turns = [[{"role": "user", "content": asked}, {"role": "assistant", "content": answer}] for asked, answer in rows]
    (folder / name).write_text("".join(json.dumps({"messages": each}) + "\n" for each in turns))
    return Pool.read(folder / name)


def grader(rows: Pool, **asked: Any) -> HeldOutLoss:
    return HeldOutLoss(rows, **{"precision": "fp32", "device": "cpu", **asked})


def by_hand(folder: Path, rows: Pool, *, end_of_turn: bool = True, keep: int | None = None) -> list[list[float]]:
    """−ln p of each counted token of each example: transformers alone, one row, the whole logits."""
    tokens = transformers.AutoTokenizer.from_pretrained(str(folder))
    network = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    found = []
    for example in rows.examples():
        prompt = tokens(f"<|user|>\n{example.instruction}\n<|assistant|>\n", add_special_tokens=False)["input_ids"]
        answer = tokens(example.response, add_special_tokens=False)["input_ids"] + [EOS] * end_of_turn
        if keep is not None:
            prompt = prompt[max(0, len(prompt) + len(answer) - keep) :]
        ids = torch.tensor([[*prompt, *answer]])
        with torch.inference_mode():
            likely = torch.log_softmax(network(input_ids=ids).logits[0, :-1].double(), -1)
        found.append((-likely[torch.arange(ids.shape[1] - 1), ids[0, 1:]])[len(prompt) - 1 :].tolist())
    return found


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture
def heldout(tmp_path: Path) -> Pool:
    return pool(tmp_path, ROWS)


@pytest.mark.parametrize("end_of_turn", [True, False])
def test_an_example_s_loss_is_the_mean_over_its_response_that_plain_transformers_gives(
    llama: Path, heldout: Pool, end_of_turn: bool
) -> None:
    found = grader(heldout, end_of_turn=end_of_turn).grade(checkpoint_of(str(llama)))
    expected = by_hand(llama, heldout, end_of_turn=end_of_turn)
    assert found.values == pytest.approx([sum(each) / len(each) for each in expected], abs=1e-5)
    assert found.weights.tolist() == [len(each) for each in expected]
    assert found.items == tuple(heldout.ids) and found.reasons == () and found.truncated == 0
    assert (found.unit, found.higher_is_better) == ("nats per token", False)


def test_graders_that_share_a_checkpoint_load_it_once_and_grade_it_as_alone(
    llama: Path, heldout: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = pool(tmp_path / "other", ROWS[:2])
    alone = [grader(rows).grade(checkpoint_of(str(llama))) for rows in (heldout, other)]
    loads: list[str] = []
    load = LikelihoodModel.load
    monkeypatch.setattr(LikelihoodModel, "load", lambda name, **settings: loads.append(name) or load(name, **settings))
    shared = SharedCheckpoint(2)
    graders = [grader(rows, name=name, shared=shared) for name, rows in (("one", heldout), ("two", other))]
    for turn in (1, 2):
        together = [one.grade(checkpoint_of(str(llama))) for one in graders]
        assert [found.values.tolist() for found in together] == [found.values.tolist() for found in alone]
        assert len(loads) == turn and shared._loaded == {}
    with pytest.raises(ModelUnavailable):
        graders[0].grade(Checkpoint(tmp_path / "gone", "x"))
    assert shared._loaded == {}


def test_the_weighted_mean_counts_tokens_and_the_mean_counts_examples(llama: Path, heldout: Pool) -> None:
    found = grader(heldout).grade(checkpoint_of(str(llama)))
    expected = by_hand(llama, heldout)
    assert found.weighted_mean == pytest.approx(sum(map(sum, expected)) / sum(map(len, expected)), abs=1e-5)
    assert found.mean == pytest.approx(sum(sum(each) / len(each) for each in expected) / len(expected), abs=1e-5)
    assert abs(found.mean - found.weighted_mean) > 1e-3


def test_a_model_that_knows_nothing_loses_the_logarithm_of_its_vocabulary(tmp_path: Path, heldout: Pool) -> None:
    folder = model(tmp_path / "flat", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].zero_())
    found = grader(heldout).grade(checkpoint_of(str(folder)))
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    assert found.values == pytest.approx([math.log(size)] * 4, abs=1e-5)
    assert found.weighted_mean == pytest.approx(math.log(size), abs=1e-5)


def test_only_the_last_answer_counts_and_all_before_it_is_given(llama: Path, tmp_path: Path) -> None:
    turns = [("user", "boil an egg"), ("assistant", "cool it"), ("user", "why"), ("assistant", "the sky is blue"), ("user", "please")]
    (tmp_path / "pool.jsonl").write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}) + "\n")
    found = grader(Pool.read(tmp_path / "pool.jsonl")).grade(checkpoint_of(str(llama)))
    tokens = transformers.AutoTokenizer.from_pretrained(str(llama))
    before = "<|user|>\nboil an egg\n<|assistant|>\ncool it<|endoftext|><|user|>\nwhy\n<|assistant|>\n"
    prompt, answer = (tokens(part, add_special_tokens=False)["input_ids"] for part in (before, "the sky is blue<|endoftext|>"))
    network = transformers.AutoModelForCausalLM.from_pretrained(str(llama), dtype=torch.float32).eval()
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    with torch.inference_mode():
        assert found.values[0] == pytest.approx(float(network(input_ids=ids, labels=labels).loss), abs=1e-5)
    assert found.weights[0] == len(answer)


def test_an_example_has_the_same_bits_alone_and_among_others(llama: Path, heldout: Pool, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(str(llama))
    together = grader(heldout).grade(checkpoint)
    for number, name in enumerate(heldout.ids):
        alone = grader(heldout.take([name])).grade(checkpoint)
        assert alone.items == (name,) and alone.values[0] == together.values[number]


def test_grades_follow_the_pool_whatever_the_order_of_its_file(llama: Path, heldout: Pool, tmp_path: Path) -> None:
    turned = pool(tmp_path / "elsewhere", ROWS[::-1], "other.jsonl")
    first, second = (grader(rows).grade(checkpoint_of(str(llama))) for rows in (heldout, turned))
    assert first.items == second.items == tuple(heldout.ids)
    assert first.values.tolist() == second.values.tolist()


def test_a_prompt_too_long_loses_its_beginning_and_is_counted(llama: Path, tmp_path: Path) -> None:
    rows = pool(tmp_path, [("how do i boil an egg " * 12, "put it into boiling water"), ("boil", "an egg")])
    found = grader(rows, max_length=40).grade(checkpoint_of(str(llama)))
    expected = by_hand(llama, rows, keep=40)
    assert found.values == pytest.approx([sum(each) / len(each) for each in expected], abs=1e-5)
    assert found.truncated == found.record["truncated"] == 1 and found.reasons == ()


def test_the_limit_is_never_more_than_the_model_s_context(tmp_path: Path) -> None:
    folder = model(tmp_path / "short", max_position_embeddings=64)
    rows = pool(tmp_path, [("how do i boil an egg " * 12, "put it into boiling water")])
    found = grader(rows, max_length=4096).grade(checkpoint_of(str(folder)))
    assert (found.truncated, found.record["max_length"]) == (1, 64)
    assert found.values == pytest.approx([np.mean(by_hand(folder, rows, keep=64)[0])], abs=1e-5)


def test_a_response_that_would_leave_nothing_of_its_prompt_has_no_value(llama: Path, tmp_path: Path) -> None:
    rows = pool(tmp_path, [("boil", "put it into boiling water " * 12), ("boil", "an egg")])
    found = grader(rows, max_length=40).grade(checkpoint_of(str(llama)))
    long = next(number for number, example in enumerate(rows.examples()) if len(example.response) > 40)
    assert [found.reasons[long], found.reasons[1 - long]] == ["too_long", None]
    assert found.values[long] == found.weights[long] == 0 and found.truncated == 0
    assert found.weighted_mean == found.mean == found.values[1 - long]


@pytest.mark.parametrize("end_of_turn", [True, False])
def test_a_response_without_tokens_has_a_reason_and_no_part_in_the_means(llama: Path, tmp_path: Path, end_of_turn: bool) -> None:
    rows = pool(tmp_path, [("boil an egg", ""), ("why is the sky blue", "it is")])
    found = grader(rows, end_of_turn=end_of_turn).grade(checkpoint_of(str(llama)))
    empty = next(number for number, example in enumerate(rows.examples()) if not example.response)
    assert found.reasons[empty] == "no_tokens" and found.record["nulls"] == {"no_tokens": 1}
    assert found.weights[empty] == 0 and found.mean == found.weighted_mean == found.values[1 - empty] > 0


def test_an_evaluation_set_without_any_response_gives_no_mean(llama: Path, tmp_path: Path) -> None:
    rows = pool(tmp_path, [("boil an egg", ""), ("why is the sky blue", "it is")])
    empty = [example.id for example in rows.examples() if not example.response]
    found = grader(rows.take(empty)).grade(checkpoint_of(str(llama)))
    assert found.reasons == ("no_tokens",) and math.isnan(found.mean) and math.isnan(found.weighted_mean)


def test_a_model_that_gives_no_number_has_reasons_and_no_mean(tmp_path: Path, heldout: Pool) -> None:
    folder = model(tmp_path / "nan", tie_word_embeddings=False)
    tiny.edit_weights(folder, lambda state: state["lm_head.weight"].fill_(float("nan")))
    found = grader(heldout).grade(checkpoint_of(str(folder)))
    assert found.reasons == ("not_finite",) * 4 and (found.values == 0).all() and (found.weights == 0).all()
    assert math.isnan(found.mean) and math.isnan(found.weighted_mean)
    assert found.record["nulls"] == {"not_finite": 4}


def test_an_example_that_does_not_fit_into_memory_says_so(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pool(tmp_path, [*ROWS, ("boil an egg", "put it into boiling water " * 12)])
    whole = grader(rows).grade(checkpoint_of(str(llama)))
    real = likelihood._Causal.means

    def means(self: Any, ids: np.ndarray, lengths: np.ndarray, begins: np.ndarray) -> np.ndarray:
        if lengths.max() > 60:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, ids, lengths, begins)

    monkeypatch.setattr(likelihood._Causal, "means", means)
    found = grader(rows).grade(checkpoint_of(str(llama)))
    assert whole.weights.max() > 60 > np.sort(whole.weights)[-2]
    longest = int(np.argmax(whole.weights))
    assert found.reasons[longest] == "out_of_memory" and found.reasons.count(None) == 4
    kept = [number for number in range(5) if number != longest]
    assert found.values[kept] == pytest.approx(whole.values[kept], abs=1e-5)


def test_what_the_rendering_cannot_mask_keeps_its_reason(llama: Path, heldout: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ChatTemplate.encode_all
    given = ["not_a_prefix", "no_loss_token", None, "template_refused"]

    def encode_all(self: ChatTemplate, examples: Iterable[Example]) -> Iterator[Encoded]:
        return (replace(each, reason=reason) for each, reason in zip(real(self, examples), given, strict=True))

    monkeypatch.setattr(ChatTemplate, "encode_all", encode_all)
    found = grader(heldout).grade(checkpoint_of(str(llama)))
    assert found.reasons == ("not_a_prefix", "no_tokens", None, "template_refused")


@pytest.mark.parametrize("moved", [slice(-1, None), slice(-3, -2)])
def test_a_template_that_writes_on_after_or_within_the_response_is_refused(
    llama: Path, heldout: Pool, monkeypatch: pytest.MonkeyPatch, moved: slice
) -> None:
    real = ChatTemplate.encode_all

    def encode_all(self: ChatTemplate, examples: Iterable[Example]) -> Iterator[Encoded]:
        for found in real(self, examples):
            trained = list(found.loss_mask)
            trained[moved] = [False]
            yield replace(found, loss_mask=trained)

    monkeypatch.setattr(ChatTemplate, "encode_all", encode_all)
    with pytest.raises(ModelRefused, match="writes on after the response"):
        grader(heldout).grade(checkpoint_of(str(llama)))


def test_the_loss_is_that_of_trl_s_own_evaluation(llama: Path, heldout: Pool, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    found = grader(heldout).grade(checkpoint_of(str(llama)))
    # All rows in one batch: TRL's loss of a batch is its mean by token, and that of several the mean of theirs.
    settings = trl.SFTConfig(
        str(tmp_path / "out"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_length=512,
        per_device_eval_batch_size=8,
        disable_tqdm=True,
    )
    rows = to_trl(heldout)
    trainer = trl.SFTTrainer(
        transformers.AutoModelForCausalLM.from_pretrained(str(llama), dtype=torch.float32),
        settings,
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=transformers.AutoTokenizer.from_pretrained(str(llama)),
    )
    assert found.weighted_mean == pytest.approx(trainer.evaluate()["eval_loss"], abs=1e-4)
    without = grader(heldout, end_of_turn=False).grade(checkpoint_of(str(llama)))
    assert abs(without.weighted_mean - found.weighted_mean) > 1e-3


def test_a_model_without_a_chat_template_is_graded_in_tulu_s(tmp_path: Path, heldout: Pool) -> None:
    folder = tiny.causal(tmp_path / "bare", "llama")
    found = grader(heldout).grade(checkpoint_of(str(folder)))
    # Its tokens are those of TEMPLATE: markers as text, the answer, the end-of-text token.
    assert found.values == pytest.approx([sum(each) / len(each) for each in by_hand(folder, heldout)], abs=1e-5)
    assert found.record["template"] == "tulu"


def test_examples_that_spell_out_a_control_token_are_counted(llama: Path, tmp_path: Path) -> None:
    found = grader(pool(tmp_path, [("boil", "it is <|endoftext|> blue"), ("boil", "it is")])).grade(checkpoint_of(str(llama)))
    assert found.record["control"] == 1 and found.reasons == ()


def test_the_record_says_how_the_grades_were_made_and_not_where(llama: Path, heldout: Pool) -> None:
    record = dict(grader(heldout).grade(checkpoint_of(str(llama))).record)
    assert record.pop("seconds") > 0
    tokens = sum(map(len, by_hand(llama, heldout)))
    tokenization = record.pop("tokenization")
    assert set(tokenization) == {"tokenizer", "template", "end_of_turn"} and str(llama.parent) not in json.dumps(tokenization)
    assert record == {
        "tokens": tokens,
        "bytes": sum(len(answer.encode()) for _, answer in ROWS),
        "loss_unit": "auto",
        "skill": None,
        "truncated": 0,
        "nulls": {},
        "batches": "packed",
        "padded_because": None,
        "precision": "fp32",
        "device": "cpu",
        "max_length": 512,
        "control": 0,
        "template": "own",
        "end_of_turn": True,
    }


def test_a_fingerprint_changes_with_the_examples_and_the_settings_and_with_nothing_else(heldout: Pool, tmp_path: Path) -> None:
    base = grader(heldout).fingerprint
    assert base == grader(pool(tmp_path / "elsewhere", ROWS[::-1], "other.jsonl"), name="another").fingerprint
    assert (base["kind"], base["n"], base["precision"], base["device"], base["max_length"]) == ("held_out_loss", 4, "fp32", "cpu", 4096)
    assert str(tmp_path) not in json.dumps(base)
    others = [
        grader(pool(tmp_path, ROWS[:3], "three.jsonl")),
        grader(heldout, max_length=512),
        grader(heldout, end_of_turn=False),
        grader(heldout, precision="bf16"),
    ]
    assert len({json.dumps(each.fingerprint, sort_keys=True) for each in others} | {json.dumps(base, sort_keys=True)}) == 5
    assert grader(heldout, precision="auto").fingerprint["precision"] in ("fp32", "bf16")


def test_the_model_is_out_of_memory_once_it_is_graded(llama: Path, heldout: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[weakref.ref[Any]] = []
    real = LikelihoodModel.losses

    def losses(self: LikelihoodModel, *given: Any) -> Any:
        seen.append(weakref.ref(self.workers[0].model))
        return real(self, *given)

    monkeypatch.setattr(LikelihoodModel, "losses", losses)
    grades = grader(heldout).grade(checkpoint_of(str(llama)))
    assert len(seen) == 1 and seen[0]() is None and isinstance(grades, Grades)


def test_it_is_a_grader(heldout: Pool) -> None:
    assert isinstance(HeldOutLoss(heldout), Grader)
    assert HeldOutLoss(heldout).name == "held_out_loss" and HeldOutLoss(heldout, name="mt").name == "mt"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_length": 1}, "max_length is 1"),
        ({"max_length": 0}, "max_length is 0"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
        ({"device": "tpu"}, "no device 'tpu'"),
    ],
)
def test_settings_that_cannot_be_are_refused(heldout: Pool, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        HeldOutLoss(heldout, **asked)


def test_an_evaluation_set_without_examples_is_refused(heldout: Pool) -> None:
    with pytest.raises(UsageError, match="no example to grade with"):
        HeldOutLoss(heldout.take([]))


def test_a_model_on_disk_is_a_checkpoint_that_stays(llama: Path) -> None:
    found = checkpoint_of(str(llama))
    assert (found.folder, found.seed, found.owned) == (llama, None, False)
    assert found.record == {"name": "model", "revision": None}
    found.discard()
    assert (llama / "model.safetensors").is_file()


def test_equal_weights_have_one_digest_wherever_they_stand(tmp_path: Path) -> None:
    first, second, other = (tiny.causal(tmp_path / name, "llama", seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert checkpoint_of(str(first)).digest == checkpoint_of(str(second)).digest != checkpoint_of(str(other)).digest


def test_what_is_no_model_is_no_checkpoint(tmp_path: Path, heldout: Pool) -> None:
    tiny.tokenizer(tmp_path / "tokenizer", ["<pad>", "<|endoftext|>"])
    with pytest.raises(ModelUnavailable, match="a tokenizer and no weights"):
        checkpoint_of(str(tmp_path / "tokenizer"))
    with pytest.raises(ModelUnavailable, match="is no folder"):
        checkpoint_of(str(tmp_path / "absent"))
    with pytest.raises(ModelUnavailable, match="no model to grade"):
        # Not a hub id, whatever it looks like.
        grader(heldout).grade(Checkpoint(Path("some-owner/some-model"), "00"))


def test_a_response_behind_nothing_but_the_start_token_loses_its_end_and_weighs_what_is_left(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", template="{{ eos_token }}{% for message in messages %}{{ message.content }}{% endfor %}")
    rows = pool(tmp_path, [("", "paris is the capital of france " * 4), ("", "paris is")])
    whole, cut = (grader(rows, max_length=most).grade(checkpoint_of(str(folder))) for most in (None, 8))
    long = int(np.argmax(whole.weights))
    assert cut.weights[long] == 7 < whole.weights[long] and cut.reasons == () and cut.truncated == 1
    assert cut.values[1 - long] == whole.values[1 - long] and cut.weights[1 - long] == whole.weights[1 - long] < 7


def tokens_of(found: LikelihoodModel, text: str) -> list[int]:
    return list(found.tokenizer.encode(text, add_special_tokens=False).ids)


def test_rows_of_tokens_are_answered_as_their_texts_are(llama: Path) -> None:
    found = LikelihoodModel.load(str(llama), precision="fp32", device="cpu", probe=False, max_length=48)
    questions = [("how do i boil an egg ", "put it into water"), (None, "paris is the capital"), ("please " * 40, "why is it blue")]
    heads = [[found.start, *tokens_of(found, context or "")] for context, _ in questions]
    rows = [[*head, *tokens_of(found, text)] for head, (_, text) in zip(heads, questions, strict=True)]
    given, expected = found.losses(rows, [len(head) for head in heads]), found.answer(questions)
    assert given.values.tolist() == expected.values.tolist() and given.reasons == expected.reasons == [None] * 3
    assert given.truncated.tolist() == expected.truncated.tolist() == [False, False, True]


def test_a_text_behind_nothing_but_the_start_token_loses_its_end(llama: Path) -> None:
    found = LikelihoodModel.load(str(llama), precision="fp32", device="cpu", probe=False, max_length=16)
    ids = tokens_of(found, "paris is the capital of france " * 4)
    whole, cut = found.losses([[EOS, *ids]], [1]), found.losses([[EOS, *ids[:15]]], [1])
    assert whole.values[0] == cut.values[0] and [whole.truncated[0], cut.truncated[0]] == [True, False]


def test_rows_that_cannot_be_are_refused(llama: Path) -> None:
    found = LikelihoodModel.load(str(llama), precision="fp32", device="cpu", probe=False)
    for rows, begins in (([[5, 6]], [0]), ([[5, 6]], [3]), ([[]], [1]), ([[5, 6]], [])):
        with pytest.raises(ValueError):
            found.losses(rows, begins)
    with pytest.raises(ModelRefused, match="embeddings for"):
        found.losses([[5, 100_000]], [1])
    assert found.losses([[5, 6]], [2]).reasons == ["no_tokens"]
    assert found.losses([], []).reasons == []
