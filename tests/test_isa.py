"""The script that runs a command under a smaller instruction set."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import ModuleType

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / ".ci" / "isa.py"
PRINT_ATEN = "import torch; print(torch.backends.cpu.get_cpu_capability())"


@pytest.fixture(scope="module")
def isa() -> ModuleType:
    spec = importlib.util.spec_from_file_location("isa_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_set_that_the_machine_lacks_is_refused_and_those_it_has_are_named(isa: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"'avx512' is not on this machine. Here there are: avx2\."):
        isa.settings("avx512", {"avx2", "fma"})
    with pytest.raises(SystemExit, match=r"'sse9' is unknown. Here there are: avx2, avx512\."):
        isa.settings("sse9", {"avx2", "fma", "avx512f", "avx512bw", "avx512vl"})
    with pytest.raises(SystemExit, match="x86-64 Linux is needed"):
        isa.settings("avx2", ())


def test_no_set_allows_more_than_its_name(isa: ModuleType) -> None:
    every = {flag for entry in isa.SETS.values() for flag in entry.flags}
    assert isa.settings("avx2", every)["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "BF16" not in isa.settings("avx512", every)["ONEDNN_MAX_CPU_ISA"]
    assert "AMX" not in isa.settings("avx512_bf16", every)["ONEDNN_MAX_CPU_ISA"]


def test_a_command_runs_under_the_set_and_its_exit_code_is_passed_on(isa: ModuleType) -> None:
    if not {"avx2", "fma"} <= isa.processor_flags():
        pytest.skip("no AVX2 on this processor")
    unset = {name: value for name, value in os.environ.items() if name not in isa.SETS["avx2"].settings}
    command = [sys.executable, str(SCRIPT), "avx2", sys.executable, "-c"]
    done = subprocess.run([*command, PRINT_ATEN], env=unset, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "AVX2"
    assert subprocess.run([*command, "raise SystemExit(3)"], env=unset, check=False).returncode == 3
