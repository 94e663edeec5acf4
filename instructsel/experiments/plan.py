"""Experiments: a frozen plan of what is trained and graded alike, and how the grades are compared.

    plan = Experiment(
        arms=(PlannedArm("selection", rows=(("chosen.jsonl",),)), PlannedArm("random", pool=("pool.jsonl",), random_subsets=3)),
        training=TrainingSettings(base="my-org/my-model", recipe={"epochs": 2}),
        grading=GradingSettings(held_out=("held-out.jsonl",)),
    )
    plan.write("plan.toml")

A plan holds everything a result depends on: arms × replicates × seeds × graders × recipe × matching × estimand. `instructsel verify`
makes one of its flags, runs it, and leaves it as plan.toml beside the results; `instructsel verify plan.toml` runs it again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from instructsel.artifact import atomic_write, checked_version
from instructsel.errors import ScoresError, UsageError
from instructsel.experiments.limits import MOST_ROWS, MOST_SEEDS, MOST_SUBSETS, between, check_limits
from instructsel.experiments.plan_content import FILE, FILE_OR_NAME, NAMED_FILE, NOT_WRITTEN, as_content, named_file, parsed, with_paths
from instructsel.experiments.trusted import REACHING, agrees, does, flags, reaching
from instructsel.kinds import EXPERIMENT, head
from instructsel.magnitude import is_usable
from instructsel.models.devices import check_name
from instructsel.paths import resolved
from instructsel.pool.reading_options import ReadingOptions
from instructsel.shapes import shown
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.stats.variance import BOTH, CONFIDENCE, ESTIMANDS
from instructsel.structured import Refusal, read_toml
from instructsel.toml import dumps

PLAN: Final = "plan.toml"
"""A plan beside its results."""
SELECTION: Final = "selection"
"""The arm that the verdict is about."""
RANDOM: Final = "random"
WHOLE_POOL: Final = "whole-pool"
BASE: Final = "base"
"""The base model as it is."""
BETTER: Final = "better"
NON_INFERIOR: Final = "non-inferior"
REQUIREMENTS: Final = (BETTER, NON_INFERIOR)
PRECISIONS: Final = ("fp32", "bf16", "auto")
TRACKERS: Final = ("none", "trackio", "wandb", "tensorboard")
MOST_MULTIPLE: Final = 1_000_000
"""Of a learning rate."""
MATCHING: Final = ("steps", "tokens", "none")
SAME_TASKS: Final = "lm-eval"
"""Instead of tasks: those of --lm-eval."""


@dataclass(frozen=True)
class PlannedArm:
    """What is compared: rows to train on, random subsets of a pool, models that are trained already, or finished results."""

    name: str
    """As verdicts call it; the arm `selection` is the one that the verdict is about."""
    rows: tuple[tuple[str, ...], ...] = field(default=(), metadata=FILE)
    """Files of rows to train on: one list a replicate."""
    pool: tuple[str, ...] = field(default=(), metadata=FILE)
    """Files of a pool that random subsets are taken of, each as large as the selection."""
    random_subsets: int = field(default=0, metadata=between(0, MOST_SUBSETS))
    """How many of them: replicate k is taken with seed k."""
    checkpoints: tuple[tuple[str, ...], ...] = field(default=(), metadata=FILE_OR_NAME)
    """Models that are trained already: one list a replicate, a model a seed."""
    results: tuple[tuple[str, ...], ...] = field(default=(), metadata=FILE)
    """Finished results of lm-evaluation-harness or AlpacaEval: one list a replicate, a path a seed; or tables of results and people's judgments, each
    with all runs. Judgments may stand beside any of the others, tables and judgments also beside rows and models: further grades of the same runs."""
    table_arm: str = ""
    """What the arm is called in the tables of its results, where that is not its name."""
    base_model: bool = False
    """Whether it is the base model as it is."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("An arm of a plan needs a name.")
        check_limits(self)
        sources = [self.rows, self.pool, self.checkpoints, self.base_model]
        if sum(map(bool, sources)) > 1 or not (any(sources) or self.results):
            raise UsageError(
                f"The arm {self.name} needs one of rows, pool, checkpoints, base_model and results; found {sum(map(bool, sources))}.",
                fix="Leave one; results may stand beside it.",
            )
        if bool(self.pool) != (self.random_subsets > 0):
            raise UsageError(f"The arm {self.name} needs a pool and the number of its random subsets.", fix="Give both, or neither.")
        if self.table_arm and not self.results:
            raise UsageError(f"The arm {self.name} has a name in tables of results, and no results.", fix="Leave table_arm out.")


@dataclass(frozen=True)
class TrainingSettings:
    """How every arm is trained."""

    base: str = field(default="", metadata=FILE_OR_NAME)
    """Model to fine-tune: a local folder, a hub id, or embedded."""
    revision: str | None = None
    """Revision of the base on the hub."""
    preset: str = "paper-v1"
    """Recipe: paper-v1, paper-v2, tulu-7b, tulu-13b, tulu-30b, tulu-65b, tulu-lora-2023, tulu-lora-2024, tulu-qlora-2024, tulu-lora-advice, or
    tiny for a base of a few million parameters."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the recipe that differ from the preset, by name."""
    match_compute: str = "steps"
    """Every arm gets as many steps or tokens as the selection has in its epochs; none: each its own epochs."""
    max_skipped_fraction: float = field(default=0.05, metadata=between(0, 1))
    """Share of an arm's rows that may have no loss token."""
    precision: str = "auto"
    """fp32, bf16 or auto, of training and grading alike."""
    device: str = "auto"
    """cpu, cuda or auto."""
    learning_rates: tuple[float, ...] = ()
    """Multiples of the recipe's learning rate that every arm is trained at, e.g. 1,0.33: the verdict says whether it depends on it."""
    report_to: str = "none"
    """Tracker of losses as they come: trackio, wandb, tensorboard or none."""
    project: str = "instructsel"
    """What the runs of --report-to are filed under."""

    def __post_init__(self) -> None:
        check_limits(self)
        check_name(self.device)
        object.__setattr__(self, "learning_rates", _multiples(self.learning_rates))
        if self.precision not in PRECISIONS:
            raise UsageError.named(self.precision, PRECISIONS, noun="precision")
        if self.report_to not in TRACKERS:
            raise UsageError.named(self.report_to, TRACKERS, noun="tracker")
        if self.match_compute not in MATCHING:
            raise UsageError.named(self.match_compute, MATCHING, noun="measure of equal compute")


def _multiples(stated: Sequence[float | str]) -> tuple[float, ...]:
    """Multiples of a learning rate, as numbers or as texts with commas.

    Raises:
        UsageError: no numbers above 0, or one of them twice.
    """
    texts = [part.strip() for entry in stated for part in (entry.split(",") if isinstance(entry, str) else [str(entry)]) if part.strip()]
    numbers: list[float] = []
    for text in texts:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (0 < number <= MOST_MULTIPLE) or number in numbers:
            raise UsageError(
                f"Multiples of the learning rate are different numbers above 0, up to {MOST_MULTIPLE:,}; found {', '.join(texts)[:60]}.",
                fix="For example: 1,0.33",
            )
        numbers.append(number)
    return tuple(numbers)


@dataclass(frozen=True)
class GradingSettings:
    """How every model is graded."""

    held_out: tuple[str, ...] = field(default=(), metadata=NAMED_FILE)
    """Held-out rows: the loss of their responses is measured. SKILL=FILE names what a file measures."""
    loss_unit: str = AUTO
    """Unit of losses: nats-per-token, bits-per-byte, or auto: per token where all models have one tokenizer and chat template, else per byte."""
    lm_eval: str | None = None
    """Tasks of lm-evaluation-harness, comma-separated, or a suite: open-llm, tulu, tulu-paper."""
    gold_bits: str | None = None
    """Tasks of lm-evaluation-harness whose gold answers are graded, in bits per byte: comma-separated, a suite, or lm-eval for those of --lm-eval."""
    include_path: Path | None = field(default=None, metadata=FILE)
    """Folder with tasks of your own."""
    num_fewshot: int | None = field(default=None, metadata=between(0, 10_000))
    """Demonstrations before each item; by default the task's own number."""
    chat_template: bool = False
    """Write the prompts of tasks in the chat template."""
    items: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Take the first N items of each task."""
    allow_unsafe_code: bool = False
    """Run code that the model writes; in a sandbox only."""
    allow_task_code: bool = False
    """Run code that tasks of --include-path and a folder's annotator bring along, and models they name."""
    instructions: str | None = field(default=None, metadata=FILE)
    """Rows whose instructions every model responds to, for a judge or a reward model."""
    max_new_tokens: int = field(default=512, metadata=between(1, 10_000_000))
    """Tokens of a response at most."""
    judge: str | None = field(default=None, metadata=FILE_OR_NAME)
    """Model that compares responses: a local folder, a hub id, or a name behind --judge-url."""
    judge_revision: str | None = None
    """Revision of the judge."""
    judge_url: str | None = None
    """OpenAI-compatible address of the judge."""
    judge_key: str | None = None
    """Environment variable with the key of --judge-url."""
    annotator: str | None = field(default=None, metadata=FILE_OR_NAME)
    """Annotator of AlpacaEval, by name or folder, instead of --judge."""
    alpaca_files: Path | None = field(default=None, metadata=FILE)
    """Folder with AlpacaEval's df_gamed.csv, for its own length-controlled win rate; by default the hub's cache."""
    reward: str | None = field(default=None, metadata=FILE_OR_NAME)
    """Reward model that grades the responses: a local folder or a hub id."""
    allow_contamination: bool = False
    """Grade on evaluation rows that are trained on, too; the verdict says which. By default they are refused."""

    def __post_init__(self) -> None:
        check_limits(self)
        if self.loss_unit not in FLAGS:
            raise UsageError.named(self.loss_unit, FLAGS, noun="unit of a loss")
        if self.gold_bits == SAME_TASKS and not self.lm_eval:
            raise UsageError("The gold answers of --lm-eval are asked for, and it names no tasks.", fix="Name them: --gold-bits TASKS")
        if self.judge and self.annotator:
            raise UsageError("One result has one judge: --judge and --annotator exclude each other.", fix="Leave one out.")
        if self.judge_revision and not (self.judge or self.annotator):
            raise UsageError("There is no judge whose revision this is.", fix="Name one with --judge.")

    @property
    def unit(self) -> str:
        """The unit of losses: `nats per token`, `bits per byte` or `auto`."""
        return FLAGS[self.loss_unit]

    @property
    def n_judges(self) -> int:
        """How many graders of responses there are."""
        return bool(self.judge or self.annotator) + bool(self.reward)

    @property
    def grades(self) -> bool:
        """Whether anything gives a model a value."""
        return bool(self.held_out or self.lm_eval or self.gold_bits or self.n_judges)


@dataclass(frozen=True)
class StatisticsSettings:
    """How grades are compared."""

    baseline: str | None = None
    """Arm that the verdict is against; random where there is one."""
    confidence: float = field(default=CONFIDENCE, metadata=between(0, MOST_ROWS))
    """Family-wise confidence level (1 − α): the intervals of all comparisons hold together with this probability."""
    generalize_to: str = BOTH
    """Estimand, what the interval generalizes to: both (new runs and new items), items (these models, where there is one run an arm), or runs (these items)."""
    pool_seeds: bool = False
    """Pool the variance between seeds over all arms, as if all varied alike: narrower intervals from few seeds, too short for an arm that varies
    more than the others. Decide it before the runs."""
    require: str | None = None
    """End with exit code 1 unless this is shown: better, or non-inferior (with --margin)."""
    margin: tuple[str, ...] = ()
    """Non-inferiority margin in the grader's unit; GRADER=X for one grader."""
    pilot: Path | None = field(default=None, metadata=FILE)
    """Pilot: an earlier verification.parquet whose variances over runs and items give the minimum detectable effect beforehand."""
    allow_unlike: bool = False
    """Compare finished results that differ in batch size, number format, device, backend or release; the verdict says where."""

    def __post_init__(self) -> None:
        if self.require is not None and self.require not in REQUIREMENTS:
            raise UsageError.named(self.require, REQUIREMENTS, noun="requirement")
        if (self.require == NON_INFERIOR) != bool(self.margin):
            raise UsageError("--require non-inferior and --margin go together.", fix="Give both, or neither.")
        if not is_usable(self.confidence) or not 0.5 < self.confidence < 1.0:
            raise UsageError(
                f"The confidence is {self.confidence}; a requirement needs one between 0.5 and 1.", fix="For example: --confidence 0.95"
            )
        check_limits(self)
        if self.generalize_to not in ESTIMANDS:
            raise UsageError.named(self.generalize_to, ESTIMANDS, noun="estimand")
        _ = self.margins

    @property
    def margins(self) -> dict[str, float]:
        """Grader → its margin; that of all graders under an empty name."""
        margins: dict[str, float] = {}
        for text in self.margin:
            name, _, number = text.rpartition("=")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if not (is_usable(value) and value > 0):
                raise UsageError(
                    f"A margin is a number above 0 in the grader's unit; found {(number or text)[:60]}.",
                    fix="Write --margin X, or GRADER=X.",
                )
            if name in margins or (margins and "" in (name, *margins)):
                raise UsageError("The margin is given twice.", fix="Give one for all graders, or one for each that counts.")
            margins[name] = value
        return margins


@dataclass(frozen=True)
class Experiment:
    """A plan: what is trained and graded alike, and how the grades are compared."""

    arms: tuple[PlannedArm, ...]
    """Of different names, the selection among them."""
    seeds: int = field(default=3, metadata=between(1, MOST_SEEDS))
    """How often each subset is trained on, with seeds 0, 1, …"""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """Of the rows of all arms."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    grading: GradingSettings = field(default_factory=GradingSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    digests: Mapping[str, str] = field(default_factory=dict)
    """Rows by arm and replicate, or evaluation set → the digest of their ids: rows that changed since the plan was made are refused."""
    origin: str | None = field(default=None, compare=False, repr=False, metadata=NOT_WRITTEN)
    """Where the plan was read: what it sends, or runs code by, is not confirmed. None where it was made here, or confirmed."""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"The arm {name} is named twice.", fix="Call one of them otherwise.")
        if SELECTION not in names:
            raise UsageError(
                "A plan needs an arm called selection.",
                fix="Name its rows, or its models: --checkpoint selection=FOLDER, or --results selection=PATH.",
            )
        check_limits(self)
        if self.trains and not self.training.base:
            raise UsageError("There are rows to train on, and no model.", fix="Name the one to fine-tune with --base.")
        if self.training.learning_rates and not self.trains:
            raise UsageError("There are learning rates, and no arm has rows to train on.", fix="Leave --learning-rates out.")
        # Here, not beside the fields: the flags that confirm a plan are groups of settings, too, without the rest of it.
        grading = self.grading
        if (grading.judge or grading.annotator or grading.reward) and grading.instructions is None:
            raise UsageError("There is a judge, and nothing for it to judge.", fix="Name the instructions with --instructions FILE.")
        if (grading.judge_url or grading.judge_key) and not grading.judge:
            raise UsageError("The endpoint needs the name of the model that judges.", fix="Give it with --judge.")
        _ = self.baseline

    @property
    def trains(self) -> bool:
        """Whether an arm has rows to train on."""
        return any(arm.rows or arm.pool for arm in self.arms)

    @property
    def grades(self) -> bool:
        """Whether an arm has models to be graded; finished results bring their grades along."""
        return any(arm.rows or arm.pool or arm.checkpoints or arm.base_model for arm in self.arms)

    @property
    def baseline(self) -> str:
        """The arm that the verdict is against.

        Raises:
            UsageError: there is no such arm, or none but the selection.
        """
        names = [arm.name for arm in self.arms]
        others = [arm.name for arm in self.arms if arm.name != SELECTION and not arm.base_model]
        chosen = self.statistics.baseline or (RANDOM if RANDOM in others else others[0] if others else None)
        if chosen is None or chosen not in names or chosen == SELECTION:
            raise UsageError(
                f"There is no arm {chosen or 'to compare the selection with'}; there are {', '.join(names)}.",
                fix="Select with --random-subsets 3, name the pool with --pool, or files: --arm random=a.jsonl,b.jsonl,c.jsonl",
            )
        return chosen

    @property
    def reaching(self) -> dict[str, Any]:
        """The settings by which the plan sends texts or a key somewhere, or runs code, and their values."""
        return reaching(self.training, self.grading)

    @property
    def confirmations(self) -> list[str]:
        """The flags to repeat beside the plan's file: what it reaches by."""
        return flags(self.reaching)

    def unconfirmed(self, **repeated: Any) -> list[str]:
        """The settings by which the plan reaches out that are not repeated as they are.

        Args:
            repeated: settings by name, as judge_url="https://judge.example/v1".

        Raises:
            UsageError: a setting that needs no confirmation.
        """
        for name in repeated:
            if name not in REACHING:
                raise UsageError.named(name, REACHING, noun="setting", where="that a plan is confirmed by")
        return [name for name, value in self.reaching.items() if name not in repeated or not agrees(value, repeated[name])]

    def confirmed(self, **repeated: Any) -> Self:
        """The plan, which may be somebody else's, as one to be run: everything by which it reaches out is repeated.

        Args:
            repeated: settings by name, as judge_url="https://judge.example/v1", judge_key="JUDGE_KEY".

        Raises:
            UsageError: it sends texts or a key somewhere, or runs code, and that is not repeated.
        """
        if names := self.unconfirmed(**repeated):
            values = self.reaching
            where = f"The plan {self.origin}" if self.origin is not None else "The plan"
            written = ", ".join(f"{name}={_as_python(value)}" for name, value in values.items())
            raise UsageError(
                f"{where} {' and '.join(does(name, values) for name in names)}.", fix=f"If you trust it: plan = plan.confirmed({written})"
            )
        return replace(self, origin=None)

    def check_confirmed(self) -> None:
        """Refuse to run a plan of a file by which texts or a key would be sent, or code run, and which nobody confirmed.

        Raises:
            UsageError: see `confirmed`.
        """
        if self.origin is not None:
            self.confirmed()

    @property
    def files(self) -> tuple[str, ...]:
        """Every local file and folder that the plan reads, for the check that none of them is an output."""
        paths: list[str] = []

        def collect(path: str, kind: str) -> str:
            if Path(path).exists():
                paths.append(path)
            return path

        with_paths(self, collect)
        return tuple(dict.fromkeys(paths))

    @property
    def pools(self) -> tuple[str, ...]:
        """Of these, the rows: local files, and folders of which every file is read."""
        paths = [path for arm in self.arms for path in (*(path for rows in arm.rows for path in rows), *arm.pool)]
        paths += [named_file(path)[1] for path in self.grading.held_out]
        paths += [self.grading.instructions] if self.grading.instructions is not None else []
        return tuple(dict.fromkeys(path for path in paths if Path(path).exists()))

    def resolved(self, folder: str | Path) -> Self:
        """The plan with paths that hold from everywhere, where they are relative to a folder."""
        root = resolved(folder)

        def absolute(path: str, kind: str) -> str:
            there = root / path
            if path.startswith("hf://") or path == "-" or (kind == FILE_OR_NAME["path"] and not there.exists()):
                return path
            return str(there)

        plan: Self = with_paths(self, absolute)
        return plan

    def as_dict(self) -> dict[str, Any]:
        """As plain data; what is as by default is left out."""
        return {**head(EXPERIMENT), **as_content(self)}

    @classmethod
    def of(cls, content: Mapping[str, Any], *, origin: str = "of these data") -> Self:
        """The plan that `as_dict` gave, to be confirmed before it is run where it sends something or runs code.

        Args:
            content: plain data.
            origin: where they are from, for people.

        Raises:
            UsageError: a setting that there is not, or that cannot be.
        """
        settings = {key: value for key, value in content.items() if key not in head(EXPERIMENT)}
        if isinstance(settings.get("format"), str):
            # Plans of earlier releases name the format alone.
            settings["reading"] = {"form": settings.pop("format"), **settings.get("reading", {})}
        plan: Self = parsed(cls, settings, "plan")
        return replace(plan, origin=origin)

    def write(self, path: str | Path) -> None:
        """Write the plan as TOML; paths below the file's folder are written relative to it.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        target = Path(path)
        folder = resolved(target.parent)

        def relative(name: str, kind: str) -> str:
            inside = Path(name).is_absolute() and Path(name).is_relative_to(folder) and Path(name) != folder
            if not inside:
                return name
            written = str(Path(name).relative_to(folder))
            # A file's own equals sign names no skill.
            return f"./{written}" if "=" in written.partition("/")[0] else written

        with atomic_write(target) as file:
            file.write(dumps(with_paths(self, relative).as_dict()).encode())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A plan from a file, its relative paths resolved against the file's folder.

        The file may be somebody else's: where it names a judge's address or key, an annotator, a tracker, or code that is run, `verify`
        refuses it until `confirmed` repeats these.

        Raises:
            UsageError: no plan, or a setting that there is not or that cannot be.
        """
        source = Path(path)
        if not os.path.exists(source):
            raise UsageError(
                f"There is no file {source}.", fix="Name a plan.toml that instructsel verify wrote, or the rows of a selection."
            )
        content = read_toml(
            source, dict[str, Any], Refusal(UsageError, "Name a plan.toml that instructsel verify wrote.", "the plan of an experiment")
        )
        if content.get("kind") != EXPERIMENT:
            raise UsageError(
                f"{source} is not the plan of an experiment: its kind is {shown(content.get('kind'))}.", fix=f'Write kind = "{EXPERIMENT}".'
            )
        try:
            checked_version(content, source)
        except ScoresError as error:
            raise UsageError(error.message, fix=error.fix) from error
        return cls.of(content, origin=str(source)).resolved(source.parent)


def _as_python(value: Any) -> str:
    return repr(str(value)) if isinstance(value, Path) else repr(value)


def describe(arms: Sequence[tuple[str, int]], fine_tunes: int, length: str, matched: str) -> str:
    """What will be done, in a sentence.

    Args:
        arms: name and replicates.
        fine_tunes: in all.
        length: of each, in words.
        matched: steps, tokens, epochs, or nothing where the recipe says the length itself.
    """
    why = {
        "steps": ": arms of longer rows see more tokens in as many steps (--match-compute tokens makes these equal)",
        "tokens": ": arms of longer rows see fewer of them",
        "none": ": arms of more or longer rows are trained for longer (--match-compute steps or tokens makes them equal)",
    }
    named = ", ".join(f"{name} ({replicates})" for name, replicates in arms)
    return f"{named}; {fine_tunes} fine-tune{'s' * (fine_tunes != 1)} of {length} each{why.get(matched, '')}"


__all__ = ["Experiment", "GradingSettings", "PlannedArm", "StatisticsSettings", "TrainingSettings"]
