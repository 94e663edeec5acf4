"""What every benchmark writes down: when, what, on which commit, on what kind of machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def commit() -> str:
    """The commit, with a + where the working tree differs from it."""
    try:
        process = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "instructsel"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return process + ("+" if changed else "")


def hardware() -> dict[str, Any]:
    """Cores, memory and the vector instructions that matter; no names."""
    flags: set[str] = set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = set(next((line for line in info.read_text().splitlines() if line.startswith("flags")), "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {"cores": os.cpu_count(), "memory_gib": round(memory / 2**30), "architecture": platform.machine(), "vector": known}


def write(name: str, figures: dict[str, Any], *packages: str) -> Path:
    """Write figures to results/NAME.json, with what they were measured with."""
    versions = {"python": platform.python_version()}
    for package in ("instructsel", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    arguments = [Path(argument).name if os.sep in argument else argument for argument in sys.argv]
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *arguments]),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions,
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path
