"""What one run of lm-evaluation-harness gave, as grades: a value or a reason for each item of a metric."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from instructsel.adapters.lm_eval.conditions import plain, task_settings
from instructsel.adapters.lm_eval.suites import SKILL_OF
from instructsel.adapters.lm_eval.tasks import short_metric
from instructsel.errors import UsageError
from instructsel.grading.clusters import normalized
from instructsel.magnitude import is_usable
from instructsel.protocols import Grades

KIND: Final = "lm_eval"
GENERATE: Final = "generate_until"
NO_METRIC: Final = "no_metric"
"""The task gave the item no value of that metric."""
NOT_A_NUMBER: Final = "not_a_number"
"""The metric exists only over all items together."""
NOT_FINITE: Final = "not_finite"
"""A likelihood that is no finite number: the harness would call the first choice its highest."""
HASH_DIGITS: Final = 32
"""Hexadecimal digits of an item's name."""
PASSAGES: Final = ("passage", "article", "context", "story", "paragraph")
"""Columns of a document that hold a text several questions are asked about, as in RACE, DROP, SQuAD, BoolQ."""
Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""The harness's samples, task by task."""


@dataclass(frozen=True, eq=False)
class HarnessRun:
    """Results and samples of one run of the harness."""

    results: Mapping[str, Any] = field(repr=False)
    """As the harness returns or writes them."""
    rows: Rows = field(repr=False)
    """The samples of each task that has items."""
    record: Mapping[str, Any] = field(repr=False)
    """What the grades write down: harness, settings, hashes of the samples."""
    truncated: int = 0
    """Items whose prompt lost its beginning."""
    finite: bool = True
    """Whether the model gives finite logits at all."""
    text: bool = False
    """Whether likelihoods are texts, as in the harness's files."""
    drawn: Mapping[str, Sequence[int]] = field(default_factory=dict, repr=False)
    """Task → the positions of the items that were drawn of it; no task where all items count."""

    def grades(self, task: str, metric: str, *, name: str) -> Grades:
        """The grades of one metric of a task or group.

        Args:
            task: the task or group.
            metric: as the harness writes it, `metric,filter`.
            name: of the grades.

        Raises:
            UsageError: the task has no such metric per item, or no direction of it.
        """
        bare, _, filter_name = metric.rpartition(",")
        items: list[str] = []
        values: list[float] = []
        reasons: list[str | None] = []
        means: dict[str, float] = {}
        clusters: list[str] = []
        sources: list[str] = []
        for leaf in sorted(self.rows):
            leaf_items, leaf_values, leaf_reasons = self._leaf(leaf, bare, filter_name)
            clusters += self._clusters(leaf, filter_name, leaf_items)
            sources += [leaf] * len(leaf_items)
            items += leaf_items
            values += leaf_values
            reasons += leaf_reasons
            means[leaf] = _mean(leaf_values, leaf_reasons)
        self._check(task, metric, reasons)
        return Grades(
            name,
            tuple(items),
            np.array(values, dtype=np.float64),
            np.ones(len(items)),
            tuple(reasons) if any(reasons) else (),
            unit=short_metric(metric),
            higher_is_better=self._higher_is_better(task, bare),
            truncated=self.truncated,
            record=self._recorded(task, metric, _mean(values, reasons), means)
            | {"nulls": dict(sorted(Counter(reason for reason in reasons if reason is not None).items()))},
            clusters=tuple(clusters) if len(set(clusters)) < len(items) else (),
            # The parts of a group or tag.
            sources=tuple(sources) if len(set(sources)) > 1 else (),
        )

    def _leaf(self, leaf: str, metric: str, filter_name: str) -> tuple[list[str], list[float], list[str | None]]:
        """Items, values and reasons of one task that has items."""
        output = str(self.results["configs"][leaf].get("output_type"))
        copies: Counter[str] = Counter()
        items: list[str] = []
        values: list[float] = []
        reasons: list[str | None] = []
        for row in self._chosen(leaf, filter_name):
            document = str(row["doc_hash"])[:HASH_DIGITS]
            copies[document] += 1
            # Equal documents are told apart by their order, which is the data set's.
            items.append(f"{leaf}/{document}" + (f"#{copies[document]}" if copies[document] > 1 else ""))
            value, reason = self._value(row, metric, output)
            values.append(value)
            reasons.append(reason)
        return items, values, reasons

    def _chosen(self, leaf: str, filter_name: str) -> list[Mapping[str, Any]]:
        """The samples of one filter, in the data set's order."""
        return sorted((row for row in self.rows[leaf] if row["filter"] == filter_name), key=lambda row: int(row["doc_id"]))

    def _clusters(self, leaf: str, filter_name: str, items: Sequence[str]) -> list[str]:
        """The cluster of each item, by the name of its first item: questions on one passage, else items of one prompt."""
        first: dict[str, str] = {}
        return [first.setdefault(_shared(row), item) for row, item in zip(self._chosen(leaf, filter_name), items, strict=True)]

    def _value(self, row: Mapping[str, Any], metric: str, output: str) -> tuple[float, str | None]:
        if metric not in row:
            return 0.0, NO_METRIC
        if not self.finite or (output != GENERATE and not _finite(row["resps"], self.text)):
            return 0.0, NOT_FINITE
        value = row[metric]
        if not isinstance(value, bool | int | float | np.number | np.bool_):
            return 0.0, NOT_A_NUMBER
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return (number, None) if is_usable(number) else (0.0, NOT_FINITE)

    def _check(self, task: str, metric: str, reasons: Sequence[str | None]) -> None:
        """Refuse a metric that no item has."""
        if all(reason == NO_METRIC for reason in reasons):
            named = sorted({f"{key},{row['filter']}" for rows in self.rows.values() for row in rows for key in row["metrics"]})
            raise UsageError(f"{task} gives no {short_metric(metric)}.", fix=f"It gives {', '.join(map(short_metric, named))}.")
        if all(reason in (NO_METRIC, NOT_A_NUMBER) for reason in reasons):
            raise UsageError(f"{short_metric(metric)} of {task} exists only over all items together.", fix="Name a metric that items have.")

    def _higher_is_better(self, task: str, metric: str) -> bool:
        directions = {self.results["higher_is_better"].get(leaf, {}).get(metric) for leaf in self.rows}
        if directions not in ({True}, {False}):
            raise UsageError(
                f"The harness does not say whether a higher {metric} of {task} is better.",
                fix="Say higher_is_better in the task's metric_list.",
            )
        return directions == {True}

    def _recorded(self, task: str, metric: str, mean: float, means: Mapping[str, float]) -> dict[str, Any]:
        """What the grades of a metric write down.

        Args:
            task: the task or group.
            metric: as the harness writes it.
            mean: over items.
            means: over the items of each task.
        """
        hashes = self.record["hashes"]
        versions, shots = self.results["versions"], self.results["n-shot"]
        figure = self.results["results"].get(task, {}).get(metric)
        return {
            "kind": KIND,
            "task": task,
            "metric": metric,
            **{key: value for key, value in self.record.items() if key != "hashes"},
            "micro": mean if math.isfinite(mean) else None,
            "macro": math.fsum(means.values()) / len(means) if all(map(math.isfinite, means.values())) else None,
            "harness_figure": float(figure) if isinstance(figure, int | float) else None,
            "tasks": {
                leaf: {
                    "version": versions.get(leaf),
                    "hash": hashes[leaf],
                    "num_fewshot": shots.get(leaf),
                    "mean": means[leaf] if math.isfinite(means[leaf]) else None,
                }
                for leaf in sorted(self.rows)
            },
            "skill": SKILL_OF.get(task),
            "settings": self._settings(metric, hashes),
        }

    def _settings(self, metric: str, hashes: Mapping[str, str]) -> dict[str, Any]:
        """What has to be the same of all models that are compared: the hash is of documents, prompts, shots and targets."""
        bare, _, filter_name = metric.rpartition(",")
        versions, shots, configs = self.results["versions"], self.results["n-shot"], self.results["configs"]
        return {
            "system_instruction": plain(self.record.get("system_instruction")),
            "chat_template_sha": self.record["chat_template_sha"],
            "fewshot_as_multiturn": bool(self.record["fewshot_as_multiturn"]),
            "model_args": self.record.get("model_args"),
            "tasks": {
                leaf: {
                    "version": str(versions.get(leaf)),
                    "num_fewshot": shots.get(leaf),
                    **task_settings(configs[leaf], bare, filter_name),
                    "hash": hashes[leaf],
                }
                for leaf in sorted(self.rows)
            },
        }


def _shared(row: Mapping[str, Any]) -> str:
    """What items of one cluster have in common: the passage their document asks about, else their prompt."""
    document = row.get("doc")
    if isinstance(document, Mapping):
        for column in PASSAGES:
            passage = document.get(column)
            if isinstance(passage, str) and passage.strip():
                return f"{column} {normalized(passage)}"
    return f"prompt {row['prompt_hash']}"


def _mean(values: Sequence[float], reasons: Sequence[str | None]) -> float:
    """Over the values that have no reason; NaN where none has."""
    valid = [value for value, reason in zip(values, reasons, strict=True) if reason is None]
    return math.fsum(valid) / len(valid) if valid else math.nan


def _finite(value: Any, text: bool) -> bool:
    """Whether all likelihoods are numbers; the harness's files hold them as texts."""
    if isinstance(value, list | tuple):
        return all(_finite(part, text) for part in value)
    if text and isinstance(value, str):
        return value.strip("() ").partition(",")[0].lower() not in ("nan", "inf", "-inf")
    return not isinstance(value, float) or math.isfinite(value)


def samples_hash(rows: Sequence[Mapping[str, Any]]) -> str:
    """The harness's own hash of a task: documents, prompts and targets."""
    return hashlib.sha256(
        "".join(str(row["doc_hash"]) + str(row["prompt_hash"]) + str(row["target_hash"]) for row in rows).encode()
    ).hexdigest()


__all__ = ["GENERATE", "KIND", "HarnessRun", "Rows", "samples_hash"]
