"""The arrays of open-instruct hold the labels of every row, and read back as its own reader and OLMo-core's map them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from instructsel.adapters import to_trl
from instructsel.adapters.exports import open_instruct_tokens
from instructsel.adapters.exports.base import ExportSettings
from instructsel.adapters.exports.open_instruct_tokens import OpenInstructTokens, file_names, smallest_type
from instructsel.adapters.exports.registry import tokenized
from instructsel.adapters.exports.run import export
from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.grading.chat import ChatTemplate
from instructsel.pool.pool import Pool
from tests import tiny
from tests.adapters.training_job import ROWS, write_pool

TYPES = (np.uint8, np.uint16, np.uint32, np.uint64)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base") / "llama", "llama")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"))


def read(folder: Path, vocabulary: int) -> list[tuple[list[int], list[bool]]]:
    """The documents of a folder, by the rules of the format alone: no header, the smallest type, boundaries of each part."""
    kind = next(kind for kind in TYPES if vocabulary - 1 <= np.iinfo(kind).max)
    documents: list[tuple[list[int], list[bool]]] = []
    for path in sorted(folder.glob("token_ids_part_*.npy")):
        ids = np.memmap(path, dtype=kind, mode="r")
        mask = np.memmap(folder / path.name.replace("token_ids", "labels_mask"), dtype=np.bool_, mode="r")
        assert len(ids) == len(mask)
        with gzip.open(path.with_suffix("").with_suffix(".csv.gz"), "rt") as lines:
            bounds = [tuple(map(int, line.split(","))) for line in lines]
        assert [first for first, _ in bounds] == [0, *(last for _, last in bounds[:-1])] and bounds[-1][1] == len(ids)
        documents += [(ids[first:last].tolist(), mask[first:last].tolist()) for first, last in bounds]
    return documents


def expected(pool: Pool, base: Path, loss: str, max_length: int | None = None) -> list[tuple[list[int], list[bool]]]:
    data = to_trl(pool, tokenizer=str(base), loss=loss, max_length=max_length)
    return [(row["input_ids"], [label != -100 for label in row["labels"]]) for row in data]


@pytest.mark.parametrize("loss", ["assistant", "completion", "tulu-1"])
def test_the_arrays_read_back_as_the_rows_and_the_mask_is_where_labels_are(base: Path, pool: Pool, tmp_path: Path, loss: str) -> None:
    result = export(pool, tokenized("open-instruct", str(base)), tmp_path / "out", settings=ExportSettings(loss))
    assert [path.name for path in result.data] == list(file_names(0))
    documents = read(tmp_path / "out", len(ChatTemplate.load(base).tokenizer))
    assert documents == expected(pool, base, loss) and len(documents) == len(ROWS)
    statistics = json.loads((tmp_path / "out" / "dataset_statistics.json").read_text())
    assert statistics["configuration"] == {"tokenizer": "llama", "max_sequence_length": None, "chat_template": "tulu", "loss": loss}
    overall = statistics["overall_statistics"]
    assert overall["total_instances"] == len(ROWS) and overall["total_tokens"] == sum(len(ids) for ids, _ in documents)
    assert overall["trainable_tokens"] == sum(sum(mask) for _, mask in documents) and overall["instances_filtered"] == 0
    (source,) = statistics["per_dataset_statistics"]
    assert (source["final_instances_in_output"], source["final_tokens_in_output"]) == (len(ROWS), overall["total_tokens"])
    # The tokenizer loads, and writes what was trained on.
    chat = ChatTemplate.load(tmp_path / "out" / "tokenizer")
    assert chat.is_tulu and [row.ids for row in chat.encode_all(pool.examples(), loss=loss)] == [ids for ids, _ in documents]
    assert "chat_template" in json.loads((tmp_path / "out" / "tokenizer" / "tokenizer_config.json").read_text())
    assert f"--pretokenized_dataset_path {tmp_path / 'out'}" in result.export.next_command(result.data[0])


def test_ids_have_the_smallest_type_that_holds_the_vocabulary(base: Path, pool: Pool, tmp_path: Path) -> None:
    for vocabulary, name in (
        (2, "uint8"),
        (256, "uint8"),
        (257, "uint16"),
        (1 << 16, "uint16"),
        ((1 << 16) + 1, "uint32"),
        (1 << 33, "uint64"),
    ):
        assert smallest_type(vocabulary).name == name
    export(pool, tokenized("open-instruct", str(base)), tmp_path / "out")
    n_tokens = sum(len(ids) for ids, _ in expected(pool, base, "assistant"))
    sizes = [(tmp_path / "out" / name).stat().st_size for name in file_names(0)[:2]]
    assert sizes == [2 * n_tokens, n_tokens]


def test_a_document_goes_on_in_the_next_part_and_parts_of_before_are_gone(
    base: Path, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_instruct_tokens, "PART", 2 * 50)
    result = export(pool, tokenized("open-instruct", str(base)), tmp_path / "out")
    rows = expected(pool, base, "assistant")
    n_tokens = sum(len(ids) for ids, _ in rows)
    assert len(result.data) == 3 * -(-n_tokens // 50) > 3
    documents = read(tmp_path / "out", 400)
    assert [token for ids, _ in documents for token in ids] == [token for ids, _ in rows for token in ids]
    assert [is_on for _, mask in documents for is_on in mask] == [is_on for _, mask in rows for is_on in mask]
    assert len(documents) > len(rows) and all(len(ids) <= 50 for ids, _ in documents)
    with pytest.raises(UsageError, match="is there already"):
        export(pool, tokenized("open-instruct", str(base)), tmp_path / "out")
    monkeypatch.undo()
    export(pool, tokenized("open-instruct", str(base)), tmp_path / "out", settings=ExportSettings(force=True))
    assert read(tmp_path / "out", 400) == rows and not (tmp_path / "out" / file_names(1)[0]).exists()


def test_the_same_rows_give_the_same_bytes(base: Path, tmp_path: Path) -> None:
    folders: list[dict[str, bytes]] = []
    for name, rows in (("one", ROWS), ("two", ROWS[::-1])):
        pool = write_pool(tmp_path / name, rows)
        export(pool, tokenized("open-instruct", str(base)), tmp_path / f"out {name}")
        folder = tmp_path / f"out {name}"
        folders.append(
            {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file() and "manifest" not in path.name
            }
        )
    assert folders[0] == folders[1] and len(folders[0]) >= 6


def test_the_command_writes_the_arrays(base: Path, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pool(tmp_path / "pool")
    line = [
        "export",
        "pool/pool.jsonl",
        "--to",
        "open-instruct",
        "--tokenizer",
        str(base),
        "--loss",
        "tulu-1",
        "--max-length",
        "40",
        "-o",
        "out",
    ]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out", 400) == expected(pool, base, "tulu-1", 40)


def test_it_says_what_it_is() -> None:
    assert OpenInstructTokens.rules and set(OpenInstructTokens.losses) == {"assistant", "completion", "tulu-1"}


# The legacy mixer


def mixed(config: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Rows by the documented rules of the legacy mixer: a number above 1 counts rows, and then all do; others are shares."""
    amounts = config["dataset_mixer"]
    counts = any(amount > 1 for amount in amounts.values())
    rows: list[dict[str, Any]] = []
    for name, amount in amounts.items():
        listed = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        rows += listed[: int(amount) if counts else int(amount * len(listed))]
    return rows


def test_the_file_of_the_legacy_mixer_brings_all_rows(pool: Pool, tmp_path: Path) -> None:
    result = export(pool, "open-instruct", tmp_path / "out")
    (mixer,) = [path for path in result.companions if path.name.endswith(".mixer.yaml")]
    config = yaml.safe_load(mixer.read_text(encoding="utf-8"))
    (amount,) = config["dataset_mixer"].values()
    # 1 would be one row in today's mixer.
    assert isinstance(amount, float) and amount == 1.0 and ": 1.0\n" in mixer.read_text(encoding="utf-8")
    rows = mixed(config, tmp_path / "out")
    turns = [[{"role": turn.role, "content": turn.content} for turn in example.messages] for example in pool.examples()]
    assert [row["messages"] for row in rows] == turns
