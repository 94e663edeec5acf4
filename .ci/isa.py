"""Run a command under a smaller instruction set: `python .ci/isa.py avx2 python -m pytest -q tests/models`.

The sets are avx2, avx512 (without bf16), avx512_bf16 and amx. Limited are PyTorch's own kernels (ATEN_CPU_CAPABILITY), oneDNN's and
MKL's matrix products (ONEDNN_MAX_CPU_ISA, MKL_ENABLE_INSTRUCTIONS) and FAISS (FAISS_OPT_LEVEL). NumPy's are left as they are: what it computes
here is rounded alike everywhere. A set that this machine lacks is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple


class InstructionSet(NamedTuple):
    """What a set needs and which settings limit the libraries to it."""

    flags: tuple[str, ...]
    settings: dict[str, str]


def _settings(aten: str, onednn: str, mkl: str) -> dict[str, str]:
    return {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl, "FAISS_OPT_LEVEL": aten}


SETS = {
    "avx2": InstructionSet(("avx2", "fma"), _settings("avx2", "AVX2", "AVX2")),
    "avx512": InstructionSet(("avx512f", "avx512bw", "avx512vl"), _settings("avx512", "AVX512_CORE", "AVX512")),
    "avx512_bf16": InstructionSet(("avx512f", "avx512_bf16"), _settings("avx512", "AVX512_CORE_BF16", "AVX512")),
    "amx": InstructionSet(("avx512f", "amx_tile", "amx_bf16"), _settings("avx512", "AVX512_CORE_AMX", "AVX512")),
}


def processor_flags() -> frozenset[str]:
    """The flags of the first processor; empty outside Linux on x86-64."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())


def settings(name: str, flags: Collection[str]) -> dict[str, str]:
    """The environment that limits the libraries to a set; ends the program where the machine lacks it."""
    available = [known for known, entry in SETS.items() if all(flag in flags for flag in entry.flags)]
    if name not in available:
        reason = "is unknown" if name not in SETS else "is not on this machine"
        sys.exit(f"The instruction set {name!r} {reason}. Here there are: {', '.join(available) or 'none (x86-64 Linux is needed)'}.")
    return SETS[name].settings


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python .ci/isa.py SET COMMAND …")
    environment = {**os.environ, **settings(sys.argv[1], processor_flags())}
    sys.exit(subprocess.run(sys.argv[2:], env=environment, check=False).returncode)
