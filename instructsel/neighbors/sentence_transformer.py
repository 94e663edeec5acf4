"""Encoders of any kind through sentence-transformers, in batches of fixed shapes.

The library decides what is computed: prompts, lower-casing, truncation, pooling, layers behind the pooling. We decide the
shapes: its tokenizer runs text by text, its transformer on batches of one width and one number of rows (as `runner.Padded`
makes them), and what comes behind the transformer row by row. So a vector has the same bits in any company.

A model whose first module is no Transformer (static embeddings, bags of words), or in which a module behind it mixes a token
with its neighbors (convolutions, recurrent layers), runs text by text.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models import runner
from instructsel.models.foreign import refusing
from instructsel.models.load import LocalModel, quiet
from instructsel.models.vetting import check_module_weights
from instructsel.models.view import settings_digest, view

NEEDED_BY: Final = "an encoder that is not a BERT with mean or first-token pooling"
FIX: Final = "Name an encoder that sentence-transformers loads."
UNLIMITED: Final = 1 << 20
"""Longer than any text a model takes; tokenizers without a limit of their own name astronomic numbers."""
ROW_BY_ROW: Final = ("Pooling", "Normalize", "Dense", "LayerNorm", "Dropout", "WeightedLayerPooling")
"""Modules that give a row the same whether or not padding stands behind it."""
TRANSFORMERS: Final = ("Transformer", "CLIPModel")
"""Modules that are a transformer."""
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
"""What a transformer is given in batches of ours."""


@dataclass(frozen=True, eq=False)
class SentenceTransformerModel:
    """A SentenceTransformer on one device."""

    model: Any
    """sentence_transformers.SentenceTransformer."""
    name: str
    """The model's, for messages."""
    max_length: int
    """Tokens seen of a text, prompt and special tokens included."""
    positions: int | None
    """Tokens the transformer has positions for; None where there is no limit."""
    dimension: int
    """Length of a vector."""
    files: str
    """SHA-256 over what says how the weights are used: modules, prompts, configurations, tokenizers."""
    version: str
    """Of sentence-transformers."""

    @classmethod
    def load(cls, source: LocalModel, *, precision: str, device: str, max_length: int | None) -> Self:
        """Load the model that stands in a folder.

        Args:
            source: the model's files.
            precision: fp32 or bf16.
            device: cpu, or one GPU.
            max_length: tokens seen of a text; the model's own limit by default.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ModelRefused: sentence-transformers cannot load it, or it gives no vector of a text.
        """
        torch = require("torch", needed_by="the embedding")
        library = require("sentence_transformers", needed_by=f"{source.name}, {NEEDED_BY},")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        check_module_weights(source.folder, source.name)
        with view(source) as folder, quiet(), refusing(source.name, "be loaded by sentence-transformers", fix=FIX):
            files = settings_digest(source)
            model = library.SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": dtype, "use_safetensors": True},
            )
            if type(model[0]).__name__ in TRANSFORMERS:
                # Layers behind it are stored in fp32, and are given its states.
                model.to(dtype)
            model.eval()
            positions = _positions(model[0])
            limit = _limit(model, positions, max_length)
            return cls(
                model, source.name, limit, positions, _dimension(model, source.name), files, f"sentence-transformers {library.__version__}"
            )

    def to(self, device: str) -> Self:
        """The model once more on another device."""
        moved = copy.deepcopy(self.model).to(device)
        return type(self)(moved, self.name, self.max_length, self.positions, self.dimension, self.files, self.version)

    @property
    def precision(self) -> str:
        """fp32 or bf16; tables of words are never anything but fp32."""
        torch = require("torch", needed_by="the embedding")
        return "bf16" if any(weight.dtype == torch.bfloat16 for weight in self.model.parameters()) else "fp32"

    @property
    def steps(self) -> str:
        """The classes of its modules, for the fingerprint."""
        return ", ".join(type(module).__name__ for module in self.model)

    @cached_property
    def batched(self) -> bool:
        """Whether its transformer takes batches of token ids; otherwise it runs text by text."""
        first, *others = list(self.model)
        if type(first).__name__ not in TRANSFORMERS or any(type(module).__name__ not in ROW_BY_ROW for module in others):
            return False
        tensors = {key: value for key, value in self._sample.items() if hasattr(value, "shape")}
        types = tensors.get("token_type_ids")
        return "input_ids" in tensors and set(tensors) <= set(INPUTS) and (types is None or not bool(types.any()))

    @cached_property
    def _sample(self) -> dict[str, Any]:
        features: dict[str, Any] = self.model.preprocess(["a"], prompt=self.prompt)
        return features

    @property
    def prompt(self) -> str | None:
        """What the model wants before every text."""
        name = self.model.default_prompt_name
        return self.model.prompts.get(name) if name else None

    @property
    def pad_id(self) -> int:
        """The token that fills rows up."""
        pad = getattr(self.model.tokenizer, "pad_token_id", None)
        return pad if isinstance(pad, int) else 0

    @property
    def text_tokenizer(self) -> Tokenizer | None:
        """A copy of what splits its texts, without truncation and padding; None where it is of another kind."""
        backend = getattr(self.model.tokenizer, "backend_tokenizer", self.model.tokenizer)
        if not isinstance(backend, Tokenizer):
            return None
        with refusing(f"The tokenizer of {self.name}", "be used", fix="Fetch the model again, or use another one."):
            copied = Tokenizer.from_str(backend.to_str())
            copied.no_truncation()
            copied.no_padding()
            copied.encode_special_tokens = True
        return copied

    def layout(self, tokens: int) -> runner.Padded:
        """Batches of about so many tokens."""
        return runner.Padded(tokens, limit=self.positions)

    def tokenize(self, texts: Sequence[str]) -> runner.Ragged:
        """The token ids the model sees of each text, and where something was cut off."""
        rows, cut = [], np.zeros(len(texts), dtype=bool)
        with refusing(f"The tokenizer of {self.name}", "be used", fix="Fetch the model again, or use another one."):
            for number, text in enumerate(texts):
                ids, cut[number] = self._tokenized(text)
                rows.append(ids or [self.pad_id])
        ragged = runner.Ragged.of(rows)
        return runner.Ragged(ragged.ids, ragged.offsets, cut)

    def _tokenized(self, text: str) -> tuple[list[int], bool]:
        """The tokens seen of a text, and whether these are not all."""
        if self._controls and any(token in text for token in self._controls):
            return self._between_controls(text)
        ids = self._ids(text, truncation=True)
        return ids, len(ids) >= self.max_length and len(self._ids(text, truncation=False)) > len(ids)

    def _ids(self, text: str, *, truncation: bool) -> list[int]:
        options = {"truncation": "longest_first" if truncation else False, "max_length": self.max_length if truncation else None}
        features = self.model.preprocess([text], prompt=self.prompt, processing_kwargs={"text": {**options, "verbose": False}})
        ids = features["input_ids"][0]
        # A model may ask for rows that are padded to one length.
        return [int(token) for token in (ids[features["attention_mask"][0] != 0] if "attention_mask" in features else ids)]

    @cached_property
    def _controls(self) -> tuple[str, ...]:
        """Control tokens that the model's prompt or chat template writes: they stay what they are there, and nowhere else.

        Other models read no control token in what they are given; see `_limit`.
        """
        tokens = _control_tokens(self.model.tokenizer)
        return tokens if not getattr(self.model.tokenizer, "split_special_tokens", True) else ()

    def _between_controls(self, text: str) -> tuple[list[int], bool]:
        """The tokens of a text that spells control tokens out: read as text, between what the model writes around every text."""
        one, other = self._ids("a", truncation=False), self._ids("0", truncation=False)
        before = _common(one, other)
        behind = _common(one[len(before) :][::-1], other[len(before) :][::-1])[::-1]
        tokenizer = self.model.tokenizer
        tokenizer.split_special_tokens = True
        try:
            inside = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        finally:
            tokenizer.split_special_tokens = False
        room = max(0, self.max_length - len(before) - len(behind))
        return [*before, *inside[:room], *behind][: self.max_length], len(inside) > room

    def cut(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,), where the model does not see the whole text, for a model that runs text by text."""
        tokenizer = self.model.tokenizer
        with refusing(f"The tokenizer of {self.name}", "be used", fix="Fetch the model again, or use another one."):
            if hasattr(tokenizer, "split_special_tokens"):
                return self.tokenize(texts).cut
            if hasattr(tokenizer, "encode_batch"):
                prompt = self.prompt or ""
                return np.array([bool(tokenizer.encode(prompt + text).overflowing) for text in texts], dtype=bool)
        return np.zeros(len(texts), dtype=bool)

    def forward(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], n_rows: int) -> NDArray[np.float32]:
        """(n_rows, dimension) at unit norm: the first rows of a padded batch; the others are dummies."""
        torch = require("torch", needed_by="the embedding")
        sample = self._sample
        device = self.model.device
        features = {key: value for key, value in sample.items() if not hasattr(value, "shape")}
        features["input_ids"] = torch.from_numpy(ids).to(device)
        features["attention_mask"] = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(device)
        if "token_type_ids" in sample:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        first, *others = list(self.model)
        vectors = []
        with torch.inference_mode():
            features = first(features)
            for row in range(n_rows):
                # One row at a time: a matrix product of a few columns rounds by its number of rows.
                one = {key: _row(value, row, ids.shape[0]) for key, value in features.items()}
                for module in others:
                    one = module(one)
                vectors.append(one["sentence_embedding"][:, : self.dimension].float())
            unit: NDArray[np.float32] = torch.cat([torch.nn.functional.normalize(vector) for vector in vectors]).cpu().numpy()
        return unit

    def one_by_one(self, texts: Sequence[str], progress: runner.Progress | None = None) -> NDArray[np.float32]:
        """(n, dimension) at unit norm, each text alone."""
        torch = require("torch", needed_by="the embedding")
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        with refusing(self.name, "compute the vector of a text", fix=FIX):
            for number, text in enumerate(texts):
                vector = self.model.encode([text], show_progress_bar=False, convert_to_tensor=True).float()
                vectors[number] = torch.nn.functional.normalize(vector)[0].cpu().numpy()
                if progress is not None:
                    progress(number + 1, len(texts))
        return vectors


def _positions(transformer: Any) -> int | None:
    """Tokens a transformer has positions for; None where it has no limit, as with relative positions."""
    config: Any = getattr(transformer, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:
        return None
    # RoBERTa and its kin count positions from behind that of the padding token.
    for module in transformer.modules():
        padding, table = getattr(module, "padding_idx", None), getattr(module, "position_embeddings", None)
        if isinstance(padding, int) and hasattr(table, "num_embeddings"):
            return max(1, positions - padding - 1)
    return positions


def _limit(model: Any, positions: int | None, max_length: int | None) -> int:
    """Tokens seen of a text, set in the tokenizer too; control tokens spelled out in a text become text."""
    limits = [max_length, model.max_seq_length, positions, UNLIMITED]
    processing = getattr(model[0], "processing_kwargs", None) or {}
    limits += [processing.get(group, {}).get("max_length") for group in ("text", "common")]
    limit = int(min(number for number in limits if isinstance(number, int) and number > 0))
    tokenizer = model.tokenizer
    if hasattr(tokenizer, "split_special_tokens"):
        model.max_seq_length = limit
        name = model.default_prompt_name
        prompt = (model.prompts.get(name) if name else None) or ""
        writes = model.preprocess(["a"], prompt=prompt or None).get("modality") == "message"
        # Where the prompt or a chat template has control tokens, theirs are told from the text's; see `_between_controls`.
        tokenizer.split_special_tokens = not writes and not any(token in prompt for token in _control_tokens(tokenizer))
    elif hasattr(tokenizer, "encode_special_tokens"):
        tokenizer.encode_special_tokens = True
    return limit


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    listed = {str(token) for token in getattr(tokenizer, "all_special_tokens", ())}
    for token in getattr(tokenizer, "added_tokens_decoder", {}).values():
        if getattr(token, "special", False):
            listed.add(str(token))
    return tuple(sorted(listed - {""}))


def _dimension(model: Any, name: str) -> int:
    """Numbers of a vector, by computing one.

    Raises:
        ModelRefused: what comes out is no vector.
    """
    try:
        vectors = model.encode(["a"], show_progress_bar=False, convert_to_tensor=True)
    except KeyError:
        # A module, or encode itself, looks for what no module before it gives.
        vectors = None
    if vectors is None or vectors.ndim != 2:
        steps = ", ".join(type(module).__name__ for module in model)
        raise ModelRefused(f"{name} gives no vector of a text (its modules are {steps}).", fix=FIX)
    return int(vectors.shape[1])


def _common(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """What two lists begin with alike."""
    return [left for left, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def _row(value: Any, row: int, rows: int) -> Any:
    """A row's part of a feature: of each layer where it is a list of layers, everything where it is no batch."""
    if isinstance(value, list | tuple):
        return tuple(_row(layer, row, rows) for layer in value)
    is_batch = hasattr(value, "shape") and len(value.shape) > 0 and int(value.shape[0]) == rows
    return value[row : row + 1] if is_batch else value


__all__ = ["SentenceTransformerModel"]
