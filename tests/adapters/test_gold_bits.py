"""Gold answers in bits per byte: plain transformers, a row at a time through the whole logits, is the reference."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import instructsel.adapters.lm_eval.run as adapter
from instructsel.adapters.experiment import Adapters
from instructsel.adapters.lm_eval.base import share_run
from instructsel.adapters.lm_eval.gold import GoldBits
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.own_task import Generation, write_task
from instructsel.adapters.lm_eval.suites import SuiteTask
from instructsel.errors import UsageError
from instructsel.experiments.plan import GradingSettings
from instructsel.experiments.toolkit import Runtime
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.protocols import Checkpoint, Grades
from instructsel.stats.loss_units import NATS_PER_TOKEN
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification
from tests import tiny
from tests.adapters.test_lm_eval import ASKED, CHOICES, lines, stored


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
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    write_task(lines(folder / "rows" / "choices.jsonl", CHOICES), folder, name="choosing")
    write_task(
        lines(folder / "rows" / "asked.jsonl", ASKED),
        folder,
        name="asking",
        kind=Generation(max_new_tokens=4, until=["\n"], ignore_case=True),
    )
    group = {"group": "both", "task": ["choosing", "asking"], "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    (folder / "both.yaml").write_text(json.dumps(group))
    return folder


def gold(folder: Path, task: str, **options: Any) -> GoldBits:
    return GoldBits(task, include_path=folder, **{"device": "cpu", "precision": "fp32", "batch_size": 2, **options})


def bits_per_byte(checkpoint: Checkpoint, context: str, answer: str) -> float:
    """−log2 p of an answer after a context over its bytes: transformers alone, one row, the whole logits."""
    tokens = transformers.AutoTokenizer.from_pretrained(str(checkpoint.folder))
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(str(checkpoint.folder), dtype=torch.float32).eval()
    # White space at the end of a context belongs to the tokens of the answer, as the harness has it.
    ids, begin = (
        tokens(context + answer, add_special_tokens=False)["input_ids"],
        len(tokens(context.rstrip(), add_special_tokens=False)["input_ids"]),
    )
    with torch.inference_mode():
        likely = torch.log_softmax(network(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    total = sum(float(likely[position - 1, ids[position]]) for position in range(begin, len(ids)))
    return -total / math.log(2) / len(answer.encode("utf-8"))


def pairs(folder: Path, name: str) -> list[tuple[str, str]]:
    """Context and gold continuation of each item, by the rows of the task."""
    rows = stored(folder, name)
    if "choices" in rows[0]:
        return [(row["query"], f" {row['choices'][row['gold']]}") for row in rows]
    return [(row["prompt"], f" {row['answer'][0] if isinstance(row['answer'], list) else row['answer']}") for row in rows]


@pytest.mark.parametrize("name", ["choosing", "asking"])
def test_an_item_has_the_bits_per_byte_of_its_gold_answer_that_plain_transformers_gives(llama: Checkpoint, tasks: Path, name: str) -> None:
    grades = gold(tasks, name).grade(llama)
    expected = pairs(tasks, name)
    assert grades.values == pytest.approx([bits_per_byte(llama, *pair) for pair in expected], rel=1e-5)
    assert grades.weights.tolist() == [len(answer.encode()) for _, answer in expected]
    assert (grades.unit, grades.higher_is_better, grades.reasons, grades.truncated) == ("bits per byte", False, (), 0)
    total = sum(value * weight for value, weight in zip(grades.values, grades.weights, strict=True))
    assert grades.weighted_mean == pytest.approx(total / grades.weights.sum()) and grades.record["bytes"] == grades.weights.sum()
    assert grades.grader == f"lm_eval:{name}:gold_bits" and grades.record["kind"] == "lm_eval_gold"


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("name", ["choosing", "asking"])
def test_demonstrations_and_the_chat_template_stand_before_the_answer_as_the_task_s_own_grader_has_them(
    llama: Checkpoint, tasks: Path, name: str, chat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"num_fewshot": 2, "apply_chat_template": chat}
    contexts: dict[str, str] = {}
    real = adapter._evaluate

    def evaluate(*arguments: Any) -> Any:
        run = real(*arguments)
        for row in run.rows[name]:
            contexts[str(row["doc_hash"])[:32]] = row["arguments"][0][0]
        return run

    monkeypatch.setattr(adapter, "_evaluate", evaluate)
    metric = "acc" if name == "choosing" else ""
    LmEval(name, metric, include_path=tasks, device="cpu", precision="fp32", batch_size=2, **options).grade(llama)
    asked = dict(contexts)
    grades = gold(tasks, name, **options).grade(llama)
    assert contexts == asked and all(context.count("the sky is") >= 1 or len(context) > 20 for context in asked.values())
    assert all(("<|assistant|>" in context) == chat for context in asked.values())
    in_order = [asked[item.partition("/")[2]] for item in grades.items]
    answers = [answer.removeprefix(" ") if chat else answer for _, answer in pairs(tasks, name)]
    assert grades.weights.tolist() == [len(answer.encode()) for answer in answers]
    assert grades.values == pytest.approx(
        [bits_per_byte(llama, context, answer) for context, answer in zip(in_order, answers, strict=True)], rel=1e-5
    )


def test_one_run_serves_metrics_and_gold_answers_and_each_gives_what_it_gives_alone(
    llama: Checkpoint, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {name: gold(tasks, name).grade(llama) for name in ("choosing", "asking")}
    loads: list[str] = []
    real = adapter.load_network
    monkeypatch.setattr(adapter, "load_network", lambda source, *task, **given: loads.append(source.digest) or real(source, *task, **given))
    options: dict[str, Any] = {"include_path": tasks, "device": "cpu", "precision": "fp32", "batch_size": 2}
    graders = [*LmEval.graders(["asking", "choosing"], **options), *GoldBits.graders(["asking", "choosing"], **options)]
    metrics = {grader.name: grader.grade(llama) for grader in LmEval.graders(["asking", "choosing"], **options)}
    loads.clear()
    share_run(list(graders))
    together: dict[str, Grades] = {grader.name: grader.grade(llama) for grader in graders}
    assert len(loads) == 1
    for name, grades in alone.items():
        shared = together[f"lm_eval:{name}:gold_bits"]
        assert shared.items == grades.items and shared.values.tolist() == grades.values.tolist()
    for name, grades in metrics.items():
        assert together[name].values.tolist() == grades.values.tolist()
    assert together["lm_eval:choosing:gold_bits"].items == together["lm_eval:choosing:acc"].items


def test_alone_nothing_is_generated_and_no_choice_but_the_gold_one_is_asked_for(
    llama: Checkpoint, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM

    asked: list[Any] = []
    real = HFLM.loglikelihood
    monkeypatch.setattr(HFLM, "loglikelihood", lambda self, requests, **more: (asked.extend(requests), real(self, requests, **more))[1])
    monkeypatch.setattr(HFLM, "generate_until", lambda *_, **__: pytest.fail("something was generated"))
    grades = gold(tasks, "both").grade(llama)
    assert len(asked) == len(grades.items) == len(CHOICES) + len(ASKED)
    assert set(grades.sources) == {"choosing", "asking"} and len(grades.sources) == len(grades.items)


def written(folder: Path, name: str, rows: list[dict[str, Any]], **config: Any) -> Path:
    """A task of the harness as its own file, with fields that `write_task` does not know."""
    import polars as pl

    folder.mkdir(exist_ok=True)
    pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
    content = {
        "task": name,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.parquet")}},
        "test_split": "test",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "output_type": "generate_until",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        **config,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(content))
    return folder


def test_an_item_without_a_gold_answer_has_a_reason_that_is_counted(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [
        {"prompt": "the sky is", "answer": "blue"},
        {"prompt": "boil an egg", "answer": " "},
        {"prompt": "the capital of france", "answer": ""},
    ]
    folder = written(tmp_path / "tasks", "some", rows, doc_to_text="prompt", doc_to_target="answer")
    grades = gold(folder, "some").grade(llama)
    assert grades.reasons == (None, "no_gold", "no_gold") and grades.record["nulls"] == {"no_gold": 2}
    assert grades.values[0] == pytest.approx(bits_per_byte(llama, "the sky is", " blue"), rel=1e-5)


def test_of_several_gold_answers_the_first_counts_and_a_constant_is_none(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [{"prompt": "the sky is", "answer": ["blue", "water"], "number": 7}]
    folder = written(tmp_path / "tasks", "several", rows, doc_to_text="prompt", doc_to_target="answer")
    assert gold(folder, "several").grade(llama).values[0] == pytest.approx(bits_per_byte(llama, "the sky is", " blue"), rel=1e-5)
    written(folder, "numbers", rows, doc_to_text="prompt", doc_to_target="number")
    assert gold(folder, "numbers").grade(llama).values[0] == pytest.approx(bits_per_byte(llama, "the sky is", " 7"), rel=1e-5)
    # As IFEval's: graded by code, the target says nothing.
    written(folder, "constant", rows, doc_to_text="prompt", doc_to_target=0)
    assert gold(folder, "constant").grade(llama).reasons == ("no_gold",)


def test_a_choice_may_be_named_by_its_text_by_a_list_or_not_at_all(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [
        {"prompt": "the sky is", "choices": ["cold water", "blue"], "gold": "blue", "golds": [1, 0], "index": 1},
        {"prompt": "boil an egg", "choices": ["eight minutes", "three tips"], "gold": "none of these", "golds": [], "index": 5},
    ]
    choosing = {"output_type": "multiple_choice", "doc_to_text": "prompt", "doc_to_choice": "choices", "generation_kwargs": None}
    choosing["metric_list"] = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]  # type: ignore[assignment]
    expected = bits_per_byte(llama, "the sky is", " blue")
    for name in ("gold", "golds", "index"):
        folder = written(tmp_path / "tasks", f"by_{name}", rows, doc_to_target=name, **choosing)
        grades = gold(folder, f"by_{name}").grade(llama)
        assert grades.values[0] == pytest.approx(expected, rel=1e-5) and grades.reasons == (None, "no_gold")


def test_the_gold_answer_of_a_task_of_code_is_its_solution_and_no_code_is_run(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [
        {"prompt": "def f():\n", "test": "raise SystemExit", "canonical_solution": "    return 1\n"},
        {"prompt": "def g():\n", "test": "raise SystemExit", "canonical_solution": ""},
    ]
    folder = written(tmp_path / "tasks", "humaneval_small", rows, doc_to_text="prompt", doc_to_target="test", unsafe_code=True)
    with pytest.raises(UsageError, match="runs code"):
        LmEval("humaneval_small", include_path=folder)
    grades = gold(folder, "humaneval_small").grade(llama)
    assert grades.reasons == (None, "no_gold")
    assert grades.values[0] == pytest.approx(bits_per_byte(llama, "def f():\n", "    return 1\n"), rel=1e-5)


def test_an_answer_whose_tokens_are_not_known_has_a_reason(llama: Checkpoint, tmp_path: Path) -> None:
    rows = [
        {"prompt": "the sky is", "answer": "blue"},
        {"prompt": "eat fru", "answer": "it"},
        {"prompt": "why", "answer": "seven hours " * 60},
    ]
    folder = written(tmp_path / "tasks", "edges", rows, doc_to_text="prompt", doc_to_target="answer", target_delimiter="")
    tokens = transformers.AutoTokenizer.from_pretrained(str(llama.folder))
    whole, before = (tokens(text, add_special_tokens=False)["input_ids"] for text in ("eat fruit", "eat fru"))
    assert whole[: len(before)] != before
    grades = gold(folder, "edges", max_length=40).grade(llama)
    assert grades.reasons[0] is None and grades.reasons[1] in ("not_a_prefix", "no_tokens") and grades.reasons[2] == "too_long"


def test_a_model_without_finite_likelihoods_gets_reasons_and_a_long_prompt_counts_as_truncated(
    tmp_path: Path, tasks: Path, llama: Checkpoint
) -> None:
    folder = tiny.causal(tmp_path / "broken", "llama")
    tiny.edit_weights(folder, lambda state: state["model.norm.weight"].fill_(float("nan")))
    grades = gold(tasks, "choosing").grade(checkpoint_of(str(folder)))
    assert set(grades.reasons) == {"not_finite"} and not grades.values.any()
    rows = [{"prompt": "how do i boil an egg " * 20, "answer": "eight minutes"}, {"prompt": "the sky is", "answer": "blue"}]
    long = written(tmp_path / "tasks", "long", rows, doc_to_text="prompt", doc_to_target="answer")
    assert gold(long, "long", max_length=32).grade(llama).truncated == 1


def test_gold_answers_are_compared_in_bits_per_byte_whatever_the_unit_of_losses(llama: Checkpoint, tasks: Path) -> None:
    grades = gold(tasks, "choosing").grade(llama)
    verification = Verification.of([Run(arm, 0, 0, grades) for arm in ("a", "b")], loss_unit=NATS_PER_TOKEN)
    assert verification.graders[grades.grader].unit == "bits per byte" and verification.graders[grades.grader].unit_note == ""


def test_a_fingerprint_follows_the_task_and_graders_are_refused_where_two_would_be_one(tasks: Path) -> None:
    base = gold(tasks, "choosing").fingerprint
    assert base["kind"] == "lm_eval_gold" and str(tasks) not in json.dumps(base)
    assert gold(tasks, "choosing", num_fewshot=1).fingerprint != base != gold(tasks, "asking").fingerprint
    for listed, options in ((["choosing", "choosing"], {}), ([], {}), ([SuiteTask("choosing", "acc", 1, "reasoning")], {"num_fewshot": 2})):
        with pytest.raises(UsageError):
            GoldBits.graders(listed, include_path=tasks, **options)
    (grader,) = GoldBits.graders([SuiteTask("choosing", "acc", 1, "reasoning")], include_path=tasks)
    assert grader.num_fewshot == 1


def test_a_plan_grades_the_gold_answers_of_its_tasks_or_of_others_in_one_run(tasks: Path, tmp_path: Path) -> None:
    runtime = Runtime("cpu", "fp32", 512)
    both = GradingSettings(lm_eval="choosing", gold_bits="lm-eval", include_path=tasks)
    graders = Adapters().tasks(both, runtime, tmp_path / "samples")
    assert [grader.name for grader in graders] == ["lm_eval:choosing:acc", "lm_eval:choosing:acc_norm", "lm_eval:choosing:gold_bits"]
    alone = Adapters().tasks(GradingSettings(gold_bits="asking, choosing", include_path=tasks), runtime, tmp_path / "samples")
    assert [grader.name for grader in alone] == ["lm_eval:asking:gold_bits", "lm_eval:choosing:gold_bits"]
    assert GradingSettings(gold_bits="asking").grades
    with pytest.raises(UsageError, match="it names no tasks"):
        GradingSettings(gold_bits="lm-eval")
