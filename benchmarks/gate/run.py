"""The gate on planted defects, on untouched rows, and against the clock, beside dropoutt on the same rows.

    python benchmarks/gate/run.py --data ../shared/data                                all of it (an hour of processor)
    python benchmarks/gate/run.py --data ../shared/data --only plants --pools dolly    one part, one pool
    python benchmarks/gate/run.py --data ../shared/data --toy --no-rival               a minute, to try the script

Plants: every kind of `plants_*.py` at each of its strengths is planted 20 times into rows of each pool, seeded; recall is the share of
planted rows that one of the checks named for the kind names, with its count. dropoutt's findings list a few rows and count all, so its
recall is what its count rises by over the same clean rows, at most all, by the most favourable of its checks of the kind. False alarms: the
share of untouched rows that a check names and counts; those that it reports one severity lower, as it does invented data, are told beside. Real pools hold real defects, so a part of these alarms are none; both tools see the same rows.
Speed: processor seconds of whole commands, with those of the processes they start, both in turn, medians.
Writes benchmarks/results/gate_PART.json; what is written says which targets are missed.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib
import itertools
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]
import _record
from plants import PLANTS, Ground, Plant, Row
from rival import Dropoutt, RivalFault, Scan

from instructsel import Pool
from instructsel.gates.checks.registry import checks
from instructsel.gates.config import GateConfig
from instructsel.gates.gate import gate
from instructsel.stats.proportion import wilson

SEED: Final = 20261129
"""By default."""
POOLS: Final = ("dolly", "alpaca", "lima_history")
"""What is planted in; kinds of tools in TOOLS."""
TOOLS: Final = "glaive_toolcall_en_demo"
PLANTED: Final = 20
"""Rows of a kind and a strength in a pool."""
CLEAN: Final = 40
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


COPIES: Final = frozenset({"T0-DUP-001", "T1-NDUP-001"})
"""Checks of the rival that compare rows of all files."""
ALONE: Final = frozenset({"T1-DUP-002"})
"""Checks of the rival whose counts are not told by file."""
LENGTH: Final = frozenset({"T0-TRUNC-001", "T0-MASK-001"})
"""Checks of the rival that need a tokenizer."""


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
    seed: int = SEED
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
    """The kinds of all files `plants_*.py` of this folder."""
    for path in sorted(Path(__file__).parent.glob("plants_*.py")):
        importlib.import_module(path.stem)
    return list(PLANTS)


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


def named_lines(path: Path, asked: GateConfig, *, counting: bool = False) -> dict[str, set[int]]:
    """Check → the lines of a file that it names, from 0.

    Args:
        path: the file.
        asked: the checks.
        counting: whether lines are left out that a check reports one severity lower and does not count, as those of invented data.
    """
    verdict = gate(Pool.read(path, limits=None), asked)
    lines: dict[str, set[int]] = {result.check.kind: set() for result in verdict.results if result.state not in ("skipped", "crashed")}
    for result in verdict.results:
        if result.state == "crashed":
            raise RuntimeError(f"{result.check.kind}: {result.statement}")
        for finding in result.findings:
            if finding.place is not None and not (counting and finding.severity != result.severity):
                lines[result.check.kind].add(finding.place.line - 1)
    return lines


@dataclass
class File:
    """Planted rows among clean ones."""

    name: str
    plant: Plant
    strength: float
    rows: list[Row | bytes]
    planted: set[int]
    """Lines of planted rows, from 0."""
    pairs: dict[int, set[int]]
    """Line of a copy → the lines of what it is a copy of: a check names one of them."""
    clean: list[Row]
    """The clean rows alone."""


def planted(settings: Settings) -> dict[str, Any]:
    """Recall of every kind at every strength in every pool, ours and the rival's."""
    results: list[dict[str, Any]] = []
    pools = {name: rows for name in (*settings.pools, TOOLS) if (rows := rows_of(settings, name))}
    for name, rows in pools.items():
        chosen = [plant for plant in plants() if plant.on_tools == (name == TOOLS)]
        chosen = [plant for plant in chosen if _is_chosen(plant.kind, settings.kinds)]
        copies = itertools.count()
        files = [file for plant in chosen for file in _files(settings, name, rows, plant, copies)]
        counts = _rival_counts(settings, files)
        for file in files:
            result = _recall(settings, name, file, counts.get(file.name))
            results.append(result)
            print(f"{name}: {file.plant.kind} at {file.strength:g}: {result['found']}/{result['planted']}{_beside(result)}", flush=True)
    return {"planted": results, "kinds": len({result["kind"] for result in results}), "by_kind": _by_kind(results)}


def _is_chosen(kind: str, parts: Sequence[str]) -> bool:
    """Whether a kind is one of those that are named, whole or in part; a name that is a kind's is no part of another's."""
    whole = {plant.kind for plant in PLANTS}
    return not parts or any(part == kind or (part not in whole and part in kind) for part in parts)


def _beside(result: Mapping[str, Any]) -> str:
    return "" if result["rival_found"] is None else f" (dropoutt {result['rival_found']})"


def _files(settings: Settings, name: str, rows: list[Row], plant: Plant, copies: Iterator[int]) -> list[File]:
    """A file for each strength of a kind, of other rows each where the pool is large enough; those of copies share none at all."""
    rng = random.Random(f"{settings.seed} {name}" if plant.keeps else f"{settings.seed} {name} {plant.kind}")
    label = hashlib.blake2b(plant.kind.encode(), digest_size=4).hexdigest()
    size = settings.clean + settings.planted
    picked = [rows[place] for place in rng.sample(range(len(rows)), len(rows))]
    files: list[File] = []
    for place, strength in enumerate(plant.strengths):
        start = ((next(copies) if plant.keeps else place) * size) % max(1, len(picked) - size)
        others = picked[: max(0, start)] + picked[start + size :] or picked
        files.append(
            _file(plant, strength, picked[start : start + size], Ground(rng, others, settings.data), settings, f"k{label}s{place}")
        )
    return files


def _file(plant: Plant, strength: float, rows: Sequence[Row], ground: Ground, settings: Settings, name: str) -> File:
    """A file of clean rows with planted ones at random places."""
    clean, rest = list(rows[: settings.clean]), list(rows[settings.clean :])
    bases = ground.rng.sample(range(len(clean)), min(settings.planted, len(clean))) if plant.keeps else range(len(rest))
    lines: list[tuple[Row | bytes, bool, int]] = [(row, False, number if plant.keeps else -1) for number, row in enumerate(clean)]
    for base in bases:
        row = clean[base] if plant.keeps else rest[base]
        lines += [(bearer, True, base if plant.keeps else -1) for bearer in plant.make(copy.deepcopy(row), ground, strength)]
    ground.rng.shuffle(lines)
    marked = {line for line, (_, is_planted, _) in enumerate(lines) if is_planted}
    pairs = {line: {other for other, entry in enumerate(lines) if entry[2] == lines[line][2] >= 0} for line in marked}
    return File(name, plant, strength, [row for row, _, _ in lines], marked, pairs, clean)


def _recall(settings: Settings, name: str, file: File, count: int | None) -> dict[str, Any]:
    plant = file.plant
    more = {key: _filled(value, settings) for key, value in plant.settings.items()}
    asked = config(settings, more, [check for check in plant.checks if check in checks()])
    lines = {} if not asked.checks else named_lines(write_lines(settings.work / "files" / f"{file.name}.jsonl", file.rows), asked)
    hits = set().union(*lines.values()) if lines else set()
    hits |= {line for line in file.planted if hits & file.pairs[line]}
    return {
        "pool": name,
        "kind": plant.kind,
        "checks": list(plant.checks),
        "strength": file.strength,
        "planted": len(file.planted),
        "found": len(hits & file.planted),
        "asked": sorted(lines),
        "beside": len(hits - file.planted - set().union(*file.pairs.values())),
        "rival_checks": list(plant.rivals),
        "rival_found": count if plant.rivals or count is None else 0,
    }


def _filled(value: Any, settings: Settings) -> Any:
    if isinstance(value, list | tuple):
        return [_filled(entry, settings) for entry in value]
    return value.format(data=settings.data, work=settings.work) if isinstance(value, str) else value


def _rival_counts(settings: Settings, files: Sequence[File]) -> dict[str, int]:
    """File → what the rival's count rises by over the clean rows alone, by the most favourable of its checks of the kind.

    Files stand in one folder where its counts are told by file; clean rows of files of copies are other ones in each.
    """
    if settings.rival is None:
        return {}
    counts = {file.name: 0 for file in files}
    groups: dict[str, list[File]] = {}
    for file in files:
        if file.plant.rivals:
            groups.setdefault(_group(file), []).append(file)
    for group, members in groups.items():
        more = ["--model", str(tokenizer_folder()), "--seq-len", "1024"] if group == "length" else []
        with_plants = _scan(settings, {file.name: file.rows for file in members}, more)
        # Forty clean rows share no prompt, and what they hold of an evaluation set counts for the rival.
        is_exact = group in ("rows", "length", "copies")
        without = _scan(settings, {file.name: file.clean for file in members}, more) if is_exact else None
        for file in members:
            if file.plant.benchmark:
                rises = [with_plants.items(file.plant.benchmark)]
            else:
                rises = [
                    with_plants.count(check, file.name) - (0 if without is None else without.count(check, file.name))
                    for check in file.plant.rivals
                ]
            counts[file.name] = min(len(file.planted), max(0, *rises))
    return counts


def _group(file: File) -> str:
    """Which files are scanned together."""
    rivals = set(file.plant.rivals)
    if file.plant.benchmark:
        # It counts items by evaluation set and not by file: no set stands twice in a folder.
        return f"items {file.strength:g}"
    return "length" if rivals & LENGTH else file.name if rivals & ALONE else "copies" if rivals & COPIES else "rows"


def _scan(settings: Settings, files: Mapping[str, Sequence[Row | bytes]], more: Sequence[str]) -> Scan:
    assert settings.rival is not None
    folder = settings.work / "scanned"
    shutil.rmtree(folder, ignore_errors=True)
    for name, rows in files.items():
        write_lines(folder / f"{name}.jsonl", rows)
    return settings.rival.scan(folder, settings.work / "scanned_out", *more)


def tokenizer_folder() -> Path:
    """The folder of the embedded language model, for a rival that takes one."""
    from instructsel.models.load import as_language_model
    from instructsel.models.peft_adapter import unmerged

    return unmerged(as_language_model(TOKENIZER), needed_by="the benchmark")[1]


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
        rng = random.Random(f"{settings.seed} untouched {name}")
        picked = rng.sample(rows, min(len(rows), 200 if settings.toy else 1000))
        folder = settings.work / "untouched"
        shutil.rmtree(folder, ignore_errors=True)
        path = write_lines(folder / "rows.jsonl", picked)
        reported, lines = named_lines(path, config(settings)), named_lines(path, config(settings), counting=True)
        entry: dict[str, Any] = {"rows": len(picked), "named": {kind: len(found) for kind, found in lines.items()}}
        entry["reported_beside"] = {kind: n for kind, found in reported.items() if (n := len(found - lines[kind]))}
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
    return seconds_of(command, folder)[0]


def seconds_of(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Of processor and of the clock. Modules are compiled once, as an installer does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # 1 is a gate that says no, 5 one that finds nothing new.
    if process.returncode not in (0, 1, 5):
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {process.stderr[-600:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def targets(settings: Settings) -> dict[str, Any]:
    """Items of evaluation sets at three shares of their words, those that a real pool holds, and a whole pool under another name."""
    importlib.import_module("plants_copies")
    from plants_copies import SETS, covered, held, items, question

    number, clean = (4, 20) if settings.toy else (40, 400)
    figures: dict[str, Any] = {}
    for name in settings.pools:
        rows = rows_of(settings, name)
        rng = random.Random(f"{settings.seed} targets {name}")
        for wanted, share in (("gsm8k", 1.0), ("gsm8k", 0.6), ("gsm8k", 0.4), ("alpaca_eval", 1.0), ("mmlu", 1.0)):
            path = settings.data / "eval" / f"{SETS[wanted]}.jsonl.zst"
            if not rows or not path.is_file():
                settings.missing.append(path.name)
                continue
            ground = Ground(rng, rows, settings.data)
            picked = rng.sample(items(ground, wanted), number)
            lines: list[Row | bytes] = list(rng.sample(rows, clean))
            for item in picked:
                text = question(item) if wanted != "mmlu" else "\n".join([item["question"], *(f"{key}. {item[key]}" for key in "ABCD")])
                lines.append(held(rng.choice(rows), covered(text, share, rng) if share < 1 else text))
            file = write_lines(settings.work / "targets" / "rows.jsonl", lines)
            hits = named_lines(file, config(settings, {"sets": [str(path)]}, ["contamination"]))["contamination"]
            entry: dict[str, Any] = {
                "planted": number,
                "found": sum(line >= clean for line in hits),
                "beside": sum(line < clean for line in hits),
            }
            if settings.rival is not None:
                scan = settings.rival.scan(settings.work / "targets", settings.work / "targets_out")
                entry["rival_found"] = min(number, scan.totals.get("T1-CONTAM-001", 0))
            figures[f"{name}: {wanted} at {share:.0%}"] = entry
            print(name, wanted, share, entry, flush=True)
    return {"targets": figures, **_known(settings)}


def _known(settings: Settings) -> dict[str, Any]:
    """What real pools are known to share."""
    figures: dict[str, Any] = {}
    pools, evaluation = settings.data / "pools", settings.data / "eval" / "alpaca_eval_805.jsonl.zst"
    oasst = pools / "oasst1_en_validation_messages.jsonl.zst"
    if oasst.is_file() and evaluation.is_file():
        pool = Pool.read(oasst)
        verdict = gate(pool, config(settings, {"sets": [str(evaluation)]}, ["contamination"]))
        named = {finding.row for finding in verdict.findings if finding.row}
        figures["prompts of AlpacaEval in OASST"] = {"expected": 188, "rows": len(pool), "found": len(named)}
    pair = [pools / "code_alpaca_new.jsonl.zst", pools / "gpteacher_codegen.jsonl.zst"]
    if "exact-duplicate" in checks() and all(path.is_file() for path in pair):
        verdict = gate(Pool.read(*pair), config(settings, None, ["exact-duplicate"]))
        rows = {(str(finding.place), finding.row) for finding in verdict.findings if finding.place and "gpteacher" in finding.place.file}
        others = {(str(finding.place), finding.row) for finding in verdict.findings if finding.place} - rows
        figures["gpteacher_codegen as code_alpaca_new"] = {
            "rows": 4535,
            "found": max(len(rows), len(others)),
            "findings": len(verdict.findings),
        }
    print(figures, flush=True)
    return {"known": figures}


def speed(settings: Settings) -> dict[str, Any]:
    """Whole commands, seconds of processor and of the clock, both in turn."""
    figures: dict[str, Any] = {"load": list(os.getloadavg())}
    ours = [sys.executable, "-m", "instructsel", "gate"]
    helps = [processor_seconds([*ours, "--help"], settings.work) for _ in range(max(3, settings.repeats))]
    figures["gate --help"] = {"seconds": helps, "median": statistics.median(helps), "aim": 0.3}
    rows = rows_of(settings, "alpaca")
    if not rows:
        return {"speed": figures}
    rows = rows[:500] if settings.toy else rows
    pool = write_lines(settings.work / "speed" / "alpaca.jsonl", rows)
    evaluation = [str(path) for path in sorted((settings.data / "eval").glob("*.jsonl.zst")) if path.name.partition(".")[0] in MEASURED]
    both = [kind for kind in SAME if kind in checks()]
    asked = settings.work / "both.toml"
    asked.write_text(_toml(both, evaluation), encoding="utf-8")
    mine, theirs, my_wall, their_wall = [], [], [], []
    for _ in range(settings.repeats):
        command = [
            *ours,
            str(pool),
            "--config",
            str(asked),
            "--fail-on",
            "never",
            "--findings",
            str(settings.work / "findings.parquet"),
            "--force",
            "-q",
        ]
        seconds, wall = seconds_of(command, settings.work)
        mine.append(seconds)
        my_wall.append(wall)
        if settings.rival is not None:
            scan = replace(settings.rival, cache=None).scan(pool.parent, settings.work / "speed_out")
            theirs.append(scan.seconds)
            their_wall.append(scan.wall)
        print("speed", mine[-1:], my_wall[-1:], theirs[-1:], their_wall[-1:], flush=True)
    figures["both"] = {"rows": len(rows), "checks": both, "seconds": mine, "median": statistics.median(mine), "rival_seconds": theirs}
    figures["both"] |= {"wall": my_wall, "wall_median": statistics.median(my_wall), "rival_wall": their_wall}
    if theirs:
        figures["both"] |= {
            "rival_median": statistics.median(theirs),
            "ratio": statistics.median(theirs) / statistics.median(mine),
            "wall_ratio": statistics.median(their_wall) / statistics.median(my_wall),
            "aim": 3,
        }
    figures |= _against_baseline(settings, ours, pool, rows, evaluation)
    figures["load_after"] = list(os.getloadavg())
    return {"speed": figures}


MEASURED: Final = (
    "gsm8k_test",
    "humaneval_164",
    "ifeval_541",
    "truthfulqa_817",
    "mmlu_dev_and_test_sample",
    "alpaca_eval_805",
    "mt_bench_80",
)
"""Evaluation sets in the measurements of speed."""


def _against_baseline(settings: Settings, ours: list[str], pool: Path, rows: list[Row], evaluation: list[str]) -> dict[str, Any]:
    """New rows, and no new row, against a saved baseline."""
    baseline = settings.work / "alpaca.baseline"
    create = [*ours, "baseline", "create", str(pool), "-o", str(baseline), "-q"]
    if (
        subprocess.run([*ours, "baseline", "--help"], capture_output=True, text=True, check=False, cwd=settings.work).stdout.find("create")
        < 0
    ):
        return {"baseline": "not measured: there is no gate baseline"}
    figures: dict[str, Any] = {"baseline create": {"seconds": processor_seconds(create, settings.work), "bytes": baseline.stat().st_size}}
    others = rows_of(settings, "self_instruct_5k")
    new = write_lines(
        settings.work / "new" / "new.jsonl", random.Random(settings.seed).sample(others, min(len(others), 100 if settings.toy else 1000))
    )
    index = settings.work / "all.toml"
    # Every check by default; those that need a model are not asked, as without a tokenizer they cannot be.
    index.write_text(f"schema = 1\n[defaults]\nsets = {json.dumps(evaluation)}\n", encoding="utf-8")
    for name, file, aim in (("new rows", new, 10), ("unchanged", pool, 1.5)):
        command = [*ours, str(file), "--config", str(index), "--baseline", str(baseline), "--fail-on", "never", "-q"]
        seconds = [processor_seconds(command, settings.work) for _ in range(settings.repeats)]
        figures[name] = {"seconds": seconds, "median": statistics.median(seconds), "aim": aim}
        print(name, figures[name], flush=True)
    return figures


def _toml(kinds: Sequence[str], sets: Sequence[str]) -> str:
    """A gate.toml with checks by their kind; evaluation sets for the one that takes them."""
    more = {"contamination": f"sets = {json.dumps(list(sets))}\n", "language": 'allow = ["en"]\n'}
    return "schema = 1\n" + "".join(f'[[check]]\nkind = "{kind}"\n{more.get(kind, "")}' for kind in kinds)


def main() -> None:
    """Run the parts that are asked for and write what they measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_record.ROOT.parent / "shared" / "data")
    parser.add_argument("--pools", nargs="+", default=list(POOLS))
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--rival", type=Path, help="folder of an environment with the rival, made where it is not there; a temporary one by default"
    )
    parser.add_argument("--rival-cache", type=Path, help="folder in which its findings of the same rows are kept; not for seconds")
    parser.add_argument("--no-rival", action="store_true")
    parser.add_argument("--toy", action="store_true", help="a few rows, and nothing written to results/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures there, and not to results/")
    parser.add_argument("--seed", type=int, default=SEED, help="of what is planted, drawn and measured")
    parser.add_argument("--kinds", nargs="+", default=[], help="parts of the names of kinds to plant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        settings = Settings(options.data.resolve(), Path(temporary), pools=tuple(options.pools), toy=options.toy, repeats=options.repeats)
        settings.kinds = tuple(options.kinds)
        settings.seed = options.seed
        if options.toy:
            settings.planted, settings.clean = 4, 12
        if not options.no_rival:
            try:
                settings.rival = Dropoutt.installed(options.rival or Path(temporary) / "rival_environment", options.rival_cache)
            except RivalFault as fault:
                print(f"skipped: {fault}", file=sys.stderr)
        figures: dict[str, Any] = {"seed": settings.seed, "rival": None if settings.rival is None else "dropoutt 1.4.1"}
        for part in options.only:
            started = time.process_time()
            measured = PARTS[part](settings) | {
                "missing": sorted(set(settings.missing)),
                "seconds": round(time.process_time() - started, 1),
            }
            figures |= measured
            if not options.toy and options.out is None:
                _record.write(f"gate_{part}", {**measured, "seed": settings.seed, "rival": figures["rival"]})
        if options.out is not None:
            options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


PARTS: Final = {"plants": planted, "untouched": untouched, "targets": targets, "speed": speed}


if __name__ == "__main__":
    main()
