"""InstructMining's method, end to end, on our own runs: mixtures of real sources, a rule fitted to their losses, an unseen pool.

    python benchmarks/study/run.py --data ../shared/data --base .venv/tinybase --out .venv/study            all stages, resumable
    python benchmarks/study/run.py --stage unseen …                                                       one of them

Stages: `pools` writes the sources (five to fit on, one unseen) and two evaluation sets, `scores` scores them, `mixtures` plans and
runs the study, `rule` fits, `lengths` trains each source alone at equal rows and at equal tokens, `unseen` trains on parts of the
unseen pool (by the rule's eighths, selections, baselines), `results` writes benchmarks/results/study.json and study.parquet, from
which docs/build_our_study.py makes the page. Everything goes through the command line or the public face; each run is kept in a
file of its own, and none is run twice.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
import _record

from instructsel import Pool, ScoreTable, baselines, load_rule, select
from instructsel.adapters.recipes import Recipe, recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.cache import Cache
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.pool.sources import zstd
from instructsel.scores.neighborhood import Neighborhood

SOURCES: Final = {
    "lima": (("pools/lima_history.jsonl.zst",), None),
    "oasst": (("pools/oasst1_en_validation_messages.jsonl.zst", "pools/oasst_en_100_tree.jsonl.zst"), None),
    "alpaca": (("pools/alpaca.jsonl.zst",), 5000),
    "self_instruct": (("pools/self_instruct_5k.jsonl.zst",), None),
    "t0": (("pools/t0_p3_sample.jsonl.zst",), 5000),
}
"""What the rule is fitted on: files, and how many rows are drawn where there are more."""
UNSEEN: Final = "pools/dolly.jsonl.zst"
INDICATORS: Final = ("len", "len_in", "mtld", "knn_6", "ifd", "plausibility")
BINNED: Final = ("len",)
MIXTURES: Final = 64
ROWS: Final = 1000
SEEDS: Final = 2
RANDOM_SUBSETS: Final = 5
"""Of random selection, each trained on once: what differs between them is chance of rows and of training together."""
PARTS: Final = 8
LONGEST: Final = 1200
"""Characters of an instruction at most, the history of a conversation included."""
TOKENS: Final = 250_000
"""Tokens of an arm where arms see equally many."""


@dataclass(frozen=True)
class Scale:
    """How large the study is."""

    mixtures: int = MIXTURES
    rows: int = ROWS
    seeds: int = SEEDS
    random_subsets: int = RANDOM_SUBSETS
    tokens: int = TOKENS
    binned: tuple[str, ...] = BINNED
    most: int | None = None
    """Rows of a source and of an evaluation set at most, to try the script."""


@dataclass(frozen=True)
class Place:
    """Where everything of a study is."""

    data: Path
    base: Path
    out: Path
    scale: Scale
    changes: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """That of every run, but for its length."""
        return recipe("tiny", **self.changes)

    def pool(self, name: str) -> Path:
        """A source's rows."""
        return self.out / "pools" / f"{name}.jsonl"


def command(*arguments: str | Path, allowed: tuple[int, ...] = (0,)) -> str:
    """Run instructsel; what it wrote to stdout."""
    print("$ instructsel", *(Path(part).name if isinstance(part, Path) else part for part in arguments), flush=True)
    done = subprocess.run([sys.executable, "-m", "instructsel", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in allowed:
        sys.exit(f"ended with {done.returncode}")
    return done.stdout


def pools(place: Place) -> None:
    """The sources and evaluation sets as files of messages."""
    (place.out / "pools").mkdir(parents=True, exist_ok=True)
    for name, (files, most) in {**SOURCES, "dolly": ((UNSEEN,), None)}.items():
        if place.pool(name).exists():
            continue
        pool = Pool.read(*(place.data / file for file in files), oasst="all-paths")
        most = min((cap for cap in (most, place.scale.most) if cap is not None), default=None)
        # An instruction that fills the base's row leaves no room for the answer that is to be learnt.
        short = pool.take(example.id for example in pool.examples() if len(example.instruction) <= LONGEST and example.response.strip())
        sampled = short if most is None else short.sample(min(most, len(short)), seed=0)
        sampled.write(place.pool(name), range(len(sampled)), to="messages")
        counts = {"rows": len(pool), "short_enough": len(short), "kept": len(sampled)}
        place.pool(name).with_suffix(".json").write_text(json.dumps(counts) + "\n")
        print(f"{name}: {counts}", flush=True)
    fitted, reported = evaluation(place.data)
    for name, rows in (("fitting", fitted), ("report", reported)):
        place.pool(name).write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in rows[: place.scale.most]), encoding="utf-8")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a compressed file."""
    for line in zstd.decompress(path.read_bytes()).decode("utf-8").split("\n"):
        if line:
            yield json.loads(line)


def evaluation(data: Path) -> tuple[list[list[dict[str, str]]], list[list[dict[str, str]]]]:
    """The set the rule is fitted on (252 instructions, five answers each) and the one selections are judged on (160 others)."""
    fitted = [_turns(row["instruction"], row["output"]) for row in lines(data / "eval/deval_selfinstruct_252x5.jsonl.zst")]
    questions = {
        str(row["question_id"]): row["turns"][0] for name in ("mt_bench_80", "vicuna_80") for row in lines(data / f"eval/{name}.jsonl.zst")
    }
    strong = ("gpt-4", "gpt-3.5-turbo", "claude-v1")
    reported = [
        _turns(questions[str(row["question_id"])], row["choices"][0]["turns"][0])
        for row in lines(data / "eval/mt_bench_answers.jsonl.zst")
        if row["model_id"] in strong
    ]
    vicuna = {str(row["question_id"]): row["turns"][0] for row in lines(data / "eval/vicuna_80.jsonl.zst")}
    reported += [
        _turns(vicuna[str(row["question_id"])], row["text"])
        for row in lines(data / "eval/vicuna_80_answers.jsonl.zst")
        if row["_model"] in strong and str(row["question_id"]) in vicuna
    ]
    return fitted, reported


def _turns(asked: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def scores(place: Place) -> None:
    """Both pools under every indicator; instruction-following difficulty by the base itself."""
    for name, files in (("fit", [place.pool(source) for source in SOURCES]), ("dolly", [place.pool("dolly")])):
        target = place.out / f"{name}.scores.parquet"
        if not target.exists():
            command(
                "score", *files, "--indicators", ",".join(INDICATORS), "--model", f"ifd={place.base}", "--device", "cpu",
                "--cache", place.out / "cache", "-o", target,
            )  # fmt: skip


def mixtures(place: Place) -> None:
    """The study itself."""
    folder = place.out / "mixtures"
    if not (folder / "plan.json").exists():
        changes = [part for key, flag in FLAGS.items() if key in place.changes for part in (flag, str(place.changes[key]))]
        bins = [part for symbol in place.scale.binned for part in ("--bins", f"{symbol}:{PARTS}")]
        bins += ["--bin-rows", str(place.scale.rows)] if bins else []
        command(
            "study", "plan", *(place.pool(source) for source in SOURCES), "--scores", place.out / "fit.scores.parquet",
            "--base", place.base, "--eval", place.pool("fitting"), "-o", folder, "--mixtures", str(place.scale.mixtures),
            "--rows", str(place.scale.rows), *bins, "--seeds", "1",
            # Answers without a word have no MTLD, and those longer than the base's context no difficulty: means are over the others.
            "--max-null-fraction", "0.3", "--preset", "tiny", *changes,
        )  # fmt: skip
    command("study", "run", folder, allowed=(0, 5))


FLAGS: Final = {"epochs": "--epochs", "learning_rate": "--lr", "batch_size": "--batch-size", "max_length": "--max-length"}


def rule(place: Place) -> None:
    """The rule of all six indicators, and the one best-subset chooses, on mixtures alone."""
    study = place.out / "mixtures" / "study.parquet"
    for method in ("fixed", "best-subset"):
        summary = command(
            "rules", "fit", study, "--design", "mixture", "--method", method, "--json", "-o", place.out / f"{method}.toml",
            "--charts", place.out / "charts",
        )  # fmt: skip
        (place.out / f"{method}.json").write_text(summary)


class Arms:
    """Fine-tunes on named pools, each kept in a file when it is done."""

    def __init__(self, place: Place, family: str) -> None:
        self.place = place
        self.folder = place.out / family
        self.folder.mkdir(parents=True, exist_ok=True)
        self.graders = {
            name: HeldOutLoss(Pool.read(place.pool(name)), name=name, max_length=place.recipe.max_length, device="cpu", precision="fp32")
            for name in ("fitting", "report")
        }

    def run(self, name: str, pool: Pool, seed: int, labels: dict[str, Any], *, tokens: int | None = None) -> dict[str, Any]:
        """The losses of a fine-tune on a pool."""
        path = self.folder / f"{name}-seed{seed}.json"
        if path.exists():
            return json.loads(path.read_text())
        begun = time.monotonic()
        chosen = self.place.recipe if tokens is None else recipe("tiny", **{**self.place.changes, "epochs": None, "tokens": tokens})
        trainer = TrlTrainer(
            str(self.place.base), chosen, self.place.out / "checkpoints", device="cpu", precision="fp32", save_every=math.inf
        )
        checkpoint = trainer.train(pool, seed=seed)
        record: dict[str, Any] = {"name": name, "seed": seed, "rows": len(pool), **labels}
        for key in ("steps", "tokens_seen", "tokens_trained"):
            record[key] = checkpoint.record[key]
        record["audit"] = {key: checkpoint.record["audit"][key] for key in ("trained_rows", "truncated", "tokens")}
        for grader, held in self.graders.items():
            grades = held.grade(checkpoint)
            record[grader] = {"loss": grades.weighted_mean, "loss_by_example": grades.mean, "n": int(grades.valid.sum())}
        checkpoint.discard()
        record["seconds"] = time.monotonic() - begun
        path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        print(f"{name} seed {seed}: {record['report']['loss']:.4f} ({record['seconds']:.0f} s)", flush=True)
        return record

    def base(self) -> dict[str, Any]:
        """The base itself."""
        from instructsel.grading.checkpoint import checkpoint_of

        path = self.folder / "base.json"
        if not path.exists():
            graded = {name: held.grade(checkpoint_of(str(self.place.base))) for name, held in self.graders.items()}
            path.write_text(
                json.dumps({name: {"loss": grades.weighted_mean, "loss_by_example": grades.mean} for name, grades in graded.items()})
            )
        return json.loads(path.read_text())


def lengths(place: Place) -> list[dict[str, Any]]:
    """Each source alone: as many rows, then as many tokens."""
    arms = Arms(place, "lengths")
    groups = []
    for source in (*SOURCES, "dolly"):
        pool = Pool.read(place.pool(source))
        drawn = pool.sample(min(place.scale.rows, len(pool)), seed=1)
        for seed in range(place.scale.seeds):
            groups.append(arms.run(f"{source}-rows", drawn, seed, {"source": source, "equal": "rows"}))
            groups.append(arms.run(f"{source}-tokens", drawn, seed, {"source": source, "equal": "tokens"}, tokens=place.scale.tokens))
    return groups


def unseen(place: Place) -> list[dict[str, Any]]:
    """Parts of a pool the rule has not seen: its eighths by rule value, selections by rule, and the baselines."""
    arms = Arms(place, "unseen")
    pool = Pool.read(place.pool("dolly"))
    table = ScoreTable.read(place.out / "dolly.scores.parquet")
    scale = place.scale
    records: list[dict[str, Any]] = []
    # Embedded once, by scoring.
    neighbors = Neighborhood(pool, table, cache=Cache(place.out / "cache"))
    for method in ("fixed", "best-subset"):
        fitted = load_rule(str(place.out / f"{method}.toml"))
        chosen = select(pool, table, fitted, budget=scale.rows, max_null_fraction=0.3, neighbors=neighbors)
        compared = []
        if method == "fixed":
            compared = baselines(chosen, ["random", "longest"], seeds=tuple(range(scale.random_subsets)))
            ranked = ranking(chosen)
            for part in range(PARTS):
                cut = ranked[len(ranked) * part // PARTS : len(ranked) * (part + 1) // PARTS]
                drawn = pool.take(sorted(random.Random(f"part {part}").sample(cut, min(scale.rows, len(cut)))))
                for seed in range(scale.seeds):
                    records.append(
                        arms.run(f"eighth-{part}", drawn, seed, {"arm": "eighth", "part": part, "rule": _value(table, fitted, drawn)})
                    )
        named = {f"rule-{method}": chosen, **{baseline.name: baseline for baseline in compared}}
        if method == "fixed":
            for name, preset in (("eq4-without-reward", "eq4-without-reward"),):
                named[name] = select(pool, table, load_rule(preset), budget=scale.rows, neighbors=neighbors)
            named["plausible"] = select(pool, table, plausible_rule(place), budget=scale.rows, neighbors=neighbors)
        for name, selection in named.items():
            part = selection.of(pool)
            about = {"arm": name.partition("-seed")[0], "rule": _value(table, fitted, part)}
            records.append(arms.run(name, part, 0, {**about, "equal": "rows"}))
            records.append(arms.run(f"{name}-tokens", part, 0, {**about, "equal": "tokens"}, tokens=scale.tokens))
    records.append({"name": "base", "arm": "base", **arms.base()})
    return records


def ranking(selection: Any) -> list[str]:
    """The ids of a selection's ranked rows, best first, the ones it left out for the budget included."""
    import polars as pl

    return selection.frame.filter(pl.col("rank").is_not_null()).sort("rank")["id"].to_list()


def plausible_rule(place: Place) -> Any:
    """Most plausible first: what stands here in place of a reward, of which there is none on this machine."""
    path = place.out / "plausible.toml"
    path.write_text(
        'name = "plausible"\ntitle = "Most plausible first"\ntarget = "minus plausibility"\nintercept = 0.0\n'
        '[[terms]]\nindicator = "plausibility"\nweight = -1.0\nunit = "logit"\n'
    )
    return load_rule(str(path))


def _value(table: ScoreTable, fitted: Any, part: Pool) -> float:
    """The mean of a rule's values over a part of the pool."""
    prediction = fitted.predict(table)
    values = {
        name: value for name, value, valid in zip(table.ids, prediction.values.tolist(), prediction.valid.tolist(), strict=True) if valid
    }
    return statistics.fmean(values[name] for name in part.ids if name in values)


def fit_of(place: Place, method: str) -> dict[str, Any]:
    """The summary of `rules fit`, without where its charts lie on this disk."""
    summary: dict[str, Any] = json.loads((place.out / f"{method}.json").read_text())
    return {key: value for key, value in summary.items() if key != "charts"}


def results(place: Place) -> None:
    """The figures, as the page and its test read them."""
    import polars as pl

    study = pl.read_parquet(place.out / "mixtures" / "study.parquet")
    # A trial leaves the results and the page alone.
    results_folder = place.out / "results" if place.scale.most else _record.RESULTS
    results_folder.mkdir(exist_ok=True)
    study.write_parquet(results_folder / "study.parquet")
    plan = json.loads((place.out / "mixtures" / "plan.json").read_text())
    runs = [json.loads(path.read_text()) for path in sorted((place.out / "mixtures" / "runs").glob("*.json"))]
    base = json.loads((place.base / "tinybase.json").read_text())
    for key in ("curve",):
        base["learning"].pop(key, None)
    figures = {
        "base": base,
        "recipe": place.recipe.as_dict(),
        "configuration": {"hash": plan["hash"], **plan["configuration"]},
        "redraws": {subset["name"]: subset["redraws"] for subset in plan["subsets"] if subset["redraws"]},
        "seconds_a_run": [run.get("run", {}).get("seconds") for run in runs],
        "fits": {method: fit_of(place, method) for method in ("fixed", "best-subset")},
        "sources": {name: json.loads(place.pool(name).with_suffix(".json").read_text()) for name in (*SOURCES, "dolly")},
        "lengths": lengths(place),
        "unseen": unseen(place),
        "scale": {key: getattr(place.scale, key) for key in Scale.__dataclass_fields__},
    }
    _record.RESULTS = results_folder
    _record.write("study", figures, "torch", "transformers", "trl", "statsmodels")
    charts = place.out / "page" if place.scale.most else _record.ROOT / "docs" / "why" / "our_study"
    charts.mkdir(exist_ok=True)
    for chart in (place.out / "charts").glob("*.svg"):
        shutil.copy(chart, charts / chart.name)


STAGES: Final = {
    "pools": pools,
    "scores": scores,
    "mixtures": mixtures,
    "rule": rule,
    "lengths": lengths,
    "unseen": unseen,
    "results": results,
}


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--base", type=Path, default=Path(".venv/tinybase"))
    parser.add_argument("--out", type=Path, default=Path(".venv/study"))
    parser.add_argument("--stage", choices=list(STAGES))
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--toy", action="store_true", help="a few short runs, to try the script; results and charts go to OUT")
    arguments = parser.parse_args()
    scale = Scale(mixtures=16, rows=24, seeds=2, random_subsets=2, tokens=4000, binned=(), most=60) if arguments.toy else Scale()
    changes = {"epochs": arguments.epochs, "learning_rate": arguments.lr}
    if arguments.toy:
        changes["max_length"] = 768
    place = Place(arguments.data, arguments.base.resolve(), arguments.out.resolve(), scale, changes)
    for name, stage in STAGES.items():
        if arguments.stage in (None, name):
            print(f"== {name}", flush=True)
            stage(place)


if __name__ == "__main__":
    main()
