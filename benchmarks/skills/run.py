"""The matrix of skills: what one source, and a mixture of all, does to each skill of a small model, as protocol.toml decided beforehand.

    python benchmarks/skills/run.py --data ../shared/data --out .venv/skills              plan, and run what is left; embedded base
    python benchmarks/skills/run.py --base FOLDER --name tinybase …                       the same arms on another base
    python benchmarks/skills/run.py --data … --out … --limit 1                            one run more

Stop it at any time: the same command goes on. After every run benchmarks/results/skills_NAME.json is written, from which
docs/build_research_questions.py makes the page. It holds grades item by item, and no text of a row.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
import _record
from _rows import conversations, fitting, write
from tasks import EMBEDDED, graders

from instructsel import ExecutionSettings, Pool, StudySettings, run_study
from instructsel.adapters.recipes import Recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.study.design import Design
from instructsel.study.folder import StudyFolder
from instructsel.study.one_source import AddOne

PROTOCOL: Final = Path(__file__).with_name("protocol.toml")


def protocol() -> dict[str, Any]:
    """What was decided beforehand."""
    return tomllib.loads(PROTOCOL.read_text(encoding="utf-8"))


def draw(data: Path, out: Path, decided: Mapping[str, Any]) -> list[Path]:
    """The candidates of every source; no question of an outcome is among them."""
    design = decided["design"]
    questions = {turns[0]["content"] for file, prompt, response in ASKED for turns in conversations(data, {"file": file, "prompt": [prompt], "response": response})}  # fmt: skip
    paths: list[Path] = []
    for name, source in decided["sources"].items():
        path = out / "sources" / f"{name}.jsonl"
        if not path.exists():
            rows = [turns for turns in conversations(data, source) if turns[0]["content"] not in questions]
            write(path, fitting(rows, design["candidates"], design["row_tokens"], base=EMBEDDED, key=f"{design['draw']}:{name}"))
        paths.append(path)
    return paths


ASKED: Final = (
    ("eval/gsm8k_test.jsonl.zst", "question", "answer"),
    ("eval/alpaca_eval_outputs.jsonl.zst", "instruction", "output"),
    ("eval/ifeval_541.jsonl.zst", "prompt", "prompt"),
    ("eval/truthfulqa_817.jsonl.zst", "Question", "Best Answer"),
    ("eval/humaneval_164.jsonl.zst", "prompt", "canonical_solution"),
)
"""Files of the outcomes, with a field of the question and one of an answer."""


def study(data: Path, out: Path, base: str, name: str, limit: int | None) -> int:
    """Make the runs that are left, one at a time, and write the figures after each; how many are left."""
    decided = protocol()
    settings = decided["design"]
    pool = Pool.read(*draw(data, out, decided))
    # Of equal rows and added rows: every source takes the place of the whole mixture.
    design = Design([AddOne(settings["rows"], settings["rows"], settings["replicates"], equal_rows=True, untouched=True, seed=settings["draw"])])  # fmt: skip
    trainer = TrlTrainer(base, Recipe("skills", **decided["recipe"]), out / name / "checkpoints", device="cpu", precision="fp32")
    outcomes, untouched, folder = graders(data, out, decided), checkpoint_of(base), out / name / "study"
    runs_made = 0
    while True:
        started, before = (time.monotonic(), time.process_time())
        result = run_study(
            pool,
            None,
            design,
            trainer=trainer,
            grader=outcomes,
            folder=folder,
            untouched=untouched,
            settings=StudySettings(allow_contamination=True),
            execution=ExecutionSettings(limit=1),
        )
        runs_made += 1
        left = result.planned - len(result.frame) - len(result.failed)
        path = collect(folder, decided, name)
        seconds = f"{time.monotonic() - started:.0f} s, {time.process_time() - before:.0f} s of processor time"
        print(f"{len(result.frame)} of {result.planned} runs, {len(result.failed)} failed, {seconds}: {path.name}", flush=True)
        for failure in result.failed:
            print(f"  {failure.subset}: {failure.reason}, {failure.message}", flush=True)
        if left <= 0 or result.failed or (limit is not None and runs_made >= limit):
            return left


def collect(folder: Path, decided: Mapping[str, Any], name: str) -> Path:
    """Write what every run was graded with, item by item, and no text of a row."""
    place = StudyFolder(folder)
    plan = place.read()
    if plan is None:
        sys.exit(f"{folder} holds no plan")
    runs = {
        run.name: {
            "outcomes": {outcome: _rounded(record) for outcome, record in content["observation"]["outcomes"].items()},
            **{key: content["observation"][key] for key in ("tokens_trained", "steps")},
            "seconds": content["run"]["seconds"],
        }
        for run, content in place.status(plan).finished.items()
    }
    planned = {**plan.as_dict(), "launch": None}
    path: Path = _record.write(
        f"skills_{name}", {"protocol": dict(decided), "plan": planned, "runs": runs}, "torch", "transformers", "lm_eval"
    )
    return path


def _rounded(record: Mapping[str, Any]) -> dict[str, Any]:
    """An outcome with values of nine places, and items by short digests: an item's name may hold a question."""
    items = [hashlib.blake2b(item.encode(), digest_size=6).hexdigest() for item in record["items"]]
    return {**record, "items": items, "values": [round(value, 9) for value in record["values"]]}


def main() -> None:
    """Plan and run; or the pilot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the data")
    parser.add_argument("--out", type=Path, default=Path(".venv/skills"), help="where rows and runs are kept")
    parser.add_argument("--base", default=EMBEDDED, help="the model that is trained")
    parser.add_argument("--name", default=EMBEDDED, help="of the results")
    parser.add_argument("--limit", type=int, help="make so many runs at most")
    options = parser.parse_args()
    out = options.out.resolve()
    sys.exit(0 if study(options.data.resolve(), out, options.base, options.name, options.limit) <= 0 else 3)


if __name__ == "__main__":
    main()
