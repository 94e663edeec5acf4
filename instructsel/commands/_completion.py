"""Values that the shell completes. Each is a listing or static data: nothing is imported for a press of the tab key."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Final

INDICATORS: Final[dict[str, str]] = {
    "len": "tokens of the response",
    "len_in": "tokens of the instruction",
    "mtld": "lexical diversity of the response",
    "knn_6": "distance to the 6th nearest example",
    "plausibility": "whether a response fits its instruction; ships with the package",
    "rew": "reward of the response",
    "ppl": "perplexity of the response",
    "ppl_cond": "perplexity of the response after the instruction",
    "ifd": "instruction-following difficulty",
    "nat": "naturalness",
    "coh": "coherence",
    "und": "understandability",
}
"""Symbol → what it measures; a test holds the symbols against the registry."""
BASELINES: Final = (
    "random",
    "dsir",
    "ica",
    "k-center",
    "length-matched",
    "longest",
    "loss_drop",
    "rds+",
    "reward-only",
    "superfiltering",
)
"""Ways to select; a test holds them against the registry."""
FOLLOWING: Final = ("length-matched",)
"""Those that follow a selection and make none."""
FORMATS: Final = (
    "auto",
    "alpaca",
    "baize",
    "dialogue",
    "dolly",
    "flan",
    "glaive",
    "history",
    "messages",
    "oasst_table",
    "oasst_tree",
    "prompt_completion",
    "question_answer",
    "responses",
    "self_instruct",
    "sharegpt",
    "super_natural_instructions",
    "unnatural_instructions",
    "xlam",
)

DATASETS: Final = (
    "super_ni",
    "cot",
    "flan_v2",
    "dolly",
    "oasst1",
    "self_instruct",
    "unnatural_instructions",
    "stanford_alpaca",
    "code_alpaca",
    "gpt4_alpaca",
    "baize",
    "sharegpt",
    "tulu_v1",
    "tulu_v2",
    "tulu_v3",
    "dolci_instruct",
    "smoltalk",
    "ultrachat",
    "openhermes",
    "wildchat",
    "lima",
    "magpie",
)
"""Keys of the catalogue; a test holds them against it."""
CONVERTED: Final = 12
"""How many of them have a conversion: the first."""
CONSUMERS: Final = ("alpaca", "axolotl", "hf", "llamafactory", "messages", "ms-swift", "open-instruct", "parquet", "sharegpt", "trl")
"""Of exports; a test holds them against the registry."""

Choices = list[tuple[str, str] | str]
"""Values, or values and what they mean."""


def indicators(incomplete: str) -> Choices:
    """Symbols, also the next of a list with commas."""
    before, comma, last = incomplete.rpartition(",")
    listed = before.split(",")
    return [
        (f"{before}{comma}{symbol}", meaning) for symbol, meaning in INDICATORS.items() if symbol.startswith(last) and symbol not in listed
    ]


def thresholds(incomplete: str) -> Choices:
    """SYMBOL=, for a minimum, a model or another setting of one indicator."""
    return [(f"{symbol}=", meaning) for symbol, meaning in INDICATORS.items() if symbol.startswith(incomplete)]


def by(incomplete: str) -> Choices:
    """A symbol, with a minus in front where the highest come first; or a way to select."""
    sign = "-" if incomplete.startswith("-") else ""
    ways: Choices = [name for name in BASELINES if not sign and name not in FOLLOWING and name.startswith(incomplete)]
    return ways + [(f"{sign}{symbol}", meaning) for symbol, meaning in INDICATORS.items() if f"{sign}{symbol}".startswith(incomplete)]


def rules(incomplete: str) -> Choices:
    """The presets."""
    names = (file.name.removesuffix(".toml") for file in (files("instructsel.rules") / "presets").iterdir() if file.name.endswith(".toml"))
    return [name for name in sorted(names) if name.startswith(incomplete)]


def datasets(incomplete: str) -> Choices:
    """The keys of the catalogue of open datasets."""
    return [key for key in DATASETS if key.startswith(incomplete)]


def conversions(incomplete: str) -> Choices:
    """The keys of those that have a conversion."""
    return [key for key in DATASETS[:CONVERTED] if key.startswith(incomplete)]


def recipes(incomplete: str) -> Choices:
    """The built-in recipes of mixtures."""
    names = (
        file.name.removesuffix(".toml") for file in (files("instructsel.mixtures") / "recipes").iterdir() if file.name.endswith(".toml")
    )
    return [name for name in sorted(names) if name.startswith(incomplete)]


def formats(incomplete: str) -> Choices:
    """Row formats."""
    return [name for name in FORMATS if name.startswith(incomplete)]


def baselines(incomplete: str) -> Choices:
    """Baselines."""
    return [name for name in BASELINES if name.startswith(incomplete)]


def consumers(incomplete: str) -> Choices:
    """Consumers of exports."""
    return [name for name in CONSUMERS if name.startswith(incomplete)]


def schemas(incomplete: str) -> Choices:
    """Names of schemas."""
    from instructsel.commands._schemas import SCHEMAS

    return [(name, entry.text) for name, entry in SCHEMAS.items() if name.startswith(incomplete)]


BY_FLAG: Final[dict[str, Callable[[str], Choices]]] = {
    "rule": rules,
    "indicators": indicators,
    "format": formats,
    "baseline": baselines,
    "min": thresholds,
    "model": thresholds,
    "by": by,
}
"""Flag → its values, in whichever command it stands; an option or argument may bring its own as `autocompletion`."""
