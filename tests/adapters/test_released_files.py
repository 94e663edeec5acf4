"""Benchmarks from released files: offline, the harness's own prompts and values, the paper's subsets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import torch
import transformers

from instructsel.adapters.lm_eval import run
from instructsel.adapters.lm_eval.code_tests import CodeTests
from instructsel.adapters.lm_eval.gold import GoldBits
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.released_files import BENCHMARKS, write_released
from instructsel.adapters.lm_eval.run import sample_positions
from instructsel.adapters.lm_eval.suites import SUITES, SuiteTask
from instructsel.adapters.lm_eval.tasks import find, silent
from instructsel.errors import PoolError, UsageError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.code_sandbox import run_programs
from instructsel.pool.sources import zstd
from instructsel.protocols import Checkpoint
from tests import tiny

METRICS = {
    "mmlu": "acc",
    "gsm8k_cot": "exact_match,flexible-extract",
    "bbh_cot_fewshot": "exact_match,get-answer",
    "tydiqa_goldp": "f1",
    "truthfulqa_mc2": "acc",
    "ifeval": "prompt_level_strict_acc",
}
HUB: Final = {"humaneval"}
"""Tasks whose metric is a script of the hub: the harness itself cannot run them offline. `CodeTests` does, and is tested below."""


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def mmlu(subject: str, split: str, n: int) -> list[dict[str, Any]]:
    return [
        {"question": f"How many of {number}?", "A": "one", "B": "two", "C": "three", "D": "four", "answer": "ABCD"[number % 4], "subject": subject, "split": split}
        for number in range(n)
    ]  # fmt: skip


def tydiqa(language: str, n: int) -> list[dict[str, Any]]:
    return [
        {"id": f"{language}-{number}-0", "context": f"Egg {number} boils in water.", "question": f"What does egg {number} boil in?", "answers": {"text": ["water"], "answer_start": [-1]}}
        for number in range(n)
    ]  # fmt: skip


def instruction(key: int, *rules: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    names = ("relation", "num_sentences", "num_words", "language", "keywords")
    kwargs = [{name: wanted.get(name) for name in names} for _, wanted in rules]
    return {"key": key, "prompt": f"Write about egg {key}.", "instruction_id_list": [rule for rule, _ in rules], "kwargs": kwargs}


INSTRUCTIONS: Final = [
    instruction(1, ("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 40})),
    instruction(2, ("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 40})),
    instruction(3, ("length_constraints:number_words", {"relation": "less than", "num_words": 100}), ("punctuation:no_comma", {})),
    instruction(4, ("language:response_language", {"language": "th"})),
    instruction(5, ("change_case:english_lowercase", {}), ("keywords:existence", {"keywords": ["egg"]})),
]


def released(folder: Path) -> dict[str, Path]:
    """A file of each benchmark, with the columns of the release."""
    folder.mkdir(parents=True, exist_ok=True)
    nested = [{"title": "eggs", "paragraphs": [{"context": row["context"], "qas": [{"id": row["id"], "question": row["question"], "answers": [{"text": "water", "answer_start": 0}]}]}]} for row in tydiqa("english", 4) + tydiqa("finnish", 4)]  # fmt: skip
    (folder / "train.json").write_text(json.dumps([{"version": "1", "data": nested}]))
    (folder / "truthfulqa.csv").write_text(
        "\ufeffType,Question,Best Answer,Correct Answers,Incorrect Answers\n"
        'x,Is an egg cold?,It depends,"It depends; Some are, some are not",All are; None is\n'
        "x,What is paris?,A capital,A capital; A city,A sea\n"
    )
    return {
        "mmlu": lines(folder / "mmlu.jsonl", mmlu("anatomy", "dev", 5) + mmlu("anatomy", "test", 3) + mmlu("virology", "dev", 5) + mmlu("virology", "test", 2)),
        "gsm8k": lines(folder / "gsm8k.jsonl", [{"question": f"What is {n} and {n}?", "answer": f"It is {2 * n}.\n#### {2 * n}"} for n in range(4)]),
        "bbh": lines(folder / "bbh.jsonl", [{"input": f"Is {n} even?", "target": "Yes", "task": task} for task in ("snarks", "navigate") for n in range(3)]),
        "tydiqa": lines(folder / "tydiqa.jsonl", tydiqa("english", 2) + tydiqa("finnish", 2)),
        "tydiqa_train": folder / "train.json",
        "truthfulqa": folder / "truthfulqa.csv",
        "ifeval": lines(folder / "ifeval.jsonl", INSTRUCTIONS),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    written = write_released(folder / "tasks", **released(folder / "files"))
    assert {benchmark.name: benchmark.items for benchmark in written} == {
        "mmlu": 5, "gsm8k_cot": 4, "bbh_cot_fewshot": 6, "tydiqa_goldp": 4, "truthfulqa_mc2": 2, "ifeval": 5,
    }  # fmt: skip
    # Answers of a thousand tokens would take the test minutes.
    for path in (folder / "tasks").glob("*.yaml"):
        if path.name.startswith(("bbh", "gsm8k", "tydiqa", "ifeval")) and not path.stem.endswith("-group"):
            short = {"until": ["\n\n"], "max_gen_toks": 8, "do_sample": False}
            path.write_text(path.read_text() + f"generation_kwargs: {json.dumps(short)}\n")
    return folder / "tasks"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(str(tiny.causal(tmp_path_factory.mktemp("model") / "model", "llama", max_position_embeddings=600)))


def suite() -> list[SuiteTask]:
    return [
        SuiteTask(name, metric, 0 if name in ("truthfulqa_mc2", "mmlu", "ifeval") else 1, "reasoning") for name, metric in METRICS.items()
    ]


def test_no_task_of_the_suites_that_runs_offline_is_left_out_of_the_comparison() -> None:
    offline = {task.task: task.metric for name in ("tulu", "tulu-paper") for task in SUITES[name] if task.task not in HUB}
    assert offline == METRICS
    # What has no file here cannot be run offline: of the leaderboard's four tasks two can.
    assert {benchmark.group for benchmark in BENCHMARKS.values()} == {*METRICS, *HUB}


def test_every_task_of_the_suite_gives_the_values_of_the_harness_itself(tasks: Path, llama: Checkpoint) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models import huggingface
    from lm_eval.tasks import TaskManager

    graders = LmEval.graders(suite(), include_path=tasks, device="cpu", precision="fp32", batch_size=2)
    grades = {grader.task: grader.grade(llama) for grader in graders}
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(llama.folder), dtype=torch.float32)
    made: Any = huggingface.HFLM
    harness = made(pretrained=network, tokenizer=transformers.AutoTokenizer.from_pretrained(str(llama.folder)), batch_size=2)
    for task in suite():
        with silent(code=True):
            done: Any = simple_evaluate(
                model=harness,
                tasks=[task.task],
                num_fewshot=task.num_fewshot,
                task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
                bootstrap_iters=0,
                fewshot_as_multiturn=False,
            )
        metric, _, filter_name = (task.metric if "," in task.metric else f"{task.metric},none").rpartition(",")
        values = [
            float(row[metric])
            for leaf in sorted(done["samples"])
            for row in sorted(done["samples"][leaf], key=lambda row: int(row["doc_id"]))
            if row["filter"] == filter_name
        ]
        assert values and grades[task.task].values.tolist() == values, task.task
        assert len(grades[task.task].items) == len(values)
        if task.task == "ifeval":
            # Both answers are among them, so that equality says something.
            assert set(values) == {0.0, 1.0}


def test_prompts_are_those_of_the_harness_with_the_released_items(tasks: Path) -> None:
    with silent():
        loaded = find(["gsm8k_cot", "mmlu", "truthfulqa_mc2"], include_path=tasks)
        gsm8k = next(iter(loaded["gsm8k_cot"].load()["tasks"].values()))
        assert gsm8k.doc_to_text(gsm8k.eval_docs[3]) == "Q: What is 3 and 3?\nA:" and gsm8k.doc_to_target(gsm8k.eval_docs[3]) == "6"
        anatomy = loaded["mmlu"].load()["tasks"]["mmlu_anatomy"]
        assert anatomy.doc_to_text(anatomy.eval_docs[0]).endswith("A. one\nB. two\nC. three\nD. four\nAnswer:")
        truthful = next(iter(loaded["truthfulqa_mc2"].load()["tasks"].values())).eval_docs[0]["mc2_targets"]
    assert truthful == {"choices": ["It depends", "Some are, some are not", "All are", "None is"], "labels": [1, 1, 0, 0]}
    # The harness's own code, included from its own folder, is not code of the user's folder.
    assert all(task.code is None for task in loaded.values())


def test_the_subset_of_the_paper_is_drawn_by_position() -> None:
    positions = sample_positions(1319, 200, seed=42)
    # Wang et al. 2023: random.seed(42), then a sample of the test questions.
    assert positions[:10] == [1309, 228, 51, 563, 501, 457, 285, 209, 1116, 178] and len(set(positions)) == 200
    assert sample_positions(3, 200, seed=42) == [0, 1, 2]


def test_a_drawn_subset_is_graded_item_by_item_as_the_whole(tasks: Path, llama: Checkpoint) -> None:
    options: dict[str, Any] = {"include_path": tasks, "device": "cpu", "precision": "fp32", "num_fewshot": 0}
    for make in (
        lambda **drawn: LmEval("bbh_cot_fewshot", METRICS["bbh_cot_fewshot"], **options, **drawn),
        lambda **drawn: GoldBits("bbh_cot_fewshot", **options, **drawn),
    ):
        everything, drawn = make(), make(sample_items=2)
        drawn.check()
        whole, part = everything.grade(llama), drawn.grade(llama)
        assert drawn.count == len(part.items) == 4 and len(whole.items) == 6
        by_item = dict(zip(whole.items, whole.values.tolist(), strict=True))
        assert {item: by_item[item] for item in part.items} == dict(zip(part.items, part.values.tolist(), strict=True))
        # Two of three by position, task by task: the same ones whatever the values.
        positions = sorted(sample_positions(3, 2, seed=42))
        assert [whole.items.index(item) for item in part.items] == positions + [3 + place for place in positions]
        assert drawn.fingerprint != everything.fingerprint and make(sample_items=2, sample_seed=1).fingerprint != drawn.fingerprint
        with drawn.documents.read() as leaves:
            assert sum(len(list(documents)) for _, documents in leaves) == 4
    with pytest.raises(UsageError, match="both are set"):
        LmEval("bbh_cot_fewshot", METRICS["bbh_cot_fewshot"], limit=1, sample_items=1, **options)


def test_a_suite_may_have_a_task_at_two_numbers_of_shots(tasks: Path) -> None:
    listed = [SuiteTask("mmlu", "acc", 0, "knowledge"), SuiteTask("mmlu", "acc", 5, "knowledge")]
    assert [grader.name for grader in LmEval.graders(listed, include_path=tasks)] == ["lm_eval:mmlu:acc", "lm_eval:mmlu:acc@5-shot"]
    assert [grader.name for grader in GoldBits.graders(listed, include_path=tasks)] == [
        "lm_eval:mmlu:gold_bits",
        "lm_eval:mmlu:gold_bits@5-shot",
    ]


SOLUTIONS = {"one": "    return 1\n", "two": "    return 2\n"}


def humaneval(folder: Path) -> Path:
    rows = [
        {
            "task_id": f"HumanEval/{name}", "prompt": f"def {name}():\n", "entry_point": name, "canonical_solution": solution,
            "test": f"def check(candidate):\n    assert candidate() == {number}\n",
        }
        for number, (name, solution) in enumerate(SOLUTIONS.items(), 1)
    ]  # fmt: skip
    folder.mkdir()
    return lines(folder / "humaneval.jsonl", rows)


def test_programs_are_drawn_run_and_counted_without_a_bias(llama: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_released(tmp_path / "tasks", humaneval=humaneval(tmp_path / "files"))
    options: dict[str, Any] = {"include_path": tmp_path / "tasks", "device": "cpu", "precision": "fp32"}
    asked: list[Any] = []
    original = run.chat_harness

    def scripted(*args: Any, **settings: Any) -> Any:
        harness = original(*args, **settings)

        def generate_until(requests: Any, disable_tqdm: bool = False) -> list[str]:
            asked.extend(request.arguments for request in requests)
            # Of four samples for `one` a single one passes, and none for `two`.
            return [SOLUTIONS["one"] if place == 0 else "    return 3\n" for place, _ in enumerate(requests)]

        harness.generate_until = generate_until
        return harness

    monkeypatch.setattr(run, "chat_harness", scripted)
    grader = CodeTests("humaneval", k=2, samples_per_item=4, temperature=0.8, allow_unsafe_code=True, **options)
    grades = grader.grade(llama)
    # 1 − C(3, 2) / C(4, 2) = 1/2.
    assert (grades.grader, sorted(grades.values.tolist()), grades.unit) == ("lm_eval:humaneval:pass@2", [0.0, 0.5], "pass@2")
    assert len(asked) == 8 and all((how["do_sample"], how["temperature"], how["top_p"]) == (True, 0.8, 0.95) for _, how in asked)
    assert {context for context, _ in asked} == {"def one():\n", "def two():\n"}
    assert sum(grades.record["isolation"].values()) == 8


def test_code_of_a_model_is_run_behind_its_flag_alone(tmp_path: Path) -> None:
    write_released(tmp_path / "tasks", humaneval=humaneval(tmp_path / "files"))
    with pytest.raises(UsageError, match=r"runs code that the model writes.*allow_unsafe_code=True"):
        CodeTests("humaneval", include_path=tmp_path / "tasks")
    for settings in ({"k": 2}, {"samples_per_item": 2}, {"temperature": -1.0}, {"k": 0}):
        with pytest.raises(UsageError):
            CodeTests("humaneval", include_path=tmp_path / "tasks", allow_unsafe_code=True, **settings)
    listed = [task for task in SUITES["tulu-paper"] if task.task == "humaneval"]
    graders = LmEval.graders(listed, include_path=tmp_path / "tasks", allow_unsafe_code=True)
    assert [(type(grader), grader.name) for grader in graders] == [
        (CodeTests, "lm_eval:humaneval:pass@10"), (CodeTests, "lm_eval:humaneval:pass@1"),
    ]  # fmt: skip
    assert [grader.name for grader in GoldBits.graders(listed, include_path=tmp_path / "tasks")] == ["lm_eval:humaneval:gold_bits"]


def test_the_authors_solutions_pass_their_own_tests(shared_data: Path, tmp_path: Path) -> None:
    raw = zstd.decompress((shared_data / "eval" / "humaneval_164.jsonl.zst").read_bytes()).decode()
    rows = [json.loads(line) for line in raw.split("\n") if line][::16]
    good = [f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})" for row in rows]
    bad = [f"{row['prompt']}    return None\n{row['test']}\ncheck({row['entry_point']})" for row in rows]
    assert [outcome.passed for outcome in run_programs(good + bad)] == [True] * len(good) + [False] * len(bad)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("gsm8k", {"question": "What is 1 and 1?"}, "has no 'answer'"),
        (
            "mmlu",
            {"question": "?", "A": "1", "B": "2", "C": "3", "answer": "A", "subject": "anatomy", "split": "test"},
            "without four choices",
        ),
        ("bbh", {"input": "?", "target": "Yes"}, "without its task"),
        ("truthfulqa", {"Question": "?"}, "has no 'Best Answer'"),
    ],
)
def test_a_row_that_is_no_item_of_its_benchmark_is_refused(name: str, row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=message):
        write_released(tmp_path / "tasks", **{name: lines(tmp_path / "rows.jsonl", [row])})


def test_an_unknown_benchmark_and_an_unknown_task_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'gsm8k'"):
        write_released(tmp_path, gsm8kk=tmp_path / "x")
    with pytest.raises(UsageError, match="No file is named"):
        write_released(tmp_path)
    with pytest.raises(UsageError, match="Name both"):
        write_released(tmp_path, tydiqa=tmp_path / "x")
    row = {"input": "?", "target": "Yes", "task": "no_such_task"}
    with pytest.raises(UsageError, match="no task bbh_cot_fewshot_no_such_task"):
        write_released(tmp_path / "tasks", bbh=lines(tmp_path / "rows.jsonl", [row]))


def test_the_real_files_become_tasks_with_every_item(shared_data: Path, tmp_path: Path) -> None:
    names = {"mmlu": "mmlu_dev_and_test_sample", "gsm8k": "gsm8k_test", "bbh": "bbh_sample", "truthfulqa": "truthfulqa_817"}
    written = write_released(tmp_path, **{name: shared_data / "eval" / f"{file}.jsonl.zst" for name, file in names.items()})
    assert {benchmark.name: benchmark.items for benchmark in written} == {
        "mmlu": 57 * 20, "gsm8k_cot": 1319, "bbh_cot_fewshot": 27 * 30, "truthfulqa_mc2": 817,
    }  # fmt: skip
    grader = LmEval("gsm8k_cot", METRICS["gsm8k_cot"], include_path=tmp_path, sample_items=200, device="cpu")
    grader.check()
    assert grader.count == 200
