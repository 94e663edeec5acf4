"""The study of record: what selection is worth on the embedded language model, as protocol.toml decided beforehand.

    python benchmarks/record/run.py --data ../shared/data --out .venv/record                 every stage that can run, in order
    python benchmarks/record/run.py --stage stage_0 …                                        one of them
    python benchmarks/record/run.py --small --base FOLDER --out /tmp/record …                a few rows of everything, to try the script

Each run, a training with its grades, is kept in OUT as it ends, and none is made twice: stop it at any time, and the same command goes on.
After every run the grades of its stage are written to benchmarks/results/record/STAGE.parquet, from which the page is made. A run takes
minutes: give it the lowest priority (`nice -n 19`) where other work goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import _record
import polars as pl
from prepare import Material, write

from instructsel import Arm, Checkpoint, ExecutionSettings, Grader, LinearRule, Pool, Run, Verification, verify_arms
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.recipes import Recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import KIND, HeldOutLoss
from instructsel.verification.verdict import ComparisonSettings

STAGES: Final = ("stage_0", "pilot", "stage_1", "stage_4", "stage_2", "stage_3")
MATCHED: Final = "length-matched to "
"""How the arm of random rows with a method's response lengths is called."""
INDICATORS: Final = ("len", "len_in", "mtld", "knn_6", "plausibility", "ppl", "ifd")


@dataclass(frozen=True)
class Part:
    """Arms of a stage, all trained with the same seeds."""

    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    first: int = 0
    """The replicate that an arm's first subset is, where other parts have subsets of the same arm."""


@dataclass(frozen=True)
class Work:
    """A stage on a pool: arms trained alike, and what is asked of each model."""

    name: str
    """Of its results."""
    pool: str
    """Whose held-out answers are among those that are graded."""
    parts: tuple[Part, ...]
    recipe: Recipe
    tasks: bool = True
    """Whether tasks and checkable answers are graded, beside the held-out loss."""


@dataclass(frozen=True)
class Record:
    """The study in its folder."""

    material: Material
    results: Path

    @property
    def decided(self) -> dict[str, Any]:
        """The protocol."""
        return self.material.decided

    @cached_property
    def untouched(self) -> Checkpoint:
        """The base as it is."""
        return checkpoint_of(self.material.base)

    def recipe(self, name: str = "recipe", rate: float = 1.0) -> Recipe:
        """The recipe of a stage, at a multiple of its learning rate."""
        settings = dict(self.decided[name])
        settings["learning_rate"] *= rate
        return Recipe("record", **settings, max_length=self.decided["model"]["max_length"], group_by_length=settings["batch_size"] > 1)

    # ------------------------------------------------------------------ subsets

    def command(self, *arguments: str | Path) -> None:
        """Run instructsel."""
        print("$ instructsel", *(part.name if isinstance(part, Path) else part for part in arguments), flush=True)
        done = subprocess.run([sys.executable, "-m", "instructsel", *map(str, arguments)], check=False)
        if done.returncode:
            sys.exit(f"ended with {done.returncode}")

    def scored(self, pool: Path, indicators: Sequence[str]) -> Path:
        """The score table of a file of candidates."""
        target = pool.with_suffix(".scores.parquet")
        if not target.exists():
            models = [part for symbol in ("ppl", "ifd") if symbol in indicators for part in ("--model", f"{symbol}={self.material.base}")]
            # A model made to try the script is no trained one.
            probe = ("--skip-probe",) if self.material.small else ()
            self.command("score", pool, "--indicators", ",".join(indicators), *models, "--device", "cpu", "--cache", self.material.out / "cache", *probe, "-o", target)  # fmt: skip
        return target

    def chosen(self, scores: Path, name: str, ranking: Sequence[str | Path], budget: Sequence[str], *more: str | Path) -> Path:
        """The rows of a selection."""
        target = scores.parent / f"{scores.name.split('.')[0]}.{name}.jsonl"
        if not target.exists():
            self.command("select", scores, *ranking, *budget, *more, "-o", target, "--to", "messages", "--max-null-fraction", "0.25", "--cache", self.material.out / "cache")  # fmt: skip
        return target

    def random(self, pool: Path, k: int, *, tokens: int | None = None, rows: int | None = None) -> Path:
        """A random subset: rows in a drawn order up to a number of tokens, or of rows."""
        target = pool.with_name(f"{pool.stem}.random-{rows or 'tokens'}-{k}.jsonl")
        if not target.exists():
            conversations = [json.loads(line)["messages"] for line in pool.read_text().splitlines()]
            random.Random(f"{self.decided['pools']['draw']}:random:{k}").shuffle(conversations)
            if tokens is not None:
                rows = sum(total <= tokens for total in accumulate(self.material.lengths(conversations)))
            write(target, [{"messages": turns} for turns in conversations[:rows]])
        return target

    # ------------------------------------------------------------------- stages

    def works(self, stage: str) -> Iterator[Work]:
        """The runs of a stage, pool by pool."""
        yield from getattr(self, f"_{stage}")()

    def randoms(self, pool: Path, n: int) -> Arm:
        """Random selection up to the protocol's tokens, n subsets."""
        return Arm("random", tuple(Pool.read(self.random(pool, k, tokens=self.decided["pools"]["tokens"])) for k in range(n)))

    def _pilot(self) -> Iterator[Work]:
        settings = self.decided["pilot"]
        pool, _ = self.material.drawn(settings["pool"])
        part = Part((self.randoms(pool, settings["subsets"]),), tuple(range(settings["seeds"])))
        yield Work("pilot", settings["pool"], (part,), self.recipe())

    def _stage_0(self) -> Iterator[Work]:
        settings = self.decided["stage_0"]
        pool = self.material.out / "pools" / "stage_0.jsonl"
        if not pool.exists():
            candidates = self.material.drawn(settings["pool"])[0].read_text().splitlines()
            pool.write_text("\n".join(candidates[: settings["candidates"]]) + "\n", encoding="utf-8")
        scores = self.scored(pool, ("len", "ifd"))
        best = self.chosen(
            scores, "ifd", ("--by", "-ifd"), ("--n", str(settings["rows"])), "--keep-near-duplicates", "--keep-exact-duplicates"
        )
        seeds = tuple(range(settings["seeds"]))
        # Random subset k is trained with seed k.
        subsets = [Part((Arm("random", (Pool.read(self.random(pool, k, rows=settings["rows"])),)),), (k,), first=k) for k in seeds]
        yield Work("stage_0", settings["pool"], (Part((Arm("ifd", (Pool.read(best),)),), seeds), *subsets), self.recipe("recipe_0"))

    def by_method(self, pool: Path, method: str, budget: Sequence[str], *, matched: int | None = None) -> Path:
        """The rows that a method takes of a pool, or random ones with its response lengths, drawn with a seed."""
        scores = self.scored(pool, INDICATORS)
        name = f"{method}-{'-'.join(budget).strip('-')}"
        if matched is not None:
            # Selected once more, as the baseline is drawn beside its selection.
            name += f"-and-{matched}"
            budget = (*budget, "--baseline", "length-matched", "--seed", str(matched))
        ranking: dict[str, Sequence[str | Path]] = {
            # Random among the more plausible half.
            "plausibility": ("--by", "random", "--min", "plausibility=50%"),
            "longest": ("--by", "-len"),
            "eq4-without-reward": ("--rule", "eq4-without-reward"),
            "our-rule": ("--rule", self.our_rule(), "--allow-mismatch"),
            "ifd": ("--by", "superfiltering"),
            "rds+": ("--by", "rds+", "--target", self.material.target(), "--target-model", self.material.base),
            # DEITA's own two scorers are not here: its filter over the longest, so that what differs from longest is the filter.
            "deita": ("--by", "-len", "--max-similarity", "0.9"),
        }
        chosen = self.chosen(scores, name, ranking[method], budget)
        return chosen if matched is None else chosen.with_name(f"{chosen.stem}.length-matched-seed{matched}.jsonl")

    def our_rule(self) -> Path:
        """The rule that our own study fitted on the base of 1.3 million parameters; here IFD is another model's."""
        target = self.material.out / "our-rule.toml"
        if not target.exists():
            fits = json.loads((_record.RESULTS / "study.json").read_text())["fits"]
            LinearRule.from_dict(fits["fixed"]["rule"]).write(target)
        return target

    def _stage_1(self) -> Iterator[Work]:
        settings, pools = self.decided["stage_1"], self.decided["pools"]
        seeds = tuple(range(settings["seeds"]))
        for name in pools["unseen"]:
            pool, _ = self.material.drawn(name)
            tokens = ("--tokens", str(pools["tokens"]), "--tokenizer", self.material.base)
            rows = ("--n", str(pools["rows"]))
            once = [self.randoms(pool, settings["random_subsets"])]
            arms = [Arm(method, (Pool.read(self.by_method(pool, method, tokens)),)) for method in ("longest", *settings["methods"])]
            once += [Arm(f"{method}, equal rows", (Pool.read(self.by_method(pool, method, rows)),)) for method in settings["equal_rows"]]
            once.append(Arm("whole pool", (Pool.read(pool),)))
            parts = (Part(tuple(once[:1]), (0,)), Part(tuple(arms), seeds), Part(tuple(once[1:]), (0,)))
            yield Work(f"stage_1_{name}", name, parts, self.recipe())
            subsets = range(settings["length_matched_subsets"])
            matched = [
                Arm(f"{MATCHED}{method}", tuple(Pool.read(self.by_method(pool, method, tokens, matched=k)) for k in subsets))
                for method in self.ahead(self.results / f"stage_1_{name}.parquet", settings["methods"])
            ]
            if matched:
                yield Work(f"stage_1_{name}", name, (*parts, Part(tuple(matched), (0,))), self.recipe())

    def ahead(self, results: Path, methods: Sequence[str]) -> list[str]:
        """The methods that are better than random and than longest, those that are still to be held beside length-matched."""
        if not results.exists():
            return []
        verification = Verification.read(results)
        settings = ComparisonSettings(self.decided["statistics"]["confidence"], n_resamples=0)
        family = [method for method in methods if method in verification.arms]
        ahead = list(family)
        for baseline, others in (("random", [*family, "longest"]), ("longest", family)):
            verdicts = verification.verdicts(baseline, others, graders=[KIND], settings=settings)
            # The baseline stands first in a comparison: where it is worse, the method is better.
            better = {verdict.baseline for verdict in verdicts if verdict.outcome == "worse"}
            ahead = [method for method in ahead if method in better]
        return ahead

    def _stage_2(self) -> Iterator[Work]:
        settings = self.decided["stage_2"]
        for name in self.decided["pools"]["unseen"]:
            first = self.results / f"stage_1_{name}.parquet"
            if not first.exists():
                continue
            pool, _ = self.material.drawn(name)
            tokens = ("--tokens", str(self.decided["pools"]["tokens"]), "--tokenizer", self.material.base)
            means = means_by_arm(Verification.read(first))
            methods = sorted((method for method in self.decided["stage_1"]["methods"] if method in means), key=lambda method: means[method])
            once = Part((self.randoms(pool, settings["random_subsets"]),), (0,))
            arms = [Arm(method, (Pool.read(self.by_method(pool, method, tokens)),)) for method in ("longest", *methods[:2])]
            seeds = tuple(range(self.decided["stage_1"]["seeds"]))
            yield Work(f"stage_2_{name}", name, (once, Part(tuple(arms), seeds)), self.recipe(rate=settings["learning_rate_multiple"]))

    def _stage_4(self) -> Iterator[Work]:
        settings = self.decided["stage_4"]
        pool, _ = self.material.drawn(settings["pool"])
        rows = pool.read_text().splitlines()[: settings["rows"]]
        drawn = random.Random(f"{self.decided['pools']['draw']}:halves")
        arms = []
        for number in range(settings["halves"] // 2):
            chosen = set(drawn.sample(range(len(rows)), len(rows) // 2))
            for side, places in enumerate((chosen, set(range(len(rows))) - chosen)):
                target = pool.with_name(f"{pool.stem}.half-{number}-{side}.jsonl")
                if not target.exists():
                    target.write_text("".join(rows[place] + "\n" for place in sorted(places)), encoding="utf-8")
                arms.append(Arm(f"half {number}-{side}", (Pool.read(target),)))
        self.predict(pool, arms)
        yield Work("stage_4", settings["pool"], (Part(tuple(arms), (0,)),), self.recipe(), tasks=False)

    def predict(self, pool: Path, arms: Sequence[Arm]) -> None:
        """Write what every indicator and rule says of every half: the mean over its rows, rows without a value left out."""
        target = self.results / "stage_4.predicted.json"
        if target.exists():
            return
        values = {name: {line: value for value, line in self.values(pool, name)} for name in self.decided["stage_4"]["indicators"]}
        predicted: dict[str, dict[str, float]] = {}
        for arm in arms:
            lines = pool.with_name(f"{pool.stem}.{arm.name.replace(' ', '-')}.jsonl").read_text().splitlines()
            predicted[arm.name] = {name: statistics.fmean(of[line] for line in lines if line in of) for name, of in values.items()}
            predicted[arm.name]["tokens"] = float(sum(self.material.lengths([json.loads(line)["messages"] for line in lines])))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(predicted, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def tuned(self) -> Path:
        """The base after a short fine-tune on the target, for loss_drop."""
        target = self.material.out / "tuned-on-target"
        if not (target / "config.json").exists():
            recipe = self.decided["recipe"]
            options = ("--method", "lora", "--lr", str(recipe["learning_rate"]), "--epochs", "2", "--max-length", str(self.decided["model"]["max_length"]))  # fmt: skip
            self.command("train", self.material.target(), "--base", self.material.base, *options, "--device", "cpu", "--precision", self.decided["model"]["precision"], "-o", target)  # fmt: skip
        return target

    def values(self, pool: Path, indicator: str) -> list[tuple[float, str]]:
        """The candidates with what an indicator or a rule says of them, the lowest first; lines without a value are left out."""
        scores = self.scored(pool, INDICATORS)
        toward = ("--target", self.material.target(), "--target-model", self.material.base)
        ranking: dict[str, Sequence[str | Path]] = {
            "our-rule": ("--rule", self.our_rule(), "--allow-mismatch"),
            "eq4-without-reward": ("--rule", "eq4-without-reward"),
            "superfiltering": ("--by", "superfiltering"),
            "rds+": ("--by", "rds+", *toward),
            "loss_drop": ("--by", "loss_drop", *toward, "--tuned-model", self.tuned()) if indicator == "loss_drop" else (),
        }
        keep = ("--keep-near-duplicates", "--keep-exact-duplicates")
        chosen = self.chosen(scores, f"all-{indicator}", ranking.get(indicator, ("--by", f"-{indicator}")), ("--n", "1"), *keep)
        frame = pl.read_parquet(chosen.with_suffix(".selection.parquet")).filter(pl.col("score").is_not_null()).sort("score", "id")
        lines = pool.read_text().splitlines()
        return [(score, lines[line - 1]) for score, line in frame.select("score", "line").iter_rows()]

    def _stage_3(self) -> Iterator[Work]:
        settings, pools = self.decided["stage_3"], self.decided["pools"]
        pool, _ = self.material.drawn(settings["pool"])
        arms = []
        for indicator in settings["indicators"]:
            rows = [line for _, line in self.values(pool, indicator)]
            for number in range(settings["bins"]):
                target = pool.with_name(f"{pool.stem}.{indicator}-bin-{number}.jsonl")
                if not target.exists():
                    part = rows[number * len(rows) // settings["bins"] : (number + 1) * len(rows) // settings["bins"]]
                    random.Random(f"{pools['draw']}:{indicator}:{number}").shuffle(part)
                    lengths = self.material.lengths([json.loads(line)["messages"] for line in part])
                    n = sum(total <= pools["tokens"] for total in accumulate(lengths))
                    target.write_text("".join(line + "\n" for line in part[:n]), encoding="utf-8")
                arms.append(Arm(f"{indicator} bin {number}", (Pool.read(target),)))
        yield Work("stage_3", settings["pool"], (Part(tuple(arms), tuple(range(settings["seeds"]))),), self.recipe(), tasks=False)

    # ------------------------------------------------------------------ running

    def graders(self, work: Work) -> list[Grader]:
        """What every model of a stage is asked."""
        file, sources = self.material.held_out(work.pool)
        precision = self.decided["model"]["precision"]
        graders: list[Grader] = [
            HeldOutLoss(Pool.read(file), max_length=1024, device="cpu", precision=precision, unit="bits per byte", sources=sources)
        ]
        if work.tasks:
            folder = self.material.tasks()
            graders += LmEval.graders(
                self.material.outcomes["log_probability_tasks"], include_path=folder, device="cpu", precision=precision
            )
            graders.append(self.material.checkable())
        return graders

    def run(self, work: Work, limit: int | None) -> None:
        """Make the runs of a stage that are missing, one at a time, and write the grades after each."""
        precision = self.decided["model"]["precision"]
        trainer = TrlTrainer(self.material.base, work.recipe, self.material.out / "checkpoints", device="cpu", precision=precision)
        untouched = Part((Arm("untouched", checkpoints=(self.untouched,), fixed=True),), (0,))
        graders = self.graders(work)
        graded: dict[int, list[Run]] = {}
        trained: dict[int, list[dict[str, Any]]] = {}
        made = 0
        for number, part in enumerate((untouched, *work.parts)):
            pending = 1
            while pending and (limit is None or made < limit):
                started = time.monotonic()
                verified = verify_arms(part.arms, graders=graders, trainer=trainer, seeds=part.seeds, folder=self.material.out / "runs", settings=ExecutionSettings(limit=1))  # fmt: skip
                graded[number] = [replace(run, replicate=run.replicate + part.first) for run in verified.runs]
                trained[number] = [{**run, "replicate": run["replicate"] + part.first} for run in map(dict, verified.trained)]
                pending, made = len(verified.pending), made + 1
                self.results.mkdir(parents=True, exist_ok=True)
                every = [run for runs in graded.values() for run in runs]
                Verification.of(every, fixed=("untouched",), loss_unit="bits per byte").write(self.results / f"{work.name}.parquet")
                told = [concise(run) for runs in trained.values() for run in runs]
                (self.results / f"{work.name}.trained.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                print(f"{work.name}: {len(every)} grades, {pending} runs of this part pending, {len(verified.failures)} failed, {time.monotonic() - started:.0f} s", flush=True)  # fmt: skip


def concise(run: dict[str, Any]) -> dict[str, Any]:
    """What a run was trained on, and how long that took."""
    audit = run.get("audit") or {}
    counts = {key: audit.get(key) for key in ("rows", "trained_rows", "tokens", "loss_tokens", "truncated")}
    return {key: run.get(key) for key in ("arm", "replicate", "seed", "steps", "seconds")} | counts


def means_by_arm(verification: Verification) -> dict[str, float]:
    """The mean held-out loss of every arm, over its runs and all answers."""
    losses = verification.frame.filter((pl.col("grader") == KIND) & pl.col("value").is_not_null())
    means = losses.group_by("arm", "replicate", "seed").agg(pl.col("value").mean()).group_by("arm").agg(pl.col("value").mean())
    return dict(means.iter_rows())


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--out", type=Path, default=Path(".venv/record"))
    parser.add_argument("--stage", choices=STAGES, action="append")
    parser.add_argument("--limit", type=int, help="runs of each stage and pool to make now")
    parser.add_argument("--small", action="store_true", help="a few rows of everything, to try the script; results go to OUT")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    results = out / "results" if arguments.small else _record.RESULTS / "record"
    material = Material(arguments.data.resolve(), arguments.base, out, arguments.small)
    for stage in arguments.stage or STAGES:
        print(f"== {stage}", flush=True)
        record = Record(replace(material, stage=stage), results)
        for work in record.works(stage):
            record.run(work, arguments.limit)


if __name__ == "__main__":
    main()
