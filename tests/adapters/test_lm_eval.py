"""lm-evaluation-harness as a grader: likelihoods by hand, the harness's own run and its own files are the references."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers

import instructsel.adapters.lm_eval.run as adapter
from instructsel.adapters.lm_eval.conditions import computed_with, model_arguments, run_settings
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, MultipleChoice, write_task
from instructsel.adapters.lm_eval.results import read_results
from instructsel.adapters.lm_eval.samples import HarnessRun
from instructsel.adapters.lm_eval.suites import SKILLS, SUITE_NOTES, SUITES, SuiteTask
from instructsel.adapters.lm_eval.tasks import find, silent
from instructsel.errors import (
    EnvironmentFault,
    ModelUnavailable,
    ObservationsError,
    PoolError,
    StudyError,
    TooManyBadRows,
    UntrustedModel,
    UsageError,
)
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.pool.sources import zstd
from instructsel.protocols import Checkpoint, Grader, Grades
from instructsel.reports.plain_text import unlike
from tests import tiny

CHOICES = [
    {"query": "the capital of france is", "choices": ["paris", "the egg", "blue"], "gold": 0},
    {"query": "the sky is", "choices": ["cold water", "blue"], "gold": "blue"},
    {"query": "boil an egg for about", "choices": ["eight minutes", "seven hours", "three tips"], "gold": 0},
    {"query": "2020", "choices": ["2020-01-01", "2021-02-03"], "gold": 0},
    {"query": "sleep seven", "choices": ["fruit", "hours"], "gold": 0},
]
ASKED = [
    {"prompt": "the sky is", "answer": "blue"},
    {"prompt": "why", "answer": ["it is", "the sky"]},
    {"prompt": "{{ 7 }}", "answer": "7"},
]


def lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True, scope="module")
def own_datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`datasets` keeps what it reads in a folder of the tests."""
    import datasets.config

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    yield
    datasets.config.HF_DATASETS_CACHE = before


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(str(tiny.causal(tmp_path_factory.mktemp("first") / "model", "llama")))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return checkpoint_of(str(tiny.causal(tmp_path_factory.mktemp("second") / "model", "llama", seed=1)))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of our own, and a group of both."""
    folder = tmp_path_factory.mktemp("tasks")
    write_task(lines(folder / "rows" / "choices.jsonl", CHOICES), folder, name="choosing")
    write_task(
        lines(folder / "rows" / "asked.jsonl", ASKED),
        folder,
        name="asking",
        kind=Generation(max_new_tokens=4, until=["\n"], ignore_case=True),
    )
    write_task(lines(folder / "rows" / "choices.jsonl", CHOICES[:2]), folder, name="choosing_two")
    group = {"group": "both", "task": ["choosing", "choosing_two"], "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    (folder / "both.yaml").write_text(json.dumps(group))
    return folder


def grader(tasks: Path, task: str = "choosing", metric: str = "acc", **asked: Any) -> LmEval:
    return LmEval(task, metric, include_path=tasks, **{"device": "cpu", "precision": "fp32", "batch_size": 2, **asked})


def stored(tasks: Path, name: str = "choosing") -> list[dict[str, Any]]:
    """The items as they stand in the task."""
    return pl.read_parquet(next(tasks.glob(f"{name}-*.parquet"))).to_dicts()


def likelihoods(checkpoint: Checkpoint, before: str, choices: list[str]) -> list[float]:
    """ln p of each choice after a text and a space: transformers alone, one row, the whole logits."""
    tokens = transformers.AutoTokenizer.from_pretrained(str(checkpoint.folder))
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(checkpoint.folder), dtype=torch.float32).eval()
    found = []
    for choice in choices:
        ids, begin = tokens(f"{before} {choice}")["input_ids"], len(tokens(before)["input_ids"])
        with torch.inference_mode():
            likely = torch.log_softmax(network(input_ids=torch.tensor([ids])).logits[0].double(), -1)
        found.append(sum(float(likely[at - 1, ids[at]]) for at in range(begin, len(ids))))
    return found


@pytest.fixture(scope="module")
def graded(llama: Checkpoint, tasks: Path) -> dict[str, Grades]:
    made = LmEval.graders(["choosing", "asking"], include_path=tasks, device="cpu", precision="fp32", batch_size=2)
    assert all(isinstance(each, Grader) for each in made)
    return {each.name: each.grade(llama) for each in made}


def test_a_multiple_choice_item_counts_where_its_right_choice_is_the_likeliest_by_hand(
    llama: Checkpoint, tasks: Path, graded: dict[str, Grades], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stored(tasks)
    found = [likelihoods(llama, row["query"], row["choices"]) for row in rows]
    by_length = [
        [each / len(choice) for each, choice in zip(all_, row["choices"], strict=True)] for all_, row in zip(found, rows, strict=True)
    ]
    assert graded["lm_eval:choosing:acc"].values.tolist() == [
        float(np.argmax(each) == row["gold"]) for each, row in zip(found, rows, strict=True)
    ]
    assert graded["lm_eval:choosing:acc_norm"].values.tolist() == [
        float(np.argmax(each) == row["gold"]) for each, row in zip(by_length, rows, strict=True)
    ]
    # The harness's likelihoods themselves, not only which is the largest.
    seen: list[Any] = []
    real = HarnessRun.grades
    monkeypatch.setattr(HarnessRun, "grades", lambda run, *rest, **more: (seen.extend(run.rows["choosing"]), real(run, *rest, **more))[1])
    grader(tasks).grade(llama)
    for each, sample in zip(found, seen, strict=True):
        assert [resp[0][0] for resp in sample["resps"]] == pytest.approx(each, abs=1e-4)
    first = graded["lm_eval:choosing:acc"]
    assert 0 < first.mean < 1
    assert (first.unit, first.higher_is_better, first.truncated, first.reasons) == ("acc", True, 0, ())
    assert first.weights.tolist() == [1.0] * 5 and first.record["macro"] == first.record["micro"] == first.mean
    assert first.record["harness_figure"] == pytest.approx(first.mean)


def test_the_grades_are_those_of_simple_evaluate_and_of_the_files_it_writes(
    llama: Checkpoint, tasks: Path, tmp_path: Path, graded: dict[str, Grades]
) -> None:
    # Here, not above: whoever collects the tests need not wait for the harness.
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models import huggingface
    from lm_eval.tasks import TaskManager

    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(llama.folder), dtype=torch.float32)
    made: Any = huggingface.HFLM
    harness = made(pretrained=network, tokenizer=transformers.AutoTokenizer.from_pretrained(str(llama.folder)), batch_size=2)
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.log_experiment_args("hf", "pretrained=my-org/my-model", None, None, False)
    with silent():
        done: Any = simple_evaluate(
            model=harness,
            tasks=["choosing", "asking"],
            task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
            bootstrap_iters=0,
        )
        assert done is not None
        samples = done.pop("samples")
        tracker.save_results_aggregated(done, samples)
        for task, each in samples.items():
            tracker.save_results_samples(task, each)
    assert done["results"]["choosing"]["acc,none"] == graded["lm_eval:choosing:acc"].mean
    assert done["results"]["asking"]["exact_match,strip"] == graded["lm_eval:asking:exact_match,strip"].mean
    read = {each.grader: each for each in read_results(tmp_path)}
    assert set(read) == set(graded)
    for name, found in read.items():
        assert (found.items, found.values.tolist(), found.higher_is_better) == (
            graded[name].items,
            graded[name].values.tolist(),
            graded[name].higher_is_better,
        )
        assert found.record["tasks"] == graded[name].record["tasks"] and found.record["harness"] == graded[name].record["harness"]
        assert found.record["model"] == "my-model" and "my-org/" not in json.dumps(found.record)
        # How it was graded is known of both, so that the two may be compared.
        assert found.record["settings"] == graded[name].record["settings"] and found.record["settings"]["tasks"]
    # Releases that list tasks as groups without members say the same.
    file = next(tmp_path.rglob("results_*.json"))
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "group_subtasks": {task: [] for task in said["configs"]}}))
    assert {each.grader for each in read_results(tmp_path)} == set(graded)
    file.write_text(json.dumps(said))
    results, whole = next(tmp_path.rglob("results_*.json")), next(tmp_path.rglob("samples_choosing_*.jsonl"))
    for broken, said in (
        (b"\n".join(whole.read_bytes().split(b"\n")[1:]), "not whole"),
        (whole.read_bytes().replace(b'"doc_hash": "', b'"doc_hash": "0', 1), "of another run"),
        (whole.read_bytes()[:-40], "is not readable JSON"),
        (b"[1]\n", "found a list"),
        (b"{}\n", "lacks the key doc_id"),
    ):
        content = whole.read_bytes()
        whole.write_bytes(broken)
        with pytest.raises(ObservationsError, match=said):
            read_results(results)
        whole.write_bytes(content)
    # A likelihood that is no number: the harness calls the first choice right, and nobody knows.
    row = json.loads(whole.read_bytes().split(b"\n")[0])
    row["resps"] = [[["nan", "False"]] for _ in row["resps"]]
    whole.write_bytes(json.dumps(row).encode() + b"\n" + b"\n".join(whole.read_bytes().split(b"\n")[1:]))
    assert {each.grader: each for each in read_results(results)}["lm_eval:choosing:acc"].reasons[0] == "not_finite"
    (tmp_path / "results_2026-01-01T00-00-00.json").write_text("{}")
    with pytest.raises(UsageError, match="2 results files"):
        read_results(tmp_path)
    with pytest.raises(ObservationsError, match="is not a results file"):
        read_results(tmp_path / "results_2026-01-01T00-00-00.json")
    whole.unlink()
    with pytest.raises(ObservationsError, match="--log_samples"):
        read_results(results)
    with pytest.raises(UsageError, match="does not exist"):
        read_results(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="--output_path"):
        read_results(tmp_path / "empty")


def test_a_generated_answer_counts_where_it_is_one_of_the_answers(llama: Checkpoint, tasks: Path, graded: dict[str, Grades]) -> None:
    found = graded["lm_eval:asking:exact_match,strip"]
    tokens = transformers.AutoTokenizer.from_pretrained(str(llama.folder))
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(llama.folder), dtype=torch.float32).eval()
    expected = []
    for row in stored(tasks, "asking"):
        ids = tokens(row["prompt"], return_tensors="pt")["input_ids"]
        said = network.generate(input_ids=ids, max_new_tokens=4, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        text = tokens.decode(said, skip_special_tokens=True).split("\n")[0].strip().lower()
        expected.append(float(text in row["answer"]))
    assert found.values.tolist() == expected and len(expected) == 3


def test_a_generated_answer_that_is_right_counts_as_right(llama: Checkpoint, tmp_path: Path) -> None:
    tokens = transformers.AutoTokenizer.from_pretrained(str(llama.folder))
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(llama.folder), dtype=torch.float32).eval()
    ids = tokens("the sky is", return_tensors="pt")["input_ids"]
    said = tokens.decode(network.generate(input_ids=ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0, ids.shape[1] :])
    assert said.strip()
    rows = [{"prompt": "the sky is", "answer": said}, {"prompt": "the sky is", "answer": f"{said} not"}]
    write_task(lines(tmp_path / "rows.jsonl", rows), tmp_path, name="same", kind=Generation(max_new_tokens=3, until=["<|endoftext|>"]))
    found = LmEval("same", include_path=tmp_path, device="cpu", precision="fp32").grade(llama)
    right = [row["answer"] == said.strip() for row in stored(tmp_path, "same")]
    assert found.values.tolist() == [float(each) for each in right] and sum(right) == 1


def test_items_have_the_same_names_for_every_checkpoint(llama: Checkpoint, other: Checkpoint, tasks: Path) -> None:
    first, second = (grader(tasks).grade(checkpoint) for checkpoint in (llama, other))
    assert first.items == second.items and len(set(first.items)) == 5
    assert first.record["tasks"]["choosing"]["hash"] == second.record["tasks"]["choosing"]["hash"]


def test_equal_items_are_numbered(llama: Checkpoint, tmp_path: Path) -> None:
    write_task(lines(tmp_path / "rows.jsonl", [CHOICES[0], CHOICES[1], CHOICES[0]]), tmp_path, name="twice")
    grades = grader(tmp_path, "twice").grade(llama)
    items = grades.items
    assert len(set(items)) == 3 and sum(name.endswith("#2") and name[:-2] in items for name in items) == 1
    cluster_of = dict(zip(items, grades.clusters, strict=True))
    assert all(cluster_of[name] == name.removesuffix("#2") for name in items)


def test_several_graders_load_the_model_once_and_each_gives_what_it_gives_alone(
    llama: Checkpoint, other: Checkpoint, tasks: Path, graded: dict[str, Grades], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    real = adapter.load_network
    monkeypatch.setattr(adapter, "load_network", lambda source, *task, **given: loads.append(source.digest) or real(source, *task, **given))
    made = LmEval.graders(["asking", "choosing"], include_path=tasks, device="cpu", precision="fp32", batch_size=2)
    found = [[each.grade(checkpoint) for each in made] for checkpoint in (llama, other, llama)]
    assert loads == [llama.digest, other.digest]
    assert [each.grader for each in found[0]] == ["lm_eval:asking:exact_match,strip", "lm_eval:choosing:acc", "lm_eval:choosing:acc_norm"]
    for each in found[0]:
        assert each.values.tolist() == graded[each.grader].values.tolist()
    assert grader(tasks).grade(llama).values.tolist() == graded["lm_eval:choosing:acc"].values.tolist()


def test_a_group_has_the_items_of_all_its_tasks_and_both_means(llama: Checkpoint, tasks: Path, graded: dict[str, Grades]) -> None:
    found = grader(tasks, "both").grade(llama)
    alone = graded["lm_eval:choosing:acc"]
    assert len(found.items) == 7 and found.items[:5] == alone.items and found.values[:5].tolist() == alone.values.tolist()
    parts = [alone.mean, float(found.values[5:].mean())]
    assert found.record["macro"] == pytest.approx(sum(parts) / 2)
    assert found.record["micro"] == pytest.approx((5 * parts[0] + 2 * parts[1]) / 7) == pytest.approx(found.record["harness_figure"])
    assert sorted(found.record["tasks"]) == ["choosing", "choosing_two"]


def test_a_group_is_found_with_what_its_file_changes_and_what_stands_in_it(tasks: Path, tmp_path: Path) -> None:
    for file in tasks.glob("choosing.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    inline = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in (tasks / "choosing.yaml").read_text().splitlines())}
    group = {
        "group": "outer",
        "num_fewshot": 0,
        "task": [{"task": "choosing", "num_fewshot": 2}, {"group": "inner", "task": [{**inline, "task": "new"}]}],
    }
    (tmp_path / "outer.yaml").write_text(json.dumps(group))
    found = find(["outer"], include_path=tmp_path)["outer"]
    assert [(each.name, each.config["num_fewshot"]) for each in found.leaves] == [("choosing", 2), ("outer::inner::new", 0)]
    with silent():
        loaded = found.load()["tasks"]
    assert {name: task.get_config("num_fewshot") for name, task in loaded.items()} == {"choosing": 2, "outer::inner::new": 0}


def test_a_limit_takes_the_first_items_and_says_so(llama: Checkpoint, tasks: Path, graded: dict[str, Grades]) -> None:
    found = grader(tasks, limit=2).grade(llama)
    assert found.items == graded["lm_eval:choosing:acc"].items[:2] and found.record["limit"] == 2


def test_shots_and_chat_template_are_what_was_asked_for(llama: Checkpoint, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[list[str]] = []
    real = HarnessRun.grades

    def watched(run: HarnessRun, *rest: Any, **more: Any) -> Grades:
        prompts.append([row["arguments"][0][0] for row in run.rows["choosing"]])
        return real(run, *rest, **more)

    monkeypatch.setattr(HarnessRun, "grades", watched)
    plainly = grader(tasks, num_fewshot=1).grade(llama)
    chatting = grader(tasks, num_fewshot=1, apply_chat_template=True).grade(llama)
    turns = grader(tasks, num_fewshot=1, apply_chat_template=True, fewshot_as_multiturn=True).grade(llama)
    rows = stored(tasks)
    for row, without, one, several in zip(rows, *prompts, strict=True):
        demonstration, _, question = without.partition("\n\n")
        assert question == row["query"] and not demonstration.startswith(row["query"])
        shown = next(each for each in rows if demonstration.startswith(each["query"] + " "))
        assert demonstration == f"{shown['query']} {shown['choices'][shown['gold']]}"
        assert one == f"<|user|>\n{demonstration}\n\n{row['query']}\n<|assistant|>\n"
        assert several.count("<|assistant|>") == 2 and several.endswith(f"<|user|>\n{row['query']}\n<|assistant|>\n")
    assert plainly.record["tasks"]["choosing"]["num_fewshot"] == 1 and plainly.record["template"] is None
    assert chatting.record["template"] == "tulu" and len(chatting.record["chat_template_sha"]) == 64
    assert turns.record["fewshot_as_multiturn"] is True
    assert grader(tasks, num_fewshot=1).grade(llama).record["tasks"] == plainly.record["tasks"]


def test_demonstrations_come_from_the_examples_where_there_are_any(llama: Checkpoint, tmp_path: Path) -> None:
    shots = lines(tmp_path / "shots.jsonl", [{"query": "shown", "choices": ["one", "two"], "gold": 1}])
    written = write_task(lines(tmp_path / "rows.jsonl", CHOICES), tmp_path / "tasks", name="shown", examples=shots)
    assert written.report.read == 6
    found = grader(tmp_path / "tasks", "shown", num_fewshot=1).grade(llama)
    assert len(found.items) == 5
    with pytest.raises(UsageError, match="refuses shown"):
        grader(tmp_path / "tasks", "shown", num_fewshot=2).grade(llama)


def test_a_prompt_longer_than_the_context_is_counted(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [{**CHOICES[0], "query": "how do i boil an egg " * 20}, CHOICES[1]]
    write_task(lines(tmp_path / "rows.jsonl", rows), tmp_path, name="long")
    found = grader(tmp_path, "long", max_length=32).grade(llama)
    assert found.truncated == 1 and found.record["max_length"] == 32
    # Never more than the model's context.
    assert grader(tmp_path, "long", max_length=100_000).grade(llama).record["max_length"] == 512


def test_a_model_without_finite_likelihoods_gets_reasons_and_no_values(tmp_path: Path, tasks: Path) -> None:
    folder = tiny.causal(tmp_path / "broken", "llama")
    tiny.edit_weights(folder, lambda state: state["model.norm.weight"].fill_(float("nan")))
    made = LmEval.graders(["choosing", "asking"], include_path=tasks, device="cpu", precision="fp32")
    for found in [each.grade(checkpoint_of(str(folder))) for each in made]:
        assert set(found.reasons) == {"not_finite"} and not found.values.any() and np.isnan(found.mean)
        assert found.record["nulls"] == {"not_finite": len(found.items)} and found.record["micro"] is None


def test_nothing_is_written_and_environment_loggers_and_random_numbers_are_left_alone(
    llama: Checkpoint, tasks: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = dict(os.environ), root.level, list(root.handlers), root.manager.disable
    drawing = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = random.random(), float(np.random.rand()), float(torch.rand(1))
    random.setstate(drawing[0])
    np.random.set_state(drawing[1])
    torch.set_rng_state(drawing[2])
    LmEval.graders(["choosing", "asking"], include_path=tasks, device="cpu", precision="fp32")[0].grade(llama)
    assert capfd.readouterr() == ("", "")
    assert (dict(os.environ), root.level, list(root.handlers), root.manager.disable) == before
    assert (random.random(), float(np.random.rand()), float(torch.rand(1))) == expected


def test_a_fingerprint_follows_items_and_settings_and_no_path(tasks: Path, tmp_path: Path) -> None:
    base = grader(tasks).fingerprint
    write_task(lines(tmp_path / "rows.jsonl", CHOICES[::-1]), tmp_path / "moved", name="choosing")
    assert grader(tmp_path / "moved").fingerprint == base
    assert str(tasks) not in json.dumps(base) and base["metric"] == "acc,none"
    settings: list[dict[str, Any]] = [{"num_fewshot": 1}, {"limit": 2}, {"seed": 1}, {"apply_chat_template": True}, {"max_length": 64}]
    changed = [grader(tasks, **each).fingerprint for each in [*settings, {"metric": "acc_norm"}]]
    write_task(lines(tmp_path / "rows.jsonl", [*CHOICES[:4], {**CHOICES[4], "gold": 1}]), tmp_path / "moved", name="choosing")
    changed.append(grader(tmp_path / "moved").fingerprint)
    assert len({json.dumps(each) for each in [base, *changed]}) == 8


def test_weights_that_changed_or_are_gone_are_refused(llama: Checkpoint, tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(UntrustedModel, match="not the checkpoint's any more"):
        grader(tasks).grade(replace(llama, digest="0" * 64))
    with pytest.raises(ModelUnavailable, match="no folder"):
        grader(tasks).grade(Checkpoint(tmp_path / "gone", "0" * 64))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metric": ""}, "several metrics.*Name one: acc, acc_norm"),
        ({"metric": "acc_nrom"}, "Did you mean 'acc_norm'"),
        ({"limit": 0}, "limit is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_length": 1}, "max_length is 1"),
        ({"num_fewshot": -1}, "num_fewshot is -1"),
        ({"seed": -1}, "A seed is"),
        ({"precision": "fp8"}, "precision"),
        ({"device": "tpu"}, "device"),
        ({"fewshot_as_multiturn": True}, "apply_chat_template=True"),
        ({"include_path": "nowhere"}, "no folder"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_any_work(tasks: Path, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        LmEval("choosing", **{"metric": "acc", "include_path": tasks, **asked})


def test_shots_that_the_harness_would_pass_over_are_refused(tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "fixed.yaml").write_text((tasks / "choosing.yaml").read_text().replace('"choosing"', '"fixed"') + "num_fewshot: 0\n")
    with pytest.raises(UsageError, match="fixes its shots at 0"):
        grader(tmp_path, "fixed", num_fewshot=3)


def test_code_that_a_model_writes_runs_only_where_it_is_allowed(tasks: Path, tmp_path: Path, llama: Checkpoint) -> None:
    text = (tasks / "choosing.yaml").read_text()
    (tmp_path / "marked.yaml").write_text(text.replace('"choosing"', '"marked"') + "unsafe_code: true\n")
    (tmp_path / "named.yaml").write_text(text.replace('"choosing"', '"humaneval_mine"'))
    (tmp_path / "tagged.yaml").write_text(text.replace('"choosing"', '"tagged"') + "tag: mbpp_like\n")
    for name in ("marked", "humaneval_mine", "tagged", "mbpp_like"):
        with pytest.raises(UsageError, match=r"runs code that the model writes.*allow_unsafe_code=True"):
            grader(tmp_path, name)
    before = os.environ.get("HF_ALLOW_CODE_EVAL")
    assert len(grader(tmp_path, "marked", allow_unsafe_code=True, limit=1).grade(llama).items) == 1
    assert os.environ.get("HF_ALLOW_CODE_EVAL") == before


def test_a_task_of_the_hub_is_refused_offline_and_an_unknown_one_is_named(
    tasks: Path, llama: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shipped index once: 12 seconds.
    made = grader(tasks, "arc_easy", "acc_norm", num_fewshot=25)
    monkeypatch.setattr(adapter, "load_network", lambda *_, **__: pytest.fail("the model was loaded first"))
    for call in (made.check, lambda: made.grade(llama)):
        with pytest.raises(EnvironmentFault, match=r"arc_easy needs the data set allenai/ai2_arc \(ARC-Easy\).*load_dataset"):
            call()
    with pytest.raises(UsageError, match="Did you mean 'arc_easy'"):
        grader(tasks, "arc_eazy")
    with pytest.raises(UsageError, match=r"no task 'zzzzqqqq'.*has asking, both, choosing"):
        grader(tasks, "zzzzqqqq")
    # All of both suites are known to this release, with these metrics and shots.
    for suite in SUITES:
        graders = LmEval.graders(suite, allow_unsafe_code=True)
        assert [(each.task, each.num_fewshot) for each in graders] == [(each.task, each.num_fewshot) for each in SUITES[suite]]
    with pytest.raises(UsageError, match="humaneval runs code"):
        LmEval.graders("tulu")
    found = find(["mmlu", "tydiqa_goldp", "humaneval", "bbh_cot_fewshot"])
    assert [len(each.leaves) for each in found.values()] == [57, 9, 1, 27]
    assert found["humaneval"].unsafe and not found["mmlu"].unsafe
    with pytest.raises(UsageError, match="fixes its shots at 0"):
        LmEval("truthfulqa_mc2", "acc", num_fewshot=5)


def test_every_task_of_a_suite_has_a_skill_and_its_gap_is_named() -> None:
    for suite, listed in SUITES.items():
        assert all(each.skill in SKILLS and SUITE_NOTES[suite][each.task] for each in listed)
    assert {each.skill for each in SUITES["tulu"]} == set(SKILLS)


def test_graders_are_refused_where_two_would_be_one(tasks: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        LmEval.graders(["choosing", "choosing"], include_path=tasks)
    with pytest.raises(UsageError, match="of its own"):
        LmEval.graders([SuiteTask("choosing", "acc", 1, "reasoning")], include_path=tasks, num_fewshot=2)
    with pytest.raises(UsageError, match="No task"):
        LmEval.graders([], include_path=tasks)
    made = LmEval.graders([SuiteTask("choosing", "acc", 1, "reasoning"), "asking"], include_path=tasks)
    assert [(each.name, each.num_fewshot) for each in made] == [("lm_eval:choosing:acc", 1), ("lm_eval:asking:exact_match,strip", None)]


def test_a_task_whose_data_is_gone_is_refused(tasks: Path, tmp_path: Path) -> None:
    written = write_task(lines(tmp_path / "rows.jsonl", CHOICES), tmp_path / "tasks", name="gone")
    written.data.unlink()
    with pytest.raises(UsageError, match="data of gone cannot be read"):
        grader(written.folder, "gone").check()


def test_a_task_is_the_same_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    first = write_task(lines(tmp_path / "one.jsonl", CHOICES), tmp_path / "one", name="same")
    second = write_task(lines(tmp_path / "two.jsonl", CHOICES[::-1]), tmp_path / "two", name="same")
    assert (first.digest, first.data.name, first.data.read_bytes()) == (second.digest, second.data.name, second.data.read_bytes())
    assert 'version": 1' in first.file.read_text() and first.digest in first.file.read_text()


def test_choices_may_stand_in_columns_and_gold_be_a_column_s_name(tmp_path: Path) -> None:
    rows = [{"question": "the sky is", "A": "red", "B": "blue", "answer": "B"}]
    named = {"query": "question", "choices": ["A", "B"], "gold": "answer"}
    write_task(lines(tmp_path / "rows.jsonl", rows), tmp_path, name="columns", fields=named)
    assert stored(tmp_path, "columns") == [{"query": "the sky is", "choices": ["red", "blue"], "gold": 1}]


def test_texts_that_look_like_dates_numbers_or_templates_stay_texts(tmp_path: Path, llama: Checkpoint) -> None:
    rows = [
        {"query": "42", "choices": ["2020-01-01", "2021-02-03"], "gold": 0},
        {"query": "{{ 7 * 6 }}", "choices": ["1999-01-01", "['a', 'b']"], "gold": 1},
    ]
    write_task(lines(tmp_path / "rows.jsonl", rows), tmp_path, name="dates")
    with silent():
        loaded = find(["dates"], include_path=tmp_path)["dates"].load()["tasks"]["dates"]
        found = [(loaded.doc_to_text(doc), loaded.doc_to_choice(doc), loaded.doc_to_target(doc)) for doc in loaded.eval_docs]
    assert sorted(found) == [(row["query"], row["choices"], row["gold"]) for row in rows]


HOSTILE: list[tuple[bytes, str]] = [
    (b"{not json", "invalid_json"),
    (b'{"query": "\xff", "choices": ["a", "b"], "gold": 0}', "invalid_utf8"),
    (b'{"query": "\\ud800", "choices": ["a", "b"], "gold": 0}', "lone_surrogate"),
    (b'{"query": "x", "query": "y", "choices": ["a", "b"], "gold": 0}', "duplicate_key"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": NaN}', "not_finite"),
    (b"[1, 2]", "not_an_object"),
    (b"null", "not_an_object"),
    (b'{"query": "x", "choices": ["a", "b"]}', "missing_field"),
    (b'{"query": 7, "choices": ["a", "b"], "gold": 0}', "not_text"),
    (b'{"query": "x", "choices": "ab", "gold": 0}', "not_text"),
    (b'{"query": "x", "choices": ["a", 1], "gold": 0}', "not_text"),
    (b'{"query": "x", "choices": ["a"], "gold": 0}', "too_few_choices"),
    (b'{"query": "x", "choices": ["a", ""], "gold": 0}', "empty_choice"),
    (b'{"query": "x", "choices": ["a", "a"], "gold": 0}', "equal_choices"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": 2}', "unknown_gold"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": -1}', "unknown_gold"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": true}', "unknown_gold"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": 0.5}', "unknown_gold"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": "c"}', "unknown_gold"),
    (b'{"query": "x", "choices": ["a", "b"], "gold": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
]


def test_hostile_rows_are_quarantined_by_line_and_the_good_ones_kept(tmp_path: Path) -> None:
    good = json.dumps(CHOICES[0]).encode()
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join([good, *(raw for raw, _ in HOSTILE), good.replace(b"france", b"the north")]))
    written = write_task(tmp_path / "rows.jsonl", tmp_path / "tasks", name="mine", max_bad_fraction=1.0)
    report = written.report
    assert (report.read, report.kept) == (len(HOSTILE) + 2, 2) and len(stored(tmp_path / "tasks", "mine")) == 2
    assert [(each.line, each.reason) for each in report.quarantine] == [(number + 2, code) for number, (_, code) in enumerate(HOSTILE)]
    with pytest.raises(TooManyBadRows, match=f"{len(HOSTILE)} of {len(HOSTILE) + 2} rows.*line 2") as refused:
        write_task(tmp_path / "rows.jsonl", tmp_path / "none", name="mine")
    assert refused.value.report is not None and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"prompt": " ", "answer": "x"}, "empty_prompt"),
        ({"prompt": "x", "answer": " "}, "empty_answer"),
        ({"prompt": "x", "answer": []}, "empty_answer"),
        ({"prompt": "x", "answer": ["a", 1]}, "not_text"),
        ({"prompt": ["x"], "answer": "a"}, "not_text"),
        ({"prompt": "x", "answer": None}, "missing_field"),
    ],
)
def test_a_row_that_cannot_be_answered_is_quarantined(tmp_path: Path, row: dict[str, Any], code: str) -> None:
    path = lines(tmp_path / "rows.jsonl", [row, ASKED[0]])
    assert write_task(path, tmp_path, name="mine", kind="generate", max_bad_fraction=0.5).report.quarantined == {code: 1}


def test_a_task_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    rows = lines(tmp_path / "rows.jsonl", CHOICES)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": "a/b"}, "no name for a task"),
        ({"name": "mine", "kind": "essay"}, "kind of task"),
        ({"name": "mine", "fields": {"qurey": "x"}}, "Did you mean 'query'"),
    ]
    for asked, said in wrong:
        with pytest.raises(UsageError, match=said):
            write_task(rows, tmp_path, **asked)
    with pytest.raises(UsageError, match="regular expression"):
        Generation(extract="(")
    with pytest.raises(UsageError, match="as a pattern"):
        write_task(rows, tmp_path / "a[0]", name="mine")
    spaced = lines(tmp_path / "spaced.jsonl", [CHOICES[0], {**CHOICES[1], "choices": [" cold water", " blue"], "gold": 1}])
    with pytest.raises(UsageError, match="line 2: a choice begins with white space"):
        write_task(spaced, tmp_path, name="mine")
    assert write_task(spaced, tmp_path, name="mine", kind=MultipleChoice(delimiter="")).report.kept == 2
    with pytest.raises(PoolError, match="no row"):
        write_task(lines(tmp_path / "bad.jsonl", [{"a": 1}, {"a": 2}]), tmp_path, name="mine", max_bad_fraction=1.0)


def test_samples_are_kept_item_by_item_where_it_is_asked_for(llama: Checkpoint, tasks: Path, tmp_path: Path) -> None:
    found = grader(tasks, limit=3, samples=tmp_path / "samples")
    assert found.count is None
    found.check()
    assert found.count == 3
    kept = found.grade(llama)
    file = tmp_path / "samples" / kept.record["samples"]
    rows = [json.loads(line) for line in zstd.decompress(file.read_bytes()).decode().splitlines()]
    assert [row["acc"] for row in rows] == kept.values.tolist() and all(row["task"] == "choosing" and row["resps"] for row in rows)
    before = file.read_bytes()
    assert grader(tasks, limit=3, samples=tmp_path / "samples").grade(llama).record["samples"] == file.name and file.read_bytes() == before


def finished(folder: Path, llama: Checkpoint, tasks: Path, *, gen_kwargs: str | None = None, **changes: Any) -> Path:
    """Results of the harness's own run, as its command line writes them."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(folder))
    arguments = f"pretrained={llama.folder},dtype={changes.pop('dtype', 'float32')}"
    arguments += "".join(f",{name}={value}" for name, value in changes.pop("model_args", {}).items())
    tracker.general_config_tracker.log_experiment_args("hf", arguments, changes.get("system_instruction"), None, False)
    with silent():
        done: Any = simple_evaluate(
            model="hf",
            model_args=arguments,
            tasks=["asking"],
            task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
            bootstrap_iters=0,
            device="cpu",
            batch_size=changes.pop("batch_size", 2),
            gen_kwargs=gen_kwargs,
            **changes,
        )
        samples = done.pop("samples")
        tracker.save_results_aggregated(done, samples)
        for task, rows in samples.items():
            tracker.save_results_samples(task, rows)
    return folder


def test_finished_results_with_other_settings_are_refused_naming_both_values(llama: Checkpoint, tasks: Path, tmp_path: Path) -> None:
    import instructsel
    from instructsel.experiments.plan import Experiment, PlannedArm, StatisticsSettings

    plain = finished(tmp_path / "plain", llama, tasks)

    def verified(other: Path, **statistics: Any) -> Any:
        arms = (PlannedArm("selection", results=((str(plain),),)), PlannedArm("random", results=((str(other),),)))
        plan = Experiment(arms, statistics=StatisticsSettings(generalize_to="items", **statistics))
        return instructsel.verify(plan, tmp_path / f"verified-{other.name}-{len(statistics)}")

    cases: list[tuple[str, dict[str, Any], str]] = [
        ("short", {"gen_kwargs": "max_gen_toks=1"}, r"generation_kwargs max_gen_toks 4 and 1"),
        ("sampled", {"gen_kwargs": "do_sample=True,temperature=0.7"}, r"temperature"),
        ("limited", {"limit": 2}, r"limit None and 2"),
        ("told", {"system_instruction": "Be brief."}, r"system_instruction None and Be brief\."),
        ("shots", {"model_args": {"add_bos_token": "True"}}, r"model_args None and .*add_bos_token.*True"),
    ]
    for name, changes, message in cases:
        other = finished(tmp_path / name, llama, tasks, **changes)
        with pytest.raises(StudyError, match=f"in different ways.*{message}") as refused:
            verified(other)
        assert "selection" in refused.value.message and "random" in refused.value.message
        # No flag makes them comparable.
        with pytest.raises(StudyError, match="in different ways"):
            verified(other, allow_unlike=True)
    again = finished(tmp_path / "again", llama, tasks)
    assert verified(again).summary is not None

    # How it was computed may differ where that is said, and then the verdict says so.
    for name, changes, message in (
        ("batched", {"batch_size": 3}, "batch_size 2 and 3"),
        ("rounded", {"dtype": "bfloat16"}, "dtype float32 and bfloat16"),
        ("shorter", {"model_args": {"max_length": 48}}, "max_length None and 48"),
    ):
        other = finished(tmp_path / name, llama, tasks, **changes)
        with pytest.raises(StudyError, match=message) as refused:
            verified(other)
        assert "--allow-unlike" in (refused.value.fix or "")
        summary = verified(other, allow_unlike=True).summary
        graders = summary["graders"]
        assert all(scale["unlike"] == [message] for scale in graders.values())
        assert any(message in sentence for sentence in unlike(summary))


def test_arguments_of_a_model_are_read_as_the_harness_reads_them() -> None:
    assert model_arguments('pretrained=a/b,chat_template_args={"x":1,"y":2},max_length=8,temperature=0.5') == {
        "pretrained": "a/b",
        "chat_template_args": '{"x":1,"y":2}',
        "max_length": 8,
        "temperature": 0.5,
    }
    assert model_arguments({"pretrained": "a"}) == {"pretrained": "a"} and model_arguments(None) == {}
    # Which model it is, and where it runs, changes no setting.
    named = {
        "pretrained": "/home/me/model",
        "peft": "x",
        "revision": "main",
        "trust_remote_code": True,
        "device": "cuda:1",
        "dtype": "auto",
    }
    assert run_settings(named) is None
    assert run_settings({**named, "enable_thinking": False}) == {"enable_thinking": False}
    file = {"config": {"model": "hf", "model_args": "pretrained=a,load_in_4bit=True", "batch_size": "auto", "batch_sizes": [64]}}
    computed = computed_with(file)
    assert computed["batch_size"] == "auto (64)" and computed["arguments"] == {"load_in_4bit": True} and computed["backend"] == "hf"
    assert "device" not in computed
