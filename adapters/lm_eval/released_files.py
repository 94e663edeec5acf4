"""Benchmarks from the files that their authors released, as the harness's own tasks: the suites then run without the hub.

A task that comes with lm-evaluation-harness fetches its items from the hub. What is written here includes that task's file, so that
prompts, demonstrations, filters and metrics are the harness's own, and puts local items in the place of the hub's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from instructsel.adapters.lm_eval.own_task import MAGIC
from instructsel.adapters.lm_eval.task_code import NEEDED_BY
from instructsel.artifact import atomic_write, fingerprint
from instructsel.errors import EnvironmentFault, PoolError, UsageError
from instructsel.extras import require
from instructsel.paths import resolved
from instructsel.pool.lines import Limits
from instructsel.pool.sources import open_source

Document = dict[str, Any]
Parts = Mapping[str, Mapping[str, list[Document]]]
"""Task of the harness → split → its items."""
LETTERS: Final = "ABCD"
LANGUAGES: Final = {
    "arabic": "ar", "bengali": "bn", "english": "en", "finnish": "fi", "indonesian": "id", "korean": "ko", "russian": "ru",
    "swahili": "sw", "telugu": "te",
}  # fmt: skip
"""How an item of TyDiQA is named → the harness's task."""


@dataclass(frozen=True)
class Written:
    """A benchmark on disk, ready for `--include-path`."""

    name: str
    """The task or group, as the suites call it."""
    folder: Path
    items: int
    """That are graded; demonstrations are not counted."""
    digest: str
    """Of the items, demonstrations among them."""


def write_released(folder: str | Path, **files: str | Path) -> list[Written]:
    """Write the benchmarks of the suites from their authors' files; `--lm-eval tulu --include-path FOLDER` then needs no network.

    Items stay in the order of their file, so that a subset by position is the one of the source. A row that is no item is refused,
    as a benchmark with holes is another one.

    Args:
        folder: made where it is missing.
        files: a file each (JSON Lines, a JSON array, CSV or Parquet; compressed or not):
            `mmlu`: question, A, B, C, D (or choices), answer (a letter or a position), subject, split (dev or test);
            `gsm8k`: question, answer; `bbh`: input, target, task (or _task); `ifeval`: key, prompt, instruction_id_list, kwargs;
            `humaneval`: task_id, prompt, entry_point, canonical_solution, test; `truthfulqa`: the columns of TruthfulQA.csv; `tydiqa` (development) and `tydiqa_train` (demonstrations): id, context,
            question, answers, one question a row, or the nested file of the release.

    Raises:
        UsageError: a benchmark that is not known, none at all, TyDiQA without its training part, or a folder that cannot be.
        PoolError: a file that cannot be read, or a row that is no item of its benchmark.
        EnvironmentFault: the folder cannot be written.

    >>> write_released("tasks", gsm8k="test.jsonl", truthfulqa="TruthfulQA.csv")  # doctest: +SKIP
    """
    known = (*BENCHMARKS, TRAIN)
    for name in files:
        if name not in known:
            raise UsageError.named(name, known, noun="benchmark")
    if not files:
        raise UsageError("No file is named.", fix=f"Name files of {', '.join(BENCHMARKS)}.")
    if ("tydiqa" in files) != (TRAIN in files):
        raise UsageError("TyDiQA is asked with demonstrations from its training part.", fix=f"Name both tydiqa and {TRAIN}.")
    place = resolved(folder)
    if any(mark in str(place) for mark in MAGIC):
        raise UsageError(f"The harness would read {place} as a pattern.", fix=f"Choose a folder without {' '.join(MAGIC)} in its path.")
    parts: dict[str, Parts] = {}
    for name, benchmark in BENCHMARKS.items():
        if name in files:
            parts[name] = benchmark.parts([files[name], *([files[TRAIN]] if name == "tydiqa" else [])])
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {place}: {error.strerror or error}.", fix="Choose another folder.") from error
    return [_write(place, BENCHMARKS[name], tasks) for name, tasks in parts.items()]


@dataclass(frozen=True)
class Benchmark:
    """How the files of a benchmark become items of the harness."""

    group: str
    """The task or group of the suites."""
    parts: Callable[[list[str | Path]], Parts]
    file_of: Callable[[str], str]
    """Task → its file under the harness's folder of tasks."""
    is_tag: bool = False
    """Whether the name stands in the tasks' files as a tag."""


def _rows(path: str | Path, fields: Iterable[str], benchmark: str) -> Iterator[Document]:
    """The rows of a file, each of which has these fields.

    Raises:
        PoolError: it has none, or a row that cannot be read or lacks one of them.
    """
    source = open_source(path, Limits())
    empty = True
    for row, value in source.rows():
        empty = False
        if row.fault is not None or not isinstance(value, dict):
            raise PoolError(
                f"{source.name}, line {row.line}, is no item of {benchmark}: {row.fault.detail if row.fault else 'it is no object'}.",
                fix="Fetch the file anew.",
            )
        missing = next((field for field in fields if value.get(field) is None), None)
        if missing is not None:
            raise PoolError(
                f"{source.name}, line {row.line}, is no item of {benchmark}: it has no '{missing}'.", fix="Name the file that was released."
            )
        yield value
    if empty:
        raise PoolError(f"{source.name} has no items.", fix="Name the file that was released.")


def _mmlu(paths: list[str | Path]) -> Parts:
    tasks: dict[str, dict[str, list[Document]]] = defaultdict(lambda: {"test": [], "dev": []})
    for row in _rows(paths[0], ("question", "answer", "subject", "split"), "MMLU"):
        choices = row.get("choices") or [row.get(letter) for letter in LETTERS]
        answer = LETTERS.find(row["answer"]) if isinstance(row["answer"], str) else row["answer"]
        if len(choices) != len(LETTERS) or None in choices or not isinstance(answer, int) or not 0 <= answer < len(LETTERS):
            raise PoolError(f"{paths[0]} has an item of MMLU without four choices or with an answer that is none of them.")
        if row["split"] in ("dev", "test"):
            item = {"question": row["question"], "choices": [str(choice) for choice in choices], "answer": answer}
            tasks[f"mmlu_{row['subject']}"][row["split"]].append(item)
    return tasks


def _gsm8k(paths: list[str | Path]) -> Parts:
    return {
        "gsm8k_cot": {
            "test": [{key: row[key] for key in ("question", "answer")} for row in _rows(paths[0], ("question", "answer"), "GSM8K")]
        }
    }


def _bbh(paths: list[str | Path]) -> Parts:
    tasks: dict[str, dict[str, list[Document]]] = defaultdict(lambda: {"test": []})
    for row in _rows(paths[0], ("input", "target"), "BIG-Bench Hard"):
        name = row.get("task") or row.get("_task")
        if not name:
            raise PoolError(f"{paths[0]} has an item of BIG-Bench Hard without its task.", fix="Add the field 'task', e.g. snarks.")
        tasks[f"bbh_cot_fewshot_{name}"]["test"].append({"input": row["input"], "target": row["target"]})
    return tasks


def _tydiqa(paths: list[str | Path]) -> Parts:
    splits: dict[str, list[Document]] = {"validation": [], "train": []}
    for split, path in zip(splits, paths, strict=True):
        for row in _rows(path, (), "TyDiQA"):
            splits[split].extend(_questions(row, path))
    languages = {str(item["id"]).partition("-")[0] for item in splits["validation"]}
    unknown = sorted(languages - set(LANGUAGES))
    if unknown:
        raise PoolError(
            f"{paths[0]} has questions in '{unknown[0]}', which is no language of TyDiQA.", fix="An id begins with its language."
        )
    # The harness takes the items of a language by their ids.
    return {f"tydiqa_goldp_{LANGUAGES[language]}": splits for language in sorted(languages)}


def _questions(row: Document, path: str | Path) -> Iterator[Document]:
    """The questions of a row: itself, or those of the release's nested articles."""
    articles = row.get("data") or ([row] if "paragraphs" in row else None)
    if articles is None:
        missing = next((field for field in ("id", "context", "question", "answers") if not row.get(field)), None)
        if missing is not None:
            raise PoolError(f"{path} has an item of TyDiQA without '{missing}'.", fix="Name the file that was released.")
        answers = row["answers"]
        texts = (
            answers["text"] if isinstance(answers, dict) else [answer["text"] if isinstance(answer, dict) else answer for answer in answers]
        )
        yield {
            "id": str(row["id"]), "title": str(row.get("title") or ""), "context": row["context"], "question": row["question"],
            "answers": {"text": [str(text) for text in texts], "answer_start": [-1] * len(texts)},
        }  # fmt: skip
        return
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                flat = {"title": article.get("title"), "context": paragraph["context"], **question}
                yield from _questions(flat, path)


def _truthfulqa(paths: list[str | Path]) -> Parts:
    columns = ("Question", "Best Answer", "Correct Answers", "Incorrect Answers")
    items: list[Document] = []
    for row in _rows(paths[0], columns, "TruthfulQA"):
        best, right, wrong = row["Best Answer"].strip(), _split(row["Correct Answers"]), _split(row["Incorrect Answers"])
        one, several = [best, *wrong], [*dict.fromkeys([*right, *wrong])]
        items.append(
            {
                "question": row["Question"],
                "mc1_targets": {"choices": one, "labels": [1] + [0] * len(wrong)},
                "mc2_targets": {"choices": several, "labels": [int(text in right) for text in several]},
            }
        )
    return {name: {"validation": items} for name in ("truthfulqa_mc1", "truthfulqa_mc2")}


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _ifeval(paths: list[str | Path]) -> Parts:
    fields = ("key", "prompt", "instruction_id_list", "kwargs")
    return {"ifeval": {"train": [{key: row[key] for key in fields} for row in _rows(paths[0], fields, "IFEval")]}}


def _humaneval(paths: list[str | Path]) -> Parts:
    fields = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    return {"humaneval": {"test": [{key: row[key] for key in fields} for row in _rows(paths[0], fields, "HumanEval")]}}


HUMANEVAL: Final[Mapping[str, Any]] = {
    "unsafe_code": True,
    "output_type": "generate_until",
    "test_split": "test",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{test}}\ncheck({{entry_point}})",
    "target_delimiter": "",
    "generation_kwargs": {"until": ["\nclass", "\ndef", "\n#", "\nif", "\nprint"], "max_gen_toks": 512, "do_sample": False},
    "metric_list": [{"metric": "bypass"}],
    "num_fewshot": 0,
    "metadata": {"version": 1},
}
"""HumanEval without the harness's metric, which is a script of the hub: the programs are run by `CodeTests`.

Stops and length are those of the evaluation of Wang et al. 2023, arXiv:2306.04751."""


def _write(folder: Path, benchmark: Benchmark, tasks: Parts) -> Written:
    polars = require("polars", needed_by="write_released")
    shipped = Path(require("lm_eval.tasks", needed_by=NEEDED_BY).__file__).resolve().parent
    digests: list[str] = []
    written: dict[str, str] = {}
    for task, splits in sorted(tasks.items()):
        files: dict[str, str] = {}
        for split, items in splits.items():
            if not items:
                raise PoolError(f"{task} has no item of its part '{split}'.", fix="Name a file that has all parts.")
            digest = fingerprint(items)
            if digest not in written:
                # Several tasks may share their items, as the languages of TyDiQA.
                path = folder / f"{task}-{split}-{digest[:16]}.parquet"
                with atomic_write(path) as file:
                    polars.DataFrame(items, infer_schema_length=None).write_parquet(file, statistics=False)
                written[digest] = str(path)
                digests.append(digest)
            files[split] = written[digest]
        original = shipped / benchmark.file_of(task)
        if not original.is_file():
            raise UsageError(f"lm-evaluation-harness has no task {task}.", fix="Check the name of its subject or task in the file.")
        _write_yaml(
            folder / f"{task}.yaml",
            {
                **(HUMANEVAL if task == "humaneval" else {"include": str(original)}),
                "task": task,
                "dataset_path": "parquet",
                "dataset_name": None,
                "dataset_kwargs": {"data_files": files},
            },
        )
    if benchmark.group not in tasks and not benchmark.is_tag:
        _write_yaml(folder / f"{benchmark.group}-group.yaml", {"group": benchmark.group, "task": sorted(tasks)})
    graded = ("test", "validation", "train") if benchmark.group == "ifeval" else ("test", "validation")
    # The languages of TyDiQA have one list, of which each takes its own.
    n_items = {id(items): len(items) for splits in tasks.values() for split, items in splits.items() if split in graded}
    return Written(benchmark.group, folder, sum(n_items.values()), fingerprint(sorted(digests)))


def _write_yaml(path: Path, config: Mapping[str, Any]) -> None:
    """One key a line, its value as JSON, which is YAML."""
    with atomic_write(path) as file:
        file.write("".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in config.items()).encode())


TRAIN: Final = "tydiqa_train"
BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "mmlu": Benchmark("mmlu", _mmlu, lambda task: f"mmlu/default/{task}.yaml"),
    "gsm8k": Benchmark("gsm8k_cot", _gsm8k, lambda _: "gsm8k/gsm8k-cot.yaml"),
    "bbh": Benchmark("bbh_cot_fewshot", _bbh, lambda task: f"bbh/cot_fewshot/{task.removeprefix('bbh_cot_fewshot_')}.yaml"),
    "tydiqa": Benchmark("tydiqa_goldp", _tydiqa, lambda task: f"tydiqa/{task}.yaml", is_tag=True),
    "truthfulqa": Benchmark("truthfulqa_mc2", _truthfulqa, lambda task: f"truthfulqa/{task}.yaml"),
    "humaneval": Benchmark("humaneval", _humaneval, lambda _: "humaneval/humaneval.yaml"),
    "ifeval": Benchmark("ifeval", _ifeval, lambda _: "ifeval/ifeval.yaml"),
}
"""Name of a file's benchmark → how it is read."""

__all__ = ["Written", "write_released"]
