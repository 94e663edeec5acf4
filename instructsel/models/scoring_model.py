"""What reward models, language models and yes–no evaluators have in common: rows of tokens in, a number a row out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from instructsel.models import runner
from instructsel.models.answers import Answers, Encoded, OutputCache, QuestionWriter, answered
from instructsel.models.load import LocalModel, threads, working

TOLERANCE: Final = {"fp32": 1e-4, "bf16": 2e-2}
"""How far a packed row's value may be from that of plain transformers at batch 1: a logit, or nats a token."""
UNLIMITED: Final = 1 << 30
SWITCHED_OFF: Final = "packing was switched off"


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoringModel:
    """A loaded model that gives each row of tokens a number: the same alone, in any company and in any order."""

    source: LocalModel
    precision: str
    """fp32 or bf16."""
    device: str
    """cpu or cuda."""
    max_length: int
    """Tokens of a row at most."""
    probed: bool | str
    """Whether it passed the sanity probe; for a yes–no evaluator the question of the probe. Empty or false where it was skipped."""
    tokenizer: Any
    unknown: int | None
    """The token for what the tokenizer does not know."""
    workers: tuple[Any, ...]
    """The model once for each GPU; once on a CPU."""
    padded_because: str | None
    """Why rows are padded and not packed; None where they are packed."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a value depends on besides the texts; no path."""
        return {
            "name": self.source.name,
            "revision": self.source.revision,
            "digest": self.source.digest,
            "precision": self.precision,
            "device": self.device,
            "max_length": self.max_length,
            "batches": "padded" if self.padded_because else "packed",
            "tokens": self._tokens,
            "probe": "passed" if self.probed else "skipped",
            **self._form(),
        }

    def _form(self) -> dict[str, Any]:
        """What else a value depends on: how texts become rows."""
        return {}

    @property
    def _tokens(self) -> int:
        return runner.CPU_TOKENS if self.device == "cpu" else runner.GPU_TOKENS

    def _run(
        self,
        encoded: Encoded,
        forward: Callable[[Any], runner.Forward],
        *,
        packed_rows: int = UNLIMITED,
        pad_id: int = 0,
        dtype: Any = np.float64,
        cache: OutputCache | None = None,
        progress: runner.Progress | None = None,
    ) -> Answers:
        """The rows through the model.

        Args:
            encoded: the rows, and the reasons of questions that have none.
            forward: a worker → its forward pass.
            packed_rows: rows of a packed batch at most.
            pad_id: fills rows and dummy rows.
            dtype: of a value.
            cache: values are written to it as they come.
            progress: called with how many are done.
        """
        layout = runner.Packed(self._tokens, packed_rows) if self.padded_because is None else runner.Padded(self._tokens)
        with working(self.device) as begin:
            values, refused, report = runner.run(
                encoded.sequences,
                [runner.guarded(self.source.name, forward(worker)) for worker in threads(self.workers, self.device)],
                layout,
                pad_id=pad_id,
                dtype=dtype,
                cache=QuestionWriter.of(cache, encoded.questions, encoded.truncated),
                start=begin,
                progress=progress,
            )
        return answered(encoded, values, refused, report)
