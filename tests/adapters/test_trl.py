"""The hand-off to TRL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsel import Pool
from instructsel.adapters import TrlTrainer, chat_tokenizer, recipe, to_trl
from instructsel.grading.chat import ChatTemplate
from tests import tiny


def test_trl_gets_prompts_and_completions_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    turns = [("user", "Weather?"), ("assistant", "Let me see."), ("tool", "rain"), ("assistant", "It rains."), ("user", "Thanks")]
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in turns], "extra": 1},
        {"messages": [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}], "extra": 2},
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(tmp_path / "pool.jsonl")
    data = to_trl(pool)
    assert data.column_names == ["prompt", "completion"] and len(data) == 2
    by_length = sorted(data, key=lambda row: len(row["prompt"]))
    assert by_length[0] == {"prompt": [{"role": "user", "content": "1+1"}], "completion": [{"role": "assistant", "content": "2"}]}
    assert [turn["role"] for turn in by_length[1]["prompt"]] == ["user", "assistant", "tool"]
    assert by_length[1]["completion"] == [{"role": "assistant", "content": "It rains."}]


def test_a_base_without_a_chat_template_trains_in_trl_with_the_tokenizer_of_the_hand_off(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    base = tiny.causal(tmp_path / "base", "llama")
    rows = [{"instruction": "why is the sky blue", "output": "it is"}, {"instruction": "the capital of france", "output": "paris"}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(tmp_path / "pool.jsonl")
    settings = trl.SFTConfig(str(tmp_path / "out"), max_steps=1, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True)
    with pytest.raises(ValueError, match="chat_template"):
        trl.SFTTrainer(str(base), args=settings, train_dataset=to_trl(pool))
    trainer = trl.SFTTrainer(str(base), args=settings, train_dataset=to_trl(pool), processing_class=chat_tokenizer(str(base)))
    trainer.train()
    # TRL trains on the tokens, and the loss tokens, that TrlTrainer would.
    expected = list(ChatTemplate.load(base).encode_all(pool.examples()))
    seen = [trainer.train_dataset[row] for row in range(2)]
    assert [row["input_ids"] for row in seen] == [encoded.ids for encoded in expected]
    masks = [row.get("completion_mask") or [int(label != -100) for label in row["labels"]] for row in seen]
    assert masks == [list(map(int, encoded.loss_mask)) for encoded in expected]
    # What is saved with the model keeps the template.
    trainer.save_model(str(tmp_path / "trained"))
    assert not ChatTemplate.load(tmp_path / "trained").fallback


def test_calls_and_tools_are_handed_over_digit_for_digit_and_without_the_arguments_of_others() -> None:
    pytest.importorskip("datasets")
    arguments = [{"port": "Brest", "day": None}, {"n": 1 << 70}, {"x": 0.12345678901234567}, '{"port": "Brest"}', {}]
    calls = [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": a}}]} for a in arguments
    ]
    rows = [{"messages": [{"role": "user", "content": "Tide?"}, call], "tools": [{"name": "f", "default": None}]} for call in calls]
    pool = Pool.of([*rows, {"messages": [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]}])
    data = to_trl(pool)
    assert data.column_names == ["prompt", "completion", "tools"]
    handed = {json.dumps(row["completion"][0]): row["tools"] for row in data}
    assert handed == {json.dumps(call): rows[0]["tools"] for call in calls} | {json.dumps({"role": "assistant", "content": "2"}): None}
    # A process of its own reads the same.
    lengths = data.map(lambda row: {"length": len(json.dumps(row["completion"]))}, num_proc=2)["length"]
    assert sorted(lengths) == sorted(len(json.dumps(row["completion"])) for row in data)


def test_a_response_without_a_prompt_is_left_out_of_the_hand_over_and_of_training_and_named(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    turns = [[("gpt", "And so the hedge grew."), ("human", "Thanks!")], [("human", "Is rain wet?"), ("gpt", "Yes.")]]
    rows = [{"conversations": [{"from": who, "value": text} for who, text in conversation]} for conversation in turns]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(tmp_path / "pool.jsonl")
    assert (len(pool), pool.report.first_answers) == (2, 1)
    with pytest.warns(UserWarning, match=r"1 example whose response is the first turn \(pool.jsonl:1\)"):
        data = to_trl(pool)
    assert [row["prompt"] for row in data] == [[{"role": "user", "content": "Is rain wet?"}]]
    data = TrlTrainer(str(tiny.causal(tmp_path / "base", "llama")), recipe("paper-v1"), tmp_path / "out", device="cpu").audit(pool)
    assert (data.skipped, data.trained_rows, data.named) == ({"no_prompt": 1}, 1, ("pool.jsonl:1 (no_prompt)",))
