"""Choose the training data that makes a fine-tune better, and prove it.

>>> pool = Pool.read("pool.jsonl")                                    # doctest: +SKIP
>>> rule = load_rule("eq4-without-reward")                            # doctest: +SKIP
>>> chosen = select(pool, score(pool, rule.indicators), rule, budget=2000)   # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructsel.adapters.experiment import verify
    from instructsel.audits.result import Audit
    from instructsel.audits.run import audit
    from instructsel.audits.settings import AuditSettings
    from instructsel.cache import Cache
    from instructsel.errors import InstructselError
    from instructsel.experiments.arms import Arm
    from instructsel.experiments.execute import ExecutionSettings
    from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, StatisticsSettings, TrainingSettings
    from instructsel.gates.config import GateConfig
    from instructsel.gates.finding import Finding
    from instructsel.gates.gate import gate
    from instructsel.gates.verdict import Verdict
    from instructsel.mixtures.mixture import Mixture, mix
    from instructsel.mixtures.recipe import MixtureRecipe
    from instructsel.models.likelihood import LikelihoodModel as Lm
    from instructsel.pool.example import Example
    from instructsel.pool.message import Json, Message, ToolCall
    from instructsel.pool.pool import Pool
    from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
    from instructsel.reports.render import Report, report
    from instructsel.rules.by_indicator import by
    from instructsel.rules.catalog import load as load_rule
    from instructsel.rules.fit import Fitted, fit
    from instructsel.rules.linear import LinearRule
    from instructsel.rules.observations import Observations
    from instructsel.rules.univariate import univariate
    from instructsel.scores.imported import ImportedScores, ScoreFiles
    from instructsel.scores.run import score
    from instructsel.scores.table import ScoreTable
    from instructsel.selection.baselines.random_subset import random_subset
    from instructsel.selection.baselines.registry import baselines
    from instructsel.selection.budget import Count, Fraction, Quota, Tokens
    from instructsel.selection.candidates import Candidates
    from instructsel.selection.choose import select
    from instructsel.selection.minima import Minimum
    from instructsel.selection.selection import Selection
    from instructsel.selection.selection_set import SelectionSet
    from instructsel.selection.settings import SelectionSettings
    from instructsel.selection.way import Way
    from instructsel.study.design import Bins, Design, Mixtures
    from instructsel.study.size_curve import SizeCurve
    from instructsel.study.size_search import SizeSettings, search_size
    from instructsel.study.study import Study, StudySettings, plan_study, run_study
    from instructsel.verification.grades_table import Run
    from instructsel.verification.run import verify_arms
    from instructsel.verification.verification import Verification

    __version__: str

__all__ = [
    "Arm",
    "Audit",
    "AuditSettings",
    "Bins",
    "Cache",
    "Candidates",
    "Checkpoint",
    "Count",
    "Design",
    "Example",
    "ExecutionSettings",
    "Experiment",
    "Finding",
    "Fitted",
    "Fraction",
    "GateConfig",
    "Grader",
    "Grades",
    "GradingSettings",
    "ImportedScores",
    "InstructselError",
    "Json",
    "LinearRule",
    "Lm",
    "Message",
    "Minimum",
    "Mixture",
    "MixtureRecipe",
    "Mixtures",
    "Observations",
    "PlannedArm",
    "Pool",
    "Quota",
    "Report",
    "Run",
    "ScoreFiles",
    "ScoreTable",
    "Selection",
    "SelectionSet",
    "SelectionSettings",
    "SizeCurve",
    "SizeSettings",
    "StatisticsSettings",
    "Study",
    "StudySettings",
    "Tokens",
    "ToolCall",
    "Trainer",
    "TrainingSettings",
    "Verdict",
    "Verification",
    "Way",
    "audit",
    "baselines",
    "by",
    "fit",
    "gate",
    "load_rule",
    "mix",
    "plan_study",
    "random_subset",
    "report",
    "run_study",
    "score",
    "search_size",
    "select",
    "univariate",
    "verify",
    "verify_arms",
]

_HOME = {
    "Arm": ("instructsel.experiments.arms", "Arm"),
    "Audit": ("instructsel.audits.result", "Audit"),
    "AuditSettings": ("instructsel.audits.settings", "AuditSettings"),
    "Bins": ("instructsel.study.design", "Bins"),
    "Cache": ("instructsel.cache", "Cache"),
    "Candidates": ("instructsel.selection.candidates", "Candidates"),
    "Checkpoint": ("instructsel.protocols", "Checkpoint"),
    "Count": ("instructsel.selection.budget", "Count"),
    "Design": ("instructsel.study.design", "Design"),
    "Example": ("instructsel.pool.example", "Example"),
    "Finding": ("instructsel.gates.finding", "Finding"),
    "Fitted": ("instructsel.rules.fit", "Fitted"),
    "Fraction": ("instructsel.selection.budget", "Fraction"),
    "GateConfig": ("instructsel.gates.config", "GateConfig"),
    "Grader": ("instructsel.protocols", "Grader"),
    "Grades": ("instructsel.protocols", "Grades"),
    "ImportedScores": ("instructsel.scores.imported", "ImportedScores"),
    "InstructselError": ("instructsel.errors", "InstructselError"),
    "Json": ("instructsel.pool.message", "Json"),
    "LinearRule": ("instructsel.rules.linear", "LinearRule"),
    "Lm": ("instructsel.models.likelihood", "LikelihoodModel"),
    "Message": ("instructsel.pool.message", "Message"),
    "Minimum": ("instructsel.selection.minima", "Minimum"),
    "Mixture": ("instructsel.mixtures.mixture", "Mixture"),
    "Mixtures": ("instructsel.study.design", "Mixtures"),
    "Observations": ("instructsel.rules.observations", "Observations"),
    "Pool": ("instructsel.pool.pool", "Pool"),
    "Quota": ("instructsel.selection.budget", "Quota"),
    "MixtureRecipe": ("instructsel.mixtures.recipe", "MixtureRecipe"),
    "Report": ("instructsel.reports.render", "Report"),
    "Run": ("instructsel.verification.grades_table", "Run"),
    "ScoreFiles": ("instructsel.scores.imported", "ScoreFiles"),
    "ScoreTable": ("instructsel.scores.table", "ScoreTable"),
    "Selection": ("instructsel.selection.selection", "Selection"),
    "SelectionSet": ("instructsel.selection.selection_set", "SelectionSet"),
    "SelectionSettings": ("instructsel.selection.settings", "SelectionSettings"),
    "SizeCurve": ("instructsel.study.size_curve", "SizeCurve"),
    "Study": ("instructsel.study.study", "Study"),
    "Tokens": ("instructsel.selection.budget", "Tokens"),
    "ToolCall": ("instructsel.pool.message", "ToolCall"),
    "Trainer": ("instructsel.protocols", "Trainer"),
    "Verdict": ("instructsel.gates.verdict", "Verdict"),
    "Verification": ("instructsel.verification.verification", "Verification"),
    "Way": ("instructsel.selection.way", "Way"),
    "ExecutionSettings": ("instructsel.experiments.execute", "ExecutionSettings"),
    "Experiment": ("instructsel.experiments.plan", "Experiment"),
    "GradingSettings": ("instructsel.experiments.plan", "GradingSettings"),
    "PlannedArm": ("instructsel.experiments.plan", "PlannedArm"),
    "StatisticsSettings": ("instructsel.experiments.plan", "StatisticsSettings"),
    "TrainingSettings": ("instructsel.experiments.plan", "TrainingSettings"),
    "audit": ("instructsel.audits.run", "audit"),
    "baselines": ("instructsel.selection.baselines.registry", "baselines"),
    "by": ("instructsel.rules.by_indicator", "by"),
    "fit": ("instructsel.rules.fit", "fit"),
    "gate": ("instructsel.gates.gate", "gate"),
    "load_rule": ("instructsel.rules.catalog", "load"),
    "mix": ("instructsel.mixtures.mixture", "mix"),
    "plan_study": ("instructsel.study.study", "plan_study"),
    "random_subset": ("instructsel.selection.baselines.random_subset", "random_subset"),
    "report": ("instructsel.reports.render", "report"),
    "run_study": ("instructsel.study.study", "run_study"),
    "score": ("instructsel.scores.run", "score"),
    "SizeSettings": ("instructsel.study.size_search", "SizeSettings"),
    "StudySettings": ("instructsel.study.study", "StudySettings"),
    "search_size": ("instructsel.study.size_search", "search_size"),
    "select": ("instructsel.selection.choose", "select"),
    "univariate": ("instructsel.rules.univariate", "univariate"),
    "verify": ("instructsel.adapters.experiment", "verify"),
    "verify_arms": ("instructsel.verification.run", "verify_arms"),
}


def __getattr__(name: str) -> Any:
    """Import a name of the face when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("instructsel")
    if name not in _HOME:
        raise AttributeError(f"module 'instructsel' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
