"""dropoutt on the same rows: installed into an environment of its own, asked by its command, read from its own findings.jsonl.

Its findings name a few rows each and count all of them, so it is compared by its counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

VERSION: Final = "1.4.1"
"""The release that is compared with."""


class RivalFault(RuntimeError):
    """It cannot be installed, or is of another release."""


@dataclass(frozen=True)
class Scan:
    """What it says of a folder."""

    counts: Mapping[str, Mapping[str, int]]
    """Check → file without its ending → rows."""
    totals: Mapping[str, int]
    """Check → rows of all files."""
    details: Mapping[str, Mapping[str, Any]]
    """Check → what it says of its finding."""
    seconds: float
    """Of processor, with those of its processes."""
    wall: float = 0.0
    """Of the clock."""

    def items(self, benchmark: str) -> int:
        """Items of an evaluation set that the folder holds; 0 of a set that it has no index of."""
        results = self.details.get("T1-CONTAM-001", {}).get("results") or {}
        return int((results.get(benchmark) or {}).get("n_contaminated", 0))

    def count(self, check: str, name: str) -> int:
        """Rows of a file that a check is about; of a check that tells no files, of all of them."""
        by_file = self.counts.get(check) or {}
        return by_file.get(name, 0) if by_file else self.totals.get(check, 0)


@dataclass(frozen=True)
class Dropoutt:
    """An installed release."""

    command: Path
    cache: Path | None = None
    """Where findings of the same rows with the same options are kept; its seconds are those of the scan that was made."""

    @classmethod
    def installed(cls, folder: Path, cache: Path | None = None) -> Dropoutt:
        """Install it from PyPI into a virtual environment in a folder; where it is there already, it is taken.

        Raises:
            RivalFault: pip cannot, or another release answers.
        """
        command = folder / "bin" / "dropoutt"
        if not command.exists():
            steps = ([sys.executable, "-m", "venv", str(folder)], [str(folder / "bin" / "pip"), "install", "-q", f"dropoutt=={VERSION}"])
            for step in steps:
                process = subprocess.run(step, capture_output=True, text=True, check=False, env=_environment())
                if process.returncode:
                    raise RivalFault(f"dropoutt {VERSION} cannot be installed: {process.stderr.strip()[-400:]}")
        process = subprocess.run([str(command), "--version"], capture_output=True, text=True, check=False, env=_environment())
        if VERSION not in process.stdout:
            raise RivalFault(f"dropoutt {VERSION} is expected; found {process.stdout.strip()!r}")
        return cls(command, cache)

    def scan(self, folder: Path, out: Path, *more: str) -> Scan:
        """Scan the files of a folder."""
        kept = None if self.cache is None else self.cache / f"{_digest(folder, more)}.json"
        if kept is not None and kept.is_file():
            return Scan(**json.loads(kept.read_text(encoding="utf-8")))
        before, began = _children(), time.perf_counter()
        asked = [str(self.command), "scan", str(folder), "--offline", "--no-html", "--no-open", "-q", "-o", str(out), *more]
        process = subprocess.run(asked, capture_output=True, text=True, check=False, env=_environment())
        seconds, wall = _children() - before, time.perf_counter() - began
        listing = out / "findings.jsonl"
        if not listing.exists():
            raise RivalFault(f"dropoutt ended with {process.returncode} and no findings: {process.stderr.strip()[-400:]}")
        findings = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
        scan = Scan(
            {finding["check_id"]: dict(finding.get("by_dataset") or {}) for finding in findings},
            {finding["check_id"]: int(finding["count"]) for finding in findings},
            {finding["check_id"]: {"detail": finding.get("detail"), **(finding.get("data") or {})} for finding in findings},
            seconds,
            wall,
        )
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(asdict(scan)), encoding="utf-8")
        return scan


def _digest(folder: Path, more: Sequence[str]) -> str:
    digest = hashlib.blake2b(f"{VERSION} {more}".encode(), digest_size=16)
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _environment() -> dict[str, str]:
    """Without our own packages on its path."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
