"""Tasks and annotators of a folder: nothing of theirs is run, fetched or read from elsewhere without a flag."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from instructsel.adapters.alpaca_eval.judge import AlpacaEval
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.lm_eval.tasks import find
from instructsel.errors import InstructselError, UsageError
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.pool.pickles import no_pickles
from tests import tiny

ROWS = [{"query": "the sky is", "choices": ["blue", "cold"], "gold": 0}]


def write(folder: Path, **changes: Any) -> Path:
    """A task of multiple choice; `!function` stands for itself."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = {
        "task": "evil",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_target": "{{gold}}",
        "doc_to_choice": "{{choices}}",
        "metric_list": [{"metric": "acc"}],
        **changes,
    }
    text = "\n".join(f"{key}: {value if str(value).startswith('!') else json.dumps(value)}" for key, value in task.items())
    (folder / "evil.yaml").write_text(text + "\n")
    return folder


def grade(folder: Path, tmp_path: Path, **options: Any) -> Any:
    grader = LmEval("evil", "acc", include_path=folder, device="cpu", precision="fp32", **options)
    grader.check()
    return grader.grade(checkpoint_of(str(tiny.causal(tmp_path / "model"))))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def test_a_task_without_code_is_graded(tmp_path: Path) -> None:
    assert len(grade(write(tmp_path / "tasks"), tmp_path).items) == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
        "{{ query.__class__.__base__.__subclasses__() }}",
    ],
)
@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "description"])
def test_a_template_of_a_task_runs_in_a_sandbox(tmp_path: Path, canary: Path, template: str, key: str) -> None:
    folder = write(tmp_path / "tasks", **{key: template.replace("CANARY", str(canary))})
    try:
        grade(folder, tmp_path)
    except InstructselError:
        pass
    else:
        assert key in ("gen_prefix", "description")
    assert not canary.exists()


@pytest.mark.parametrize("key", ["doc_to_text", "process_docs", "process_results", "custom_dataset", "class"])
@pytest.mark.parametrize("name", ["evil.run", "os.system", "subprocess.getoutput"])
def test_code_of_a_task_is_run_with_the_flag_alone(tmp_path: Path, canary: Path, key: str, name: str) -> None:
    folder = write(tmp_path / "tasks", **{key: f"!function {name}"})
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\ndef run(value): return value\n")
    with pytest.raises(UsageError, match=r"brings code along.*") as refused:
        grade(folder, tmp_path)
    assert "--allow-task-code" in str(refused.value.fix)
    assert not canary.exists()


def test_code_of_a_task_runs_where_it_is_allowed(tmp_path: Path, canary: Path) -> None:
    folder = write(tmp_path / "tasks", doc_to_text="!function evil.run")
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\ndef run(doc): return doc['query']\n")
    assert len(grade(folder, tmp_path, allow_task_code=True).items) == 1 and canary.exists()


def test_a_file_that_looks_as_if_it_came_with_the_harness_is_a_folder_s_all_the_same(tmp_path: Path, canary: Path) -> None:
    folder = write(tmp_path / "lm_eval" / "tasks" / "evil", doc_to_text="!function evil.run")
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\n")
    with pytest.raises(UsageError, match="brings code along"):
        grade(tmp_path / "lm_eval" / "tasks", tmp_path)
    assert not canary.exists()


def test_a_metric_that_is_a_script_of_the_hub_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tasks", metric_list=[{"metric": "somebody/metric"}, {"metric": "acc", "hf_evaluate": True}])
    with pytest.raises(UsageError, match="of the package evaluate"):
        LmEval("evil", "acc", include_path=folder)


def test_an_include_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tasks", include="../secret.yaml")
    (tmp_path / "secret.yaml").write_text("description: the secret\n")
    with pytest.raises(UsageError, match="lies outside of its folder"):
        find(["evil"], include_path=folder)


def annotator(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "prompt.txt").write_text("<|im_start|>user\n{instruction} {output_1} {output_2}<|im_end|>")
    config = {
        "prompt_template": f"{folder.name}/prompt.txt",
        "fn_completions": "openai_completions",
        "completions_kwargs": {"model_name": "x"},
        "fn_completion_parser": "regex_parser",
        **changes,
    }
    (folder / "configs.yaml").write_text(json.dumps({"mine": config}))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"completions_kwargs": {"model_name": "x", "model_kwargs": {"trust_remote_code": True}}},
        {"completions_kwargs": {"model_name": "x", "client_kwargs": {"base_url": "http://127.0.0.1:9"}}},
        {"completions_kwargs": {"model_name": "x", "client_config_path": "/etc/passwd"}},
        {"fn_completions": "huggingface_local_completions"},
        {"fn_completions": "vllm_local_completions"},
        {"fn_completions": "os.system"},
        {"fn_completions": ["x"]},
        {"prompt_template": "../../etc/passwd"},
        {"prompt_template": "SECRET"},
        {"prompt_template": 3},
    ],
)
def test_an_annotator_of_a_folder_stays_in_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "etc").mkdir()
    shutil.copy(secret, tmp_path / "etc" / "passwd")
    if changes.get("prompt_template") == "SECRET":
        changes = {"prompt_template": str(secret)}
    if changes.get("prompt_template") == "../../etc/passwd":
        changes = {"prompt_template": "etc/passwd"}
    folder = annotator(tmp_path / "annotator", **changes)
    with pytest.raises(UsageError):
        AlpacaEval(folder, tmp_path / "judged").fingerprint  # noqa: B018


def test_an_annotator_of_a_folder_with_a_prompt_of_its_own_is_taken(tmp_path: Path) -> None:
    assert AlpacaEval(annotator(tmp_path / "annotator"), tmp_path / "judged").fingerprint["name"] == "annotator"


def test_pth_members_of_an_archive_are_refused() -> None:
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    before = WebDataset.DECODERS
    with no_pickles("the test"), pytest.raises(ValueError, match="can run code"):
        WebDataset.DECODERS["pth"](b"")
    assert WebDataset.DECODERS is before
