"""Valid files of every kind, made once: what is mutated is what the project itself writes and reads."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl
from typer.testing import CliRunner

from instructsel.artifact import dump_json
from instructsel.audits.finding import Finding
from instructsel.audits.result import Audit
from instructsel.audits.settings import AuditSettings
from instructsel.audits.totals import SourceTotals, totals
from instructsel.commands import app
from instructsel.experiments.arms import Arm
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, StatisticsSettings, TrainingSettings
from instructsel.grading.judge.clients import Reply
from instructsel.grading.judge.replies import ReplyStore
from instructsel.human.comparison import numbered, read_comparisons
from instructsel.human.files import write_judgments
from instructsel.human.store import Answer, Feedback, JudgmentStore
from instructsel.pool.pool import Pool
from instructsel.pool.sources import zstd
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.choose import select
from instructsel.study.design import Design
from instructsel.study.effects import of_folder
from instructsel.study.one_source import AddOne
from instructsel.study.size_search import SizeSettings, search_size
from instructsel.study.study import run_study
from instructsel.verification.run import verify_arms
from tests.study import job
from tests.study.one_source_job import CountingTrainer, PlantedGrader
from tests.study.test_size_search import FakeGrader as SizeGrader
from tests.study.test_size_search import FakeTrainer as SizeTrainer
from tests.study.test_size_search import valley
from tests.verification.test_verify_run import FakeGrader as ArmsGrader
from tests.verification.test_verify_run import FakeTrainer as ArmsTrainer

LAST_RELEASE: Final = Path(__file__).parent.parent / "fixtures" / "last_release"
WORDS: Final = ["river", "stone", "lantern", "paper", "orchard", "winter", "silver", "engine", "market", "garden", "window", "summer"]
STAMP: Final = "2026-01-01T00-00-00.000001"
JUDGE: Final = {"kind": "endpoint", "name": "judge"}

ALPACA: Final = [
    {"instruction": f"Say {number} of them.", "input": "", "output": " ".join(WORDS[: 3 + number % 9]) + f" {number}"}
    for number in range(14)
]
TURNS: Final = [
    {"messages": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]} for row in ALPACA[:6]
]
ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "alpaca": ALPACA[:6],
    "dolly": [{"instruction": "Say it.", "context": "", "response": "it", "category": "open_qa"}, {"instruction": "a", "context": "b", "response": "c", "category": "x"}],
    "messages": [*TURNS[:3], {"messages": [{"role": "system", "content": "s"}, *TURNS[0]["messages"]], "source": "x"}],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]},
    ],
    "prompt_completion": [
        {"prompt": "2 + 2?", "completion": "4"},
        {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
    ],
    "question_answer": [{"question": "Who?", "answer": "Me."}, {"question": "Why?", "answer": "So."}],
    "dialogue": [
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]}, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"m": 1}}}]}, {"role": "model", "parts": [{"text": "b"}]}]},
        {"data": ["Hi", "Hello", "a", "b"]}, {"conversation": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]},
    ],
    "self_instruct": [{"name": "x", "instruction": "Say.", "instances": [{"input": "a", "output": "b"}, {"input": "", "output": "c"}]}],
    "unnatural_instructions": [
        {
            "instruction": "Say.",
            "instances": [
                {"instruction_with_input": "Say. a", "input": "a", "constraints": "None.", "output": "b"},
                {"instruction_with_input": "Say. c", "input": "c", "constraints": "One word.", "output": "d"},
            ],
        },
    ],
    "super_natural_instructions": [
        {
            "Definition": ["Add."],
            "Positive Examples": [{"input": "1 1", "output": "2", "explanation": "Counted."}],
            "Negative Examples": [],
            "Instances": [{"id": "t-1", "input": "2 2", "output": ["4", "four"]}, {"id": "t-2", "input": "3 3", "output": ["6"]}],
        },
    ],
    "xlam": [
        {"query": "a", "tools": '[{"name": "f"}]', "answers": '[{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 2}}]'},
        {"query": "b", "tools": [{"name": "f"}], "answers": [{"name": "f", "arguments": '{"x": 1}', "id": "c"}]},
    ],
    "glaive": [
        {
            "system": 'SYSTEM: Use them if required -\n{"name": "f"}\n{"name": "g"}',
            "chat": "USER: a\n\n\nASSISTANT: <functioncall> {\"name\": \"f\", \"arguments\": '{\"x\": 1}'} <|endoftext|>\n\n\nFUNCTION RESPONSE: {}\n\n\nASSISTANT: b <|endoftext|>",
        },
        {"sample": "SYSTEM: s\nUSER: c\nASSISTANT: d"},
    ],
    "responses": [
        {
            "instructions": "s",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, {"type": "function_call_output", "call_id": "c", "output": {"m": 1}}],
            "output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}],
        },
        {"input": "c", "output": [{"role": "assistant", "content": "d"}]},
    ],
    "flan": [{"inputs": "2 + 2?", "targets": "4", "task": "add"}, {"definition": "Add.", "inputs": "1 1", "targets": "2"}],
    "baize": [{"topic": "x", "input": "A chat.\n[|Human|] Hi\n[|AI|] Hello\n[|Human|] a\n[|AI|] b\n[|Human|] "}],
    "history": [{"instruction": "a", "input": "", "output": "b", "history": [["c", "d"], ["e", "f"]]}],
    "oasst_tree": [
        {
            "message_tree_id": "1",
            "tree_state": "ready_for_export",
            "prompt": {
                "message_id": "1", "parent_id": None, "role": "prompter", "text": "Hi", "lang": "en", "deleted": False, "rank": None,
                "replies": [
                    {"message_id": "2", "parent_id": "1", "role": "assistant", "text": "Yo", "lang": "en", "deleted": False, "rank": 0, "replies": []},
                    {"message_id": "3", "parent_id": "1", "role": "assistant", "text": "No", "lang": "en", "deleted": False, "rank": 1, "replies": []},
                ],
            },
        },
    ],
    "oasst_table": [
        {"message_id": "1", "parent_id": None, "message_tree_id": "1", "tree_state": "ready_for_export", "role": "prompter", "text": "Hi", "lang": "en", "rank": None, "deleted": False},
        {"message_id": "2", "parent_id": "1", "message_tree_id": "1", "tree_state": "ready_for_export", "role": "assistant", "text": "Yo", "lang": "en", "rank": 0, "deleted": False},
        {"message_id": "3", "parent_id": "1", "message_tree_id": "1", "tree_state": "ready_for_export", "role": "assistant", "text": "No", "lang": "en", "rank": 1, "deleted": False},
    ],
    "mapped": [{"ask": "a", "say": "b"}, {"ask": "c", "say": "d"}],
}  # fmt: skip
"""Row format → valid rows of it."""


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def call(folder: Path, *arguments: str) -> None:
    """Call the command line in a folder; what fails is a fault of the harness."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(app, list(arguments), prog_name="instructsel")
    finally:
        os.chdir(before)
    assert done.exit_code in (0, 1), f"{arguments}: {done.output}"


def make(folder: Path) -> Path:
    """Every valid file, in a folder of this layout: pools/, scored/, verified/, study/, sizes/, results/, plans/, …"""
    _pools(folder / "pools")
    _exports(folder / "exports")
    _scored(folder / "scored")
    _imported(folder / "imports")
    _verified(folder / "verified")
    _judged_by_people(folder / "people")
    _studied(folder)
    _audited(folder / "audits")
    _gates(folder / "gates")
    _mixed(folder / "mixtures")
    _records(folder / "records")
    _results(folder / "results")
    _plans(folder / "plans")
    _others(folder / "others")
    shutil.copytree(LAST_RELEASE, folder / "last_release")
    return folder


def _audited(folder: Path) -> None:
    """An audit, and its rows."""
    folder.mkdir(parents=True)
    found = Finding("empty-response", "error", 1, "row", "It is empty.", "Fill it in.", ("pool.jsonl:2",), "nothing")
    frame = pl.DataFrame({"file": ["pool.jsonl"] * 2, "line": [1, 2], "tokens": [9, 7], "flags": ["", "empty-response"]})
    columns = {"full": [9, 7], "tokens": [9, 7], "loss_tokens": [5, 1], "is_trained": [True, True]}
    sources = [SourceTotals("first", 1, 1, 9, 5, 0), SourceTotals("second", 1, 1, 7, 1, 0)]
    settings = AuditSettings(packing="bfd")
    audit = Audit("base", settings, frame, (found,), totals(columns, sources, None, settings, 1000))
    for name in ("audit.json", "rows.csv"):
        audit.write(folder / name)


def _gates(folder: Path) -> None:
    """A pool, its baseline, an evaluation set with its index, a configuration, and a verdict in both of its files."""
    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.contamination.index import ItemIndex
    from instructsel.gates.gate import gate

    folder.mkdir(parents=True)
    rows = [{"instruction": f"Name {n}.", "output": f"It is {n * n} today."} for n in range(12)]
    Baseline.create(Pool.read(write_lines(folder / "pool.jsonl", rows))).write(folder / "pool.baseline")
    asked = "Which of the twelve harbours of the northern coast was closed in the winter of 1838?"
    questions = [
        {"question": asked, "answer": "The third.", "choices": ["The third", "The ninth"], "passage": "A list of harbours."},
        {"question": "Who?", "A": "Ann", "B": "Bo", "answer": "B"},
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "The third."}]},
    ]
    ItemIndex.of([str(write_lines(folder / "questions.jsonl", questions))]).write(folder / "evals.index")
    rows[3] = rows[5] = {"instruction": "Name it.", "output": ""}
    write_lines(folder / "new.jsonl", rows)
    waiver = '[[waiver]]\ncheck = "IS010"\nrow = "*"\nreason = "x"\nexpires = 2099-01-01\n'
    check = '[[check]]\nkind = "empty-response"\nname = "empty"\nmax_rate = 0.1\nseverity = "warning"\n'
    head = 'schema = 1\nmode = "nightly"\n[data]\nnew = ["*.jsonl"]\nrole = ["AI=assistant"]\n[limits]\nmax_bad_rows = 2\n'
    (folder / "gate.toml").write_text(head + check + waiver)
    (folder / "gate.yaml").write_text("schema: 1\ncheck:\n  - kind: IS010\n    max_rows: 2\n")
    verdict = gate(Pool.read(folder / "new.jsonl"), folder / "gate.toml")
    (folder / "gate.json").write_text(json.dumps(verdict.as_dict()))
    verdict.write_findings(folder / "findings.parquet")
    verdict.write_findings(folder / "findings.csv")


def _mixed(folder: Path) -> None:
    """Two pools, a recipe, and the mixture of it."""
    from instructsel.mixtures.mixture import mix
    from instructsel.mixtures.recipe import MixtureRecipe

    folder.mkdir(parents=True)
    write_lines(folder / "one.jsonl", [{"instruction": f"Name {n}.", "output": f"It is {n * n} today."} for n in range(8)])
    write_lines(folder / "two.jsonl", [{"instruction": f"Say {n}.", "output": f"{n} it is."} for n in range(4)])
    head = 'schema = 1\nname = "mixed"\nseed = 7\n[budget]\nrows = 10\n[duplicates]\nacross = "near"\nthreshold = 0.9\n'
    one = '[[source]]\nlabel = "one"\npath = "one.jsonl"\nlicence = "mit"\nshare = 0.5\n[source.reading]\nformat = "alpaca"\n'
    two = '[[source]]\ndataset = "dolly"\nlabel = "two"\npath = ["two.jsonl"]\nnon_commercial = true\nshare = 0.5\nrepeat = 2\n'
    (folder / "recipe.toml").write_text(head + one + two)
    mix(MixtureRecipe.read(folder / "recipe.toml"), folder / "mixed.jsonl")


def _exports(folder: Path) -> None:
    """The list of data sets that an export to LLaMA-Factory joins."""
    folder.mkdir(parents=True)
    entry = {"file_name": "mine.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations"}}
    (folder / "dataset_info.json").write_text(json.dumps({"mine": entry}))


def _pools(folder: Path) -> None:
    for name, rows in ROWS.items():
        write_lines(folder / f"{name}.jsonl", rows)
    lines = (folder / "alpaca.jsonl").read_bytes()
    (folder / "array.json").write_text(json.dumps(ALPACA[:6], indent=1))
    (folder / "joined.json").write_text(json.dumps(ALPACA[:4]) + json.dumps(ALPACA[4:8], indent=2) + lines.decode())
    (folder / "spread.jsonl").write_text("\n".join(json.dumps(row, indent=2) for row in ALPACA[:8]))
    (folder / "wide.jsonl").write_text(lines.decode(), encoding="utf-16")
    table = pl.DataFrame(ALPACA[:6])
    table.write_csv(folder / "semicolons.csv", separator=";")
    table.write_csv(folder / "table.csv")
    table.write_csv(folder / "table.tsv", separator="\t")
    turns = pl.DataFrame([*TURNS[:3]])
    turns.write_parquet(folder / "turns.parquet")
    turns.write_ipc(folder / "turns.arrow", compression="zstd")
    turns.write_ipc_stream(folder / "stream.arrow")
    shards, saved = folder / "shards" / "data", folder / "saved" / "train"
    for place in (shards, saved):
        place.mkdir(parents=True)
    for number in range(2):
        turns.write_parquet(shards / f"train-{number:05d}-of-00002.parquet")
        turns.write_ipc_stream(saved / f"data-{number:05d}-of-00002.arrow")
    (shards.parent / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    )
    (saved / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": f"data-{number:05d}-of-00002.arrow"} for number in range(2)]})
    )
    (saved.parent / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(lines, mtime=0))
    (folder / "packed.jsonl.zst").write_bytes(zstd.compress(lines))
    (folder / "packed.csv.gz").write_bytes(gzip.compress((folder / "table.csv").read_bytes(), mtime=0))


def _scored(folder: Path) -> None:
    pool = Pool.read(write_lines(folder / "pool.jsonl", ALPACA))
    lengths = [float(len(row["output"].split())) for row in ALPACA]
    columns = {
        "len": (lengths, [None] * len(ALPACA)),
        "rew": ([value / 7 - 1 for value in lengths], [None if number else "too_long" for number in range(len(ALPACA))]),
    }
    described = {
        "len": {"name": "response_length", "version": 1, "unit": "tokens", "truncated": 0, "tokenizer": {"name": "t", "digest": "ab" * 32}},
        "rew": {"name": "reward", "version": 1, "unit": "reward", "truncated": 0, "model": {"name": "org/model", "digest": "cd" * 32}},
    }
    manifest = {"pool": {"fingerprint": pool.fingerprint, "examples": len(pool)}, "indicators": described, "seconds": 1.5}
    table = ScoreTable.from_columns(pool.ids, columns, manifest, spec=pool.spec)
    table.write(folder / "pool.scores.parquet")
    table.write(folder / "table.csv")
    call(folder, "select", "pool.scores.parquet", "--rule", "longest", "--n", "5", "--min", "len=4", "--random-subsets", "2", "--baseline", "longest", "-o", "chosen.jsonl")  # fmt: skip
    load("eq4").write(folder / "mine.toml")


def _imported(folder: Path) -> None:
    """Scores from elsewhere, for the pool in scored/."""
    ids = Pool.read(folder.parent / "scored" / "pool.jsonl").ids
    rows = [{"instructsel_id": name, "id": number, "reward": number / 3 - 1, "meta": {"good": True}} for number, name in enumerate(ids)]
    write_lines(folder / "foreign.jsonl", rows)
    flat = [{key: row[key] for key in ("instructsel_id", "id", "reward")} for row in rows]
    pl.DataFrame(flat).write_csv(folder / "foreign.csv")
    pl.DataFrame(rows).write_parquet(folder / "foreign.parquet")


def _annotations(path: Path, better: int) -> None:
    rows = [
        {
            "instruction": f"question {number}",
            "output_1": "a" * (number % 5),
            "output_2": "bb" * (number % 3),
            "generator_1": "reference",
            "generator_2": path.stem,
            "annotator": "judge",
            "preference": 1 + (number % 10 < better),
        }
        for number in range(30)
    ]
    path.write_text(json.dumps(rows))


def _judged_by_people(folder: Path) -> None:
    """Pairs, judgments in three kinds of file, and an evaluation that goes on."""
    folder.mkdir()
    rows = [
        {
            "id": f"i{n}",
            "prompt": row["instruction"],
            "completions": [{"model": "mine", "completion": row["output"]}, {"model": "theirs", "completion": "x"}],
        }
        for n, row in enumerate(ALPACA[:6])
    ]
    write_lines(folder / "pairs.jsonl", rows)
    pairs, _ = numbered(read_comparisons(folder / "pairs.jsonl"))
    store = JudgmentStore.open(folder / "evaluation.sqlite3", seed=1)
    store.add(pairs)
    for name in ("ada", "ben"):
        for position in range(1, 6):
            store.judge(store.annotator(name), position, Answer(True, position % 2 == 0, position % 5))
    store.remark(store.annotator("ada"), 6, Feedback("too hard", "=x"))
    for suffix in (".csv", ".jsonl", ".xlsx"):
        write_judgments(folder / f"judged{suffix}", store.records())
    store.close()


def _verified(folder: Path) -> None:
    folder.mkdir()
    for name, better in (("mine", 8), ("theirs", 3), ("again", 4)):
        _annotations(folder / f"{name}.json", better)
    call(folder, "verify", "--results", "selection=mine.json", "--results", "random=theirs.json,again.json", "--generalize-to", "items", "-o", "v")  # fmt: skip


def _studied(folder: Path) -> None:
    (folder / "study").mkdir()
    pool = Pool.read(*job.write_pool(folder / "study"))
    settings = {"trainer": job.FakeTrainer(folder / "made"), "grader": job.FakeGrader(job.numbers(pool), spread=0.25)}
    study = run_study(pool, job.scored(pool), job.DESIGN, folder=folder / "study" / "s", **settings)
    shutil.copy(Path(__file__).parents[2] / "examples" / "study.csv", folder / "study" / "shares.csv")
    one_source = Design([AddOne(rows=4, add_rows=3, replicates=2, base=("quiz",))])
    graders = [PlantedGrader("algebra", n_items=2), PlantedGrader("chat", n_items=2)]
    models = folder / "study" / "models"
    run_study(pool, None, one_source, trainer=CountingTrainer(models), grader=graders, folder=folder / "study" / "one-source")
    (folder / "study" / "effects.json").write_bytes(dump_json(of_folder(folder / "study" / "one-source").as_dict()))
    study.fit(bootstrap=0).rule("fitted").write(folder / "study" / "fitted.toml")
    frame = study.frame.drop("ids", "checkpoint")
    frame.write_csv(folder / "study" / "observations.csv")
    frame.write_parquet(folder / "study" / "plain.parquet")
    write_lines(folder / "study" / "observations.jsonl", frame.to_dicts())
    scored = Pool.read(folder / "scored" / "pool.jsonl")
    chosen = select(scored, ScoreTable.read(folder / "scored" / "pool.scores.parquet"), load("longest"), budget=10)
    grader, report = SizeGrader("search", valley), SizeGrader("report", valley, names=("v", "w"))
    sizes = SizeSettings(sizes=(4, 8), seeds=(0, 1))
    search_size(chosen, trainer=SizeTrainer(folder / "made-too"), grader=grader, report=report, settings=sizes, folder=folder / "sizes")
    for left in ("made", "made-too"):
        shutil.rmtree(folder / left, ignore_errors=True)


def _records(folder: Path) -> None:
    """Records of runs, and the lease of one whose worker is gone."""
    folder.mkdir()
    pools = [Pool.read(write_lines(folder / f"{number}.jsonl", ALPACA[number : number + 4])) for number in (0, 4)]
    arms = [Arm("selection", pools[:1]), Arm("random", pools[1:])]
    verify_arms(arms, graders=[ArmsGrader()], trainer=ArmsTrainer(folder / "made"), seeds=(0,), folder=folder)
    (folder / "runs" / "selection-0-seed1.lease").write_text(json.dumps({"process": 1, "machine": "x", "renewed": 0.0}))
    shutil.rmtree(folder / "made", ignore_errors=True)


def _results(folder: Path) -> None:
    folder.mkdir()
    samples = [
        {
            "doc_id": number,
            "doc": {"query": f"q{number}"},
            "target": "0",
            "arguments": {},
            "resps": [[["-1.5", "False"]], [["-2.5", "True"]]],
            "filtered_resps": [["-1.5", "False"], ["-2.5", "True"]],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": hashlib.sha256(b"%d" % number).hexdigest(),
            "prompt_hash": hashlib.sha256(b"p%d" % number).hexdigest(),
            "target_hash": hashlib.sha256(b"t%d" % number).hexdigest(),
            "acc": float(number % 2),
        }
        for number in range(6)
    ]
    write_lines(folder / f"samples_mine_{STAMP}.jsonl", samples)
    content = {
        "results": {"mine": {"alias": "mine", "acc,none": 0.5, "acc_stderr,none": 0.1}},
        "group_subtasks": {"mine": []},
        "configs": {"mine": {"task": "mine", "output_type": "multiple_choice", "dataset_path": "x", "num_fewshot": 0, "metadata": {"version": 1}}},
        "versions": {"mine": 1},
        "n-shot": {"mine": 0},
        "higher_is_better": {"mine": {"acc": True}},
        "n-samples": {"mine": {"original": 6, "effective": 6}},
        "config": {"model": "hf", "limit": None, "batch_size": 2, "fewshot_seed": 1234},
        "lm_eval_version": "0.4.11",
        "model_name": "org/model",
        "chat_template_sha": None,
        "fewshot_as_multiturn": False,
    }  # fmt: skip
    (folder / f"results_{STAMP}.json").write_text(json.dumps(content))
    _annotations(folder / "annotations.json", 6)
    outputs = [{"instruction": row["instruction"], "output": row["output"], "generator": "mine", "dataset": "x"} for row in ALPACA[:5]]
    (folder / "outputs.json").write_text(json.dumps(outputs))
    write_lines(folder / "own.jsonl", [{"query": f"q{n}", "choices": ["a", "b", "c"], "gold": n % 3} for n in range(5)])
    write_lines(folder / "asked.jsonl", [{"prompt": f"q{n}", "answer": ["a", "b"] if n % 2 else "c"} for n in range(5)])
    names = ["index", "model", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline"]
    gamed = [names, *([str(n), "m", "1.5", "0.1", "0.2", "True"] for n in range(805))]
    (folder / "df_gamed.csv").write_text("\n".join(map(",".join, gamed)))
    _tables(folder)


def _tables(folder: Path) -> None:
    """Tables of finished results: a row a run, and a row an item with every column."""
    runs = [
        {
            "arm": arm,
            "replicate": seed if arm == "random" else 0,
            "seed": seed,
            "task": task,
            "value": 0.5 + 0.1 * (arm == "selection") + seed / 50,
        }
        for task in ("one", "two")
        for arm in ("selection", "random", "base")
        for seed in range(1 if arm == "base" else 3)
    ]
    items = [
        {
            **run,
            "item": f"i{item}",
            "cluster": f"p{item // 2}",
            "source": "xy"[item % 2],
            "weight": 1.0 + item,
            "unit": "accuracy",
            "higher_is_better": True,
        }
        for run in runs[:6]
        for item in range(12)
    ]
    pl.DataFrame(runs).write_csv(folder / "runs.csv")
    pl.DataFrame(items).write_csv(folder / "items.csv")
    write_lines(folder / "items.jsonl", items)
    pl.DataFrame(items).write_parquet(folder / "items.parquet")


def _plans(folder: Path) -> None:
    arms = (
        PlannedArm("selection", rows=(("chosen.jsonl",),)),
        PlannedArm("random", pool=("pool.jsonl",), random_subsets=2),
        PlannedArm("old", checkpoints=(("one", "two"),)),
        PlannedArm("base", base_model=True),
    )
    folder.mkdir()
    plan = Experiment(
        arms,
        training=TrainingSettings(base="model", recipe={"epochs": 2, "learning_rate": 1e-5}, precision="fp32"),
        grading=GradingSettings(held_out=("held.jsonl",), lm_eval="mine", instructions="asked.jsonl", judge="judge", judge_url="https://a.example/v1", judge_key="JUDGE_KEY", items=3),
        statistics=StatisticsSettings(confidence=0.9),
        digests={"selection 0": "ab"},
    )  # fmt: skip
    plan.write(folder / "plan.toml")
    (folder / "instructsel.toml").write_text(
        '[score]\nindicators = "len"\nmodel = ["rew=a/b"]\n\n[cache.prune]\nlimit = "3MB"\n\n[rules.show]\njson = false\n\n[status]\njson = false\n'
    )


def _others(folder: Path) -> None:
    folder.mkdir()
    store = ReplyStore(folder / "replies", JUDGE)
    for number in range(4):
        store.add(f"question {number}", Reply(number / 4, None, True, "ab", "judge"))
    (folder / "reply.json").write_text(
        json.dumps(
            {
                "model": "judge",
                "choices": [
                    {
                        "message": {"role": "assistant", "content": "A"},
                        "logprobs": {"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -3.0}]}]},
                    }
                ],
                "usage": {"total_tokens": 12},
            }
        )
    )  # fmt: skip
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    judged = {"judged": {"enough_model": True, "tasks": {"mmlu": {"value": 0.4, "chance": 0.25}}}}
    (folder / "tinybase.json").write_text(json.dumps(judged))
    record = {"key": "k", "digest": "d", "seed": 0, "trainer": {"merge": True, "recipe": {"method": "full"}}, "steps": 3}
    (folder / "training.json").write_text(json.dumps(record))
    (folder / "trained").mkdir()
