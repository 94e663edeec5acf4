"""What a small base model knows, measured with lm-evaluation-harness on tasks of our own, beside chance.

    python benchmarks/models/tinybase/judge.py .venv/tinybase --data ../shared/data

Three offline tasks from evaluation sets, written as the harness's YAML and JSON lines into a temporary folder: `continuation` (which
of four answers belongs to an instruction; the others belong to other instructions), `order` (which of two answers has its words in
order), and `mmlu` (four choices). The figures go into `tinybase.json` beside the weights. Where no task is above chance by more than
two standard errors, no verdict may rest on the model, and the record says so.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("LMEVAL_LOG_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path[:0] = [str(Path(__file__).resolve().parent)]
import corpus

CHANCE: Final = {"continuation": 0.25, "order": 0.5, "mmlu": 0.25}
METRIC: Final = {"continuation": "acc_norm", "order": "acc_norm", "mmlu": "acc"}
LIMIT: Final = 250
"""Items of a task."""
YAML: Final = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
target_delimiter: ""
doc_to_text: "{{{{query}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
metadata:
  version: 1
"""


def items(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The tasks' items: query, choices, gold."""
    drawn = random.Random(20261121)
    human = [
        (f"{row['instruction']}\n{row['instances'][0]['input']}".strip(), str(row["instances"][0]["output"])[:400])
        for row in corpus.lines(folder / "eval/self_instruct_252.jsonl.zst")
    ]
    human = [(instruction, answer) for instruction, answer in human if len(answer.split()) >= 5]
    items: dict[str, list[dict[str, Any]]] = {name: [] for name in CHANCE}
    for number, (prompt, answer) in enumerate(human[:LIMIT]):
        others = drawn.sample([other for position, (_, other) in enumerate(human) if position != number], 3)
        items["continuation"].append(_item(f"{prompt[:600]}\n", [answer, *others], drawn))
        words = answer.split()
        mixed = list(words)
        drawn.shuffle(mixed)
        if mixed != words:
            items["order"].append(_item("", [" ".join(words), " ".join(mixed)], drawn))
    rows = [row for row in corpus.lines(folder / "eval/mmlu_dev_and_test_sample.jsonl.zst") if row["split"] == "test"]
    for row in drawn.sample(rows, LIMIT):
        prompt = "\n".join([row["question"], *(f"{letter}. {row[letter]}" for letter in "ABCD"), "Answer:"])
        items["mmlu"].append({"query": prompt, "choices": [f" {letter}" for letter in "ABCD"], "gold": "ABCD".index(row["answer"])})
    return items


def _item(query: str, choices: list[str], drawn: random.Random) -> dict[str, Any]:
    order = list(range(len(choices)))
    drawn.shuffle(order)
    return {"query": query, "choices": [f" {choices[position]}" for position in order], "gold": order.index(0)}


def judge(model: Path, folder: Path) -> dict[str, Any]:
    """Accuracy, standard error and chance of each task."""
    import lm_eval
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with tempfile.TemporaryDirectory() as place:
        for name, rows in items(folder).items():
            file = Path(place) / f"{name}.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            (Path(place) / f"{name}.yaml").write_text(YAML.format(name=name, file=file))
        loaded = transformers.AutoModelForCausalLM.from_pretrained(str(model), dtype=torch.float32).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        harness = HFLM(pretrained=loaded.to(device), tokenizer=tokenizer, device=device, batch_size=8, max_length=1024)
        # Its progress bars and notices go to stderr, hundreds of lines of them.
        with contextlib.redirect_stderr(io.StringIO()):
            done = lm_eval.simple_evaluate(
                model=harness,
                tasks=list(CHANCE),
                task_manager=TaskManager(include_path=place, include_defaults=False),
                num_fewshot=0,
                bootstrap_iters=0,
                log_samples=False,
            )
    figures: dict[str, Any] = {}
    for name, chance in CHANCE.items():
        accuracy = float(done["results"][name][f"{METRIC[name]},none"])
        n = int(done["n-samples"][name]["effective"])
        error = math.sqrt(accuracy * (1 - accuracy) / n)
        figures[name] = {
            "metric": METRIC[name],
            "value": accuracy,
            "standard_error": error,
            "n": n,
            "chance": chance,
            "above_chance": accuracy - chance > 2 * error,
        }
    return {"lm_eval": str(done["lm_eval_version"]) if "lm_eval_version" in done else "unknown", "tasks": figures}


def report(model: Path, folder: Path) -> None:
    """Judge, print, write into the record beside the weights."""
    judged = judge(model, folder)
    path = model / "tinybase.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    held = record.get("held_out", {})
    enough = any(task["above_chance"] for task in judged["tasks"].values()) and held.get("model", math.inf) < held.get("unigram", -math.inf)
    record["judged"] = {**judged, "enough_model": enough}
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    for name, task in judged["tasks"].items():
        print(f"{name}: {task['metric']} {task['value']:.3f} ± {task['standard_error']:.3f} on {task['n']}, chance {task['chance']:.2f}")
    print("enough model for verdicts of its own size" if enough else "not enough model: no verdict may rest on it")


def main() -> None:
    """Judge a model that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    report(arguments.model, arguments.data)


if __name__ == "__main__":
    main()
