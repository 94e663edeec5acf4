"""Run a plan with TRL, lm-evaluation-harness and AlpacaEval: `verify(plan, "verified")`, as `instructsel verify plan.toml -o verified` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from instructsel.errors import UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.plan import SAME_TASKS, Experiment, GradingSettings, TrainingSettings
from instructsel.experiments.toolkit import Runtime, Toolkit
from instructsel.grading.outputs import Outputs
from instructsel.protocols import Grader, Grades, Trainer
from instructsel.verification.concluding import ExperimentResult
from instructsel.verification.experiment import run
from instructsel.verification.watch import Watch


def verify(
    plan: Experiment,
    output: str | Path,
    *,
    settings: ExecutionSettings | None = None,
    watch: Watch | None = None,
    force: bool = False,
) -> ExperimentResult:
    """Train every arm of a plan alike, grade every model alike, and say what the difference is worth.

    Args:
        plan: what is trained, graded and compared; relative paths are taken from the working directory.
        output: folder of the results: plan.toml, verdict.json, verification.parquet, and a record for each run. Called again, it
            goes on where it was interrupted.
        settings: processes, a limit of runs, whether models are kept.
        watch: who is told what happens.
        force: replace the results of another plan in the folder.

    Raises:
        UsageError: arms, graders or settings that do not go together, an output that is an input, or a folder with the results of
            another plan: of another training, other rows, or more arms, graders or seeds than this one has.
        StudyError: evaluation rows that are trained on, or no run with a grade.
        EnvironmentFault: no memory, no room, an extra or a model missing; what is finished stays.
    """
    return run(plan, Adapters(), Path(output), settings=settings or ExecutionSettings(), watch=watch or Watch(), force=force)


class Adapters:
    """The toolkit of TRL, lm-evaluation-harness and AlpacaEval."""

    def recipe(self, training: TrainingSettings) -> Any:
        """The preset's recipe with the plan's changes."""
        from instructsel.adapters.recipes import recipe

        return recipe(training.preset, **training.recipe)

    def trainer(self, training: TrainingSettings, recipe: Any, folder: Path, progress: Callable[[int, int, float], None] | None) -> Trainer:
        """TRL's."""
        from instructsel.adapters.tracking import Tracking
        from instructsel.adapters.trl import TrlTrainer

        trainer = TrlTrainer(
            training.base,
            recipe,
            folder,
            revision=training.revision,
            device=training.device,
            precision=training.precision,
            max_skipped_fraction=training.max_skipped_fraction,
            tracking=Tracking(training.report_to, training.project),
            progress=progress,
        )
        # A checker may not take a cached property for the property of a protocol.
        return cast(Trainer, trainer)

    def tasks(self, grading: GradingSettings, runtime: Runtime, samples: Path) -> list[Grader]:
        """Those of lm-evaluation-harness."""
        if not grading.lm_eval and not grading.gold_bits:
            return []
        from instructsel.adapters.lm_eval.base import HarnessGrader, share_run
        from instructsel.adapters.lm_eval.gold import GoldBits
        from instructsel.adapters.lm_eval.grader import LmEval
        from instructsel.adapters.lm_eval.suites import SUITES

        def named(text: str) -> Any:
            return text if text in SUITES else [task.strip() for task in text.split(",") if task.strip()]

        options: dict[str, Any] = {
            "num_fewshot": grading.num_fewshot,
            "include_path": grading.include_path,
            "limit": grading.items,
            "apply_chat_template": grading.chat_template,
            "template_date": runtime.template_date,
            "allow_task_code": grading.allow_task_code,
            "device": runtime.device,
            "precision": runtime.precision,
        }
        graders: list[HarnessGrader] = []
        if grading.lm_eval:
            graders += LmEval.graders(named(grading.lm_eval), allow_unsafe_code=grading.allow_unsafe_code, samples=samples, **options)
        if grading.gold_bits:
            graders += GoldBits.graders(named((grading.lm_eval or "") if grading.gold_bits == SAME_TASKS else grading.gold_bits), **options)
        share_run(graders)
        for grader in graders:
            grader.check()
        return list(graders)

    def annotator(self, grading: GradingSettings, folder: Path) -> Any:
        """AlpacaEval's."""
        from instructsel.adapters.alpaca_eval.judge import AlpacaEval

        local = Path(grading.annotator or "")
        name = local if local.is_dir() else str(grading.annotator)
        return AlpacaEval(name, folder, revision=grading.judge_revision, both_orders=True, allow_annotator_code=grading.allow_task_code)

    def results(self, path: str, grading: GradingSettings) -> tuple[Grades, ...]:
        """Those of lm-evaluation-harness, or AlpacaEval's annotations."""
        return read_finished(path, grading.alpaca_files)

    def incomplete(self, arms: Mapping[str, Sequence[Grades]]) -> list[str]:
        """Annotations that are AlpacaEval's and not of all its instructions."""
        from instructsel.adapters.alpaca_eval.files import OFFICIAL

        return list(
            dict.fromkeys(
                f"{arm} has annotations of {len(one.items)} of AlpacaEval's {OFFICIAL} instructions."
                for arm, grades in arms.items()
                for one in grades
                if one.record.get("of_alpaca_eval") and len(one.items) != OFFICIAL
            )
        )

    def check(self, grading: GradingSettings) -> None:
        """AlpacaEval's file of gamed outputs."""
        if grading.alpaca_files is not None:
            from instructsel.adapters.alpaca_eval.length_control import check_files

            check_files(grading.alpaca_files)

    def write_outputs(self, path: Path, outputs: Outputs) -> None:
        """As AlpacaEval reads them."""
        from instructsel.adapters.alpaca_eval.files import write_outputs

        write_outputs(path, outputs)

    def judged(self, grades: Sequence[Grades], outputs: Sequence[Outputs], grader: Any, grading: GradingSettings) -> list[Grades]:
        """With AlpacaEval's own length-controlled win rate, where the instructions are its own and its file is there."""
        from instructsel.adapters.alpaca_eval.length_control import official_length_control

        judged = []
        for one, responses in zip(grades, outputs, strict=True):
            values, valid = one.values.tolist(), one.valid.tolist()
            rows = [
                {
                    "instruction": instruction,
                    "output_1": grader.reference.of(instruction)[0],
                    "output_2": responses.of(instruction)[0],
                    "generator_1": grader.reference.generator,
                    "generator_2": responses.generator,
                    "preference": value + 1.0 if known else None,
                }
                for instruction, value, known in zip(grader.instructions, values, valid, strict=True)
            ]
            official = official_length_control(rows, grading.alpaca_files)
            judged.append(one if official is None else replace(one, record={**one.record, "official": official}))
        return judged


def read_finished(path: str, files: Path | None = None) -> tuple[Grades, ...]:
    """The grades of finished results.

    Args:
        path: of annotations, or of the harness's results.
        files: a folder with AlpacaEval's own file for its length control.

    Raises:
        UsageError: no results there.
        ObservationsError, ScoresError: results that cannot be read.
    """
    from instructsel.adapters.alpaca_eval.files import read_annotations, rows_of
    from instructsel.adapters.alpaca_eval.length_control import official_length_control
    from instructsel.adapters.lm_eval.results import read_results
    from instructsel.grading.graders.judged_outputs import grades_of

    if not Path(path).exists():
        raise UsageError(f"There is no file or folder {path}.", fix="Name a folder of lm-evaluation-harness, or a file of annotations.")
    if Path(path).is_file() and (Path(path).suffix == ".jsonl" or _is_list(Path(path))):
        annotations = read_annotations(path)
        official = official_length_control(rows_of(path), files) if annotations.record["official"] and annotations.n_total else None
        return (grades_of(annotations, official=official),)
    return tuple(read_results(path))


def _is_list(path: Path) -> bool:
    """Whether a file begins like a JSON list: annotations; the harness's results are an object."""
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"["


# A checker sees here that nothing of a toolkit is missing.
_: Toolkit = Adapters()

__all__ = ["Adapters", "read_finished", "verify"]
