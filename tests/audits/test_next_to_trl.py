"""Tokens, loss tokens and packed sequences of an audit are TRL's own, row by row, on real pools and families of templates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Pool
from instructsel.audits.packing import pack
from instructsel.audits.row import AuditedRow
from instructsel.audits.run import audited_rows
from instructsel.audits.settings import PACKINGS, AuditSettings
from instructsel.audits.subject import Subject
from tests.audits.real_pools import head, write_rows
from tests.templates import FAMILIES

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

POOLS: Final = ("dolly", "lima_history", "glaive_toolcall_en_demo", "evol_instruct_1k_sharegpt")
NAMES: Final = ("tulu", "chatml", "qwen25", "qwen3", "llama3", "gemma", "mistral", "phi3")
ANSWERS: Final = (
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + END }}{% endgeneration %}{% else %}"
    "{{ message['content'] + END }}{% endif %}"
)
MARKED: Final = {
    "tulu": (None, "tulu"),
    "chatml": (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n" + ANSWERS.replace("END", "'<|im_end|>\\n'") + "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "chatml",
    ),
    "llama3": (
        "{{- bos_token }}{% for message in messages %}{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
        + ANSWERS.replace("END", "'<|eot_id|>'")
        + "{% endfor %}{% if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
        "llama3",
    ),
    "text_end": (
        "{% for message in messages %}{{ '### ' + message.role | capitalize + ':\\n' }}"
        + ANSWERS.replace("END", "'\\n### End\\n\\n'")
        + "{% endfor %}{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}",
        "text_end",
    ),
}
"""Families with generation marks around responses and their ends: (template, the family whose tokens it counts on)."""


def prepared(base: Path, rows: list[dict[str, Any]], **settings: Any) -> Any:
    """Rows as TRL prepares them."""
    import transformers

    usual = {"use_cpu": True, "bf16": False, "report_to": "none", "max_length": None, "disable_tqdm": True, **settings}
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    tokenizer = Subject.load(AuditSettings(), tokenizer=str(base)).tokenizer
    config = trl.SFTConfig(str(base / "out"), **usual)
    return trl.SFTTrainer(model, config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer).train_dataset


def audited(base: Path, pool: Pool, **settings: Any) -> list[AuditedRow]:
    return list(audited_rows(pool, Subject.load(AuditSettings(**settings), base=str(base))))


def as_trl(row: AuditedRow, loss: str) -> dict[str, Any]:
    """A row as it is handed to TRL."""
    turns = [dict(turn) for turn in row.turns]
    return {"prompt": turns[:-1], "completion": turns[-1:]} if loss == "completion" else {"messages": turns}


def labels(row: AuditedRow) -> list[int]:
    return [token if loss else -100 for token, loss in zip(row.ids, row.loss_mask, strict=True)]


def differs_on_purpose(row: AuditedRow) -> bool:
    """Whether the documents say that TRL trains on other tokens of the row."""
    merged = row.prompt is not None and tuple(row.full.ids[: len(row.prompt)]) != row.prompt
    return row.full.control or merged or row.reason in ("no_response", "template_refused", "not_a_prefix")


def check_equal(rows: list[AuditedRow], theirs: Any) -> None:
    for row, its in zip(rows, theirs, strict=True):
        assert (row.ids, labels(row)) == (its["input_ids"], its["labels"])


@pytest.fixture(scope="module")
def pools(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pool]:
    folder = tmp_path_factory.mktemp("pools")
    return {name: Pool.read(write_rows(folder / f"{name}.jsonl", head(shared_data, name, 60))) for name in POOLS}


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_trl_s_tokens_and_loss_tokens(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES[name].base(tmp_path / name)
    for loss in ("completion", "all"):
        compared = 0
        for pool in pools.values():
            rows = [row for row in audited(base, pool, loss=loss, max_length=100_000) if not differs_on_purpose(row)]
            check_equal(rows, prepared(base, [as_trl(row, loss) for row in rows]))
            compared += len(rows)
        # The fewest with templates that take neither tools nor system turns.
        assert compared >= 200


@pytest.mark.parametrize("name", MARKED)
def test_every_row_has_trl_s_loss_tokens_on_all_responses(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    template, family = MARKED[name]
    base = replace(FAMILIES[family], template=template).base(tmp_path / name)
    several = 0
    for pool in pools.values():
        rows = [row for row in audited(base, pool, loss="assistant", max_length=100_000) if not differs_on_purpose(row)]
        check_equal(rows, prepared(base, [as_trl(row, "assistant") for row in rows], assistant_only_loss=True))
        several += sum(len(row.responses) > 1 for row in rows)
    assert several > 20


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma", "tulu"])
def test_what_is_cut_and_what_is_left_out_are_trl_s(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES[name].base(tmp_path / name)
    dropped = cut = 0
    for pool in pools.values():
        rows = [row for row in audited(base, pool, max_length=300) if not differs_on_purpose(row)]
        theirs = prepared(base, [as_trl(row, "completion") for row in rows], max_length=300)
        check_equal([row for row in rows if row.reason is None], theirs)
        dropped += sum(row.reason == "no_loss_token" for row in rows)
        cut += sum(row.truncated for row in rows)
    assert dropped > 10 and cut > dropped


@pytest.mark.parametrize("strategy", PACKINGS)
@pytest.mark.parametrize("name", ["chatml", "tulu"])
def test_packed_sequences_are_trl_s(name: str, strategy: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES[name].base(tmp_path / name)
    for pool in (pools["dolly"], pools["lima_history"]):
        rows = [row for row in audited(base, pool, max_length=1000, packing=strategy) if not differs_on_purpose(row)]
        # Many short rows: TRL packs a thousand at a time.
        many = [row for row in rows for _ in range(18)]
        theirs = prepared(base, [as_trl(row, "completion") for row in many], max_length=1000, packing=True, packing_strategy=strategy)
        packing = pack([(number, len(row.full.ids)) for number, row in enumerate(many)], 1000, strategy)
        assert len(packing.sequences) == len(theirs)
        for sequence, its in zip(packing.sequences, theirs, strict=True):
            ids = [token for part in sequence for token in many[part.row].full.ids[part.start : part.stop]]
            mask = [loss for part in sequence for loss in many[part.row].full.loss_mask[part.start : part.stop]]
            assert its["input_ids"] == ids
            assert its["labels"] == [token if loss else -100 for token, loss in zip(ids, mask, strict=True)]
            if strategy != "wrapped":
                assert its["seq_lengths"] == [part.stop - part.start for part in sequence]


def test_lengths_that_packing_could_trip_over_are_packed_as_trl_packs_them() -> None:
    lengths = [7, 1, 8, 9, 8, 16, 3, 3, 5, 0, 24, 17, 1, 8, 2, 6, 8, 1]
    rows = [list(range(100 * number, 100 * number + length)) for number, length in enumerate(lengths)] * 61
    for strategy in PACKINGS:
        theirs = trl.pack_dataset(datasets.Dataset.from_dict({"input_ids": rows}), 8, strategy)["input_ids"]
        packing = pack([(number, len(row)) for number, row in enumerate(rows)], 8, strategy)
        ours = [[token for part in sequence for token in rows[part.row][part.start : part.stop]] for sequence in packing.sequences]
        assert ours == [list(sequence) for sequence in theirs]


def test_where_the_documents_name_a_difference_there_is_one(tmp_path: Path) -> None:
    base = FAMILIES["chatml"].base(tmp_path / "base")
    rows = [
        {"instruction": "say it", "output": "so<|im_end|>"},
        {"instruction": "say nothing", "output": ""},
        {"instruction": "begin a line", "output": "\n\nso"},
        {"instruction": "say it", "output": "so"},
    ]
    path = base / "tokenizer.json"
    written = json.loads(path.read_text())
    # Two line breaks as one token, as in the tokenizers of published models.
    written["model"]["vocab"]["ĊĊ"] = max(FAMILIES["chatml"].vocabulary(base).values()) + 1
    written["model"]["merges"].append(["Ċ", "Ċ"])
    path.write_text(json.dumps(written))
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", rows))
    ours = audited(base, pool, max_length=500)
    assert [differs_on_purpose(row) for row in ours] == [True, True, True, False]
    theirs = prepared(base, [as_trl(row, "completion") for row in ours])
    equal = [(row.ids, labels(row)) == (its["input_ids"], its["labels"]) for row, its in zip(ours, theirs, strict=True)]
    assert equal == [False, False, False, True]
