"""The tasks by which the matrix of skills is measured, made offline from released evaluation files; every draw is by the protocol's seed."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
from _rows import conversations, fitting, lines

from instructsel import Grader
from instructsel.adapters.lm_eval.base import HarnessGrader, share_run
from instructsel.adapters.lm_eval.gold import GoldBits
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, MultipleChoice, write_task

EMBEDDED: Final = "embedded"
GSM8K: Final = {"file": "eval/gsm8k_test.jsonl.zst", "prompt": ["question"], "response": "answer"}
STRONG: Final = {
    "file": "eval/alpaca_eval_outputs.jsonl.zst",
    "prompt": ["instruction"],
    "response": "output",
    "only": {"generator": "gpt4"},
}
BBH: Final = ("boolean_expressions", "hyperbaton", "navigate", "snarks", "sports_understanding", "web_of_lies")
"""Tasks of BIG-Bench Hard with two answers and short questions."""
METRICS: Final[Mapping[str, str]] = {"truthfulqa": "acc", "bbh_choice": "acc", "maths_step": "exact_match"}
"""Task → its metric."""
NUMBER: Final = Generation(until=("\n",), max_new_tokens=6, extract=r"^\D*?(\d[\d,]*)")
"""An exact answer: the first number that is written."""
CALCULATION: Final = re.compile(r"<<([^<>=]+)=(-?[\d.]+)>>")
SHORT: Final = 320
"""Characters of a program of HumanEval at most, prompt included."""
Choice = tuple[str, list[str]]
"""A question, and its answers, the right one first."""


def choice(query: str, choices: Sequence[str], drawn: random.Random) -> dict[str, Any]:
    """An item in a drawn order of its choices."""
    order = list(range(len(choices)))
    drawn.shuffle(order)
    return {"query": query, "choices": [choices[place] for place in order], "gold": order.index(0)}


def _truthfulqa(data: Path) -> list[Choice]:
    items: list[Choice] = []
    for row in lines(data / "eval/truthfulqa_817.jsonl.zst"):
        wrong = [text.strip() for text in row["Incorrect Answers"].split(";") if text.strip()][:3]
        items.append((f"Question: {row['Question'].strip()}\nAnswer:", [row["Best Answer"].strip(), *wrong]))
    return items


def _mmlu(data: Path) -> list[Choice]:
    items: list[Choice] = []
    for row in lines(data / "eval/mmlu_dev_and_test_sample.jsonl.zst"):
        texts = [str(row[letter]).strip() for letter in "ABCD"]
        right = texts.pop("ABCD".index(row["answer"]))
        # Answers that name other answers say nothing by themselves.
        is_plain = all(text and text not in "ABCD" and " of the above" not in text.lower() for text in (right, *texts))
        if row["split"] == "test" and len(row["question"]) <= 200 and is_plain and sum(map(len, texts)) + len(right) <= 240:
            items.append((f"Question: {row['question'].strip()}\nAnswer:", [right, *texts]))
    return items


def _bbh(data: Path) -> dict[str, list[Choice]]:
    rows = [row for row in lines(data / "eval/bbh_sample.jsonl.zst") if row["_task"] in BBH]
    answers = {task: sorted({row["target"] for row in rows if row["_task"] == task}) for task in BBH}
    items: dict[str, list[Choice]] = {task: [] for task in BBH}
    for row in rows:
        others = [answer for answer in answers[row["_task"]] if answer != row["target"]]
        if len(row["input"]) <= 260:
            items[row["_task"]].append((f"Question: {row['input'].strip()}\nAnswer:", [row["target"], *others]))
    return items


def _maths(data: Path, drawn: random.Random) -> list[tuple[str, str]]:
    """A worked solution up to a calculation, and its result."""
    items: list[tuple[str, str]] = []
    for row in lines(data / "eval/gsm8k_test.jsonl.zst"):
        solution = row["answer"].split("####")[0]
        steps = [step for step in CALCULATION.finditer(solution) if step[2].isdigit() and int(step[2]) >= 10]
        if not steps:
            continue
        step = drawn.choice(steps)
        before = CALCULATION.sub("", solution[: step.start()]).rstrip()
        # It ends with what is calculated, in the solution's own words where they have it: "... 40 + 32 =".
        shown = before if before.endswith("=") else f"{before} {step[1].strip()} ="
        if len(row["question"]) + len(shown) <= 280:
            items.append((f"Question: {row['question'].strip()}\nAnswer: {shown}", step[2]))
    return items


def _code(data: Path) -> list[tuple[str, str]]:
    """Short programs of HumanEval and their solutions."""
    rows = [(row["prompt"], row["canonical_solution"].rstrip()) for row in lines(data / "eval/humaneval_164.jsonl.zst")]
    return [(prompt, solution) for prompt, solution in rows if len(prompt) + len(solution) <= SHORT]


def folder_of(data: Path, out: Path, decided: Mapping[str, Any]) -> Path:
    """The folder of the tasks, written once."""
    folder, seed, counts = out / "tasks", decided["design"]["draw"], decided["items"]
    if (folder / "open_answers.yaml").exists():
        return folder

    def drawn(key: str) -> random.Random:
        return random.Random(f"{seed}:{key}")

    chosen = {
        "truthfulqa": drawn("truthfulqa").sample(_truthfulqa(data), counts["truthfulqa"]),
        "bbh_choice": [item for task, items in _bbh(data).items() for item in drawn(task).sample(items, counts["bbh_choice"] // len(BBH))],
    }
    for task, questions in chosen.items():
        items = [choice(query, choices, drawn(f"{task}:{query}")) for query, choices in questions]
        write_task(_written(folder, task, items), folder, name=task, kind=MultipleChoice())
    answered: dict[str, tuple[list[tuple[str, str]], Generation]] = {
        "maths_step": (_maths(data, drawn("steps")), NUMBER),
        "mmlu_cloze": ([(query, choices[0]) for query, choices in _mmlu(data)], Generation()),
        "code": (_code(data), Generation(delimiter="")),
    }
    for task, (pairs, kind) in answered.items():
        _write_answered(folder, task, drawn(task).sample(pairs, counts[task]), kind)
    for task, source in (("gsm8k", GSM8K), ("open_answers", STRONG)):
        rows = fitting(list(conversations(data, source)), counts[task], counts["item_tokens"], base=EMBEDDED, key=f"{seed}:{task}")
        _write_answered(folder, task, [(f"Question: {turns[0]['content']}\nAnswer:", turns[1]["content"]) for turns in rows], Generation())
    return folder


def _write_answered(folder: Path, task: str, items: Sequence[tuple[str, str]], kind: Generation) -> None:
    """A task of questions with one answer each."""
    rows = [{"prompt": prompt, "answer": answer} for prompt, answer in items]
    write_task(_written(folder, task, rows), folder, name=task, kind=kind)


def _written(folder: Path, task: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / f"{task}.rows.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def graders(data: Path, out: Path, decided: Mapping[str, Any]) -> list[Grader]:
    """What every model is asked: tasks by likelihood, one that is generated, and the gold answers of all; the model is loaded once."""
    where: dict[str, Any] = {"include_path": folder_of(data, out, decided), "device": "cpu", "precision": "fp32", "batch_size": 16}
    outcomes: list[HarnessGrader] = [LmEval(task, metric, name=task, **where) for task, metric in METRICS.items()]
    outcomes += [GoldBits(task, name=f"{task} bits", **where) for task in decided["bits"]["of"]]
    share_run(outcomes)
    return list(outcomes)
