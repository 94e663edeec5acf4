"""A base whose end of sequence is not the end of turn of its template stops after it was trained, wherever it responds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers

from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, write_task
from instructsel.adapters.recipes import recipe
from instructsel.adapters.stop_tokens import write_stop_tokens
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.generation import Generator
from instructsel.pool.sources import zstd
from instructsel.protocols import Checkpoint
from tests.adapters.training_job import short, write_pool
from tests.templates import FAMILIES

NEW = 24


@pytest.fixture(autouse=True, scope="module")
def own_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`datasets` keeps what it reads in a folder of the tests."""
    import datasets.config

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    yield
    datasets.config.HF_DATASETS_CACHE = before


@pytest.mark.parametrize("name", ["chatml", "text_end"])
def test_a_trained_checkpoint_stops_at_its_end_of_turn(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    base = family.base(tmp_path / "base", hidden_size=64)
    pool = write_pool(tmp_path, [[("user", "the capital of france"), ("assistant", "paris")]])
    settings = recipe("tiny", steps=80, batch_size=1, learning_rate=5e-3, schedule="constant", warmup=0.0, group_by_length=False)
    trainer = TrlTrainer(str(base), settings, tmp_path / "out", device="cpu")
    assert any(r"the text '\n### End', which is no token" in notice for notice in trainer.notices) == (name == "text_end")
    checkpoint = trainer.train(pool, seed=0)
    outputs = Generator(max_new_tokens=NEW, precision="fp32", device="cpu").outputs(checkpoint, ["the capital of france"])
    assert (outputs.texts, outputs.record["cut"]) == (("paris",), 0)
    assert replied_to_the_harness(checkpoint, tmp_path) == ["paris"]
    if name == "text_end":
        return
    # Plain transformers reads the checkpoint's generation_config.json.
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(checkpoint.folder))
    model = transformers.AutoModelForCausalLM.from_pretrained(str(checkpoint.folder), dtype=torch.float32)
    prompt = ChatTemplate.load(checkpoint.folder).prompt([{"role": "user", "content": "the capital of france"}])
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
    new = model.generate(**ids, max_new_tokens=NEW, do_sample=False)[0, ids["input_ids"].shape[1] :].tolist()
    assert len(new) < NEW and new[-1] == family.vocabulary(base)[family.end]


def replied_to_the_harness(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """Replies of a checkpoint to a task of lm-evaluation-harness that generates, as far as its own stops let them go."""
    asked = folder / "asked.jsonl"
    asked.write_text(json.dumps({"prompt": "the capital of france", "answer": "paris"}) + "\n")
    kind = Generation(max_new_tokens=NEW, until=["never written"])
    write_task(asked, folder / "tasks", name="asking", kind=kind)
    grader = LmEval(
        "asking", include_path=folder / "tasks", apply_chat_template=True, samples=folder / "samples", device="cpu", precision="fp32"
    )
    assert grader.grade(checkpoint).values.tolist() == [1.0]
    (file,) = (folder / "samples").iterdir()
    rows = [json.loads(line) for line in zstd.decompress(file.read_bytes()).decode().splitlines()]
    return [str(row["resps"][0][0]).strip() for row in rows]


@pytest.mark.parametrize("merge", [True, False])
def test_a_checkpoint_of_adapters_says_where_it_stops_too(tmp_path: Path, merge: bool) -> None:
    family = FAMILIES["chatml"]
    base = family.base(tmp_path / "base")
    pool = write_pool(tmp_path, [[("user", "the capital of france"), ("assistant", "paris")]])
    trainer = TrlTrainer(str(base), short(method="lora"), tmp_path / "out", device="cpu", precision="fp32", merge=merge)
    checkpoint = trainer.train(pool, seed=0)
    vocabulary = family.vocabulary(base)
    folders = [checkpoint.folder] if merge else [checkpoint.folder / "adapter"]
    for folder in folders:
        written = json.loads((folder / "generation_config.json").read_text())
        assert written["eos_token_id"] == [vocabulary[family.eos], vocabulary[family.end]]


def test_the_end_of_turn_stands_beside_the_base_s_own_end(tmp_path: Path) -> None:
    family = FAMILIES["llama3"]
    base = family.base(tmp_path / "base")
    template = ChatTemplate.load(base)
    write_stop_tokens([tmp_path / "base"], base, template)
    vocabulary = family.vocabulary(base)
    written = json.loads((base / "generation_config.json").read_text())
    assert written["eos_token_id"] == [vocabulary["<|end_of_text|>"], vocabulary["<|eot_id|>"]]
    before = (base / "generation_config.json").read_bytes()
    write_stop_tokens([tmp_path / "base"], base, template)
    assert (base / "generation_config.json").read_bytes() == before
