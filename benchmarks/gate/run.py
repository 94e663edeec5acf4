"""The gate on planted defects, on untouched rows, and against the clock, beside dropoutt on the same rows.

    python benchmarks/gate/run.py --data ../shared/data                                all of it (an hour of processor)
    python benchmarks/gate/run.py --data ../shared/data --only plants --pools dolly    one part, one pool
    python benchmarks/gate/run.py --data ../shared/data --toy --no-rival               a minute, to try the script

Plants: every kind of `plants_*.py` at each of its strengths is planted 20 times into rows of each pool, seeded; recall is the share of
planted rows that one of the checks named for the kind names, with its count. dropoutt's findings list a few rows and count all, so its
recall is what its count rises by over the same clean rows, at most all, by the most favourable of its checks of the kind. False alarms: the
share of untouched rows that a check names. Real pools hold real defects, so a part of these alarms are none; both tools see the same rows.
Speed: processor seconds of whole commands, with those of the processes they start, both in turn, medians.
Writes benchmarks/results/gate_PART.json; what is written says which targets are missed.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
import _record
from plants import PLANTS, Ground, Plant, Row
from rival import Dropoutt, RivalFault

from instructsel import Pool
from instructsel.gates.checks.registry import checks
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.stats.proportion import wilson

SEED: Final = 20261129
POOLS: Final = ("dolly", "alpaca", "lima_history")
"""What is planted in; kinds of tools in TOOLS."""
TOOLS: Final = "glaive_toolcall_en_demo"
PLANTED: Final = 20
"""Rows of a kind and a strength in a pool."""
CLEAN: Final = 100
"""Untouched rows of a file beside them."""
TOKENIZER: Final = "embedded"
"""Whose template and length the audit's checks look at."""
SAME: Final[Mapping[str, tuple[str, ...]]] = {
    "unreadable-row": ("T0-SCHEMA-003", "T0-SCHEMA-004", "T0-ROLE-002"),
    "roles": ("T0-ROLE-001",),
    "invisible-text": ("T0-ENC-001",),
    "empty-response": ("T0-DEGEN-001",),
    "short-response": ("T0-DEGEN-001",),
    "echo": ("T0-DEGEN-001",),
    "repetition": ("T0-DEGEN-001",),
    "refusal": ("T1-IDENT-001",),
    "self-reference": ("T1-IDENT-001",),
    "cut-off": ("T0-TRUNC-002",),
    "chat-markup": ("T0-TMPL-001",),
    "language": ("T1-LANG-002", "T1-LANG-003"),
    "language-mismatch": ("T1-LANG-002", "T1-LANG-003"),
    "exact-duplicate": ("T0-DUP-001",),
    "near-duplicate": ("T1-NDUP-001",),
    "conflicting-responses": ("T1-DUP-002",),
    "contamination": ("T1-CONTAM-001",),
    "secret": ("T1-PII-001",),
    "personal-data": ("T1-PII-001",),
    "unclosed-reasoning": ("T0-REASON-001",),
}
"""Check of the gate → the rival's checks of the same question."""


@dataclass
class Settings:
    """How the benchmark runs."""

    data: Path
    work: Path
    planted: int = PLANTED
    clean: int = CLEAN
    pools: tuple[str, ...] = POOLS
    rival: Dropoutt | None = None
    toy: bool = False
    repeats: int = 3
    kinds: tuple[str, ...] = ()
    """Parts of the names of kinds that are planted; all of them by default."""
    missing: list[str] = field(default_factory=list)
    """Files of the shared data that are not there."""


def rows_of(settings: Settings, name: str) -> list[Row]:
    """The rows of a pool as messages, in the order of the file; none where it is not there."""
    path = settings.data / "pools" / f"{name}.jsonl.zst"
    if not path.is_file():
        settings.missing.append(path.name)
        return []
    pool = Pool.read(path)
    order = sorted(range(len(pool)), key=lambda position: (int(pool.file_of[position]), int(pool.row_of[position])))
    rows: list[Row] = []
    for example in pool.examples(order):
        row: Row = {"messages": [turn.as_row() for turn in example.messages]}
        if example.tools is not None:
            row["tools"] = example.tools.as_given
        rows.append(row)
    return rows


def plants() -> list[Plant]:
    """The kinds of all files `plants_*.py` of this folder whose checks there are."""
    for path in sorted(Path(__file__).parent.glob("plants_*.py")):
        importlib.import_module(path.stem)
    known = checks()
    return [plant for plant in PLANTS if any(check in known for check in plant.checks)]


def write_lines(path: Path, rows: Sequence[Row | bytes]) -> Path:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode()) + b"\n" for row in rows))
    return path


def config(settings: Settings, more: Mapping[str, Any] | None = None, kinds: Sequence[str] | None = None) -> GateConfig:
    """Every check that can be asked of rows alone or with the tokenizer, or those of some kinds."""
    asked = kinds if kinds is not None else [kind for kind, check in checks().items() if check.by_default]
    known = {setting.name for check in checks().values() for setting in fields(check)}
    defaults = {name: value for name, value in {"tokenizer": TOKENIZER, **(more or {})}.items() if name in known}
    table = {"defaults": defaults, "check": [{"kind": kind} for kind in asked]}
    return GateConfig.of(table, settings.work, where="the benchmark")


def named_lines(path: Path, asked: GateConfig) -> dict[str, set[int]]:
    """Check → the lines of a file that it names, from 0."""
    verdict = gate(Pool.read(path, limits=None), asked)
    lines: dict[str, set[int]] = {result.check.kind: set() for result in verdict.results if result.state not in ("skipped", "crashed")}
    for result in verdict.results:
        if result.state == "crashed":
            raise RuntimeError(f"{result.check.kind}: {result.statement}")
        for finding in result.findings:
            if finding.place is not None:
                lines[result.check.kind].add(finding.place.line - 1)
    return lines


@dataclass
class File:
    """Planted rows among clean ones."""

    name: str
    rows: list[Row | bytes]
    planted: set[int]
    """Lines of planted rows, from 0."""
    clean: list[Row]


def file_of(plant: Plant, strength: float, rows: Sequence[Row], ground: Ground, settings: Settings, number: int) -> File:
    """A file of clean rows with planted ones at random places."""
    size = settings.clean + (settings.planted if not plant.keeps else 0)
    clean = list(rows[:size])
    rng = ground.rng
    stay: list[tuple[Row | bytes, bool]] = [(row, False) for row in clean[: settings.clean]]
    bases = clean[settings.clean :] if not plant.keeps else rng.sample(clean, min(settings.planted, len(clean)))
    for base in bases:
        stay += [(made, True) for made in plant.make(copy.deepcopy(base), ground, strength)]
    rng.shuffle(stay)
    return File(
        f"s{number}", [row for row, _ in stay], {line for line, (_, is_planted) in enumerate(stay) if is_planted}, clean[: settings.clean]
    )


def planted(settings: Settings) -> dict[str, Any]:
    """Recall of every kind at every strength in every pool, ours and the rival's."""
    results: list[dict[str, Any]] = []
    pools = {name: rows for name in (*settings.pools, TOOLS) if (rows := rows_of(settings, name))}
    for name, rows in pools.items():
        for plant in plants():
            if settings.kinds and not any(part in plant.kind for part in settings.kinds):
                continue
            if plant.on_tools == (name == TOOLS):
                results += list(_recalls(settings, name, rows, plant))
                print(
                    name,
                    plant.kind,
                    *(f"{r['strength']:g}: {r['found']}/{r['planted']}" + _beside(r) for r in results[-len(plant.strengths) :]),
                    flush=True,
                )
    return {"planted": results, "kinds": len({result["kind"] for result in results}), "by_kind": _by_kind(results)}


def _beside(result: Mapping[str, Any]) -> str:
    return "" if result["rival_found"] is None else f" (dropoutt {result['rival_found']})"


def _recalls(settings: Settings, name: str, rows: list[Row], plant: Plant) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"{SEED} {name} {plant.kind}")
    size = settings.clean + settings.planted
    order = rng.sample(range(len(rows)), len(rows))
    picked = [rows[place] for place in order]
    files: list[File] = []
    for number, strength in enumerate(plant.strengths):
        # Another slice for each strength, where the pool is large enough.
        start = (number * size) % max(1, len(picked) - size)
        others = picked[: max(0, start)] + picked[start + size :] or picked
        ground = Ground(rng, others, settings.data)
        files.append(file_of(plant, strength, picked[start : start + size], ground, settings, number))
    folder = settings.work / "files"
    shutil.rmtree(folder, ignore_errors=True)
    paths = [write_lines(folder / f"{file.name}.jsonl", file.rows) for file in files]
    more = {key: _filled(value, settings) for key, value in plant.settings.items()}
    asked = config(settings, more, [check for check in plant.checks if check in checks()])
    counts = _rival_counts(settings, plant, files, folder)
    for file, path, strength, count in zip(files, paths, plant.strengths, counts, strict=True):
        lines = named_lines(path, asked)
        hits = set().union(*lines.values()) if lines else set()
        yield {
            "pool": name,
            "kind": plant.kind,
            "checks": list(plant.checks),
            "strength": strength,
            "planted": len(file.planted),
            "found": len(hits & file.planted),
            "asked": sorted(lines),
            "beside": len(hits - file.planted),
            "rival_checks": list(plant.rivals),
            "rival_found": count,
        }


def _filled(value: Any, settings: Settings) -> Any:
    if isinstance(value, list | tuple):
        return [_filled(entry, settings) for entry in value]
    return value.format(data=settings.data, work=settings.work) if isinstance(value, str) else value


def _rival_counts(settings: Settings, plant: Plant, files: Sequence[File], folder: Path) -> list[int | None]:
    """What each of the rival's counts rises by, the most favourable check; None without the rival, 0 where it has no such check."""
    if settings.rival is None:
        return [None] * len(files)
    if not plant.rivals:
        return [0] * len(files)
    model = ["--model", str(tokenizer_folder()), "--seq-len", "1024"] if {"T0-TRUNC-001", "T0-MASK-001"} & set(plant.rivals) else []
    scan = settings.rival.scan(folder, settings.work / "rival", *model)
    clean = settings.work / "clean"
    shutil.rmtree(clean, ignore_errors=True)
    for file in files:
        write_lines(clean / f"{file.name}.jsonl", file.clean)
    before = settings.rival.scan(clean, settings.work / "rival_clean", *model)
    return [
        min(len(file.planted), max(0, *(scan.count(check, file.name) - before.count(check, file.name) for check in plant.rivals)))
        for file in files
    ]


def tokenizer_folder() -> Path:
    """The folder of the embedded language model, for a rival that takes one."""
    from instructsel.models.load import as_language_model

    return Path(as_language_model(TOKENIZER))


def _by_kind(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for result in results:
        entry = summary.setdefault(
            result["kind"], {"planted": 0, "found": 0, "rival_found": None, "rival_has_it": bool(result["rival_checks"])}
        )
        entry["planted"] += result["planted"]
        entry["found"] += result["found"]
        if result["rival_found"] is not None:
            entry["rival_found"] = (entry["rival_found"] or 0) + result["rival_found"]
    for entry in summary.values():
        entry["recall"] = round(entry["found"] / entry["planted"], 4) if entry["planted"] else None
        entry["interval"] = [round(bound, 4) for bound in wilson(entry["found"], entry["planted"])]
        entry["below_rival"] = entry["rival_found"] is not None and entry["found"] < entry["rival_found"]
    return summary


def untouched(settings: Settings) -> dict[str, Any]:
    """The share of untouched rows that each check names, ours and the rival's."""
    results: dict[str, Any] = {}
    for name in (*settings.pools, TOOLS):
        rows = rows_of(settings, name)
        if not rows:
            continue
        rng = random.Random(f"{SEED} untouched {name}")
        picked = rng.sample(rows, min(len(rows), 300 if settings.toy else 2000))
        folder = settings.work / "untouched"
        shutil.rmtree(folder, ignore_errors=True)
        path = write_lines(folder / "rows.jsonl", picked)
        lines = named_lines(path, config(settings))
        entry: dict[str, Any] = {"rows": len(picked), "named": {kind: len(found) for kind, found in lines.items()}}
        if settings.rival is not None:
            scan = settings.rival.scan(folder, settings.work / "rival")
            entry["rival"] = dict(scan.totals)
            entry["beside"] = {
                kind: {"ours": len(lines[kind]), "rival": max(scan.totals.get(check, 0) for check in same)}
                for kind, same in SAME.items()
                if kind in lines
            }
        results[name] = entry
        print(name, len(picked), entry["named"], entry.get("beside"), flush=True)
    return {"untouched": results}


# --- speed


def processor_seconds(command: Sequence[str], folder: Path) -> float:
    """Of a command and the processes that it starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {process.stderr[-600:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the parts that are asked for and write what they measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_record.ROOT.parent / "shared" / "data")
    parser.add_argument("--pools", nargs="+", default=list(POOLS))
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--rival", type=Path, help="folder of an environment with the rival, made where it is not there; a temporary one by default"
    )
    parser.add_argument("--no-rival", action="store_true")
    parser.add_argument("--toy", action="store_true", help="a few rows, and nothing written to results/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures there, and not to results/")
    parser.add_argument("--kinds", nargs="+", default=[], help="parts of the names of kinds to plant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        settings = Settings(options.data.resolve(), Path(temporary), pools=tuple(options.pools), toy=options.toy, repeats=options.repeats)
        settings.kinds = tuple(options.kinds)
        if options.toy:
            settings.planted, settings.clean = 4, 12
        if not options.no_rival:
            try:
                settings.rival = Dropoutt.installed(options.rival or Path(temporary) / "rival_environment")
            except RivalFault as fault:
                print(f"skipped: {fault}", file=sys.stderr)
        figures: dict[str, Any] = {"seed": SEED, "rival": None if settings.rival is None else "dropoutt 1.4.1"}
        for part in options.only:
            started = time.process_time()
            measured = PARTS[part](settings) | {
                "missing": sorted(set(settings.missing)),
                "seconds": round(time.process_time() - started, 1),
            }
            figures |= measured
            if not options.toy and options.out is None:
                _record.write(f"gate_{part}", {**measured, "seed": SEED, "rival": figures["rival"]})
        if options.out is not None:
            options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


PARTS: Final = {"plants": planted, "untouched": untouched}


if __name__ == "__main__":
    main()
