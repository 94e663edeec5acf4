"""Exact answers to GSM8K and programs for HumanEval by the untouched model: whether tasks that are generated are above 0 at this size.

    python benchmarks/skills/pilot.py --data ../shared/data --out .venv/skills

Writes benchmarks/results/skills_pilot.json: right or wrong item by item, without any text. Programs run in the sandbox of `CodeTests`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
import _record
from _rows import conversations, fitting, lines
from tasks import EMBEDDED, GSM8K

from instructsel import Checkpoint
from instructsel.adapters.lm_eval.base import HarnessGrader
from instructsel.adapters.lm_eval.code_tests import CodeTests
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, write_task
from instructsel.adapters.lm_eval.released_files import write_released
from instructsel.grading.checkpoint import checkpoint_of

ITEMS: Final = 16
QUESTION_TOKENS: Final = 192
"""Of a question and its worked solution at most."""
ANSWER: Final = Generation(until=("\n\n\n",), max_new_tokens=96, extract=r"(\d[\d,]*)(?!.*\d)")
"""An answer in the chat template; the last number counts."""
PROGRAM_TOKENS: Final = 64


def gsm8k(data: Path, folder: Path) -> HarnessGrader:
    """Whole questions, in the chat template."""
    rows = fitting(list(conversations(data, GSM8K)), ITEMS, QUESTION_TOKENS, base=EMBEDDED, key="pilot:gsm8k")
    items = [{"prompt": turns[0]["content"], "answer": turns[1]["content"].rpartition("#### ")[2]} for turns in rows]
    write_task(_file(folder / "gsm8k_exact.rows.jsonl", items), folder, name="gsm8k_exact", kind=ANSWER)
    return LmEval(
        "gsm8k_exact", "exact_match", include_path=folder, apply_chat_template=True, device="cpu", precision="fp32", batch_size=ITEMS
    )


def humaneval(data: Path, folder: Path) -> HarnessGrader:
    """The shortest programs, continued as they stand."""
    rows = sorted(lines(data / "eval/humaneval_164.jsonl.zst"), key=lambda row: len(row["prompt"] + row["canonical_solution"]))[:ITEMS]
    write_released(folder, humaneval=_file(folder / "humaneval.rows.jsonl", rows))
    file = folder / "humaneval.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"max_gen_toks": 512', f'"max_gen_toks": {PROGRAM_TOKENS}'), encoding="utf-8")
    return CodeTests("humaneval", include_path=folder, allow_unsafe_code=True, device="cpu", precision="fp32", batch_size=ITEMS)


def _file(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def asked(grader: HarnessGrader, checkpoint: Checkpoint) -> dict[str, Any]:
    """Right or wrong, item by item."""
    before = time.process_time()
    grades = grader.grade(checkpoint)
    values = [int(value) for value in grades.values]
    return {"right": sum(values), "values": values, "processor_seconds": round(time.process_time() - before)}


def main() -> None:
    """Ask the untouched model and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the data")
    parser.add_argument("--out", type=Path, default=Path(".venv/skills"), help="where the tasks are written")
    options = parser.parse_args()
    folder, checkpoint = options.out.resolve() / "pilot", checkpoint_of(EMBEDDED)
    tasks = {"gsm8k": gsm8k(options.data, folder), "humaneval": humaneval(options.data, folder)}
    figures = {name: asked(grader, checkpoint) for name, grader in tasks.items()}
    settings = {"items": ITEMS, "answer_tokens": ANSWER.max_new_tokens, "program_tokens": PROGRAM_TOKENS}
    print(_record.write("skills_pilot", {**figures, "settings": settings}, "lm_eval"))


if __name__ == "__main__":
    main()
