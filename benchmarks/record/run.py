"""The study of record: what selection is worth on the embedded language model, as protocol.toml decided beforehand.

    python benchmarks/record/run.py --data ../shared/data --out .venv/record                 every stage that can run, in order
    python benchmarks/record/run.py --stage stage_0 …                                        one of them
    python benchmarks/record/run.py --small --base FOLDER --out /tmp/record …                a few rows of everything, to try the script

After every run, a training with its grades, the grades of its stage are written to benchmarks/results/record/STAGE.parquet, from which the
page is made. A run that stands there is not made again: stop it at any time, and the same command goes on, on another machine too. A run takes
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import _record
import polars as pl
from prepare import Material, write

from instructsel import Arm, Checkpoint, Grader, Grades, LinearRule, Pool, Run, Verification, verify_arms
from instructsel.adapters.lm_eval.grader import LmEval
from instructsel.adapters.recipes import Recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.graders.held_out_loss import KIND, HeldOutLoss
from instructsel.stats.loss_units import LossTotals
from instructsel.verification.verdict import ComparisonSettings

STAGES: Final = ("stage_0", "pilot", "stage_1", "stage_4", "stage_2", "stage_3", "stage_5")
MATCHED: Final = "length-matched to "
"""How the arm of random rows with a method's response lengths is called."""
INDICATORS: Final = ("len", "len_in", "mtld", "knn_6", "plausibility", "ppl", "ifd")
RULES: Final = ("our-rule", "eq4-without-reward")
"""Of what is ranked by, those that say a loss."""
BY_LENGTH: Final = ("len",)
UNTOUCHED: Final = "untouched"
Label = tuple[str, int, int]
"""Arm, replicate, seed."""


@dataclass(frozen=True)
class Model:
    """A model of a stage: the base trained on rows with a seed."""

    arm: str
    replicate: int
    """Which subset of the arm the rows are."""
    seed: int
    rows: Callable[[], Path]
    """Chosen where the model is made: one that is graded already costs no selection."""

    @property
    def label(self) -> Label:
        """Arm, replicate and seed."""
        return self.arm, self.replicate, self.seed


@dataclass(frozen=True)
class Work:
    """A stage on a pool: models trained alike, and what is asked of each."""

    name: str
    """Of its results."""
    pool: str
    """Whose held-out answers are among those that are graded."""
    models: tuple[Model, ...]
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
        target = pool.with_name(f"{pool.stem}.{'-'.join(indicators)}.scores.parquet")
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

    def randoms(self, pool: Path, n: int, seeds: Sequence[int] = (0,)) -> list[Model]:
        """Random selection up to the protocol's tokens, n subsets."""
        tokens = self.decided["pools"]["tokens"]
        return models("random", [partial(self.random, pool, k, tokens=tokens) for k in range(n)], seeds)

    def _pilot(self) -> Iterator[Work]:
        settings = self.decided["pilot"]
        pool, _ = self.material.drawn(settings["pool"])
        runs = self.randoms(pool, settings["subsets"], range(settings["seeds"]))
        yield Work("pilot", settings["pool"], tuple(runs), self.recipe())

    def _stage_0(self) -> Iterator[Work]:
        settings = self.decided["stage_0"]
        pool = self.material.out / "pools" / "stage_0.jsonl"
        if not pool.exists():
            candidates = self.material.drawn(settings["pool"])[0].read_text().splitlines()
            pool.write_text("\n".join(candidates[: settings["candidates"]]) + "\n", encoding="utf-8")

        def best() -> Path:
            keep = ("--keep-near-duplicates", "--keep-exact-duplicates")
            return self.chosen(self.scored(pool, ("len", "ifd")), "ifd", ("--by", "-ifd"), ("--n", str(settings["rows"])), *keep)

        seeds = range(settings["seeds"])
        # Random subset k is trained with seed k.
        subsets = [Model("random", k, k, partial(self.random, pool, k, rows=settings["rows"])) for k in seeds]
        yield Work("stage_0", settings["pool"], (*models("ifd", [best], seeds), *subsets), self.recipe("recipe_0"))

    def by_method(self, pool: Path, method: str, budget: Sequence[str], *, matched: int | None = None) -> Path:
        """The rows that a method takes of a pool, or random ones with its response lengths, drawn with a seed."""
        read = {"longest": BY_LENGTH, "deita": BY_LENGTH, "rds+": BY_LENGTH, "plausibility": ("len", "plausibility")}
        scores = self.scored(pool, read.get(method, INDICATORS))
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
        seeds = range(settings["seeds"])
        for name in pools["unseen"]:
            pool, _ = self.material.drawn(name)
            tokens, rows = self.tokens, ("--n", str(pools["rows"]))
            runs = self.randoms(pool, settings["random_subsets"])
            for method in ("longest", *settings["methods"]):
                runs += models(method, [partial(self.by_method, pool, method, tokens)], seeds)
            for method in settings["equal_rows"]:
                runs += models(f"{method}, equal rows", [partial(self.by_method, pool, method, rows)])
            runs += models("whole pool", [partial(Path, pool)])
            yield Work(f"stage_1_{name}", name, tuple(runs), self.recipe())
            results = self.results / f"stage_1_{name}.parquet"
            if any(model.label not in earlier(results) for model in runs):
                continue
            matched: list[Model] = []
            for method in self.ahead(results, settings["methods"]):
                subsets = [partial(self.by_method, pool, method, tokens, matched=k) for k in range(settings["length_matched_subsets"])]
                matched += models(f"{MATCHED}{method}", subsets)
            if matched:
                yield Work(f"stage_1_{name}", name, (*runs, *matched), self.recipe())

    @property
    def tokens(self) -> tuple[str, ...]:
        """The budget of arms at equal tokens."""
        return "--tokens", str(self.decided["pools"]["tokens"]), "--tokenizer", self.material.base

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
            means = means_by_arm(Verification.read(first))
            methods = sorted((method for method in self.decided["stage_1"]["methods"] if method in means), key=lambda method: means[method])
            runs = self.randoms(pool, settings["random_subsets"])
            for method in ("longest", *methods[:2]):
                runs += models(method, [partial(self.by_method, pool, method, self.tokens)], range(self.decided["stage_1"]["seeds"]))
            yield Work(f"stage_2_{name}", name, tuple(runs), self.recipe(rate=settings["learning_rate_multiple"]))

    def _stage_4(self) -> Iterator[Work]:
        settings = self.decided["stage_4"]
        pool, _ = self.material.drawn(settings["pool"])
        rows = pool.read_text().splitlines()[: settings["rows"]]
        drawn = random.Random(f"{self.decided['pools']['draw']}:halves")
        halves: dict[str, Path] = {}
        for number in range(settings["halves"] // 2):
            chosen = set(drawn.sample(range(len(rows)), len(rows) // 2))
            for side, places in enumerate((chosen, set(range(len(rows))) - chosen)):
                target = pool.with_name(f"{pool.stem}.half-{number}-{side}.jsonl")
                if not target.exists():
                    target.write_text("".join(rows[place] + "\n" for place in sorted(places)), encoding="utf-8")
                halves[f"half {number}-{side}"] = target
        self.predict(pool, halves)
        runs = [model for arm, half in halves.items() for model in models(arm, [partial(Path, half)])]
        yield Work("stage_4", settings["pool"], tuple(runs), self.recipe(), tasks=False)

    def predict(self, pool: Path, halves: Mapping[str, Path]) -> None:
        """Write what every indicator and rule says of every half: the mean over its rows, rows without a value left out.

        A rule says a loss; an indicator its own value, and a way toward a target how near a row is: of these, selection ranks by the negative.
        """
        target = self.results / "stage_4.predicted.json"
        if target.exists():
            return
        signs = {name: 1.0 if name in RULES else -1.0 for name in self.decided["stage_4"]["indicators"]}
        values = {name: {line: sign * value for value, line in self.values(pool, name)} for name, sign in signs.items()}
        predicted: dict[str, dict[str, float]] = {}
        for arm, half in halves.items():
            lines = half.read_text().splitlines()
            predicted[arm] = {name: statistics.fmean(of[line] for line in lines if line in of) for name, of in values.items()}
            predicted[arm]["tokens"] = float(sum(self.material.lengths([json.loads(line)["messages"] for line in lines])))
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
        """The candidates with what selection ranks them by, in its order: by a rule the lowest loss first, by an indicator or toward a target the highest
        value first, whose negative stands here. Lines without a value are left out."""
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
        settings = self.decided["stage_3"]
        pool, _ = self.material.drawn(settings["pool"])
        runs: list[Model] = []
        for indicator in settings["indicators"]:
            for number in range(settings["bins"]):
                runs += models(f"{indicator} bin {number}", [partial(self.bin, pool, indicator, number)], range(settings["seeds"]))
        yield Work("stage_3", settings["pool"], tuple(runs), self.recipe(), tasks=False)

    def bin(self, pool: Path, indicator: str, number: int) -> Path:
        """Candidates between two quantiles of an indicator, in a drawn order up to the protocol's tokens."""
        target = pool.with_name(f"{pool.stem}.{indicator}-bin-{number}.jsonl")
        if not target.exists():
            rows, bins = [line for _, line in self.values(pool, indicator)], self.decided["stage_3"]["bins"]
            part = rows[number * len(rows) // bins : (number + 1) * len(rows) // bins]
            random.Random(f"{self.decided['pools']['draw']}:{indicator}:{number}").shuffle(part)
            lengths = self.material.lengths([json.loads(line)["messages"] for line in part])
            n = sum(total <= self.decided["pools"]["tokens"] for total in accumulate(lengths))
            target.write_text("".join(line + "\n" for line in part[:n]), encoding="utf-8")
        return target

    def _stage_5(self) -> Iterator[Work]:
        settings = self.decided["stage_5"]
        for name in settings["pools"]:
            pool, _ = self.material.drawn(name)
            runs: list[Model] = []
            for method in settings["methods"]:
                subsets = [partial(self.by_method, pool, method, self.tokens, matched=k) for k in range(settings["length_matched_subsets"])]
                runs += models(f"{MATCHED}{method}", subsets)
            yield Work(f"stage_5_{name}", name, tuple(runs), self.recipe(), tasks=False)

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
        """Make the models of a stage that are missing, one at a time, and write the grades after each."""
        grades_file, trained_file = self.results / f"{work.name}.parquet", self.results / f"{work.name}.trained.json"
        graders = self.graders(work)
        graded = earlier(grades_file)
        for label in [
            label for label, runs in graded.items() if {run.grades.grader for run in runs} != {grader.name for grader in graders}
        ]:
            # A grader is missing that the stage has now.
            del graded[label]
        trained = {(run["arm"], run["replicate"], run["seed"]): run for run in json.loads(trained_file.read_text())} if trained_file.exists() else {}  # fmt: skip
        untouched = Model(UNTOUCHED, 0, 0, Path)
        pending = [model for model in (untouched, *work.models) if model.label not in graded]
        print(f"{work.name}: {len(graded)} models graded, {len(pending)} pending", flush=True)
        if not pending:
            return
        trainer = TrlTrainer(self.material.base, work.recipe, self.material.out / "checkpoints", device="cpu", precision=self.decided["model"]["precision"])  # fmt: skip
        for model in pending[:limit]:
            started = time.monotonic()
            if model is untouched:
                arm = Arm(UNTOUCHED, checkpoints=(self.untouched,), fixed=True)
            else:
                arm = Arm(model.arm, (Pool.read(model.rows()),))
            verified = verify_arms([arm], graders=graders, trainer=trainer, seeds=(model.seed,), folder=self.material.out / "runs")
            if verified.failures:
                sys.exit(f"{model.arm} {model.replicate}, seed {model.seed}: {verified.failures[0]}")
            graded[model.label] = [replace(run, replicate=model.replicate) for run in verified.runs]
            for run in map(dict, verified.trained):
                trained[model.label] = concise({**run, "replicate": model.replicate})
            self.results.mkdir(parents=True, exist_ok=True)
            every = [run for runs in graded.values() for run in runs]
            # On another machine the same model is graded by another processor, and says so.
            Verification.of(every, fixed=(UNTOUCHED,), loss_unit="bits per byte", allow_unlike=True).write(grades_file)
            told = json.dumps([trained[label] for label in sorted(trained)], indent=1, sort_keys=True)
            trained_file.write_text(told + "\n", encoding="utf-8")
            print(f"{work.name}: {model.arm} {model.replicate}, seed {model.seed}, {time.monotonic() - started:.0f} s", flush=True)


def models(arm: str, subsets: Sequence[Callable[[], Path]], seeds: Sequence[int] = (0,)) -> list[Model]:
    """Of an arm: every subset trained with every seed."""
    return [Model(arm, replicate, seed, rows) for replicate, rows in enumerate(subsets) for seed in seeds]


def earlier(results: Path) -> dict[Label, list[Run]]:
    """Models that an earlier call graded, on this machine or another, from the results alone."""
    if not results.exists():
        return {}
    verification = Verification.read(results)
    graded: dict[Label, list[Run]] = {}
    counted: set[str] = set()
    for (arm, replicate, seed, name), rows in verification.frame.group_by("arm", "replicate", "seed", "grader", maintain_order=True):
        scale = verification.graders[str(name)]
        reasons = tuple(rows["reason"].to_list())
        totals = None if rows["nats"].null_count() else LossTotals(*(rows[column].to_numpy() for column in ("nats", "tokens", "bytes")))
        grades = Grades(
            str(name),
            tuple(rows["item"]),
            rows["value"].fill_null(0.0).to_numpy(),
            rows["weight"].to_numpy(),
            reasons if any(reasons) else (),
            unit=scale.unit,
            higher_is_better=scale.higher_is_better,
            # Known for all models together.
            truncated=0 if name in counted else scale.truncated,
            record={"settings": scale.settings} if scale.settings else {},
            clusters=() if rows["cluster"].null_count() else tuple(rows["cluster"]),
            sources=() if rows["source"].null_count() else tuple(rows["source"]),
            totals=totals,
        )
        counted.add(str(name))
        graded.setdefault((str(arm), int(str(replicate)), int(str(seed))), []).append(
            Run(str(arm), int(str(replicate)), int(str(seed)), grades)
        )
    return graded


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
