"""The lines by which a training repository uses the package run as they stand in the documents, on a tiny base."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests import tiny

ROOT: Final = Path(__file__).resolve().parent.parent
ROWS: Final = [
    {
        "instruction": f"please give me tip {number} for staying healthy",
        "output": "eat plenty of fruit , move every day . " * (1 + number % 5),
    }
    for number in range(12)
]


def snippets(page: str, word: str) -> list[str]:
    """The Python blocks of a page that hold a word."""
    return [block for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL) if word in block]


def settings() -> Any:
    """One step on the processor; by default TRL wants a GPU."""
    import trl

    return trl.SFTConfig("out", max_steps=1, report_to="none", use_cpu=True, bf16=False, disable_tqdm=True)


def run(code: str, base: Path, **names: Any) -> dict[str, Any]:
    """Run a block with its model, its budget and the trainer's settings replaced; what it names."""
    variables = dict(names)
    code = code.replace('"MODEL"', repr(str(base))).replace("budget=2000", "budget=4")
    exec(code.replace("train_dataset=", "args=settings(), train_dataset="), {"settings": settings, **variables}, variables)
    return variables


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pool, in which the documents' lines run, and a tiny base without a chat template in it."""
    pytest.importorskip("trl")
    pytest.importorskip("faiss")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tiny.causal(tmp_path / "base", "llama")


def test_the_readme_s_lines_run_and_train_in_trl(base: Path) -> None:
    (code,) = snippets("README.md", "SFTTrainer")
    trainer = run(code, base)["trainer"]
    assert len(trainer.train_dataset) == 4
    assert trainer.train().training_loss > 0


def test_rows_in_memory_are_scored_selected_and_trained_on_in_three_lines(base: Path) -> None:
    from trl import SFTTrainer

    from instructsel import Pool, load_rule, score, select
    from instructsel.adapters import chat_tokenizer, to_trl

    (base.parent / "pool.jsonl").unlink()
    pool, rule = Pool.of(ROWS), load_rule("eq4-without-reward")
    chosen = select(pool, score(pool, rule.indicators), rule, budget=4)
    trainer = SFTTrainer(str(base), args=settings(), train_dataset=to_trl(chosen.of(pool)), processing_class=chat_tokenizer(str(base)))
    assert len(trainer.train_dataset) == 4 and trainer.train().training_loss > 0


def test_the_lines_on_pools_from_memory_run(base: Path) -> None:
    import datasets

    from instructsel import Pool, score, select

    (code,) = snippets("docs/how-to/use-from-python.md", "Pool.of")
    (base.parent / "pool.jsonl").write_text("".join(json.dumps({**row, "licence": "CC0"}) + "\n" for row in ROWS * 2))
    pool = Pool.read("pool.jsonl")
    chosen = select(pool, score(pool, "len"), "longest", budget=2)
    pairs = [(row["instruction"], row["output"]) for row in ROWS]
    names = run(code, base, Pool=Pool, datasets=datasets, pairs=pairs, chosen=chosen)
    assert names["pool"].ids == pool.ids and names["pool"].sources[0] == "mine"
