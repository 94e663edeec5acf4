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
from tests.templates import FAMILIES, Family

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


def taken(rows: list[AuditedRow]) -> list[AuditedRow]:
    """The rows at which TRL does not stop with the template's error."""
    return [row for row in rows if row.fault != "template_refused"]


def check_equal(rows: list[AuditedRow], theirs: Any) -> None:
    for row, its in zip(rows, theirs, strict=True):
        assert (row.ids, labels(row)) == (its["input_ids"], its["labels"])


@pytest.fixture(scope="module")
def pools(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pool]:
    folder = tmp_path_factory.mktemp("pools")
    return {name: Pool.read(write_rows(folder / f"{name}.jsonl", head(shared_data, name, 30))) for name in POOLS}


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_trl_s_tokens_and_loss_tokens(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES[name].base(tmp_path / name)
    for loss in ("completion", "all"):
        compared = 0
        for pool in pools.values():
            rows = taken(audited(base, pool, loss=loss, max_length=100_000))
            check_equal(rows, prepared(base, [as_trl(row, loss) for row in rows]))
            compared += len(rows)
        # The fewest with templates that take neither tools nor system turns.
        assert compared >= 100


@pytest.mark.parametrize("name", MARKED)
def test_every_row_has_trl_s_loss_tokens_on_all_responses(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    template, family = MARKED[name]
    base = replace(FAMILIES[family], template=template).base(tmp_path / name)
    several = 0
    for pool in pools.values():
        rows = taken(audited(base, pool, loss="assistant", max_length=100_000))
        check_equal(rows, prepared(base, [as_trl(row, "assistant") for row in rows], assistant_only_loss=True))
        several += sum(len(row.responses) > 1 for row in rows)
    assert several > 10


PUBLISHED: Final = ("qwen2_5_training", "qwen3_training", "qwen3_5_think_training", "llama3_training", "phi3_training", "gemma3_training")
"""Templates of published models with the generation marks that TRL puts into them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_marks_that_trl_puts_into_published_templates_are_read_as_trl_reads_them(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    markers = ("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")
    base = Family(template, "", markers, bos="<s>").base(tmp_path / name)
    pool = pools["lima_history"]
    rows = taken(audited(base, pool, loss="assistant", max_length=2000))
    assert len(rows) == len(pool)
    check_equal(rows, prepared(base, [as_trl(row, "assistant") for row in rows], assistant_only_loss=True, max_length=2000))


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma", "tulu"])
def test_what_is_cut_and_what_is_left_out_are_trl_s(name: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES[name].base(tmp_path / name)
    dropped = cut = 0
    for pool in pools.values():
        rows = taken(audited(base, pool, max_length=300))
        theirs = prepared(base, [as_trl(row, "completion") for row in rows], max_length=300)
        check_equal([row for row in rows if row.reason is None], theirs)
        dropped += sum(row.reason == "no_loss_token" for row in rows)
        cut += sum(row.truncated for row in rows)
    assert dropped > 5 and cut > dropped


@pytest.mark.parametrize("strategy", PACKINGS)
def test_packed_sequences_are_trl_s(strategy: str, pools: dict[str, Pool], tmp_path: Path) -> None:
    base = FAMILIES["chatml"].base(tmp_path / "base")
    # Many short rows: TRL packs a thousand at a time.
    for pool, repeated in ((pools["dolly"], 35), (pools["lima_history"], 1)):
        rows = taken(audited(base, pool, max_length=1000, packing=strategy))
        many = [row for row in rows for _ in range(repeated)]
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


ODD: Final = [
    {"instruction": "say it", "output": "so<|im_end|>"},
    {"instruction": "say it<|im_end|>\n<|im_start|>assistant\nso<|endoftext|>", "output": "so it is"},
    {"instruction": "say nothing", "output": ""},
    {"instruction": "say nothing again", "output": " \n"},
    {"instruction": "begin a line", "output": "\n\nso"},
    {"instruction": "end a line \n\n", "output": "so\n\n"},
    {"instruction": "think", "output": "<think>\nwhy\n</think>\n\nso"},
    {"instruction": "think twice", "output": "<think>why</think>so<think>not</think>"},
    {"instruction": "été ☃ 漢字 👩\u200d👩\u200d👧", "output": "naïve 🇫🇷\u0301"},
    {"instruction": "say it", "output": "so"},
]
"""Rows at the edges of what a template and a tokenizer do."""


def merging(base: Path) -> Path:
    """The base with two line breaks as one token, as in the tokenizers of published models."""
    path = base / "tokenizer.json"
    written = json.loads(path.read_text())
    written["model"]["vocab"]["ĊĊ"] = max(Family.vocabulary(base).values()) + 1
    written["model"]["merges"].append(["Ċ", "Ċ"])
    path.write_text(json.dumps(written))
    return base


@pytest.mark.parametrize("name", sorted({*NAMES, "qwen3_special", "r1", "chatml_text", "text_end"}))
def test_rows_at_the_edges_have_trl_s_tokens_and_loss_tokens(name: str, tmp_path: Path) -> None:
    base = merging(FAMILIES[name].base(tmp_path / "base"))
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", ODD))
    for loss in ("completion", "all"):
        rows = audited(base, pool, loss=loss, max_length=500)
        check_equal(rows, prepared(base, [as_trl(row, loss) for row in rows]))
    template, family = MARKED.get(name, (None, ""))
    if template is not None:
        marked = merging(replace(FAMILIES[family], template=template).base(tmp_path / "marked"))
        rows = audited(marked, pool, loss="assistant", max_length=500)
        # TRL stops at a row without any marked token.
        rows = [row for row in rows if any(row.loss_mask)]
        check_equal(rows, prepared(marked, [as_trl(row, "assistant") for row in rows], assistant_only_loss=True))


def test_what_instructsel_trains_differs_where_the_documents_say_so(tmp_path: Path) -> None:
    base = merging(FAMILIES["chatml"].base(tmp_path / "base"))
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", [ODD[0], ODD[2], ODD[4], ODD[-1]]))
    ours, theirs = (audited(base, pool, max_length=500, trainer=trainer) for trainer in ("instructsel", "trl"))
    assert [(row.ids, row.loss_mask) == (other.ids, other.loss_mask) for row, other in zip(ours, theirs, strict=True)] == [
        False,
        False,
        False,
        True,
    ]
