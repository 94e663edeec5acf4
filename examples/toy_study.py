"""The whole method at toy size: a base model, a study of mixtures, a fitted rule, and a selection by it. A few minutes on two cores.

    python examples/toy_study.py --out study-demo

Four sources are made of the clean example rows: as they are, with their answers cut short, with answers of other rows, and with the
words of the answers shuffled. A base of 166,000 parameters learns from the docstrings and package descriptions on this machine for
half a minute; it is fine-tuned on 24 mixtures of the sources, each a few seconds; a rule is fitted to the losses on clean rows that
are in no source; and the example pool is ranked by it. What comes out says nothing of real models: it shows the commands.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = 72
HELD_OUT = 80
REPORT = 25


def sources(folder: Path) -> list[Path]:
    """Write the sources and two evaluation sets; the sources' files."""
    rows = [json.loads(line) for line in (HERE / "clean.jsonl").read_text(encoding="utf-8").split("\n") if line]
    usable = [
        [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]] for row in rows if row.get("lang", "en") == "en"
    ]
    drawn = random.Random(20260101)
    drawn.shuffle(usable)
    held, usable = usable[:HELD_OUT], usable[HELD_OUT:]
    parts = [usable[number::4] for number in range(4)]
    answers = [turns[-1]["content"] for turns in parts[2]]
    sources = {
        "clean": parts[0],
        "short": [_answered(turns, " ".join(turns[-1]["content"].split()[:6])) for turns in parts[1]],
        "mismatched": [_answered(turns, answers[position - 1]) for position, turns in enumerate(parts[2])],
        "shuffled": [_answered(turns, _shuffled(turns[-1]["content"], drawn)) for turns in parts[3]],
        "evaluation": held[REPORT:],
        "report": held[:REPORT],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, conversations in sources.items():
        text = "".join(json.dumps({"messages": turns}, ensure_ascii=False) + "\n" for turns in conversations)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return [folder / f"{name}.jsonl" for name in sources if name not in ("evaluation", "report")]


def _answered(turns: list[dict[str, str]], answer: str) -> list[dict[str, str]]:
    return [*turns[:-1], {"role": "assistant", "content": answer}]


def _shuffled(text: str, drawn: random.Random) -> str:
    words = text.split()
    drawn.shuffle(words)
    return " ".join(words)


def run(*parts: str | Path) -> None:
    """Show a command, run it, and end if it fails."""
    shown = ["instructsel" if str(part) == "instructsel" else str(part) for part in parts]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    called = (
        [sys.executable, "-m", "instructsel", *map(str, parts[1:])]
        if str(parts[0]) == "instructsel"
        else [sys.executable, *map(str, parts[1:])]
    )
    done = subprocess.run(called, check=False)
    # 5: there is nothing left to do.
    if done.returncode not in (0, 5):
        sys.exit(f"This step ended with {done.returncode}; what was finished is kept, and the same command goes on from there.")


def main() -> None:
    """Make, score, plan, run, fit, select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("study-demo"))
    parser.add_argument("--mixtures", type=int, default=24)
    parser.add_argument("--base", type=Path, help="a base model of one's own instead of the toy one")
    arguments = parser.parse_args()
    begun = time.monotonic()
    place = arguments.out
    files = sources(place / "sources")
    base = arguments.base or place / "toybase"
    if arguments.base is None and not (base / "tinybase.json").exists():
        run(
            "python",
            HERE.parent / "benchmarks" / "models" / "tinybase" / "train.py",
            "--size",
            "toy",
            "--data",
            place / "none",
            "--out",
            base,
        )
    run("instructsel", "score", *files, "--indicators", "len,plausibility", "-o", place / "sources.scores.parquet")
    run(
        "instructsel", "study", "plan", *files, "--scores", place / "sources.scores.parquet", "--base", base,
        "--eval", place / "sources" / "evaluation.jsonl", "-o", place / "study", "--mixtures", str(arguments.mixtures), "--rows", str(ROWS // 2),
        "--preset", "tiny", "--epochs", "2", "--max-length", "512", "--lr", "0.003",
    )  # fmt: skip
    run("instructsel", "study", "run", place / "study")
    run("instructsel", "study", "status", place / "study")
    run("instructsel", "rules", "fit", place / "study" / "study.parquet", "-o", place / "my.toml", "--charts", place / "charts")
    run("instructsel", "score", HERE / "pool.jsonl", "--indicators", "len,plausibility", "-o", place / "pool.scores.parquet")
    run(
        "instructsel", "select", place / "pool.scores.parquet", "--rule", place / "my.toml", "--n", "50",
        "--max-null-fraction", "0.1", "-o", place / "chosen.jsonl",
    )  # fmt: skip
    print(f"\n{time.monotonic() - begun:,.0f} s. The rule: {place / 'my.toml'}; the selection: {place / 'chosen.jsonl'}")


if __name__ == "__main__":
    main()
