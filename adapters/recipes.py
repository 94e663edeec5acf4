"""How a fine-tune is run: presets with the settings of the papers, what they do not give marked as assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.experiments.limits import LONGEST_ROW, MOST_EPOCHS, MOST_NORM, MOST_RATE, MOST_ROWS, MOST_UNITS
from instructsel.grading.chat import LOSSES
from instructsel.magnitude import LARGEST_WHOLE, is_usable
from instructsel.rendering import TEMPLATE_DATE, checked_date
from instructsel.shapes import shown

METHODS: Final = ("full", "lora")
SCHEDULES: Final = ("constant", "linear", "cosine")
BUDGETS: Final = ("epochs", "steps", "tokens")
"""How long a fine-tune lasts; exactly one of them is set."""
OPTIONAL: Final = (*BUDGETS, "bits", "micro_batch_size")
WHOLE: Final = ("steps", "tokens", "bits", "batch_size", "micro_batch_size", "max_length", "lora_r", "lora_alpha")
SWITCHES: Final = ("packing", "group_by_length", "gradient_checkpointing")
TEXTS: Final = ("name", "method", "schedule", "optimizer", "loss", "source", "template_date")
LISTS: Final = ("lora_targets", "assumed")
"""Settings by their kind; the others are numbers."""
LORA: Final = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")
"""Settings that mean nothing where every weight is trained."""
MOST: Final[Mapping[str, float]] = {
    "epochs": MOST_EPOCHS,
    "steps": MOST_ROWS,
    "tokens": LARGEST_WHOLE,
    "learning_rate": MOST_RATE,
    "batch_size": MOST_UNITS,
    "micro_batch_size": MOST_UNITS,
    "max_length": LONGEST_ROW,
    "lora_r": MOST_UNITS,
    "lora_alpha": MOST_UNITS,
    "max_grad_norm": MOST_NORM,
}
"""Settings that are above 0, and the largest number that each may be."""
FORMER_NAMES: Final[Mapping[str, str]] = {"batch_size": "batch", "micro_batch_size": "micro"}
"""Setting → the name it has in fingerprints, and had in files of 0.1."""


@dataclass(frozen=True)
class Recipe:
    """The settings of a fine-tune. A preset is taken with `recipe`, and changed by name there."""

    name: str
    """The preset's, or an own one."""
    method: str = "full"
    """full trains every weight, lora low-rank adapters of linear layers."""
    bits: int | None = None
    """The base in so many bits (bitsandbytes): 8, or 4 for NF4 with double quantization; None leaves it as it is. lora only."""
    epochs: float | None = 3.0
    """Passes over the rows."""
    steps: int | None = None
    """Optimizer steps, for arms of equal steps; instead of epochs."""
    tokens: int | None = None
    """Tokens seen, prompts included, for arms of equal tokens; instead of epochs. Met within the length of one row."""
    learning_rate: float = 2e-5
    """At its height."""
    schedule: str = "constant"
    """constant, linear (to 0) or cosine (to 0), after the warm-up."""
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    """Of every weight but biases and norms."""
    max_grad_norm: float = 1.0
    """Norm to which the gradient is clipped."""
    optimizer: str = "adamw_torch_fused"
    """By transformers' name."""
    batch_size: int = 16
    """Rows of an optimizer step."""
    micro_batch_size: int | None = None
    """Rows computed at a time; None takes at most 8 on a GPU and 16 on a CPU. The gradient is the same."""
    max_length: int = 1024
    """Tokens of a row; the rest is cut off at the end and counted."""
    loss: str = "completion"
    """Where it falls: completion (the last response), assistant (every response), tulu-1 (as in the first release of Tülu), all."""
    packing: bool = False
    """Whether short rows share a sequence, without cross-contamination: the attention of a row stays within it."""
    group_by_length: bool = False
    """Whether rows of like length are batched together, which saves padding; batches come in random order."""
    lora_r: int = 64
    """Rank of the adapters."""
    lora_alpha: int = 16
    """Their product counts lora_alpha / lora_r times."""
    lora_dropout: float = 0.0
    """Share of an adapter's inputs that are dropped in training."""
    lora_targets: tuple[str, ...] = ()
    """Layers with adapters, by the end of their names, e.g. q_proj; empty: every linear layer but the head."""
    gradient_checkpointing: bool = False
    """Whether activations are computed twice and not kept, for less memory."""
    template_date: str = TEMPLATE_DATE
    """What chat templates that write the date are told that today is, as YYYY-MM-DD, in training and in grading."""
    source: str = ""
    """Paper or code the settings are of."""
    assumed: tuple[str, ...] = ()
    """Settings the source does not give."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_kind(setting.name, getattr(self, setting.name))
        checked_date(self.template_date)
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(budgets) != 1:
            raise UsageError(
                f"A fine-tune lasts so many epochs, steps or tokens, not {' and '.join(budgets) or 'none of them'}.",
                fix="Give one of the three.",
            )
        for name, known in (("method", METHODS), ("schedule", SCHEDULES), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise UsageError.named(str(getattr(self, name)), known, noun=name)
        if self.bits not in (None, 4, 8):
            raise UsageError(f"A base can be held in 4 or 8 bits, not {self.bits!r}.")
        if self.bits is not None and self.method != "lora":
            raise UsageError(f"A base in {self.bits} bits cannot be trained as a whole.", fix="Use --method lora, or leave the bits out.")
        for name in MOST:
            value = getattr(self, name)
            if value is not None and not 0 < value <= MOST[name]:
                raise UsageError(f"{name} of a fine-tune is above 0 and at most {MOST[name]:,}, not {value!r}.")
        for name in ("warmup", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} of a fine-tune lies in [0, 1), not {getattr(self, name)!r}.")
        if self.weight_decay < 0:
            raise UsageError(f"weight_decay of a fine-tune is not below 0, as {self.weight_decay!r} is.")
        if self.weight_decay > MOST_RATE:
            raise UsageError(f"weight_decay of a fine-tune is at most {MOST_RATE:,}, not {self.weight_decay!r}.")
        if any(not target.strip() for target in self.lora_targets):
            raise UsageError("lora_targets of a fine-tune holds an empty name.", fix="For example: q_proj,v_proj")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise UsageError(
                f"A batch of {self.batch_size} rows cannot be computed {self.micro_batch_size} at a time.",
                fix="Give a micro_batch_size that divides it.",
            )

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain data; `of` reads it."""
        settings = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What of a checkpoint's key is the recipe's.

        Settings have their former names here: a renamed setting trains the same model, and a finished folder stays one.
        """
        settings = self.as_dict()
        # Of a template that writes no date it changes nothing; of others the trainer has it.
        del settings["template_date"]
        if not self.lora_targets:
            # A setting that is as it always was changes no name.
            del settings["lora_targets"]
        settings["assumed"] = [FORMER_NAMES.get(name, name) for name in self.assumed]
        return {FORMER_NAMES.get(name, name): value for name, value in settings.items()}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Recipe:
        """From plain data, with former names of settings too.

        Raises:
            UsageError: a setting there is none of, or one that cannot be.
        """
        known = {setting.name for setting in fields(cls)}
        present_names = {former: name for name, former in FORMER_NAMES.items()}
        settings = {present_names.get(name, name): value for name, value in settings.items()}
        for name in settings:
            if name not in known:
                raise UsageError.named(name, known, noun="setting of a recipe")
        if "name" not in settings:
            raise UsageError("A recipe has a name.", fix="Give one, or take a preset.")
        stated = {name: settings[name] for name in LISTS if name in settings}
        lists: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in stated.items()}
        if isinstance(lists.get("assumed"), tuple):
            lists["assumed"] = tuple(present_names.get(name, name) if isinstance(name, str) else name for name in lists["assumed"])
        return cls(**{**settings, **lists})


def _check_kind(name: str, value: object) -> None:
    """Refuse what is not of a setting's kind: settings come from files, too.

    Raises:
        UsageError: a text where a number belongs, a number that is not finite, and so on.
    """
    if value is None and name in OPTIONAL:
        return
    if name in WHOLE:
        fits, kind = isinstance(value, int) and is_usable(value), "a whole number"
    elif name in SWITCHES:
        fits, kind = isinstance(value, bool), "true or false"
    elif name in TEXTS:
        fits, kind = isinstance(value, str), "a text"
    elif name in LISTS:
        fits, kind = isinstance(value, tuple) and all(isinstance(text, str) for text in value), "a list of texts"
    else:
        fits, kind = is_usable(value), "a number"
    if not fits:
        raise UsageError(f"{name} of a recipe is {kind}, not {shown(value) if _is_huge(value) else repr(value)}.")


def _is_huge(value: object) -> bool:
    """Whether Python may refuse to write a number: it has too many digits."""
    return isinstance(value, int) and abs(value) > LARGEST_WHOLE


OPEN_INSTRUCT: Final = "open-instruct (allenai/open-instruct)"
PROJECTIONS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Layers with adapters in open-instruct: every linear one of LLaMA's, but not the head."""
LORA_2024_ASSUMED: Final = ("schedule", "warmup", "weight_decay", "max_grad_norm", "optimizer", "lora_targets")
"""What is known of the examples of January 2024 by other scripts of the same code alone."""


def _tulu(name: str, **changes: Any) -> Recipe:
    """A preset of Tülu: the settings of its 7B and 13B models (LLaMA 1 and 2, OPT and Pythia alike), and what is different."""
    settings: dict[str, Any] = {
        "method": "full",
        "epochs": 2.0,
        "batch_size": 128,
        "learning_rate": 2e-5,
        "schedule": "linear",
        "warmup": 0.03,
        "weight_decay": 0.0,
        "max_length": 2048,
        "loss": "assistant",
        "gradient_checkpointing": True,
        "source": "Wang et al. 2023, arXiv:2306.04751, appendix D; batch and optimizer from the released scripts (open-instruct "
        "e44fcf58); loss as in today's code, and tulu-1 is that of the first release",
        "assumed": ("batch_size", "max_grad_norm", "optimizer"),
    }
    return Recipe(name, **{**settings, **changes})


def _tulu_2024(name: str, **changes: Any) -> Recipe:
    """A preset of open-instruct's examples with LoRA of January 2024."""
    settings: dict[str, Any] = {
        "source": f"{OPEN_INSTRUCT} 9ebcb582 (January 2024), its examples with LoRA and QLoRA",
        "method": "lora",
        "epochs": 5.0,
        "learning_rate": 1e-4,
        "max_length": 4096,
        "lora_r": 64,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "lora_targets": PROJECTIONS,
        "assumed": LORA_2024_ASSUMED,
    }
    return _tulu(name, **{**settings, **changes})


PRESETS: Final[dict[str, Recipe]] = {
    "paper-v1": Recipe(
        "paper-v1",
        method="lora",
        bits=8,
        epochs=3.0,
        batch_size=8,
        learning_rate=2e-4,
        schedule="constant",
        warmup=0.03,
        max_grad_norm=0.3,
        optimizer="paged_adamw_32bit",
        max_length=1024,
        lora_r=64,
        lora_alpha=16,
        source="Cao et al. 2023, arXiv:2307.06290v1; what it does not give from the QLoRA reference script (artidoro/qlora 7f4e95a)",
        assumed=(
            "learning_rate",
            "schedule",
            "warmup",
            "weight_decay",
            "max_grad_norm",
            "optimizer",
            "max_length",
            "loss",
            "lora_r",
            "lora_alpha",
            "lora_dropout",
            "chat template",
        ),
    ),
    "paper-v2": Recipe(
        "paper-v2",
        method="full",
        epochs=3.0,
        batch_size=128,
        learning_rate=2e-5,
        schedule="cosine",
        warmup=0.03,
        max_length=1024,
        gradient_checkpointing=True,
        source="Cao et al. 2023, arXiv:2307.06290v2",
        assumed=(
            "batch_size",
            "learning_rate",
            "schedule",
            "warmup",
            "weight_decay",
            "max_grad_norm",
            "optimizer",
            "max_length",
            "loss",
            "chat template",
        ),
    ),
    **{name: _tulu(name) for name in ("tulu-7b", "tulu-13b")},
    **{name: _tulu(name, learning_rate=1e-5, max_length=1024) for name in ("tulu-30b", "tulu-65b")},
    "tulu-lora-2023": _tulu(
        "tulu-lora-2023",
        source=f"{OPEN_INSTRUCT} e44fcf58 (June 2023), its example with LoRA; no published model was trained so",
        method="lora",
        lora_r=256,
        lora_alpha=256,
        lora_dropout=0.05,
        lora_targets=PROJECTIONS,
        assumed=("schedule", "warmup", "weight_decay", "max_length", "max_grad_norm", "optimizer", "lora_targets"),
    ),
    "tulu-lora-2024": _tulu_2024("tulu-lora-2024"),
    "tulu-qlora-2024": _tulu_2024("tulu-qlora-2024", bits=4, optimizer="paged_adamw_32bit"),
    "tulu-lora-advice": _tulu_2024(
        "tulu-lora-advice",
        source=f"{OPEN_INSTRUCT} 9ebcb582 (January 2024), the advice of its README: rank 256 and 2e-4 worked best, with a base in 4 bits as well",
        learning_rate=2e-4,
        lora_r=256,
        lora_alpha=256,
        assumed=(*LORA_2024_ASSUMED, "epochs", "max_length", "lora_alpha", "lora_dropout"),
    ),
    "tiny": Recipe(
        "tiny",
        method="full",
        epochs=3.0,
        batch_size=16,
        learning_rate=1e-3,
        schedule="cosine",
        warmup=0.05,
        max_length=512,
        group_by_length=True,
        source="ours: every weight of a base of a few million parameters, on a CPU",
    ),
}
"""Presets by name."""


def recipe(name: str, **changes: Any) -> Recipe:
    """A preset, with settings changed by name; epochs, steps and tokens replace one another.

    Raises:
        UsageError: no preset or setting of that name, or a setting that cannot be.

    >>> recipe("paper-v1").bits
    8
    >>> recipe("tiny", steps=100).epochs is None
    True
    """
    if name not in PRESETS:
        raise UsageError.named(name, PRESETS, noun="preset")
    base = PRESETS[name]
    known = {setting.name for setting in fields(base)} - {"name", "source", "assumed"}
    for key in changes:
        if key not in known:
            raise UsageError.named(key, known, noun="setting of a recipe")
    targets = changes.get("lora_targets")
    if isinstance(targets, list):
        # As peft writes the default.
        changes["lora_targets"] = () if targets == ["all-linear"] else tuple(targets)
    adapters = [key for key in LORA if key in changes]
    if adapters and changes.get("method", base.method) == "full":
        raise UsageError(
            f"{adapters[0]} is a setting of LoRA; this fine-tune trains every weight.", fix="Write --method lora, or leave the setting out."
        )
    budget = [key for key in BUDGETS if changes.get(key) is not None]
    if budget:
        changes = {**dict.fromkeys(BUDGETS), **changes}
    changed = {key for key, value in changes.items() if value != getattr(base, key)}
    return replace(base, **changes, assumed=tuple(name for name in base.assumed if name not in changed))


__all__ = ["PRESETS", "Recipe", "recipe"]
