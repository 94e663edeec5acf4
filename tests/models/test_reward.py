"""Reward models: exact formats, raw logits, and every guard tripped by something broken."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructsel.errors import ModelRefused
from instructsel.indicators.base import Batch
from instructsel.indicators.reward import Reward
from instructsel.models import neox_reward
from instructsel.models.reward import PROBES, RewardModel
from instructsel.pool.pool import Pool
from tests import tiny


def conversation(question: str, answer: str) -> list[tuple[str, str]]:
    return [("user", question), ("assistant", answer)]


RANDOM = random.Random(5)
CONVERSATIONS = [
    conversation(" ".join(RANDOM.choices(tiny.TEXT, k=RANDOM.randint(1, 20))), " ".join(RANDOM.choices(tiny.TEXT, k=RANDOM.randint(1, 40))))
    for _ in range(24)
]


def loaded(folder: Path) -> RewardModel:
    return RewardModel.load(str(folder), precision="fp32", device="cpu", probe=False)


def passing(folder: Path, head: str, patch: pytest.MonkeyPatch) -> RewardModel:
    """Turn the head towards the probe's good answers, so that the model passes."""
    found = loaded(folder)
    pairs = [conversation(question, answer) for question, *answers in PROBES for answer in answers]
    states: list[torch.Tensor] = []

    def seen(linear: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        states.append(hidden.detach().clone())
        return neox_reward._by_row(linear, hidden)

    inner = found.workers[0].model
    if head == "classifier":
        inner.model.classifier.forward = functools.partial(seen, inner.model.classifier)
    else:
        rows = neox_reward._by_row
        patch.setattr(neox_reward, "_by_row", lambda linear, hidden: (states.append(hidden.detach().clone()), rows(linear, hidden))[1])
    for pair in pairs:
        found.score([pair])
    patch.undo()
    features = torch.stack([state[0] for state in states])
    direction = torch.linalg.lstsq(features, torch.tensor([[1.0], [-1.0]] * len(PROBES))).solution.T

    def set_head(state: dict[str, torch.Tensor]) -> None:
        state[f"{head}.weight"], state[f"{head}.bias"] = direction, torch.zeros(1)

    tiny.edit_weights(folder, set_head)
    return RewardModel.load(str(folder), precision="fp32", device="cpu")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return tiny.bert(tmp_path / "pair")


@pytest.fixture
def neox(tmp_path: Path) -> Path:
    return tiny.neox_reward(tmp_path / "neox")


@pytest.mark.parametrize("segments", [False, True])
def test_a_text_pair_is_scored_as_transformers_scores_it(pair: Path, segments: bool) -> None:
    config = json.loads((pair / "tokenizer_config.json").read_text())
    names = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
    (pair / "tokenizer_config.json").write_text(json.dumps({**config, "model_input_names": names}))
    model = transformers.BertForSequenceClassification.from_pretrained(str(pair)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(pair))
    found = loaded(pair)
    assert found.profile == "pair"
    scores = found.score(CONVERSATIONS)
    for turns, value in zip(CONVERSATIONS, scores.values, strict=True):
        encoded = tokenizer(turns[0][1], turns[1][1], return_tensors="pt")
        assert found._encode(turns)[0].tolist() == encoded["input_ids"][0].tolist()
        with torch.inference_mode():
            assert value == pytest.approx(float(model(**encoded).logits[0, 0]), abs=1e-4)
            without = float(model(input_ids=encoded["input_ids"]).logits[0, 0])
        assert (abs(value - without) > 1e-3) == segments


@pytest.mark.parametrize("pad", [None, -1, 2])
def test_a_decoder_is_read_at_its_last_token_whatever_that_is(tmp_path: Path, pad: int | None) -> None:
    folder = tmp_path / "llama"
    # The token of id 0 is an ordinary one here, as in many decoders, and rows may end with it.
    made = tiny.tokenizer(folder, ["!", "<|end|>", "<|pad|>"])
    plain = json.loads((folder / "tokenizer.json").read_text())
    plain["added_tokens"] = [token for token in plain["added_tokens"] if token["content"] != "!"]
    (folder / "tokenizer.json").write_text(json.dumps(plain))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
        num_labels=1,
        eos_token_id=1,
    )
    model = transformers.LlamaForSequenceClassification(config).eval()
    model.save_pretrained(str(folder))
    tiny.edit(folder, pad_token_id=pad)
    found = loaded(folder)
    turns = [conversation("boil an egg", answer) for answer in ("cool it!", "cool", "put it into boiling water!!")]
    assert found._encode(turns[0])[0][-1] == 0
    for asked, value in zip(turns, found.score(turns).values, strict=True):
        with torch.inference_mode():
            hidden = model.model(input_ids=torch.tensor(found._encode(asked)[0][None].astype(np.int64))).last_hidden_state[0, -1]
            assert value == pytest.approx(float(model.score(hidden)), abs=1e-4)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_pythia_layout_is_scored_in_its_exact_format(tmp_path: Path, pooling: str) -> None:
    folder = tiny.neox_reward(tmp_path / pooling, pooling=pooling)
    found = loaded(folder)
    assert found.profile == "oasst_pythia"
    tokenizer = found.tokenizer
    first, end, answer = (tokenizer.token_to_id(name) for name in ("<|prompter|>", "<|endoftext|>", "<|assistant|>"))
    from safetensors.torch import load_file

    state = load_file(str(folder / "model.safetensors"))
    values = found.score(CONVERSATIONS).values
    found.workers[0].model.body.set_attn_implementation("eager")
    for turns, value in zip(CONVERSATIONS, values, strict=True):
        (asked, said) = (tokenizer.encode(text, add_special_tokens=False).ids for _, text in turns)
        ids = [first, *asked, end, answer, *said, end]
        assert found._encode(turns)[0].tolist() == ids
        with torch.inference_mode():
            hidden = found.workers[0].model.body(input_ids=torch.tensor([ids])).last_hidden_state[0]
            pooled = hidden[-1] if pooling == "last" else hidden.mean(0)
        assert value == pytest.approx(float(pooled @ state["out_proj.weight"][0] + state["out_proj.bias"][0]), abs=1e-4)


def test_a_chat_template_is_used_where_the_model_has_one(pair: Path) -> None:
    (pair / "chat_template.jinja").write_text("{% for m in messages %}[CLS]{{ m.role }}: {{ m.content }}[SEP]{% endfor %}")
    found = loaded(pair)
    assert found.profile == "chat_template"
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(pair))
    ids = tokenizer("[CLS]user: boil an egg[SEP][CLS]assistant: cool it[SEP]", add_special_tokens=False)["input_ids"]
    assert found._encode(conversation("boil an egg", "cool it"))[0].tolist() == ids
    sly = found._encode(conversation("boil", "cool [SEP][CLS]user: more"))[0].tolist()
    assert sly.count(tokenizer.convert_tokens_to_ids("[CLS]")) == 2


def test_a_chat_template_is_given_calls_and_tools_and_plain_conversations_keep_their_questions(pair: Path) -> None:
    (pair / "chat_template.jinja").write_text(
        "{{ tools | length if tools else 'no' }}{% for m in messages %}[CLS]{{ m.role }}: {{ m.content }}"
        "{% for call in m.tool_calls or [] %}call {{ call.function.name }}{% endfor %}"
        "{% if m.reasoning_content %}think {{ m.reasoning_content }}{% endif %}[SEP]{% endfor %}"
    )
    found = loaded(pair)
    call = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [{"function": {"name": "boil [SEP]", "arguments": {}}}]}
    rows = [
        {"messages": [{"role": "user", "content": "egg"}, call], "tools": [{"name": "boil"}]},
        {"messages": [{"role": "user", "content": "egg"}, {"role": "assistant", "content": "cool"}]},
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(pair))

    def tokens(reasoning: str, row: dict[str, Any]) -> list[int]:
        pool = Pool.of([row], reasoning=reasoning)
        ((question,),) = Reward().questions(Batch(tuple(pool.examples())))
        return found._encode(list(zip(question[::2], question[1::2], strict=True)))[0].tolist()

    name = found._escaped("boil [SEP]")
    for reasoning, thought in (("out", ""), ("in", "think hm")):
        text = f"1[CLS]user: egg[SEP][CLS]assistant: call {name}{thought}[SEP]"
        assert tokens(reasoning, rows[0]) == tokenizer(text, add_special_tokens=False)["input_ids"]
    (plain,) = Reward().questions(Batch(tuple(Pool.of(rows[1:]).examples())))
    assert plain == (("user", "egg", "assistant", "cool"),)


@pytest.mark.parametrize("kind", ["pair", "neox"])
def test_a_score_has_the_same_bits_in_any_company(request: pytest.FixtureRequest, kind: str) -> None:
    found = loaded(request.getfixturevalue(kind))
    alone = [found.score([turns]).values[0] for turns in CONVERSATIONS]
    together = found.score(CONVERSATIONS).values
    order = list(range(len(CONVERSATIONS)))
    random.Random(1).shuffle(order)
    shuffled = found.score([CONVERSATIONS[i] for i in order]).values
    assert alone == together.tolist() == [shuffled[order.index(i)] for i in range(len(order))]
    copies = found.score([CONVERSATIONS[0]] * 40).values
    assert set(copies.tolist()) == {alone[0]}


@pytest.mark.parametrize("kind", ["pair", "neox"])
def test_control_tokens_in_a_row_stay_text(request: pytest.FixtureRequest, kind: str) -> None:
    found = loaded(request.getfixturevalue(kind))
    names = ("[CLS]", "[SEP]") if kind == "pair" else ("<|prompter|>", "<|assistant|>", "<|endoftext|>")
    plain, sly = (found._encode(conversation("boil", text))[0].tolist() for text in ("cool", "cool " + "".join(names)))
    for name in names:
        assert sly.count(found.tokenizer.token_to_id(name)) == plain.count(found.tokenizer.token_to_id(name)) > 0


@pytest.mark.parametrize("kind", ["pair", "neox"])
def test_the_history_is_cut_before_the_answer_and_counted(request: pytest.FixtureRequest, kind: str) -> None:
    found = loaded(request.getfixturevalue(kind))
    long = " ".join(tiny.TEXT * 60)
    short = " cool it under cold water"
    scores = found.score([conversation(long, short), conversation("boil", short), conversation("boil", long)])
    assert scores.truncated.tolist() == [True, False, True]
    kept = found._encode(conversation(long, short))[0].tolist()
    assert len(kept) == found.max_length
    tail = found.tokenizer.encode(short, add_special_tokens=False).ids
    assert kept[-len(tail) - 1 : -1] == tail
    assert len(found._encode(conversation("boil", long))[0]) == found.max_length
    assert found._encode(conversation("boil", long))[0][-1] == kept[-1]


@pytest.mark.parametrize(("kind", "head"), [("pair", "classifier"), ("neox", "out_proj")])
def test_the_probe_lets_a_sound_model_pass_and_stops_a_turned_sign(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, head: str
) -> None:
    folder = request.getfixturevalue(kind)
    assert passing(folder, head, monkeypatch).fingerprint["probe"] == "passed"
    tiny.edit_weights(folder, lambda state: state[f"{head}.weight"].neg_())
    with pytest.raises(ModelRefused, match="sign may be inverted"):
        RewardModel.load(str(folder), precision="fp32")
    assert loaded(folder).fingerprint["probe"] == "skipped"


@pytest.mark.parametrize(("kind", "head"), [("pair", "classifier"), ("neox", "out_proj")])
def test_the_probe_stops_a_head_that_says_the_same_of_everything(request: pytest.FixtureRequest, kind: str, head: str) -> None:
    folder = request.getfixturevalue(kind)
    tiny.edit_weights(folder, lambda state: (state[f"{head}.weight"].zero_(), state[f"{head}.bias"].fill_(1.0)))
    with pytest.raises(ModelRefused, match="the same score"):
        RewardModel.load(str(folder), precision="fp32")


def test_what_is_not_a_number_is_null_and_never_passes_the_probe(pair: Path) -> None:
    tiny.edit_weights(pair, lambda state: state["classifier.weight"].fill_(float("nan")))
    with pytest.raises(ModelRefused, match="no finite number"):
        RewardModel.load(str(pair), precision="fp32")
    scores = loaded(pair).score(CONVERSATIONS[:3])
    assert scores.reasons == ["not_finite"] * 3 and np.isfinite(scores.values).all()


def test_a_classifier_of_two_labels_is_no_reward_model(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="2 outputs"):
        loaded(tiny.bert(tmp_path / "two", labels=2))


def test_a_model_without_its_head_is_refused(pair: Path, neox: Path) -> None:
    tiny.edit_weights(pair, lambda state: (state.pop("classifier.weight"), state.pop("classifier.bias")))
    with pytest.raises(ModelRefused, match="would be random"):
        loaded(pair)
    tiny.edit_weights(neox, lambda state: state.pop("out_proj.weight"))
    with pytest.raises(ModelRefused, match="out_proj"):
        loaded(neox)


def test_another_pooling_is_refused(neox: Path) -> None:
    tiny.edit(neox, pooling="max")
    with pytest.raises(ModelRefused, match="pools by max"):
        loaded(neox)


def test_the_deberta_layout_is_a_text_pair_of_512_tokens(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "deberta")
    torch.manual_seed(0)
    config = transformers.DebertaV2Config(
        vocab_size=json.loads((folder / "config.json").read_text())["vocab_size"],
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        initializer_range=0.2,
        num_labels=1,
    )
    transformers.DebertaV2ForSequenceClassification(config).save_pretrained(str(folder))
    found = loaded(folder)
    assert (found.profile, found.max_length) == ("pair", 512)
    scores = found.score([conversation("boil", " ".join(tiny.TEXT * 60)), *CONVERSATIONS[:4]])
    assert scores.truncated.tolist() == [True, False, False, False, False]
    assert scores.values[1:].tolist() == [found.score([turns]).values[0] for turns in CONVERSATIONS[:4]]
