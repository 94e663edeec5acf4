"""Which options a settings file may set: it lies in the working folder, and the folder may be somebody else's.

Every option of every command is in exactly one of the classes here, and a test holds the classes against the commands. What says where
texts, losses and secrets go, lets code run, or replaces files comes from flags and variables alone. A file may name what is read, but no
address; and what is written, but only inside the working folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.experiments.trusted import REACHING
from instructsel.paths import resolved

TRUSTED_ONLY: Final[Mapping[str, str]] = {
    "judge-url": "says where instructions and responses are sent",
    "judge-key": "says which environment variable is sent to a server",
    "annotator": "says to whom instructions and responses are sent",
    "include-path": "names tasks, which may hold code",
    "allow-unsafe-code": "has code run that models write",
    "allow-task-code": "has code run that tasks and annotators bring along",
    "report-to": "has losses sent to a tracker",
    "project": "says where a tracker files its runs",
    "host": "says which machines reach what is judged",
    "public-url": "says which machines reach what is judged",
    "force": "replaces files that are no results of instructsel",
    "replace": "replaces a score table",
}
"""Flag → what it does, which no file may have done."""
assert {flag.replace("-", "_") for flag in TRUSTED_ONLY} >= REACHING.keys()

WRITTEN: Final = frozenset({"output", "with-scores", "html", "charts", "chart", "findings", "fix-out", "pairs", "db", "export"})
"""Flags of files and folders that are written: in a file they lie inside the working folder."""

READ: Final = frozenset(
    {
        *("against", "embedding", "tasks"),
        *(
            "alpaca-files",
            "arm",
            "base",
            "baseline",
            "cache",
            "checkpoint",
            "config",
            "encoder",
            "eval",
            "instructions",
            "judge",
            "key",
            "model",
            "pilot",
            "pool",
        ),
        *(
            "import",
            "report",
            "results",
            "reward",
            "rule",
            "scores",
            "search",
            "selection",
            "source",
            "target",
            "target-model",
            "tuned-model",
            "tokenizer",
            "verdict",
        ),
    }
)
"""Flags of files, folders and models that are read: in a file they hold no address. A hub id is none; models never bring code."""

PLAIN: Final = frozenset(
    {
        *("cosine", "exact-only", "few-shot", "max-tokens", "ngram", "on", "part", "paths", "threshold", "top-k", "zero-shot"),
        *("annotators", "new-links", "port", "reference", "summary", "votes"),
        *("all", "allow-contamination", "allow-mismatch", "allow-unlike", "audit", "base-model", "baselines", "batch-size"),
        *(
            "bin-rows",
            "bins",
            "bits",
            "bootstrap",
            "by",
            "candidate",
            "chat-template",
            "clip",
            "cluster",
            "columns",
            "confidence",
            "design",
        ),
        *(
            "delimiter",
            "design-seed",
            "device",
            "diff",
            "drop-unsupported",
            "dry-run",
            "epochs",
            "fail-on",
            "format",
            "fraction",
            "generalize-to",
            "gold-bits",
            "ifd",
            "indicators",
        ),
        *("items", "jobs", "json", "judge-revision", "keep-checkpoints", "keep-exact-duplicates", "keep-near-duplicates"),
        *("learning-rates", "least", "limit", "lm-eval", "lora-alpha", "lora-dropout", "lora-r", "lora-targets", "loss", "loss-unit"),
        *(
            "lr",
            "map",
            "margin",
            "match-compute",
            "max-bad-fraction",
            "max-findings",
            "check",
            "reason",
            "expires",
            "mode",
            "max-failed-fraction",
            "max-grad-norm",
            "max-length",
        ),
        *("max-new-tokens", "max-null-fraction", "max-skipped-fraction", "merge", "method", "micro-batch-size", "min", "mixtures", "most"),
        *(
            "max-similarity",
            "n",
            "name",
            "near-duplicates",
            "near-duplicates-of",
            "no-cache",
            "num-fewshot",
            "oasst",
            "on-duplicate-key",
            "optimizer",
            "order",
        ),
        *("packing", "pool-seeds", "precision"),
        *("column", "direction", "join", "max-unmatched-fraction", "unit"),
        *(
            "preset",
            "print-config",
            "print-recipe",
            "quiet",
            "quota",
            "random-subsets",
            "reasoning",
            "require",
            "revision",
            "reward-turns",
            "role",
            "rows",
            "schedule",
        ),
        *(
            "search-seed",
            "seed",
            "seeds",
            "show",
            "sizes",
            "skip-probe",
            "source-field",
            "sources",
            "steps",
            "title",
            "to",
            "tokens",
            "top",
        ),
        *("add-one", "add-rows", "base-sources", "equal-rows", "leave-one", "no-untouched", "replicates"),
        *("available", "max-repeats", "outcome"),
        *("traceback", "trainer", "trials", "undesirable", "warmup", "weight-decay", "whole-pool", "with-text"),
    }
)
"""Numbers, names and switches, which reach nothing outside."""
FORMS: Final = frozenset({"to"})
"""Of these, the flags that may name a file that is written behind a =; it lies inside the working folder, too."""
ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\\/]{2}|(?:^|[=,+@])\s*[\\/]{2}")
"""hf://…, https://…, or a share of another machine, also behind NAME=."""


def refusal(flag: str, value: Any) -> str | None:
    r"""Why a settings file may not set an option to a value, as the end of a sentence; None where it may.

    Args:
        flag: without dashes in front.
        value: as TOML gives it, or as the option holds it.

    >>> refusal("judge-key", "HOME"), refusal("pool", ["mine=hf://owner/name"])
    ('says which environment variable is sent to a server', 'holds an address: mine=hf://owner/name')
    >>> refusal("scores", "pool.scores.parquet"), refusal("output", "../elsewhere.jsonl")
    (None, 'leads out of the working folder: ../elsewhere.jsonl')
    """
    if flag in TRUSTED_ONLY:
        return TRUSTED_ONLY[flag]
    if flag not in READ and flag not in WRITTEN and flag not in FORMS:
        return None
    values = value if isinstance(value, list | tuple) else [value]
    texts = [os.fspath(entry) for entry in values if isinstance(entry, str | os.PathLike)]
    for text in texts:
        if ADDRESS.search(text):
            return f"holds an address: {text}"
        if flag in FORMS and "=" not in text:
            continue
        if flag in FORMS and not _inside(text.partition("=")[2]):
            return f"leads out of the working folder: {text}"
        if flag in WRITTEN and not _inside(text):
            return f"leads out of the working folder: {text}"
    return None


def _inside(text: str) -> bool:
    """Whether a file lies in the working folder, also where a link leads."""
    if text == "-":
        return True
    try:
        return resolved(text).is_relative_to(resolved(Path.cwd()))
    except (OSError, ValueError, RuntimeError):
        # Names that no system takes; whoever opens the file says so.
        return False


__all__ = ["PLAIN", "READ", "TRUSTED_ONLY", "WRITTEN", "refusal"]
