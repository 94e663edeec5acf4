"""Verdicts on real selections: Dolly in full and Alpaca, by Eq. 4 without its reward and by the rule our own study fitted, against every baseline.

    python benchmarks/verification/run.py --data ../shared/data --base .venv/tinybase --rules .venv/study --out .venv/verification
    python benchmarks/verification/run.py --pool alpaca --seeds 1 …                     the larger pool, one training seed
    python benchmarks/verification/run.py --toy --out /tmp/verification …                a few short runs, to try the script

Everything goes through the command line: `score`, `select` with its baselines, `verify` by held-out loss (questions of MT-Bench, Vicuna
and AlpacaEval, one answer of a strong model each, as many as fit into a row of the base; none of them in a pool), two tasks of our own in
lm-evaluation-harness, and answers to the questions of MT-Bench and Vicuna in AlpacaEval's form. There is no reward model and no judge on
this machine that deserves the name: no arm is ranked by a reward, and answers are written but not judged. RDS+ is given the 252
instructions the rule was fitted on as its target set, one answer each. Every arm of every rule of a pool is trained for the same steps.

Resumable: what is scored, trained and graded stays in OUT. For every pool and rule it writes benchmarks/results/verification_POOL_RULE.json
and .parquet, every grade of every item; docs/build_our_verdicts.py makes the page of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "models" / "tinybase")]
import _record
import judge

from instructsel import load_rule
from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.pool.sources import zstd
from instructsel.verification.results import read_verdict

POOLS: Final = {"dolly": "pools/dolly.jsonl.zst", "alpaca": "pools/alpaca.jsonl.zst"}
RULES: Final = {"eq4-without-reward": "eq4-without-reward", "our-rule": "fixed.toml", "our-rule-best-subset": "best-subset.toml"}
"""What ranks: a preset, or a rule that the study wrote."""
TASKS: Final = ("continuation", "order")
SHARED: Final = ("random", "longest", "rds+")
"""Baselines that are the same for every rule: those of the first selection stand for all, and are trained on once."""
OWN: Final = ("length-matched",)
STRONG: Final = ("gpt4", "claude-2", "gpt-3.5-turbo-0301")
"""Whose answers to AlpacaEval's questions are held out: of the first whose answer fits."""
LENGTH: Final = 512
"""Tokens of a row: the base has seen none longer."""
ROWS: Final = 1000


@dataclass(frozen=True)
class Place:
    """Where everything is, and how large."""

    data: Path
    base: Path
    rules: Path
    out: Path
    pool: str
    seeds: int
    steps: int
    """Of training, for every arm of every rule: what is trained on for the first rule stands for all."""
    rate: float
    jobs: int
    cache: Path
    """Where values of rows are kept; that of the study saves what both score."""
    toy: bool

    @property
    def rows(self) -> int:
        """Of a selection."""
        return 16 if self.toy else ROWS

    @property
    def folder(self) -> Path:
        """Of this pool."""
        return self.out / self.pool


def command(*arguments: str | Path, allowed: tuple[int, ...] = (0,)) -> None:
    """Run instructsel."""
    print("$ instructsel", *(Path(part).name if isinstance(part, Path) else part for part in arguments), flush=True)
    done = subprocess.run([sys.executable, "-m", "instructsel", *map(str, arguments)], check=False)
    if done.returncode not in allowed:
        sys.exit(f"ended with {done.returncode}")


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a compressed file."""
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n") if line]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """As JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def held_out(place: Place) -> tuple[list[list[dict[str, str]]], int]:
    """Questions with one answer each that fits into a row of the base, and how many questions there are.

    AlpacaEval's own of Self-Instruct and Vicuna are left out: the rules were fitted on the first, the second are there already.
    """
    sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "study")]
    import run as study
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(place.base / "tokenizer.json"))
    _, reported = study.evaluation(place.data)
    others = [
        row for row in lines(place.data / "eval/alpaca_eval_outputs.jsonl.zst") if row["dataset"] in ("koala", "oasst", "helpful_base")
    ]
    by_model = {name: [row for row in others if row["generator"] == name] for name in STRONG}
    reported += [
        [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
        for name in STRONG
        for row in by_model[name]
    ]
    conversations: dict[str, list[dict[str, str]]] = {}
    for turns in reported:
        # What the chat template adds takes some tokens, too.
        if (
            turns[0]["content"] not in conversations
            and len(tokenizer.encode("\n".join(turn["content"] for turn in turns)).ids) <= LENGTH - 24
        ):
            conversations[turns[0]["content"]] = turns
    return list(conversations.values()), len({turns[0]["content"] for turns in reported})


def prepare(place: Place) -> dict[str, int]:
    """Write the held-out rows, the tasks, the instructions and the target set; how many questions are held out, and how many there were."""
    place.folder.mkdir(parents=True, exist_ok=True)
    most = 12 if place.toy else None
    rows, questions = held_out(place)
    import run as study

    fitted, reported = study.evaluation(place.data)
    write(place.out / "report.jsonl", [{"messages": turns} for turns in rows[:most]])
    once = {turns[0]["content"]: turns for turns in reversed(fitted)}
    write(place.out / "target.jsonl", [{"messages": turns} for turns in list(once.values())[:most]])
    turns_by_question = {turns[0]["content"]: turns for turns in reversed(reported)}
    write(place.out / "asked.jsonl", [{"messages": turns} for turns in list(turns_by_question.values())[:most]])
    for name, items in judge.items(place.data).items():
        if name in TASKS and not (place.out / "tasks" / f"{name}.yaml").exists():
            write(place.out / f"{name}.jsonl", [{**row, "choices": [choice.strip() for choice in row["choices"]]} for row in items[:most]])
            write_task(place.out / f"{name}.jsonl", place.out / "tasks", name=name)
    return {"rows": len(rows[:most]), "questions": questions}


def ranks(place: Place, name: str) -> str:
    """A preset, or the file of a rule."""
    return str(place.rules / RULES[name]) if RULES[name].endswith(".toml") else RULES[name]


def score(place: Place, names: list[str]) -> Path:
    """The score table of the pool: what the rules ask for, and lengths, which the baselines ask for."""
    pool = place.data / POOLS[place.pool]
    if place.toy:
        short = place.folder / f"{place.pool}.jsonl"
        write(short, lines(pool)[:80])
        pool = short
    target = place.folder / "pool.scores.parquet"
    wanted = sorted({"len", *(symbol for name in names for symbol in load_rule(ranks(place, name)).indicators)})
    if not target.exists():
        models = ["--model", f"ifd={place.base}"] if "ifd" in wanted else []
        command("score", pool, "--indicators", ",".join(wanted), *models, "--device", "cpu", "--cache", place.cache, "-o", target)
    return target


def verdict(place: Place, scores: Path, name: str, first: str, held: dict[str, int]) -> None:
    """Select by a rule, verify against every baseline, and keep the result."""
    chosen = place.folder / f"{name}.jsonl"
    if not chosen.exists():
        wanted = OWN if name != first else (*SHARED, *OWN)
        baselines = [part for baseline in wanted for part in ("--baseline", baseline)]
        towards = ["--target", place.out / "target.jsonl", "--target-model", place.base] if "rds+" in wanted else []
        command(
            "select", scores, "--rule", ranks(place, name), "--n", str(place.rows), "-o", chosen, "--to", "messages", "--random-subsets", "3", *baselines,
            *towards, "--max-null-fraction", "0.25", "--cache", place.cache,
        )  # fmt: skip
    shared = () if name == first else SHARED
    others = {arm: [str(path) for path in sorted(place.folder.glob(f"{first}.{arm}*.jsonl"))] for arm in shared}
    pool = json.loads(scores.with_name(scores.name + ".json").read_text())["run"]["pools"]
    command(
        "verify", chosen, "--base", place.base, "--preset", "tiny", "--steps", "1" if place.toy else str(place.steps), "--lr", str(place.rate), "--max-length", str(LENGTH),
        "--device", "cpu", "--seeds", str(place.seeds), "--eval", place.out / "report.jsonl",
        "--lm-eval", ",".join(TASKS), "--include-path", place.out / "tasks", "--items", "12" if place.toy else "250",
        "--instructions", place.out / "asked.jsonl", "--max-new-tokens", "8" if place.toy else "96",
        *(part for arm, files in others.items() for part in ("--arm", f"{arm}={','.join(files)}")),
        *(part for path in pool for part in ("--pool", path)), "--whole-pool", "--max-skipped-fraction", "0.3", "--jobs", str(place.jobs), "-o", place.folder / "verified",
    )  # fmt: skip
    results_folder = place.out / "results" if place.toy else _record.RESULTS
    results_folder.mkdir(exist_ok=True)
    verdict = read_verdict(place.folder / "verified" / "verdict.json")
    target = results_folder / f"verification_{place.pool}_{name}.parquet"
    for ending in ("", ".json"):
        shutil.copy(place.folder / "verified" / f"verification.parquet{ending}", f"{target}{ending}")
    account = json.loads(chosen.with_name(f"{name}.selection.parquet.json").read_text())
    base = json.loads((place.base / "tinybase.json").read_text())
    _record.RESULTS = results_folder
    _record.write(
        target.stem,
        {
            "pool": place.pool,
            "rule": name,
            "rows": place.rows,
            "held_out": held,
            "examples": account["pool"]["examples"],
            "base": {"weights_sha256": base["weights_sha256"], "parameters": base["parameters"], "judged": base.get("judged")},
            "recipe": verdict["recipe"],
            **{
                key: verdict[key]
                for key in ("schema", "outcome", "against", "confidence", "trained", "costs", "power", "failures", "pending", "model")
            },
        },
        "torch",
        "transformers",
        "trl",
        "lm-eval",
    )


def main() -> None:
    """Verify one pool by every rule there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", type=Path, default=Path(".venv/tinybase"))
    parser.add_argument("--rules", type=Path, default=Path(".venv/study"), help="where the study wrote its rules")
    parser.add_argument("--out", type=Path, default=Path(".venv/verification"))
    parser.add_argument("--pool", choices=list(POOLS), default="dolly")
    parser.add_argument("--rule", choices=list(RULES), action="append")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="of training for every arm: 60 of 16 rows are about an epoch of a selection")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--jobs", type=int, default=1, help="train in so many processes")
    parser.add_argument("--cache", type=Path, help="the cache of scores; one in OUT by default")
    parser.add_argument("--toy", action="store_true", help="a few short runs, to try the script; results go to OUT")
    arguments = parser.parse_args()
    place = Place(
        arguments.data, arguments.base.resolve(), arguments.rules.resolve(), arguments.out.resolve(), arguments.pool, arguments.seeds, arguments.steps, arguments.lr,
        arguments.jobs, (arguments.cache or arguments.out / "cache").resolve(), arguments.toy,
    )  # fmt: skip
    held = prepare(place)
    names = list(arguments.rule or RULES)
    for name in names:
        if RULES[name].endswith(".toml") and not Path(ranks(place, name)).exists():
            print(f"{name}: the study has not written {RULES[name]} yet", flush=True)
    names = [name for name in names if not RULES[name].endswith(".toml") or Path(ranks(place, name)).exists()]
    scores = score(place, names)
    for name in names:
        print(f"== {name}", flush=True)
        verdict(place, scores, name, names[0], held)


if __name__ == "__main__":
    main()
