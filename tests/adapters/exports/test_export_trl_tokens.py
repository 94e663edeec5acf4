"""TRL trains on the tokens that are exported for it, and on none whose response has weight 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.decoders import ByteLevel
from typer.testing import CliRunner

from instructsel.adapters import to_trl
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.contents import CONTENTS, ENCODINGS
from instructsel.adapters.exports.registry import tokenized
from instructsel.adapters.exports.run import export
from instructsel.adapters.exports.trl_tokens import TrlTokens
from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.grading.chat import ChatTemplate
from tests import tiny
from tests.chat_families import QWEN_TYPE, STRUCTURED
from tests.conversations import ASKED, CALLED, HOLDING, RESULT, SAID, TOOLS, pool, pool_of
from tests.templates import FAMILIES


def base(folder: Path, jinja: str = QWEN_TYPE) -> Path:
    """A tiny base with a chat template."""
    tiny.causal(folder, "llama")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": jinja}), encoding="utf-8")
    return folder


def loaded(folder: Path, tmp_path: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


def prepared(model: Path, data: Any, tmp_path: Path, **settings: Any) -> Any:
    """What TRL trains on of a data set."""
    trl = pytest.importorskip("trl")
    quiet = {"report_to": "none", "use_cpu": True, "bf16": False, "disable_tqdm": True, "max_length": None}
    return trl.SFTTrainer(str(model), trl.SFTConfig(str(tmp_path / "run"), **{**quiet, **settings}), train_dataset=data).train_dataset


FLAGGED = {"messages": [ASKED, {**SAID, "content": "Masked one."}, ASKED, {**SAID, "content": "Trained two."}, ASKED, SAID]}
FLAGGED["messages"][1] = {**FLAGGED["messages"][1], "weight": 0}
ROWS = (
    FLAGGED,
    {"messages": [{"role": "system", "content": "Be brief."}, ASKED, CALLED, RESULT, SAID], "tools": TOOLS},
    HOLDING["reasoning"],
)


@pytest.mark.parametrize("form", ["folder", "memory"])
@pytest.mark.parametrize("loss", ["assistant", "completion"])
def test_trl_takes_the_tokens_and_masks_as_they_are(tmp_path: Path, loss: str, form: str) -> None:
    model, rows = base(tmp_path / "base"), pool(tmp_path / "pool.jsonl", *ROWS)
    if form == "folder":
        result = export(rows, tokenized("trl", str(model)), tmp_path / "out", settings=ExportSettings(loss))
        assert result.account.written == 3 and ("untrained" in result.account.noted)
        data = loaded(tmp_path / "out", tmp_path)
    else:
        data = to_trl(rows, tokenizer=str(model), loss=loss)
    assert data.column_names == ["input_ids", "labels"]
    template = ChatTemplate.load(model)
    expected = [
        (encoded.ids, [token if mask else -100 for token, mask in zip(encoded.ids, encoded.loss_mask, strict=True)])
        for encoded in template.encode_all(rows.examples(), loss=loss)
    ]
    seen = prepared(model, data, tmp_path)
    assert [(row["input_ids"], row["labels"]) for row in seen] == expected
    (flagged,) = [row for row, example in zip(seen, rows.examples(), strict=True) if len(example.messages) == 6]
    labels = [label for label in flagged["labels"] if label != -100]
    trained = ByteLevel().decode(template.tokenizer.convert_ids_to_tokens(labels))
    assert "Masked" not in trained and ("Trained two." in trained) is (loss == "assistant") and "5.1 metres." in trained


def test_the_tokens_with_a_loss_on_the_last_response_are_those_that_trl_makes_of_prompt_and_completion(tmp_path: Path) -> None:
    for family, jinja in STRUCTURED.items():
        model, rows = base(tmp_path / family, jinja), pool(tmp_path / "pool.jsonl", *ROWS)
        tokens = prepared(model, to_trl(rows, tokenizer=model, loss="completion"), tmp_path)
        turns = prepared(model, to_trl(rows), tmp_path)
        assert [(row["input_ids"], row["labels"]) for row in tokens] == [(row["input_ids"], row["labels"]) for row in turns], family


def test_weights_between_0_and_1_are_refused_with_their_count_in_every_form(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", HOLDING["weights"], {"messages": [ASKED, {**SAID, "weight": 0.5}, ASKED, SAID]}, *ROWS)
    model = base(tmp_path / "base")
    for arguments in ({}, {"tokenizer": model}, {"tokenizer": model, "loss": "completion"}):
        with pytest.raises(UsageError, match=r"2 examples have weights other than 0 and 1, which TRL cannot carry \(first: pool.jsonl:"):
            to_trl(rows, **arguments)
    with pytest.raises(UsageError, match="2 rows have weights other than 0 and 1, which trl cannot carry"):
        export(rows, tokenized("trl", str(model)), tmp_path / "out")
    assert export(rows, tokenized("trl", str(model)), tmp_path / "out", settings=ExportSettings(drop_unsupported=True)).account.written == 3
    # Behind the last trained response no weight is of matter: nothing of it is handed over.
    later = pool(tmp_path / "later.jsonl", {"messages": [ASKED, SAID, {**ASKED, "weight": 0.5}]})
    assert len(to_trl(later)) == 1


def test_a_loss_on_every_response_needs_the_tokens(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", *ROWS)
    with pytest.raises(UsageError, match="loss falls on the last response") as raised:
        to_trl(rows, loss="assistant")
    assert "tokenizer" in str(raised.value.fix)
    with pytest.raises(UsageError, match="no loss of to_trl 'all'"):
        to_trl(rows, loss="all")


def test_what_a_template_cannot_write_is_refused_or_counted(tmp_path: Path) -> None:
    deaf = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    consumer = tokenized("trl", str(base(tmp_path / "base", deaf)))
    rows = pool(tmp_path / "pool.jsonl", HOLDING["system"], HOLDING["calls"], HOLDING["tools"], HOLDING["reasoning"], HOLDING["no_prompt"])
    with pytest.raises(UsageError, match="1 row has a conversation that the chat template refuses and 1 row has calls that the chat"):
        export(rows, consumer, tmp_path / "out")
    account = export(rows, consumer, tmp_path / "out", settings=ExportSettings(drop_unsupported=True)).account
    assert (account.read, account.written, account.n_refused) == (5, 2, 2) and set(account.left_out) == {"no_prompt"}
    assert {name: tally.rows for name, tally in account.altered.items()} == {"tools_not_rendered": 1, "reasoning_not_rendered": 1}
    with pytest.warns(UserWarning, match="to_trl leaves out") as warned:
        assert len(to_trl(rows, tokenizer=str(tmp_path / "base"))) == 2
    reasons = {str(warning.message) for warning in warned if "to_trl" in str(warning.message)}
    assert len(reasons) == 3 and "to_trl leaves out 1 example: template_refused (pool.jsonl:1)." in reasons


def test_rows_whose_earlier_turns_are_rewritten_are_refused_with_a_loss_that_takes_them(tmp_path: Path) -> None:
    consumer = tokenized("trl", str(FAMILIES["qwen3"].base(tmp_path / "base")))
    thought = {"role": "assistant", "content": "It is.", "reasoning_content": "Is it?"}
    rows = pool(tmp_path / "pool.jsonl", {"messages": [ASKED, thought, ASKED, thought]})
    with pytest.raises(UsageError, match="1 row has earlier turns that the chat template rewrites") as refused:
        export(rows, consumer, tmp_path / "out", settings=ExportSettings(loss="assistant"))
    assert refused.value.fix == "Leave it out with --drop-unsupported, or train on the last response alone with --loss completion."
    assert export(rows, consumer, tmp_path / "out", settings=ExportSettings(loss="completion")).account.written == 1


def test_it_names_what_there_is() -> None:
    stated = [TrlTokens.refused, TrlTokens.left_out, TrlTokens.altered, TrlTokens.noted]
    assert set().union(*stated) <= {*CONTENTS, *ENCODINGS} and sum(map(len, stated)) == len(set().union(*stated))
    assert set(ENCODINGS) <= set().union(*stated)


def test_the_loss_falls_on_each_trained_response_of_conversations_of_every_kind(tmp_path: Path) -> None:
    rows = pool_of(tmp_path / "pool.jsonl", 200, 5)
    consumer = tokenized("trl", str(base(tmp_path / "base", STRUCTURED["chatml with tools"])))
    result = export(rows, consumer, tmp_path / "out", settings=ExportSettings(drop_unsupported=True))
    assert result.account.written > 100
    spans = 0
    for row in loaded(tmp_path / "out", tmp_path):
        assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))
        spans += sum(label != -100 and before == -100 for label, before in zip(row["labels"], [-100, *row["labels"]], strict=False))
    # Two responses in a row are two spans as well: a header stands between them.
    assert spans == result.account.trained


def test_the_command_writes_tokens_for_trl_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pool(tmp_path / "pool.jsonl", *ROWS)
    model = base(tmp_path / "base")
    run = lambda *arguments: CliRunner().invoke(app, ["export", "pool.jsonl", *arguments], prog_name="instructsel")  # noqa: E731
    done = run("--to", "trl", "--tokenizer", str(model), "-o", "out", "--json")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "out" / "instructsel-manifest.json").read_text(encoding="utf-8"))
    assert manifest["tokenizer"]["name"] == "base" and manifest["tokenizer"]["chat_template"]["from"] == "the tokenizer"
    assert str(tmp_path) not in json.dumps(manifest["tokenizer"])
    refused = run("--to", "axolotl", "--tokenizer", str(model), "-o", "other")
    assert refused.exit_code == 2 and "--tokenizer is for --to trl" in " ".join(refused.output.split())
    absent = run("--to", "trl", "--tokenizer", str(tmp_path / "none"), "-o", "other")
    assert absent.exit_code in (2, 3, 4) and "Traceback" not in absent.output and not (tmp_path / "other").exists()
