"""The graders of a verification from its flags: held-out loss, the harness, answers for a judge and a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from instructsel.commands._console import say
from instructsel.errors import UsageError
from instructsel.experiments.arms import Arm
from instructsel.pool import spec
from instructsel.pool.overlap import check_evaluation

if TYPE_CHECKING:
    from instructsel.grading.graders.responses import Responses
    from instructsel.grading.judge import Judge
    from instructsel.protocols import Grader
    from instructsel.verification.grades_table import Run
    from instructsel.verification.judged import OutputGrader

KEPT: Final = "judge"
"""The folder of a judge's replies."""
JUDGED: Final = "win rate"
REWARD: Final = "reward"


@dataclass(frozen=True)
class Place:
    """Where models run, and how long their rows may be."""

    device: str
    precision: str
    max_length: int | None


@dataclass(frozen=True)
class Harness:
    """What lm-evaluation-harness is asked."""

    tasks: str | None
    include_path: Path | None
    num_fewshot: int | None
    items: int | None
    chat_template: bool
    allow_unsafe_code: bool

    def graders(self, place: Place, samples: Path) -> list[Grader]:
        """A grader a task and metric, which keeps the harness's samples in a folder; data that cannot be had shows here, before anything is trained."""
        if not self.tasks:
            return []
        from instructsel.adapters.lm_eval.grader import LmEval
        from instructsel.adapters.lm_eval.suites import SUITES

        tasks: Any = self.tasks if self.tasks in SUITES else [each.strip() for each in self.tasks.split(",") if each.strip()]
        made = LmEval.graders(
            tasks,
            num_fewshot=self.num_fewshot,
            include_path=self.include_path,
            limit=self.items,
            apply_chat_template=self.chat_template,
            device=place.device,
            precision=place.precision,
            allow_unsafe_code=self.allow_unsafe_code,
            samples=samples,
        )
        for each in made:
            each.check()
        return list(made)


@dataclass(frozen=True)
class Asked:
    """What the models are asked, and who judges the answers."""

    instructions: str | None
    max_new_tokens: int
    judge: str | None
    judge_revision: str | None
    judge_url: str | None
    judge_key: str | None
    annotator: str | None
    reward: str | None
    files: Path | None = None
    """A folder with AlpacaEval's own file for its length control."""

    @property
    def count(self) -> int:
        """How many graders of answers there will be."""
        return bool(self.judge or self.annotator) + bool(self.reward)

    @property
    def names(self) -> list[str]:
        """What their grades will be called."""
        return [*([JUDGED] if self.judge or self.annotator else []), *([REWARD] if self.reward else [])]

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: a judge without instructions, two judges, or an endpoint without a model's name.
        """
        if (self.judge or self.annotator or self.reward) and self.instructions is None:
            raise UsageError("There is a judge, and nothing for it to judge.", fix="Name the instructions with --instructions FILE.")
        if self.judge and self.annotator:
            raise UsageError("One result has one judge: --judge and --annotator exclude each other.", fix="Leave one out.")
        if (self.judge_url or self.judge_key) and not self.judge:
            raise UsageError("The endpoint needs the name of the model that judges.", fix="Give it with --judge.")
        if self.judge_revision and not (self.judge or self.annotator):
            raise UsageError("There is no judge whose revision this is.", fix="Name one with --judge.")

    def answers(self, place: Place, arms: Sequence[Arm], *, quiet: bool) -> Responses | None:
        """The grader that has the models answer; None where nothing is asked."""
        self.check()
        if self.instructions is None:
            return None
        from instructsel.grading.generation import Generator
        from instructsel.grading.graders.responses import Responses

        if (self.annotator or self.judge_url) and not self.judge_revision:
            say(
                "warning: nothing says which revision of the judge answers, and a provider may change it; --judge-revision does.",
                quiet=quiet,
            )
        asked = spec.Reading().read([self.instructions])
        _check(arms, asked, quiet=quiet)
        # A set may name an instruction twice, with two answers to it; it is asked once.
        texts = tuple(dict.fromkeys(example.instruction for example in asked.examples()))
        return Responses(
            texts,
            generator=Generator(
                max_new_tokens=self.max_new_tokens, max_length=place.max_length, device=place.device, precision=place.precision
            ),
        )

    def try_out(self, place: Place, folder: Path) -> None:
        """Load who is to judge, and let go of it again: what cannot be had, or is no judge, must show before anything is trained.

        Raises:
            What loading a judge or a reward model raises.
        """
        from instructsel.models import runner
        from instructsel.models.reward import RewardModel

        try:
            if self.judge or self.annotator:
                _ = self._judge(place, folder).fingerprint
            if self.reward:
                RewardModel.load(self.reward, precision=place.precision, device=place.device)
        finally:
            runner.free_memory()

    def judges(self, answers: Responses, runs: Sequence[Run], place: Place, folder: Path, *, reference: str) -> list[OutputGrader]:
        """Who grades the answers: a judge, against those of the reference arm's models in turn, and a reward model.

        A judge has nothing to prefer to where no model of the reference arm has answered, and is left out.

        Raises:
            What loading a judge raises.
        """
        from instructsel.grading.graders.judged_outputs import JudgedOutputs
        from instructsel.grading.graders.reward import RewardGrader
        from instructsel.grading.outputs import rotating_reference

        made: list[OutputGrader] = []
        standing = [answers.of(run.grades, run.name) for run in runs if run.arm == reference and run.grades.grader == answers.name]
        if (self.judge or self.annotator) and standing:
            made.append(
                JudgedOutputs(
                    answers.instructions,
                    rotating_reference(standing, name=f"{reference}, {len(standing)} models in turn"),
                    self._judge(place, folder),
                    generator=answers.generator,
                    name=JUDGED,
                )
            )
        if self.reward:
            made.append(RewardGrader(answers.instructions, self.reward, generator=answers.generator, name=REWARD))
        return made

    def _judge(self, place: Place, folder: Path) -> Judge:
        from instructsel.adapters.alpaca_eval.judge import AlpacaEval
        from instructsel.grading.judge import HttpJudgeClient, LocalJudgeClient, PairwiseJudge

        if self.annotator:
            local = Path(self.annotator)
            return AlpacaEval(local if local.is_dir() else self.annotator, folder / KEPT, revision=self.judge_revision, both_orders=True)
        if self.judge_url:
            client: Any = HttpJudgeClient(self.judge_url, self.judge or "", revision=self.judge_revision, key_variable=self.judge_key)
        else:
            client = LocalJudgeClient.load(self.judge or "", revision=self.judge_revision, precision=place.precision, device=place.device)
        return PairwiseJudge(client, folder / KEPT)


def with_official(runs: Sequence[Run], answers: Responses, given: Sequence[Run], grader: Any, files: Path | None) -> list[Run]:
    """The judged runs with AlpacaEval's own length-controlled win rate, where the instructions are its own and its file is there.

    Args:
        runs: as judged.
        answers: that had the models answer.
        given: the runs with the answers, in the same order.
        grader: JudgedOutputs.
        files: a folder with the file.
    """
    from instructsel.adapters.alpaca_eval.length_control import official_length_control

    found = []
    for run, answered in zip(runs, given, strict=True):
        outputs = answers.of(answered.grades, answered.name)
        preferences = [
            value + 1.0 if valid else None for value, valid in zip(run.grades.values.tolist(), run.grades.valid.tolist(), strict=True)
        ]
        rows = [
            {
                "instruction": one,
                "output_1": grader.reference.of(one)[0],
                "output_2": outputs.of(one)[0],
                "generator_1": grader.reference.generator,
                "generator_2": outputs.generator,
                "preference": preference,
            }
            for one, preference in zip(answers.instructions, preferences, strict=True)
        ]
        official = official_length_control(rows, files)
        record = run.grades.record if official is None else {**run.grades.record, "official": official}
        found.append(replace(run, grades=replace(run.grades, record=record)))
    return found


def held_out(files: Sequence[str], place: Place, arms: Sequence[Arm], *, quiet: bool) -> list[Grader]:
    """The loss on held-out rows; what is evaluated on may not be trained on."""
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    found: list[Grader] = []
    for path in files:
        held = spec.Reading().read([path])
        _check(arms, held, quiet=quiet)
        label = held.files[0].source.label
        found.append(
            HeldOutLoss(held, name=f"loss on {label}", max_length=place.max_length, device=place.device, precision=place.precision)
        )
    return found


def _check(arms: Sequence[Arm], held: Any, *, quiet: bool) -> None:
    for arm in arms:
        for pool in arm.pools:
            warning = check_evaluation(pool, held)
            if warning:
                say(f"warning: {arm.name}: {warning}", quiet=quiet)


__all__ = ["Asked", "Harness", "Place", "held_out"]
