"""What each source adds: the add-one matrix on the embedded language model, as protocol.toml decided beforehand.

    python benchmarks/effects/run.py --data ../shared/data --out .venv/effects             draw the rows, plan, run what is left
    python benchmarks/effects/run.py --data ../shared/data --out .venv/effects --limit 1   one run more
    python benchmarks/effects/run.py --out .venv/effects --collect                         write the figures of the runs so far

The rows are drawn by the protocol's seed, planned with `instructsel study plan --add-one` and trained with `instructsel study run`: stop it
at any time, and the same command goes on. `--collect` writes benchmarks/results/effects.json, from which docs/build_effects.py makes the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
import _record
from _rows import conversations, fitting, write

PROTOCOL: Final = Path(__file__).with_name("protocol.toml")


def protocol() -> dict[str, Any]:
    """What was decided beforehand."""
    return tomllib.loads(PROTOCOL.read_text(encoding="utf-8"))


def draw(data: Path, out: Path) -> tuple[list[Path], list[Path]]:
    """The files of the sources and of the outcomes; no question of an outcome is in a source."""
    decided = protocol()
    design, base = decided["design"], decided["model"]["base"]
    outcomes = [out / "outcomes" / f"{name}.jsonl" for name in decided["outcomes"]]
    sources = [out / "sources" / f"{name}.jsonl" for name in decided["sources"]]
    if all(path.exists() for path in (*outcomes, *sources)):
        return sources, outcomes
    held: set[str] = set()
    for path in outcomes:
        rows = list(conversations(data, decided["outcomes"][path.stem]))
        chosen = fitting(rows, design["items"], design["item_tokens"], base=base, key=f"{design['draw']}:{path.stem}")
        held |= {turns[0]["content"] for turns in chosen}
        write(path, chosen)
    for path in sources:
        rows = [turns for turns in conversations(data, decided["sources"][path.stem]) if turns[0]["content"] not in held]
        chosen = fitting(rows, design["candidates"], design["row_tokens"], base=base, key=f"{design['draw']}:{path.stem}")
        if len(chosen) < design["rows"] + design["add_rows"]:
            sys.exit(f"{path.stem} has {len(chosen)} rows that fit")
        write(path, chosen)
    return sources, outcomes


def command(*arguments: str | Path) -> int:
    """Run instructsel; its exit status."""
    print("$ instructsel", *(part.name if isinstance(part, Path) else part for part in arguments), flush=True)
    return subprocess.run([sys.executable, "-m", "instructsel", *map(str, arguments)], check=False).returncode


def plan(sources: Sequence[Path], outcomes: Sequence[Path], folder: Path) -> None:
    """Plan the study, unless it is planned."""
    if (folder / "plan.json").exists():
        return
    decided = protocol()
    design = decided["design"]
    recipe = [part for name, value in decided["recipe"].items() for part in (f"--{name.replace('_', '-')}", str(value))]
    arguments: list[str | Path] = [
        *("study", "plan", *sources, "--add-one", "--base-sources", ",".join(design["base_sources"])),
        *("--rows", str(design["rows"]), "--add-rows", str(design["add_rows"]), "--replicates", str(design["replicates"])),
        *("--design-seed", str(design["draw"]), "--base", decided["model"]["base"], "--loss-unit", "bits-per-byte"),
        *("--precision", "fp32", "--device", "cpu", *recipe),
    ]
    for path in outcomes:
        arguments += ["--eval", path]
    status = command(*arguments, "-o", folder)
    if status:
        sys.exit(f"the plan ended with {status}")


def main() -> None:
    """Draw, plan, run; or write the figures of what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the data")
    parser.add_argument("--out", type=Path, required=True, help="where rows and runs are kept")
    parser.add_argument("--limit", type=int, help="make so many runs at most")
    parser.add_argument("--collect", action="store_true", help="write benchmarks/results/effects.json and end")
    options = parser.parse_args()
    folder = options.out / "study"
    if options.collect:
        collect(folder)
        return
    if options.data is None:
        parser.error("--data is missing")
    plan(*draw(options.data, options.out), folder)
    sys.exit(command("study", "run", folder, *(("--limit", str(options.limit)) if options.limit else ())))


def collect(folder: Path) -> None:
    """Write the matrix of the runs so far, with every run's outcomes item by item, and no text of a row."""
    from instructsel.study.effects import of_folder
    from instructsel.study.folder import StudyFolder

    place = StudyFolder(folder)
    plan = place.read()
    if plan is None:
        sys.exit(f"{folder} holds no plan")
    finished = place.status(plan).finished
    runs = {
        run.name: {
            "outcomes": record["observation"]["outcomes"],
            **{key: record["observation"][key] for key in ("tokens_trained", "steps")},
            "seconds": record["run"]["seconds"],
        }
        for run, record in finished.items()
    }
    matrices = {against: of_folder(folder, against=against).as_dict() for against in ("base", "more")}
    # Where files lie is nobody's business.
    planned = {**plan.as_dict(), "launch": None}
    print(_record.write("effects", {"protocol": protocol(), "plan": planned, "runs": runs, "effects": matrices}, "torch", "transformers"))


if __name__ == "__main__":
    main()
