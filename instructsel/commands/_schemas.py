"""The JSON that commands print and write, by name: what it is, and the shape that it has."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import UsageError

OWN: Final = "instructsel.commands._json_shapes"


@dataclass(frozen=True)
class Described:
    """One kind of JSON."""

    text: str
    """What prints or writes it."""
    shape: str
    """`module:name` of its shape."""
    is_list: bool = False
    """Whether it is a list of such records."""

    def schema(self, name: str) -> dict[str, Any]:
        """Its JSON Schema."""
        from instructsel.shape_schema import schema_of

        module, _, attribute = self.shape.partition(":")
        shape: Any = getattr(importlib.import_module(module), attribute)
        return schema_of(list[shape] if self.is_list else shape, title=f"instructsel {name}", description=self.text)


SCHEMAS: Final = {
    "gate": Described("A gate's verdict: gate --json, gate --to json.", "instructsel.gates.shape:GateRecord"),
    "gate-config": Described("gate.toml, or [tool.instructsel.gate] of pyproject.toml.", "instructsel.gates.config:ConfigShape"),
    "gate-checks": Described("gate checks --json.", f"{OWN}:CheckPrinted", is_list=True),
    "gate-baseline": Described(
        "gate baseline create --json, gate baseline update --json, gate baseline show --json.", f"{OWN}:BaselinePrinted"
    ),
    "gate-init": Described("gate init --json.", f"{OWN}:InitPrinted"),
    "gate-waive": Described("gate waive --json.", f"{OWN}:WaivePrinted"),
    "gate-index": Described("gate index --json.", f"{OWN}:IndexPrinted"),
    "datasets": Described("datasets list --json.", f"{OWN}:DatasetPrinted", is_list=True),
    "dataset": Described("datasets show --json.", f"{OWN}:DatasetPrinted"),
    "conversion": Described("datasets convert --json; the manifest beside its output has it without output.", f"{OWN}:ConversionPrinted"),
    "dedup": Described("dedup --json, and the manifests beside its outputs.", f"{OWN}:DedupPrinted"),
    "decontaminate": Described("decontaminate --json, and the manifests beside its outputs.", f"{OWN}:DecontaminatePrinted"),
    "mix": Described("mix --json, and the manifest of a mixture: MIXTURE.jsonl.json.", "instructsel.mixtures.shape:MixtureManifest"),
    "mix-plan": Described("mix --dry-run --json.", "instructsel.mixtures.shape:PlanPrinted"),
    "mix-check": Described("mix check --json.", f"{OWN}:MixChecked"),
    "recipe": Described("A recipe of a mixture: RECIPE.toml.", "instructsel.mixtures.recipe:RecipeShape"),
    "audit-by-rules": Described("audit --to CONSUMER --json.", f"{OWN}:RulesAuditPrinted"),
    "audit": Described("audit --json, and audit.json.", "instructsel.audits.shape:AuditRecord"),
    "score": Described("score --json.", f"{OWN}:ScorePrinted"),
    "score-estimate": Described("score --dry-run --json.", f"{OWN}:EstimatePrinted", is_list=True),
    "scores": Described("The manifest of a score table: TABLE.json.", "instructsel.scores.shape:ScoresManifest"),
    "select": Described("select --json.", f"{OWN}:SelectPrinted"),
    "selection": Described("The manifest of a selection: SELECTION.selection.parquet.json.", "instructsel.selection.shape:SidecarManifest"),
    "selection-set": Described("A selection with its baselines: SELECTION.selection-set.json.", "instructsel.selection.shape:SetManifest"),
    "export": Described("export --json.", f"{OWN}:ExportPrinted"),
    "verdict": Described("verify --json, and verdict.json.", "instructsel.verification.shape:VerificationRecord"),
    "train": Described("train --json.", f"{OWN}:TrainPrinted"),
    "train-audit": Described("train --audit --json.", f"{OWN}:TrainAuditPrinted"),
    "report": Described("report --json, and its -o FILE.json.", f"{OWN}:ReportPrinted"),
    "judge-app": Described("judge-app --json: the summary of people's judgments.", "instructsel.human.shape:JudgePrinted"),
    "verification": Described(
        "The manifest of a verification: verification.parquet.json.", "instructsel.verification.shape:VerificationManifest"
    ),
    "study-plan": Described("plan.json of a study.", "instructsel.study.shape:PlanRecord"),
    "study-run": Described("A run of a study: runs/*.json.", "instructsel.study.shape:RunRecord"),
    "study-planned": Described("study plan --json.", f"{OWN}:StudyPlanned"),
    "study-status": Described("study status --json, study run --json.", f"{OWN}:StudyStatusPrinted"),
    "effects": Described("study effects --json, and its -o FILE.json.", "instructsel.study.shape:EffectsRecord"),
    "mix-fit": Described("mix fit --json.", f"{OWN}:MixFitPrinted"),
    "study": Described("The manifest of a study's observations: study.parquet.json.", "instructsel.study.shape:StudyManifest"),
    "size-search": Described("search.json of a size search.", "instructsel.study.shape:SearchRecord"),
    "size-curve": Described("study size --json.", "instructsel.study.shape:CurveRecord"),
    "graded-run": Described("A graded run of an experiment: runs/*.json.", "instructsel.experiments.store:GradedRecord"),
    "explain": Described("explain --json.", f"{OWN}:ExplainPrinted"),
    "diff": Described("diff --json.", "instructsel.selection.diff:Difference"),
    "rules-list": Described("rules list --json.", f"{OWN}:RulePrinted", is_list=True),
    "rule": Described("rules show --json.", f"{OWN}:RulePrinted"),
    "fit": Described("rules fit --json.", f"{OWN}:FittedPrinted"),
    "status": Described("status --json.", f"{OWN}:StatusPrinted"),
    "doctor": Described("doctor --json.", f"{OWN}:DoctorPrinted"),
    "cache": Described("cache show --json.", f"{OWN}:CachePrinted"),
    "cache-prune": Described("cache prune --json.", f"{OWN}:PrunedPrinted"),
    "demo": Described("demo --json.", f"{OWN}:DemoPrinted"),
}
"""Name → what it is."""


def described(name: str) -> Described:
    """One of SCHEMAS.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in SCHEMAS:
        close = difflib.get_close_matches(name, SCHEMAS, n=1)
        raise UsageError(f"There is no schema '{name}'.", fix=f"Did you mean '{close[0]}'?" if close else "instructsel schema lists them.")
    return SCHEMAS[name]
