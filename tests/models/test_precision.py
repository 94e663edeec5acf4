"""Which precision "auto" means, from the instruction set alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from instructsel.adapters.recipes import recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.generation import Generator
from instructsel.models.load import settings
from instructsel.models.precision import bf16_is_faster, cpu_instructions, why

AVX2 = {"avx2": True, "fma3": True, "cpu_name": "any", "l1d_cache_size": 32768}
AVX512 = {**AVX2, "avx512_f": True, "avx512_vnni": True, "avx512_bf16": True}
AMX = {**AVX512, "amx_tile": True, "amx_int8": True, "amx_bf16": True}


def processor(**capabilities: Any) -> Any:
    return SimpleNamespace(cpu=SimpleNamespace(get_capabilities=lambda: capabilities))


@pytest.mark.parametrize(
    ("capabilities", "faster"), [({}, False), (AVX2, False), (AVX512, False), ({**AMX, "amx_bf16": False}, False), (AMX, True)]
)
def test_bf16_is_faster_with_amx_and_with_nothing_else(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], faster: bool) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    instructions = cpu_instructions(processor(**capabilities))
    assert bf16_is_faster(instructions) is faster
    assert why(instructions).startswith("bf16: " if faster else "fp32: ")


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        ("AVX2", {"avx2", "fma3"}),
        ("avx2", {"avx2", "fma3"}),
        ("AVX512_CORE_BF16", {"avx2", "fma3", "avx512_f", "avx512_vnni", "avx512_bf16"}),
        ("AVX512_CORE_AMX", {name for name, value in AMX.items() if value is True}),
        ("DEFAULT", {name for name, value in AMX.items() if value is True}),
    ],
)
def test_instructions_above_the_limit_that_onednn_was_given_do_not_count(
    monkeypatch: pytest.MonkeyPatch, limit: str, kept: set[str]
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert cpu_instructions(processor(**AMX)) == kept


def test_a_torch_that_does_not_tell_its_capabilities_is_asked_for_amx_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    old = SimpleNamespace(cpu=SimpleNamespace(_is_amx_tile_supported=lambda: True))
    assert bf16_is_faster(cpu_instructions(old)) and not cpu_instructions(SimpleNamespace(cpu=SimpleNamespace()))


@pytest.mark.parametrize(("capabilities", "precision"), [(AVX512, "fp32"), (AMX, "bf16")])
def test_auto_on_a_cpu_follows_the_instructions_and_a_named_precision_does_not(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, Any], precision: str
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert settings("auto", "cpu") == (precision, "cpu")
    assert {settings(name, "cpu")[0] for name in ("fp32", "bf16")} == {"fp32", "bf16"}


@pytest.mark.parametrize(("capabilities", "precision"), [(AVX512, "fp32"), (AMX, "bf16")])
def test_auto_trains_and_grades_in_one_precision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capabilities: dict[str, Any], precision: str
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    trained = TrlTrainer("base", recipe("tiny"), tmp_path, device="cpu").runtime[0]
    assert trained == Generator(device="cpu").fingerprint["precision"] == precision
    assert TrlTrainer("base", recipe("tiny"), tmp_path, device="cpu", precision="fp32").runtime[0] == "fp32"
