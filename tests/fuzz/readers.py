"""Every reader of the project, with the valid files it is tried on: a new reader is one entry here."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from instructsel.cache import Cache, keys_of
from instructsel.commands import app
from instructsel.errors import InstructselError, UsageError
from instructsel.experiments.store import RecordStore, grades_of
from instructsel.grading.judge.clients import HttpJudgeClient
from instructsel.grading.judge.replies import ReplyStore
from instructsel.models.modules import read_modules
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.pool import Pool
from instructsel.reports.reading import read_artifact
from instructsel.reports.render import report
from instructsel.rules import catalog
from instructsel.rules.observations import Observations
from instructsel.scores.progress import latest, runs
from instructsel.scores.table import ScoreTable
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.study.folder import StudyFolder
from instructsel.verification.base_model import judged_base
from tests.fuzz import seeds

EXIT_CODES: Final = (0, 1, 2, 3, 4, 5)
FAULT: Final = "This is a fault of instructsel"
UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


class Broken(AssertionError):
    """A reader did what no reader may do, without an exception that says it."""


@dataclass(frozen=True)
class Reader:
    """A reader of files, and what it is tried on."""

    name: str
    copied: Sequence[str]
    """Files and folders of the seeds that it needs, by their path there; a folder's content goes to the top."""
    mutated: Sequence[str]
    """Patterns of the files that are mutated; of several, one or two at a time."""
    read: Callable[[Path], Any]
    """Reads them in their folder."""
    covers: Sequence[str] = ()
    """Kinds of results, row formats and containers that it reads."""
    modules: Sequence[str] = ()
    """Modules of the package in which the reading is done."""
    apart: tuple[str, ...] | None = None
    """Keys outside the digest of a record that carries its own; None where there is none."""
    bytes_too: bool = True
    """Whether bytes are changed without regard to what they mean."""
    weight: int = 4
    """How many inputs it gets, in units of the harness."""


def pool(*names: str, **options: Any) -> Callable[[Path], Any]:
    """Read a pool whole: its account, every example, and each row again."""

    def read(place: Path) -> None:
        result = Pool.read(*(place / name for name in names), **options)
        report = result.report
        if report.read != report.kept + report.n_dropped + report.n_quarantined or report.examples != len(result):
            raise Broken(f"rows are lost: {report.sentence()}, {len(result)} examples")
        if len(list(result.examples())) != len(result):
            raise Broken("examples are lost")
        if len(result):
            with contextlib.suppress(UsageError):
                # Of several formats, or of none that is written.
                result.write(place / "again.jsonl", list(range(len(result))))

    return read


def command(*arguments: str) -> Callable[[Path], Any]:
    """Call the command line in the folder of the files: its exit code is one of ours, and it says nothing that a terminal obeys."""

    def read(place: Path) -> None:
        before = Path.cwd()
        os.chdir(place)
        environment = {"INSTRUCTSEL_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
        try:
            done = CliRunner().invoke(app, list(arguments), prog_name="instructsel", env=environment)
        finally:
            os.chdir(before)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        text = f"{done.stdout}{done.stderr}"
        if done.exit_code not in EXIT_CODES or FAULT in text or "Traceback (most recent call" in text:
            raise Broken(f"exit code {done.exit_code}: {text[-600:]}")
        if done.exit_code in (2, 3, 4) and "error: " not in done.stderr:
            raise Broken(f"exit code {done.exit_code} without a reason: {text[-300:]}")
        if match := UNSAFE.search(text):
            raise Broken(f"prints {match.group()!r}: {text[max(0, match.start() - 100) : match.end() + 20]!r}")

    return read


def _table(name: str) -> Callable[[Path], Any]:
    def read(place: Path) -> None:
        table = ScoreTable.read(place / name)
        repr(table), table.fingerprint, table.manifest
        for symbol in table.symbols:
            table.null_fraction(symbol)

    return read


def _imported(name: str) -> Callable[[Path], Any]:
    """Join foreign scores, whose files are damaged, to a sound pool: each value is one that its file holds."""
    from instructsel.scores.imported import ImportedScores, ScoreFiles
    from instructsel.scores.run import score

    def read(place: Path) -> None:
        pool = Pool.read(place / "pool.jsonl")
        for join in ("auto", "id", "order", "row=id"):
            files = ScoreFiles(place / name, ["reward"], join=join)
            table = score(pool, [ImportedScores("reward", files, max_unmatched_fraction=1)])
            held = {float(value) for file in files.read(()) for value in file.columns["reward"].values}
            values, valid = table.values("reward")
            if not set(values[valid].tolist()) <= held:
                raise Broken("a value that no row of the file has")

    return read


def _selection_set(place: Path) -> None:
    chosen = SelectionSet.read(place / "chosen.jsonl")
    chosen.arms(), chosen.as_dict(), chosen.same_rows
    chosen.selections(), chosen.settings()
    chosen.candidates(chosen.pool([str(place / "pool.jsonl")]))


def _selection(place: Path) -> None:
    chosen = Selection.read(place / "chosen.selection.parquet")
    repr(chosen), chosen.kept_ids, len(chosen)


def _fit(name: str) -> Callable[[Path], Any]:
    from instructsel.rules.fit import fit

    def read(place: Path) -> None:
        observations = Observations.read(place / name)
        observations.labels("design"), observations.sources()
        fit(observations, bootstrap=0).rule("x").to_toml()

    return read


def _rule(name: str) -> Callable[[Path], Any]:
    def read(place: Path) -> None:
        rule = catalog.load(place / name)
        repr(rule), rule.as_dict()
        (place / "out").mkdir()
        rule.write(place / "out" / "again.toml")
        if catalog.load(place / "out" / "again.toml").as_dict() != rule.as_dict():
            raise Broken("a rule does not come back")

    return read


def _artifact(name: str) -> Callable[[Path], Any]:
    return lambda place: read_artifact(place / name)


def _effects(place: Path) -> None:
    from instructsel.commands._effects import drawn, lines
    from instructsel.study.effects import of_folder

    matrix = of_folder(place)
    lines(matrix), drawn(matrix.as_dict())


def _audit_report(name: str) -> Callable[[Path], Any]:
    return lambda place: report(place / name).html()


def _plan(place: Path) -> None:
    from instructsel.experiments.plan import Experiment
    from instructsel.experiments.plan_content import check_paths

    plan = Experiment.read(place / "plan.toml")
    plan.files, plan.baseline, plan.as_dict()
    plan.write(place / "again.toml")
    Experiment.read(place / "again.toml")
    with contextlib.suppress(InstructselError):
        check_paths(plan)


def _study_folder(place: Path) -> None:
    folder = StudyFolder(place)
    plan = folder.read()
    if plan is not None:
        folder.status(plan)
        plan.ranges(), plan.warnings(), plan.as_dict(), plan.runs


def _records(place: Path) -> None:
    store = RecordStore.of(place)
    for path in sorted((place / "runs").glob("*.json")):
        record = store.read(path.name.removesuffix(".json"), {})
        if record is not None and "values" in record:
            grades_of("loss", record)
    store.leased()


def _comparisons(place: Path) -> None:
    from instructsel.human.comparison import numbered, read_comparisons

    pairs, repeated = numbered(read_comparisons(place / "pairs.jsonl"))
    if len({pair.digest for pair in pairs}) != len(pairs) or repeated < 0:
        raise Broken("a pair stands twice")


def _judgments(name: str) -> Callable[[Path], Any]:
    from instructsel.human.files import is_judgments, read_judgments, write_judgments
    from instructsel.human.summary import summarize

    def read(place: Path) -> None:
        is_judgments(place / name)
        records = read_judgments(place / name)
        write_judgments(place / "again.jsonl", records)
        if read_judgments(place / "again.jsonl") != records:
            raise Broken("judgments do not come back")
        summarize(records, resamples=5).as_dict()

    return read


def _evaluation(place: Path) -> None:
    from instructsel.human.store import JudgmentStore

    store = JudgmentStore.open(place / "evaluation.sqlite3", create=False)
    try:
        list(store.records()), store.annotators, store.next_open(1), store.shown(1, 1)
    finally:
        store.close()


def _results(place: Path) -> None:
    from instructsel.adapters.lm_eval.results import read_results

    read_results(place)


def _results_table(name: str) -> Callable[[Path], Any]:
    from instructsel.grading.results_grades import grades_of_tables
    from instructsel.grading.results_table import ResultsTable, is_table

    def read(place: Path) -> None:
        is_table(place / name)
        table = ResultsTable.read(place / name)
        table.notes(), table.missing
        arms = grades_of_tables({arm: [(table, arm)] for arm in table.arms})
        values = sum(len(block.values) for block in table.blocks.values())
        graded = sum(len(grades.items) for arm in arms.values() for seeds in arm.grades for tasks in seeds for grades in tasks)
        if graded < values:
            raise Broken(f"values are lost: {graded} of {values}")

    return read


def _annotations(place: Path) -> None:
    from instructsel.adapters.alpaca_eval.files import read_annotations

    read_annotations(place / "annotations.json")


def _outputs(place: Path) -> None:
    from instructsel.adapters.alpaca_eval.files import read_outputs

    read_outputs(place / "outputs.json")


def _gamed(place: Path) -> None:
    from instructsel.adapters.alpaca_eval.length_control import check_files

    check_files(place)


def _own_task(name: str, kind: str) -> Callable[[Path], Any]:
    def read(place: Path) -> None:
        from instructsel.adapters.lm_eval.own_task import write_task

        write_task(place / name, place / "tasks", name="mine", kind=kind, max_bad_fraction=1.0)

    return read


def _reply(logprobs: bool) -> Callable[[Path], Any]:
    client = HttpJudgeClient("https://a.example/v1", "judge", logprobs=logprobs)

    def read(place: Path) -> None:
        reply = client._read((place / "reply.json").read_bytes())
        if (reply.share is None) == (reply.reason is None) or (reply.share is not None and not 0 <= reply.share <= 1):
            raise Broken(f"{reply}")

    return read


def _replies(place: Path) -> None:
    store = ReplyStore(place / "replies", seeds.JUDGE)
    for question, reply in store.replies.items():
        if not isinstance(question, str) or (reply.share is not None and not 0 <= reply.share <= 1):
            raise Broken(f"{question!r}: {reply}")


def _finished(place: Path) -> None:
    from instructsel.adapters.checkpoint_folder import finished, last_state

    finished(place, "k")
    last_state(place, "k")


def _cache(place: Path) -> None:
    from instructsel.indicators.base import Batch
    from instructsel.indicators.plausibility import Plausibility

    os.chmod(place / "cache", 0o700)
    cache = Cache.open(place / "cache")
    cache.usage(), list(runs(cache)), cache.damaged()
    with contextlib.suppress(InstructselError):
        latest(cache, place)
    assert keys_of(["a"]) is not None and Batch and Plausibility


def _baseline(place: Path) -> None:
    """A baseline whose header is forged or whose arrays are damaged: every part of it, and a change that is compared with it."""
    from instructsel.gates.baseline.baseline import Baseline
    from instructsel.gates.reading import read_change

    baseline = Baseline.read(place / "pool.baseline")
    baseline.fingerprint, baseline.identities.labels, len(baseline)
    for name in baseline.about:
        baseline.part(name)
    for position in range(len(baseline)):
        baseline.identities.place(position)
    change = read_change([str(place / "pool.jsonl")], baseline=place / "pool.baseline")
    change.gone, change.rows, change.known.statement(baseline.identities)
    Baseline.read_whole(place / "pool.baseline")


def _items(name: str) -> Callable[[Path], Any]:
    """An evaluation set, or an index of one: its counts, and a pool that is compared with it."""

    def read(place: Path) -> None:
        from instructsel.gates.contamination.index import ItemIndex
        from instructsel.gates.contamination.matching import find_items

        index = ItemIndex.of([str(place / name)])
        rows = [{"instruction": "Which of the twelve harbours of the northern coast was closed?", "output": "The third."}]
        index.as_dict(), list(find_items(index, Pool.of(rows).examples()))
        index.write(place / "again.index")

    return read


def _gate_config(name: str) -> Callable[[Path], Any]:
    from instructsel.gates.config import GateConfig

    def read(place: Path) -> None:
        config = GateConfig.read(place / name)
        config.files(), repr(config)

    return read


def _conversion(key: str, name: str, **settings: Any) -> Callable[[Path], Any]:
    """An original through its conversion: its account, and each line again."""

    def read(place: Path) -> None:
        from instructsel.mixtures.conversions import convert

        result = convert(key, [place / name], **settings)
        report = result.report
        if report.read != report.kept + report.n_dropped + report.n_quarantined or report.examples != len(list(result.rows())):
            raise Broken(f"rows are lost: {report.sentence()}, {len(result)} conversations")
        if len({row["id"] for row in result.rows()}) != len(result):
            raise Broken("conversations have one id")

    return read


def _recipe(place: Path) -> None:
    from instructsel.mixtures.plan import Plan
    from instructsel.mixtures.recipe import MixtureRecipe

    Plan.of(MixtureRecipe.read(place / "recipe.toml")).as_dict()


def _mixture(place: Path) -> None:
    from instructsel.mixtures.mixture import Mixture

    # Its manifest says which field of a row is the source, before anything is checked.
    pool("mixed.jsonl")(place)
    mixture = Mixture.read(place / "mixed.jsonl")
    repr((mixture.licences, mixture.shares, mixture.non_commercial, mixture.hash, mixture.name))
    mixture.check()
    mixture.changed_inputs()


def _gate_verdict(name: str) -> Callable[[Path], Any]:
    from instructsel.gates.record import read_findings

    def read(place: Path) -> None:
        read_findings(place / name)
        report(place / name).html()

    return read


COPIES: Final[Mapping[str, str]] = {"scored": "scored", "verified": "verified", "study": "study/s", "sizes": "sizes"}

READERS: Final[tuple[Reader, ...]] = (
    # Pools: every row format, every container, every compression.
    *(
        Reader(f"pool {name}", [f"pools/{name}.jsonl"], ["*.jsonl"], pool(f"{name}.jsonl", **options), [name], ["pool.lines", "pool.sources"])
        for name, options in ((name, {"format": Mapped.parse("instruction=ask,response=say")} if name == "mapped" else {}) for name in seeds.ROWS)
    ),
    *(
        Reader(f"conversion {key}", [f"pools/{name}"], [name], _conversion(key, name, **settings), [], modules, weight=2)
        for key, name, settings, modules in (
            ("dolly", "dolly.jsonl", {}, ["mixtures.conversions._run"]),
            ("unnatural_instructions", "unnatural_instructions.jsonl", {}, []),
            ("super_ni", "super_natural_instructions.jsonl", {"zero_shot": 1}, []),
            ("cot", "flan.jsonl", {"zero_shot": 1}, []),
            ("oasst1", "oasst_tree.jsonl", {"paths": "every-response", "top_k": 1}, []),
            ("sharegpt", "sharegpt.jsonl", {"count": lambda texts: list(map(len, texts))}, []),
            ("baize", "baize.jsonl", {}, []),
        )
    ),
    Reader("pool array", ["pools/array.json"], ["array.json"], pool("array.json"), ["json"], ["pool.lines", "pool.values", "pool.json_text"]),
    Reader("pool joined", ["pools/joined.json"], ["joined.json"], pool("joined.json"), [], ["pool.values"]),
    Reader("pool spread", ["pools/spread.jsonl"], ["spread.jsonl"], pool("spread.jsonl"), [], ["pool.text_files"]),
    Reader("pool utf-16", ["pools/wide.jsonl"], ["wide.jsonl"], pool("wide.jsonl"), [], ["pool.text_files"]),
    Reader("pool csv", ["pools/table.csv"], ["table.csv"], pool("table.csv"), ["csv"], ["pool.records"]),
    Reader("pool semicolons", ["pools/semicolons.csv"], ["semicolons.csv"], pool("semicolons.csv"), [], ["pool.text_files"]),
    Reader("pool tsv", ["pools/table.tsv"], ["table.tsv"], pool("table.tsv"), ["tsv"]),
    Reader("pool parquet", ["pools/turns.parquet"], ["turns.parquet"], pool("turns.parquet"), ["parquet"], ["pool.columnar"]),
    Reader("pool arrow", ["pools/turns.arrow"], ["turns.arrow"], pool("turns.arrow"), ["arrow"], ["pool.columnar", "pool._columnar_child"]),
    Reader("pool arrow stream", ["pools/stream.arrow"], ["stream.arrow"], pool("stream.arrow")),
    Reader("pool shards", ["pools/shards"], ["data/*.parquet", "README.md"], pool("."), [], ["pool.folders", "pool.writer"]),
    Reader("pool saved", ["pools/saved"], ["train/*", "*.json"], pool("."), [], ["pool.folders"]),
    Reader("pool gzip", ["pools/packed.jsonl.gz"], ["*.gz"], pool("packed.jsonl.gz"), ["gz"]),
    Reader("pool zstd", ["pools/packed.jsonl.zst"], ["*.zst"], pool("packed.jsonl.zst"), ["zst", "jsonl"]),
    Reader("pool csv gzip", ["pools/packed.csv.gz"], ["*.gz"], pool("packed.csv.gz")),
    Reader("pool several", ["pools/alpaca.jsonl", "pools/table.csv"], ["*"], pool("alpaca.jsonl", "table.csv"), [], ["pool.writer"]),
    # Score tables and selections.
    Reader("scores parquet", ["scored"], ["pool.scores.parquet", "pool.scores.parquet.json"], _table("pool.scores.parquet"), ["scores"], ["scores.table", "tables", "artifact"], weight=8),
    Reader("scores csv", ["scored"], ["table.csv", "table.csv.json"], _table("table.csv"), [], ["tables"], weight=8),
    Reader("selection", ["scored"], ["chosen.selection.parquet", "chosen.selection.parquet.json"], _selection, ["selection"], weight=8),
    Reader("selection set", ["scored"], ["chosen*"], _selection_set, ["selection-set"], ["selection.selection_set"], weight=8),
    Reader("selection of the last release", ["last_release"], ["chosen*"], _selection_set, weight=4),
    Reader("artifact scores", ["scored"], ["table.csv", "table.csv.json"], _artifact("table.csv"), [], ["reports.reading"]),
    Reader("artifact selection", ["scored"], ["chosen*"], _artifact("chosen.jsonl")),
    *(
        Reader(f"imported {name}", [f"imports/{name}", "scored/pool.jsonl"], [name], _imported(name), [], ["scores.score_files"] if name.endswith("jsonl") else [], bytes_too=not name.endswith(".parquet"), weight=4)
        for name in ("foreign.jsonl", "foreign.csv", "foreign.parquet")
    ),
    Reader("score imports", ["imports/foreign.csv", "scored/pool.jsonl"], ["foreign.csv"], command("score", "pool.jsonl", "--import", "foreign.csv", "--column", "reward", "--no-cache", "-o", "new.scores.parquet"), weight=1),
    Reader("export to llamafactory", ["exports", "scored/pool.jsonl"], ["dataset_info.json"], command("export", "pool.jsonl", "--to", "llamafactory", "-o", "."), [], ["adapters.exports.llama_factory"], weight=1),
    # Rules and observations.
    Reader("rule", ["scored/mine.toml"], ["mine.toml"], _rule("mine.toml"), [], ["rules.catalog"], weight=8),
    Reader("rule fitted", ["study/fitted.toml"], ["fitted.toml"], _rule("fitted.toml"), weight=8),
    Reader("observations csv", ["study/observations.csv"], ["*.csv"], _fit("observations.csv"), [], ["rules.observations"]),
    Reader("observations jsonl", ["study/observations.jsonl"], ["*.jsonl"], _fit("observations.jsonl")),
    Reader("observations parquet", ["study/plain.parquet"], ["*.parquet"], _fit("plain.parquet"), bytes_too=False),
    Reader("study table", ["study/s"], ["study.parquet", "study.parquet.json"], _artifact("study.parquet"), ["study"], weight=8),
    Reader("study plan", ["study/s"], ["plan.json"], _study_folder, ["study-plan"], ["study.folder", "study.results"], weight=8),
    Reader("study plan of the last release", ["last_release/study"], ["plan.json", "runs/*"], _study_folder, apart=("run",)),
    Reader("study folder", ["study/s"], ["*", "runs/*"], _artifact("."), apart=("run",)),
    Reader("effects of a study", ["study/one-source"], ["plan.json", "runs/*"], _effects, [], ["study.effects"], apart=("run",), weight=2),
    Reader("effect matrix", ["study/effects.json"], ["effects.json"], _audit_report("effects.json"), ["effects"]),
    Reader("size search", ["sizes"], ["*.json"], _artifact("."), ["size-search"], ["study.size_search", "study.results"], apart=("run",), weight=8),
    Reader("size search of the last release", ["last_release/sizes"], ["*.json"], _artifact("."), apart=("run",)),
    # Audits.
    Reader("audit", ["audits/audit.json"], ["audit.json"], _audit_report("audit.json"), ["audit"], ["audits.reading", "audits.shape"], weight=8),
    Reader("audit rows", ["audits/rows.csv", "audits/rows.csv.json"], ["rows.csv", "rows.csv.json"], _audit_report("rows.csv"), weight=4),
    # Gates.
    Reader("evaluation set", ["gates"], ["questions.jsonl"], _items("questions.jsonl"), [], ["gates.contamination.items"]),
    Reader("evaluation index", ["gates"], ["evals.index"], _items("evals.index"), ["eval-index"], ["gates.contamination.index"]),
    Reader("gate config", ["gates"], ["gate.toml"], _gate_config("gate.toml"), [], ["gates.config"]),
    Reader("gate config yaml", ["gates"], ["gate.yaml"], _gate_config("gate.yaml"), [], ["gates.config"]),
    Reader("gate waivers", ["gates"], ["gate.toml"], command("gate", "waive", "IS010=12345678", "--reason", "x", "--expires", "2099-01-01"), [], ["gates.waiving"]),
    Reader("gate again", ["gates"], ["gate.toml", "gate.json", "new.jsonl"], command("gate", "--to", "json"), weight=2),
    Reader("gate verdict", ["gates"], ["gate.json"], _gate_verdict("gate.json"), ["gate"], ["gates.record"]),
    Reader("gate findings", ["gates"], ["findings.parquet", "findings.parquet.json"], _gate_verdict("findings.parquet")),
    Reader("gate findings csv", ["gates"], ["findings.csv", "findings.csv.json"], _gate_verdict("findings.csv")),
    Reader("baseline", ["gates"], ["pool.baseline"], _baseline, ["baseline"], ["gates.baseline.baseline", "gates.baseline.tensor_file"], weight=8),
    # Mixtures.
    Reader("recipe of a mixture", ["mixtures"], ["recipe.toml"], _recipe, [], ["mixtures.recipe"], weight=8),
    Reader("mixture", ["mixtures"], ["mixed.jsonl.json"], _mixture, ["mixture"], ["mixtures.mixture", "pool.row_sources"], weight=8),
    Reader("command mix check", ["mixtures"], ["mixed.jsonl.json"], command("mix", "check", "mixed.jsonl"), weight=2),
    # Experiments and verifications.
    Reader("plan", ["plans/plan.toml"], ["plan.toml"], _plan, ["experiment"], ["experiments.plan"], weight=8),
    Reader("verdict", ["verified/v"], ["verdict.json"], _artifact("verdict.json"), ["verification"], ["verification.results"], apart=("run",), weight=8),
    Reader("verification", ["verified/v"], ["verification.parquet.json", "verdict.json", "verification.parquet"], _artifact("."), [], ["verification.verification"], apart=("run",)),
    Reader("records", ["records"], ["runs/*"], _records, [], ["experiments.store", "experiments.leases"], apart=(), weight=8),
    # Results of other programs, outputs, annotations, replies.
    Reader("lm-eval results", ["results"], ["results_*", "samples_*"], _results, [], ["adapters.lm_eval.results"], weight=8),
    *(
        Reader(f"results table {name}", [f"results/{name}"], [name], _results_table(name), [], ["grading.results_table", "grading.results_grades"], bytes_too=not name.endswith(".parquet"), weight=8)
        for name in ("runs.csv", "items.csv", "items.jsonl", "items.parquet")
    ),
    Reader("command verify results table", ["results/runs.csv"], ["runs.csv"], command("verify", "--results", "runs.csv", "-o", "out")),
    Reader("annotations", ["results/annotations.json"], ["annotations.json"], _annotations, [], ["adapters.alpaca_eval.files"], weight=8),
    Reader("comparisons", ["people/pairs.jsonl"], ["pairs.jsonl"], _comparisons, [], ["human.comparison"]),
    *(Reader(f"judgments {name}", [f"people/judged.{name}"], ["judged.*"], _judgments(f"judged.{name}"), [], ["human.files"]) for name in ("csv", "jsonl")),
    Reader("judgments workbook", ["people/judged.xlsx"], ["judged.*"], _judgments("judged.xlsx"), weight=1),
    Reader("evaluation by people", ["people/evaluation.sqlite3"], ["evaluation.sqlite3"], _evaluation, [], ["human.store"], weight=2),
    Reader("command verify judgments", ["people/judged.csv"], ["judged.csv"], command("verify", "--results", "judged.csv", "--candidate", "mine", "-o", "out"), weight=1),
    Reader("command judge-app", ["people/judged.csv"], ["judged.csv"], command("judge-app", "judged.csv", "--summary"), ["human-judgments"], weight=1),
    Reader("outputs", ["results/outputs.json"], ["outputs.json"], _outputs),
    Reader("length-control file", ["results/df_gamed.csv"], ["df_gamed.csv"], _gamed, [], ["adapters.alpaca_eval.length_control"]),
    Reader("own choices", ["results/own.jsonl"], ["own.jsonl"], _own_task("own.jsonl", "multiple_choice")),
    Reader("own questions", ["results/asked.jsonl"], ["asked.jsonl"], _own_task("asked.jsonl", "generate")),
    Reader("judge reply", ["others/reply.json"], ["reply.json"], _reply(False), [], ["grading.judge.clients"]),
    Reader("judge reply with logprobs", ["others/reply.json"], ["reply.json"], _reply(True), weight=8),
    Reader("judge replies", ["others"], ["replies/*"], _replies, [], ["grading.judge.replies"]),
    Reader("training record", ["others"], ["training.json"], _finished, [], ["adapters.checkpoint_folder"]),
    Reader("base record", ["others"], ["tinybase.json"], judged_base, [], ["verification.base_model"]),
    Reader("modules of a model", ["others/modules.json"], ["modules.json"], read_modules, [], ["models.modules"]),
    Reader("cache", ["last_release"], ["cache/shelves/*/*"], _cache, [], ["cache", "scores.progress"]),
    # Commands: what they make of such files, exit codes and terminal included.
    Reader("rules show", ["scored/mine.toml"], ["mine.toml"], command("rules", "show", "mine.toml")),
    Reader("rules show fitted", ["study/fitted.toml"], ["fitted.toml"], command("rules", "show", "fitted.toml", "--json")),
    Reader("rules fit", ["study/observations.csv"], ["observations.csv"], command("rules", "fit", "observations.csv", "--bootstrap", "0", "-o", "-")),
    Reader("explain", ["scored"], ["chosen*", "pool.scores.parquet", "pool.jsonl"], command("explain", "pool.jsonl:3"), [], ["selection.files"]),
    Reader("explain selection", ["scored"], ["chosen*"], command("explain", "pool.jsonl:3", "--selection", "chosen.jsonl")),
    Reader("diff", ["scored"], ["chosen*", "pool.jsonl"], command("diff", "chosen.jsonl", "chosen.longest.jsonl")),
    Reader("diff rules", ["scored"], ["mine.toml", "pool.scores.parquet"], command("diff", "mine.toml", "longest", "--scores", "pool.scores.parquet")),
    Reader("select", ["scored"], ["pool.scores.parquet", "pool.scores.parquet.json", "mine.toml", "pool.jsonl"], command("select", "pool.scores.parquet", "--rule", "mine.toml", "--n", "4", "--max-null-fraction", "1", "-o", "new.jsonl"), weight=8),
    Reader("select again", ["scored"], ["chosen*"], command("select", "pool.scores.parquet", "--rule", "longest", "--n", "4", "-o", "chosen.jsonl")),
    Reader("report selection", ["scored"], ["chosen*", "pool.scores.parquet"], command("report", "chosen.jsonl", "-o", "r.html"), [], ["reports.render", "reports.inputs"], weight=8),
    Reader("report verification", ["verified/v"], ["*"], command("report", ".", "-o", "r.md"), apart=("run",), weight=8),
    Reader("report sizes", ["sizes"], ["*.json"], command("report", ".", "-o", "r.md"), apart=("run",)),
    Reader("report study", ["study/s"], ["*", "runs/*"], command("report", ".", "-o", "r.md"), apart=("run",)),
    Reader("report audit", ["audits"], ["audit*"], command("report", "audit.json", "-o", "r.md"), weight=2),
    Reader("report written", ["scored"], ["chosen*"], command("report", "chosen.jsonl", "-o", "r.json"), weight=2),
    Reader("audit again", ["audits", "pools/alpaca.jsonl"], ["audit*"], command("audit", "alpaca.jsonl", "--base", "no-model", "-o", "audit.json"), weight=2),
    Reader("status", ["records", "verified/v"], ["*.toml", "*.json", "runs/*"], command("status", "."), [], ["commands.status"], apart=("run",)),
    Reader("status of a study", ["study"], ["s/*", "s/runs/*"], command("status", "s"), apart=("run",)),
    Reader("study status", ["study"], ["s/*", "s/runs/*"], command("study", "status", "s"), apart=("run",)),
    Reader("verify again", ["verified"], ["v/*", "*.json"], command("verify", "v/plan.toml", "-o", "v"), [], ["verification.experiment", "verification.planned"], apart=("run",), weight=8),
    Reader("verify plan", ["plans/plan.toml"], ["plan.toml"], command("verify", "plan.toml", "-o", "v", "--judge-url", "https://a.example/v1", "--judge-key", "JUDGE_KEY")),
    Reader("settings", ["plans/instructsel.toml"], ["instructsel.toml"], command("rules", "show", "eq4"), [], ["commands._settings"]),
    Reader("settings printed", ["plans/instructsel.toml"], ["instructsel.toml"], command("score", "p", "--print-config")),
    Reader("cache show", ["last_release"], ["cache/shelves/*/*"], command("cache", "show"), [], ["commands.cache"]),
    Reader("score", ["scored"], ["pool.jsonl"], command("score", "pool.jsonl", "--indicators", "len_in,mtld", "--no-cache", "-o", "new.scores.parquet"), weight=1),
)  # fmt: skip


def by_name(name: str) -> Reader:
    return next(reader for reader in READERS if reader.name == name)


def lay_out(reader: Reader, source: Path, place: Path) -> list[Path]:
    """Copy what a reader needs into a folder; the files of it that are mutated."""
    for name in reader.copied:
        entry = source / name
        if entry.is_dir():
            shutil.copytree(entry, place, dirs_exist_ok=True)
        else:
            shutil.copy(entry, place / entry.name)
    files = {path for pattern in reader.mutated for path in place.glob(pattern) if path.is_file()}
    assert files, f"{reader.name} has no file to mutate"
    return sorted(files)


FUNCTIONS: Final[Mapping[str, str]] = {
    "gates.contamination.index:ItemIndex.of": "evaluation set",
    "gates.contamination.index:ItemIndex.read": "evaluation index",
    "artifact:read_manifest": "scores csv",
    "audits.reading:read_audit": "audit",
    "cache:Cache.open": "cache",
    "commands._study_launch:LaunchSettings.of": "study status",
    "experiments.plan:Experiment.read": "plan",
    "experiments.store:RecordStore.of": "records",
    "gates.baseline.baseline:Baseline.read": "baseline",
    "gates.baseline.baseline:Baseline.read_whole": "baseline",
    "gates.baseline.tensor_file:TensorFile.open": "baseline",
    "gates.config:GateConfig.of": "gate config",
    "gates.config:GateConfig.read": "gate config",
    "mixtures.mixture:Mixture.read": "mixture",
    "mixtures.recipe:MixtureRecipe.of": "recipe of a mixture",
    "mixtures.recipe:MixtureRecipe.read": "recipe of a mixture",
    "gates.reading:read_change": "baseline",
    "gates.record:read_findings": "gate findings",
    "gates.record:read_gate": "gate verdict",
    "grading.results_table:ResultsTable.read": "results table runs.csv",
    "grading.results_table:read_table": "results table runs.csv",
    "models.modules:read_modules": "modules of a model",
    "reports.reading:read_artifact": "artifact selection",
    "rules.catalog:load": "rule",
    "rules.observations:Observations.read": "observations csv",
    "scores.progress:latest": "cache",
    "scores.score_files:read_score_file": "imported foreign.jsonl",
    "scores.table:ScoreTable.read": "scores parquet",
    "scores.table:newest": "cache",
    "selection.selection:Selection.read": "selection",
    "selection.selection_set:SelectionSet.read": "selection set",
    "selection.selection_set:Subset.of": "selection set",
    "study.folder:Plan.of": "study plan",
    "study.effects:of_folder": "effects of a study",
    "study.results:read_effects": "effect matrix",
    "study.results:read_plan": "study folder",
    "study.results:read_size_search": "size search",
    "study.results:read_study": "study table",
    "study.size_search:read_search": "size search",
    "study.study:Study.read": "study table",
    "tables:read_frame": "scores csv",
    "verification.results:read_verdict": "verdict",
    "verification.results:read_verification": "verification",
    "verification.verification:Verification.read": "verification",
    "adapters.alpaca_eval.files:read_annotations": "annotations",
    "adapters.alpaca_eval.files:read_outputs": "outputs",
    "human.comparison:read_comparisons": "comparisons",
    "human.files:read_judgments": "judgments csv",
    "human.store:JudgmentStore.open": "evaluation by people",
    "adapters.experiment:read_finished": "verify again",
    "adapters.lm_eval.results:read_results": "lm-eval results",
    "pool.sources:open_source": "pool alpaca",
}
"""Public function that reads a path → the entry that tries it. A new one is refused until it stands here, or in APART."""
MODELS: Final = "tests/models/test_hostile_folders.py tries folders of models"
APART: Final[Mapping[str, str]] = {
    "adapters.exports.run:Target.of": "names what is written, and reads nothing",
    "commands.demo:Difficulty.of": "the cache of its own folder, by `score`",
    "commands._options:open_cache": "the cache of its own entry, by a flag",
    "grading.chat:ChatTemplate.load": MODELS,
    "models.json_files:read_json": MODELS,
    "models.json_files:read_value": MODELS,
    "models.plausibility:PlausibilityModel.load": "weights of the package itself, or checked against their digest",
    "models.weights:read_tensors": MODELS,
    "structured:read_bytes": "tests/test_structured.py",
    "structured:read_json": "tests/test_structured.py",
    "structured:read_toml": "tests/test_structured.py",
}
"""Public function that reads a path and has no entry → who tries it instead."""
OURS: Final = "what this process wrote, or the package itself holds"
QUOTED: Final = "text that its caller has read and checked"
MODULES_APART: Final[Mapping[str, str]] = {
    "_rendering_child": OURS,
    "rendering": OURS,
    "adapters.exports.open_instruct_tokens": MODELS,
    "gates.checks.registry": OURS,
    "gates.outputs.base": "a file to be replaced, of which any fault means that it is none of ours: tests/gates/outputs",
    "mixtures.catalogue": OURS,
    "mixtures.conversions._templates": OURS,
    "audits.checks.tools_dropped": QUOTED,
    "pool.one_object": "code that a message quotes",
    "commands.doctor": MODELS,
    "grading.generation": MODELS,
    "grading.judge.injection": OURS,
    "grading.tokenization": MODELS,
    "models.chat_files": MODELS,
    "neighbors.plain_bert": MODELS,
    "pieces": MODELS,
    "pool.exact_json": QUOTED,
    "pool.message": QUOTED,
    "models.context": MODELS,
    "models.embedded_lm": "files of a package, checked against their digest",
    "models.json_files": MODELS,
    "models.load": MODELS,
    "models.peft_adapter": MODELS,
    "models.plausibility": OURS,
    "models.reward": MODELS,
    "models.vetting": MODELS,
    "models.weights": MODELS,
    "neighbors.encoder": MODELS,
    "audits.subject": MODELS,
    "adapters.stop_tokens": MODELS,
    "reports.audit_page": OURS,
    "scores.estimate": OURS,
    "scores.merge": OURS,
    "scores.with_scores": "rows of a pool that was read",
    "structured": "tests/test_structured.py",
    "study.mixing": OURS,
    "study.study": OURS,
    "verification.concluding": OURS,
    "verification.loss_evidence": OURS,
    "adapters.alpaca_eval.completions": OURS,
    "adapters.alpaca_eval.judge": "tests/adapters/test_alpaca_eval.py tries configurations of annotators",
    "commands.audit": "tests/commands/test_audit_command.py",
    "commands.demo": "tests/fuzz/test_command_line.py",
}
"""Module that parses and has no entry → why."""
