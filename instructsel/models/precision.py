"""Which precision a CPU computes fastest in, by its instruction set alone."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Final

BF16_UNITS: Final = ("amx_bf16", "avx512_bf16")
"""Instructions that multiply bf16, the fast one first."""


def bf16_is_faster(instructions: Collection[str]) -> bool:
    """Whether bf16 is the faster precision on every CPU with these instructions: with AMX's tile multiplication only.

    avx512_bf16 alone does not decide it: of two processors with it and without AMX, one took 3.4 times as long in bf16 as in
    fp32, the other 0.6 times (benchmarks/precision.py). fp32 is the exact one and never far behind. Decided by instructions
    and never by a timing, so that one machine always computes the same values.

    >>> bf16_is_faster({"avx512_bf16", "amx_tile", "amx_bf16"}), bf16_is_faster({"avx512_bf16"}), bf16_is_faster(())
    (True, False, False)
    """
    return "amx_bf16" in instructions


def cpu_instructions(torch: Any) -> frozenset[str]:
    """The instruction sets that torch finds on this CPU and may use, in its names (avx2, avx512_f, avx512_bf16, amx_bf16).

    ONEDNN_MAX_CPU_ISA takes away those of matrix products above the set that it names. Empty where torch does not say.
    """
    if hasattr(torch.cpu, "get_capabilities"):
        names = frozenset(name for name, value in torch.cpu.get_capabilities().items() if value is True)
    else:
        names = frozenset({"amx_bf16"} if getattr(torch.cpu, "_is_amx_tile_supported", bool)() else ())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit in ("", "ALL", "DEFAULT"):
        return names
    removed = {name for name in names if name.startswith("amx") and "AMX" not in limit}
    if "AVX512" not in limit and "AVX10" not in limit:
        removed |= {name for name in names if name.startswith("avx512")}
    return names - removed


def why(instructions: Collection[str]) -> str:
    """One sentence: what these instructions mean for "auto" on a CPU.

    >>> why({"avx2"})
    'fp32: this processor has no bf16 instructions'
    """
    if bf16_is_faster(instructions):
        return "bf16: this processor has AMX (amx_bf16)"
    if "avx512_bf16" in instructions:
        return "fp32: no AMX (amx_bf16); with avx512_bf16 alone, bf16 is faster on some processors and slower on others"
    return "fp32: this processor has no bf16 instructions"
