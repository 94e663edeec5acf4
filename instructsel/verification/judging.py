"""The graders of responses in a plan: a judge, against those of the baseline's models in turn, and a reward model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from instructsel.experiments.store import SAFE, slug
from instructsel.text import counted
from instructsel.verification.judged import PASSING, OutputGrader, judged
from instructsel.verification.prepared import REWARD, WIN_RATE, Prepared
from instructsel.verification.run import Verified

OUTPUTS: Final = "outputs"
REPLIES: Final = "judge"
"""The folder of a judge's replies."""


def try_judges(prepared: Prepared) -> None:
    """Load who is to judge, and let go of it again: what cannot be had, or is no judge, must show before anything is trained.

    Raises:
        What loading a judge or a reward model raises.
    """
    from instructsel.models import runner
    from instructsel.models.reward import RewardModel

    grading, runtime = prepared.plan.grading, prepared.runtime
    try:
        if grading.judge or grading.annotator:
            _ = _judge(prepared).fingerprint
        if grading.reward:
            RewardModel.load(grading.reward, precision=runtime.precision, device=runtime.device)
    finally:
        runner.free_memory()


def _judge(prepared: Prepared) -> Any:
    from instructsel.grading.judge import HttpJudgeClient, LocalJudgeClient, PairwiseJudge

    grading, runtime, folder = prepared.plan.grading, prepared.runtime, prepared.folder / REPLIES
    if grading.annotator:
        return prepared.toolkit.annotator(grading, folder)
    name, revision = grading.judge or "", grading.judge_revision
    client: Any
    if grading.judge_url:
        client = HttpJudgeClient(grading.judge_url, name, revision=revision, key_variable=grading.judge_key)
    else:
        client = LocalJudgeClient.load(name, revision=revision, precision=runtime.precision, device=runtime.device)
    return PairwiseJudge(client, folder)


def _output_graders(prepared: Prepared, verified: Verified) -> list[OutputGrader]:
    """Who grades the responses: a judge, against those of the baseline's models in turn, and a reward model.

    A judge has nothing to compare with where no model of the baseline has responded, and is left out.
    """
    from instructsel.grading.graders.judged_outputs import JudgedOutputs
    from instructsel.grading.graders.reward import RewardGrader
    from instructsel.grading.outputs import rotating_reference

    responses, grading, baseline = prepared.responses, prepared.plan.grading, prepared.plan.baseline
    graders: list[OutputGrader] = []
    reference = [responses.of(run.grades, run.name) for run in verified.runs if run.arm == baseline and run.grades.grader == responses.name]
    if (grading.judge or grading.annotator) and reference:
        outputs = rotating_reference(reference, name=f"{baseline}, {len(reference)} models in turn")
        judge = _judge(prepared)
        graders.append(JudgedOutputs(responses.instructions, outputs, judge, generator=responses.generator, name=WIN_RATE))
    if grading.reward:
        graders.append(RewardGrader(responses.instructions, grading.reward, generator=responses.generator, name=REWARD))
    return graders


def with_judges(prepared: Prepared, verified: Verified, variant: str = "") -> Verified | None:
    """With the judges' grades in place of the responses they judged; None where there are no grades at all so far.

    While models of the baseline are pending, nobody is asked: what a response is compared with would be another one at each call.
    """
    responses, watch, grading, baseline = prepared.responses, prepared.watch, prepared.plan.grading, prepared.plan.baseline
    folder = prepared.folder / OUTPUTS / SAFE.sub("_", variant)
    folder.mkdir(parents=True, exist_ok=True)
    responded = [run for run in verified.runs if run.grades.grader == responses.name]
    outputs = [responses.of(run.grades, run.name) for run in responded]
    for run, output in zip(responded, outputs, strict=True):
        prepared.toolkit.write_outputs(folder / f"{slug(run.arm, run.replicate, run.seed)}.json", output)
    runs = [run for run in verified.runs if run.grades.grader != responses.name]
    if grading.n_judges and verified.n_pending(baseline):
        watch.say(f"The responses are not judged yet: {counted(verified.n_pending(baseline), 'run')} of {baseline} pending.")
        return verified.with_runs(runs) if runs else None
    graders = _output_graders(prepared, verified)
    if len(graders) < grading.n_judges:
        watch.say(f"warning: no model of {baseline} has responded, so there is nothing for the judge to compare with.")
    ungraded = 0
    for grader in graders:
        progress = watch.judging(grader.name) if watch.judging is not None else None
        graded = judged(verified.runs, responses, grader, folder=prepared.folder, progress=progress)
        if grader.name == WIN_RATE:
            grades = prepared.toolkit.judged([run.grades for run in graded], outputs, grader, grading)
            graded = [replace(run, grades=one) for run, one in zip(graded, grades, strict=True)]
            if grading.alpaca_files is not None and not any(run.grades.record.get("official") for run in graded):
                watch.say(
                    "warning: no length-controlled win rate of AlpacaEval's own: these are not its 805 instructions, or its fit failed."
                )
        ungraded += sum(reason in PASSING for run in graded for reason in run.grades.reasons)
        runs += graded
    if ungraded:
        watch.say(
            f"warning: {counted(ungraded, 'response')} {'has' if ungraded == 1 else 'have'} no grade because no reply came; the same command asks for these again."
        )
    if not runs and not grading.n_judges:
        watch.say(f"The responses are in {folder}; nothing has graded them (--judge, --annotator, --reward or --eval would).")
        return None
    return verified.with_runs(runs)


__all__ = ["try_judges", "with_judges"]
