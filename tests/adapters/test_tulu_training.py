"""A fine-tune with Tülu's masks: the loss by hand, accumulation, packing, and rows without a loss token in every path."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Pool
from instructsel.adapters import TrlTrainer, chat_tokenizer, to_trl
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.registry import tokenized
from instructsel.adapters.exports.run import export
from instructsel.adapters.recipes import recipe
from instructsel.audits.run import audit
from instructsel.errors import ModelRefused, UsageError
from instructsel.grading.chat import ChatTemplate
from instructsel.protocols import Checkpoint
from tests import tiny
from tests.adapters.training_job import ROWS, chatml, short, write_pool

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("trl")

END: Final = "<|endoftext|>"
SGD: Final = {"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 1e9, "schedule": "constant"}
"""One step takes the gradient itself from the weights."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base") / "llama", "llama")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


def trainer(base: Path, folder: Path, **changes: Any) -> TrlTrainer:
    return TrlTrainer(str(base), short(**changes), folder, device="cpu", precision="fp32")


def tuned(base: Path, folder: Path, pool: Pool, **changes: Any) -> Checkpoint:
    return trainer(base, folder, **changes).train(pool, seed=0)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(str(folder / "model.safetensors")))


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    return max(float((value - second[name]).abs().max()) for name, value in first.items())


def tulu_1(tokenizer: Any, turns: list[tuple[str, str]]) -> tuple[list[int], list[bool]]:
    """Tokens and mask of the first release in pieces that share no token: turns behind a question are trained with their line break."""
    ids: list[int] = []
    mask: list[bool] = []
    for number, (role, content) in enumerate(turns):
        is_response, is_last = role == "assistant", number + 1 == len(turns)
        header_trained = is_response and (number == 0 or turns[number - 1][0] == "assistant")
        for text, is_on in (
            (f"<|{role}|>\n", header_trained),
            (content + (END if is_response else ""), is_response),
            ("" if is_last else "\n", is_response),
        ):
            tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += tokens
            mask += [is_on] * len(tokens)
    return ids, mask


def test_a_step_s_loss_and_gradient_are_those_of_the_masked_mean_by_hand(base: Path, tmp_path: Path, pool: Pool) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    losses = []
    for row in ROWS:
        ids, mask = tulu_1(tokenizer, row)
        logs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0, :-1], dim=-1)
        losses += [-logs[place - 1, ids[place]] for place in range(1, len(ids)) if mask[place]]
    mean = torch.stack(losses).mean()
    gradient = torch.autograd.grad(mean, list(model.parameters()))
    stepped = {name: (value - part).detach() for (name, value), part in zip(model.named_parameters(), gradient, strict=True)}
    checkpoint = tuned(base, tmp_path, pool, loss="tulu-1", **SGD)
    assert checkpoint.record["losses"] == pytest.approx([float(mean.detach())], abs=1e-5)
    assert apart({name: value for name, value in weights(checkpoint.folder).items() if name in stepped}, stepped) < 1e-5
    assert checkpoint.record["tokens_trained"] == len(losses) and checkpoint.record["chat_template"] == "tulu"
    # The other mask has one token less, the line break behind the earlier response of the one row that has one.
    assert tuned(base, tmp_path, pool, loss="assistant", **SGD).record["tokens_trained"] == len(losses) - 1


@pytest.mark.parametrize("loss", ["tulu-1", "assistant"])
def test_accumulation_packing_and_no_padding_give_the_gradient_of_one_batch(base: Path, tmp_path: Path, pool: Pool, loss: str) -> None:
    one_batch = tuned(base, tmp_path, pool, loss=loss, batch_size=6, micro_batch_size=6, **SGD)
    # Weighted by token: rows have different numbers of loss tokens, and a mean of micro-batches' means would be another one.
    parts = [tuned(base, tmp_path, pool, loss=loss, batch_size=6, micro_batch_size=size, **SGD) for size in (1, 2)]
    packed = tuned(base, tmp_path, pool, loss=loss, batch_size=6, packing=True, epochs=1, **SGD)
    for other in (*parts, packed):
        assert other.record["losses"] == pytest.approx(one_batch.record["losses"], abs=1e-5)
        assert apart(weights(other.folder), weights(one_batch.folder)) < 1e-5
    assert apart(weights(one_batch.folder), weights(base)) > 1e-3


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "qwen2", "mistral"])
def test_padding_free_batches_have_the_loss_of_padded_ones(kind: str, attention: str, tmp_path: Path, pool: Pool) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    base = tiny.causal(tmp_path / kind, kind)
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base), attn_implementation=attention).eval()
    rows = [dict(row) for row in to_trl(pool, tokenizer=str(base), loss="tulu-1")]
    losses = {}
    for is_free in (False, True):
        batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=is_free)(rows)
        with torch.no_grad():
            losses[is_free] = float(model(**batch, use_cache=False).loss)
    assert losses[True] == pytest.approx(losses[False], abs=1e-5)


def test_opt_does_not_keep_rows_apart_without_padding_and_is_refused_with_packing(tmp_path: Path, pool: Pool) -> None:
    base = tiny.causal(tmp_path / "opt", "opt")
    assert tuned(base, tmp_path, pool, loss="tulu-1").record["steps"] == 1
    with pytest.raises(ModelRefused, match="opt has cross-contamination in packing"):
        tuned(base, tmp_path, pool, loss="tulu-1", packing=True)


# Truncation

LONG: Final = " ".join(["the capital of france is paris"] * 12)
CUT: Final = [
    [("user", LONG), ("assistant", "yes")],
    [("user", "the seine"), ("assistant", LONG)],
    [("user", "cold water"), ("assistant", "cool it")],
]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("long"), CUT)


@pytest.mark.parametrize("loss", ["completion", "assistant", "tulu-1"])
def test_a_prompt_that_fills_the_length_is_dropped_and_counted_and_a_part_of_an_answer_kept_in_every_path(
    base: Path, tmp_path: Path, long: Pool, loss: str
) -> None:
    length = 60
    # Train.
    audited = trainer(base, tmp_path, loss=loss, max_length=length).audit(long)
    assert (audited.rows, audited.trained_rows, audited.skipped, audited.truncated) == (3, 2, {"no_loss_token": 1}, 1)
    assert audited.named == ("pool.jsonl:1 (no_loss_token)",) and audited.longest == length
    # Audit.
    seen = audit(long, tokenizer=str(base), loss=loss, max_length=length).frame
    assert sorted(zip(seen["tokens"].to_list(), (seen["loss_tokens"] > 0).to_list(), strict=True))[1:] == [(length, False), (length, True)]
    # The hand-over, whose tokens are those that are trained on.
    encoded = list(ChatTemplate.load(base).encode_all(long.examples(), loss=loss, max_length=length))
    trained_rows = [row for row in encoded if row.reason is None]
    with warnings.catch_warnings(record=True) as named:
        warnings.simplefilter("always")
        data = to_trl(long, tokenizer=str(base), loss=loss, max_length=length)
    assert [str(warning.message) for warning in named] == ["to_trl leaves out 1 example: no_loss_token (pool.jsonl:1)."]
    assert data["input_ids"][:] == [row.ids for row in trained_rows] and max(map(len, data["input_ids"])) == length
    # Export, for both consumers.
    for consumer in ("trl", "open-instruct"):
        result = export(long, tokenized(consumer, str(base)), tmp_path / consumer, settings=ExportSettings(loss, max_length=length))
        account = result.account.as_dict()
        assert (account["written"], account["left_out"]) == (2, {"no_loss_token": {"rows": 1, "first": "pool.jsonl:1"}})
        assert account["altered"] == {"truncated": {"rows": 1, "first": "pool.jsonl:2"}}
    assert f"max_length: {length}" in (tmp_path / "trl" / "trl_sft.yaml").read_text()
    manifest = json.loads((tmp_path / "trl" / "instructsel-manifest.json").read_text())
    assert manifest["settings"]["max_length"] == length and manifest["settings"]["loss"] == loss


def test_a_length_is_refused_where_no_token_is_written(base: Path, tmp_path: Path, long: Pool) -> None:
    with pytest.raises(UsageError, match="cuts rows itself"):
        export(long, "open-instruct", tmp_path / "out", settings=ExportSettings(max_length=10))
    with pytest.raises(UsageError, match="its own max_length"):
        to_trl(long, max_length=10)
    with pytest.raises(UsageError, match="above 0"):
        to_trl(long, tokenizer=str(base), max_length=0)
    with pytest.raises(UsageError, match="their loss falls on the last response"):
        to_trl(long, loss="tulu-1")


# The mask in every path


def test_the_mask_of_the_first_release_is_one_of_its_format(tmp_path: Path, pool: Pool) -> None:
    other = tiny.causal(tmp_path / "chatml", "llama")
    chatml(other)
    for refused in (
        lambda: trainer(other, tmp_path / "out", loss="tulu-1").audit(pool),
        lambda: audit(pool, base=str(other), loss="tulu-1"),
        lambda: to_trl(pool, tokenizer=str(other), loss="tulu-1"),
        lambda: export(pool, tokenized("trl", str(other)), tmp_path / "export", settings=ExportSettings("tulu-1")),
    ):
        with pytest.raises(UsageError, match="The loss tulu-1 is of Tülu's chat format") as raised:
            refused()
        assert "the loss assistant" in str(raised.value.fix)
    with pytest.raises(UsageError, match="cannot be made to train on tulu-1"):
        export(pool, "trl", tmp_path / "export", settings=ExportSettings("tulu-1"))


FIRST: Final = [("assistant", "the sky is blue"), ("user", "why"), ("assistant", "explain in one sentence")]
ALONE: Final = [("assistant", "the sky is blue")]
DOUBLE: Final = [("user", "an egg"), ("assistant", "boil it"), ("assistant", "and peel it")]
ASKED_LAST: Final = [("user", "an egg"), ("assistant", "boil it"), ("user", "and then")]


def test_every_path_has_the_same_tokens_and_labels_of_the_first_release(base: Path, tmp_path: Path) -> None:
    rows = [*ROWS, FIRST, ALONE, DOUBLE, ASKED_LAST]
    pool = write_pool(tmp_path / "pool", rows)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))
    expected = sorted(tulu_1(tokenizer, row) for row in rows)
    data = to_trl(pool, tokenizer=str(base), loss="tulu-1")
    handed_over = [(row["input_ids"], [label != -100 for label in row["labels"]]) for row in data]
    assert sorted(handed_over) == expected
    trained = trainer(base, tmp_path, loss="tulu-1")
    audited, encoded = trained._encoded(pool)
    assert audited.trained_rows == len(rows) and sorted((row.ids, row.loss_mask) for row in encoded) == expected
    n_loss = sorted(sum(mask[1:]) for _, mask in expected)
    assert sorted(audit(pool, base=str(base), loss="tulu-1").frame["loss_tokens"].to_list()) == n_loss
    result = export(pool, tokenized("trl", str(base)), tmp_path / "trl", settings=ExportSettings("tulu-1"))
    assert result.account.as_dict()["left_out"] == {} and result.account.written == len(rows)
    assert recipe("tulu-7b", loss="tulu-1").fingerprint != recipe("tulu-7b").fingerprint


def test_a_checkpoint_is_asked_in_what_it_was_trained_in_where_the_tokenizer_adds_no_begin(tmp_path: Path, pool: Pool) -> None:
    base = tiny.causal(tmp_path / "base", "llama")
    config = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": END}))
    # As GPT-NeoX's: it knows a begin of sequence and writes none by itself.
    assert ChatTemplate.load(base).prompt([{"role": "user", "content": "a"}]).startswith(END)
    checkpoint = tuned(base, tmp_path, pool, loss="tulu-1")
    assert ChatTemplate.load(checkpoint.folder).prompt([{"role": "user", "content": "a"}]).startswith("<|user|>")
    first = next(iter(ChatTemplate.load(base).encode_all(pool.examples(), loss="tulu-1")))
    assert ChatTemplate.load(base).decoded(first.ids[:1]) != END
    question = [{"role": "user", "content": "a"}]
    texts = [chat_tokenizer(str(base), loss=loss).apply_chat_template(question, tokenize=False) for loss in ("tulu-1", None)]
    assert texts == ["<|user|>\na\n", f"{END}<|user|>\na\n"]


def test_the_preset_with_a_base_in_4_bits_runs_on_a_cpu_as_it_is(tmp_path: Path, pool: Pool) -> None:
    pytest.importorskip("bitsandbytes")
    base = tiny.causal(tmp_path / "base", "llama", hidden_size=64, intermediate_size=128)
    preset = recipe("tulu-qlora-2024", steps=1)
    checkpoint = TrlTrainer(str(base), preset, tmp_path / "out", device="cpu", precision="fp32").train(pool, seed=0)
    assert (checkpoint.record["steps"], checkpoint.record["batch_size"], checkpoint.record["trainer"]["recipe"]["bits"]) == (1, 128, 4)
