"""Which models score, and how they run: from the words of a command line, or from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

from instructsel.errors import UsageError
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Indicator
from instructsel.models.load import EMBEDDED, EMBEDDED_LM

PRECISIONS: Final = ("auto", "fp32", "bf16")


class ModelName(NamedTuple):
    """A model or tokenizer: a hub id or a local folder, and a revision of the hub."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """MODEL[@REVISION]; a path that exists is taken whole."""
        base, marker, revision = text.rpartition("@")
        return cls(base, revision) if marker and not Path(text).exists() else cls(text)


@dataclass(frozen=True)
class ModelSettings:
    """The models of indicators, and how all of them run."""

    named: Mapping[str, ModelName] = field(default_factory=dict)
    """Symbol → the model that its indicator uses. The others use their own defaults."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 where it is faster."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps or auto."""
    probe: bool = True
    """Whether models are tested on known pairs before they score."""
    turns: str = "last"
    """Responses of a conversation that rew scores: last, or mean or min over all of them."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError.named(self.precision, PRECISIONS, noun="precision")

    def indicators(self, symbols: Sequence[str]) -> list[Indicator]:
        """The indicators of these symbols, each with its model.

        Raises:
            UsageError: a model for an indicator that is not scored, or that takes none.
            UnknownIndicator: a symbol that no indicator has.
        """
        for symbol in self.named:
            if symbol not in symbols:
                raise UsageError(
                    f"--model names a model for {symbol}, which is not scored.", fix=f"Add it: --indicators {','.join([*symbols, symbol])}"
                )
        return [self._indicator(symbol) for symbol in symbols]

    def _indicator(self, symbol: str) -> Indicator:
        fields = set(type(registry.make(symbol)).__dataclass_fields__)
        parameters: dict[str, object] = {
            "precision": self.precision,
            "device": self.device,
            "probe": self.probe,
            "turns": self.turns,
        }
        if (model := self.named.get(symbol)) is not None:
            if "model" not in fields:
                raise UsageError(f"{symbol} uses no model.", fix=f"Leave --model {symbol}=… out.")
            parameters["model"] = model.name
            if model.revision is not None:
                if model.name in (EMBEDDED, EMBEDDED_LM) or Path(model.name).is_dir():
                    raise UsageError(f"{symbol}={model.name} has no revisions: they are of the hub.", fix=f"Leave @{model.revision} out.")
                if "revision" not in fields:
                    raise UsageError(f"{symbol} takes no revision.", fix="Fetch that revision and name its folder.")
                parameters["revision"] = model.revision
        return registry.make(symbol, **{name: value for name, value in parameters.items() if name in fields})


def parse_models(assignments: Sequence[str], reward: str | None = None) -> dict[str, ModelName]:
    """`SYMBOL=MODEL[@REVISION]` texts, and the short form of rew's.

    Raises:
        UsageError: a text of another form, or two models for rew.
    """
    named: dict[str, ModelName] = {}
    for text in assignments:
        symbol, equals, model = text.partition("=")
        if not equals or not symbol or not model:
            raise UsageError(
                f"--model {text} is not of the form SYMBOL=MODEL[@REVISION].",
                fix="For example: --model rew=OpenAssistant/reward-model-deberta-v3-large-v2",
            )
        named[symbol] = ModelName.parse(model)
    if reward is not None:
        if "rew" in named:
            raise UsageError("--reward and --model rew=… both name the reward model.", fix="Leave one out.")
        named["rew"] = ModelName.parse(reward)
    return named
