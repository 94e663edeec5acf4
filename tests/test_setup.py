"""Which build of PyTorch the set-up script asks pip for. No pip runs: a stand-in answers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT

CPU = ("2.13.0+cpu", ["filelock", 'setuptools; python_version >= "3.12"'])
CUDA = ("2.13.0", ["filelock", 'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"'])
CUDA_TOOLKIT = ("2.13.0", ['cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"'])
CPU_NAMED_AS_ORDINARY = ("2.13.0", ["filelock"])
Build = tuple[str, list[str]] | None


class Pip:
    """Answers dry runs with one build for an index that is named and one for where pip is configured to look."""

    def __init__(self, *, index: Build = None, configured: Build = None, place: str = "") -> None:
        self.index, self.configured, self.place = index, configured, place
        self.calls: list[tuple[str, ...]] = []
        self.limits: list[float | None] = []

    def __call__(self, *arguments: str, quiet: bool = False, seconds: float | None = None) -> bool:
        assert "--dry-run" in arguments and quiet, "nothing is installed, and an index out of reach is no noise"
        self.calls.append(arguments)
        self.limits.append(seconds)
        build = self.index if "--index-url" in arguments else self.configured
        if build is None:
            return False
        place = self.place or ("index" if "--index-url" in arguments else "configured")
        wheel = {
            "metadata": {"name": "torch", "version": build[0], "requires_dist": build[1]},
            "download_info": {"url": f"file:///{place}/torch.whl"},
        }
        report = {"install": [wheel]}
        Path(arguments[arguments.index("--report") + 1]).write_text(json.dumps(report))
        return True


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, on a Linux machine without a GPU and without TORCH_INDEX."""
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / ".ci" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    return module


def choose(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, pip: Pip) -> list[str]:
    monkeypatch.setattr(setup, "pip", pip)
    requirement: list[str] = setup.torch()
    return requirement


def test_without_a_gpu_the_cpu_index_comes_first_with_a_short_limit(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = Pip(index=CPU, configured=CUDA)
    assert choose(setup, monkeypatch, pip) == ["torch==2.13.0+cpu", "--extra-index-url", setup.CPU_INDEX]
    assert pip.limits[0] == setup.INDEX_SECONDS <= 20
    asked = " ".join(pip.calls[0])
    assert "--timeout 5 --retries 0" in asked and capsys.readouterr().out == ""


def test_a_cpu_build_without_a_local_version_is_taken_from_its_index_alone(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(index=CPU_NAMED_AS_ORDINARY, configured=CUDA)
    assert choose(setup, monkeypatch, pip) == ["torch==2.13.0", "--index-url", setup.CPU_INDEX]


@pytest.mark.parametrize("build", [CPU, CPU_NAMED_AS_ORDINARY])
def test_an_index_out_of_reach_is_no_failure_and_what_pip_sees_comes_next(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], build: Build
) -> None:
    assert build is not None
    assert choose(setup, monkeypatch, Pip(configured=build)) == [f"torch=={build[0]}"]
    assert capsys.readouterr().out == ""


def test_a_build_that_pip_sees_anyway_does_not_send_it_to_an_index_out_of_reach(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # With the index out of reach pip still looks at its configured folders: both dry runs give one wheel.
    assert choose(setup, monkeypatch, Pip(index=CPU, configured=CPU, place="folder")) == ["torch==2.13.0+cpu"]


@pytest.mark.parametrize("build", [None, CUDA, CUDA_TOOLKIT])
def test_without_any_cpu_build_the_ordinary_one_is_taken_and_said_in_one_sentence(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], build: Build
) -> None:
    # An index that gives a CUDA build is passed over too: the build is known by what it requires.
    assert choose(setup, monkeypatch, Pip(index=build, configured=build)) == ["torch>=2.11"]
    said = capsys.readouterr().out
    assert said.count("No CPU build of PyTorch was found.") == 1 and "TORCH_INDEX" in said


def test_the_index_that_was_named_replaces_pytorchs(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "file:///mirror")
    pip = Pip(index=CPU)
    assert choose(setup, monkeypatch, pip) == ["torch==2.13.0+cpu", "--extra-index-url", "file:///mirror"]
    assert not any(setup.CPU_INDEX in call for call in pip.calls)
    assert choose(setup, monkeypatch, Pip(configured=CPU)) == ["torch==2.13.0+cpu"]
    assert "no CPU build of PyTorch 2.13.0 for this Python at file:///mirror" in capsys.readouterr().out


@pytest.mark.parametrize(("system", "program"), [("Linux", "/usr/bin/nvidia-smi"), ("Darwin", None), ("Windows", None)])
def test_with_a_gpu_and_outside_linux_the_ordinary_build_is_taken_unasked(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, system: str, program: Any
) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda name: program)
    monkeypatch.setattr(setup.platform, "system", lambda: system)
    pip = Pip(index=CPU, configured=CPU)
    assert choose(setup, monkeypatch, pip) == ["torch>=2.11"] and pip.calls == []


def test_a_pip_that_does_not_end_is_stopped_at_the_limit(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(setup, "LOG", tmp_path / "setup.log")
    monkeypatch.setattr(setup, "PYTHON", Path(sys.executable))
    real = subprocess.run

    def endless(command: list[str], **options: Any) -> Any:
        return real([sys.executable, "-c", "import time; time.sleep(3600)"], **options)

    monkeypatch.setattr(setup.subprocess, "run", endless)
    assert setup.pip("install", quiet=True, seconds=0.5) is False
