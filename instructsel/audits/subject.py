"""The base, its tokenizer and its template as the checks see them: what they do is found by rendering and tokenizing, not by names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from instructsel.audits.remembering import RememberingRenderer
from instructsel.audits.separation import separates
from instructsel.audits.settings import AuditSettings
from instructsel.errors import ModelUnavailable, UsageError
from instructsel.extras import require
from instructsel.grading.chat import ChatTemplate
from instructsel.grading.regions import overlaps
from instructsel.models.context import context_length
from instructsel.models.foreign import first_line
from instructsel.models.load import as_language_model, quiet, read_json
from instructsel.models.peft_adapter import unmerged
from instructsel.models.weights import read_tensors, weight_files
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from instructsel.rendering import Job, Marked, Refused

Turns = Sequence[Mapping[str, Any]]

QUESTION: Final = "Where is the harbor office?"
ANSWER: Final = "Behind the old lighthouse, near quay seven."
MARK: Final = "zq7harborkw"
"""A word that no template writes by itself."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is audited beside the rows: a tokenizer with its template, the base's configuration, and the trainer's settings."""

    name: str
    """What messages call the base, or the tokenizer."""
    template: ChatTemplate
    settings: AuditSettings
    config: Mapping[str, Any]
    """config.json; empty for a tokenizer alone."""
    generation: Mapping[str, Any]
    """generation_config.json; empty where there is none."""
    pad: int | None
    """The tokenizer's own padding token, before anything stands in for it."""
    parameters: int | None
    """Weights of the base; None where they are not at hand."""
    folder: Path | None = None
    """Where the base is."""

    def __post_init__(self) -> None:
        # The checks look at texts that are rendered for the tokens as well.
        self.template.__dict__["renderer"] = RememberingRenderer.of(self.template.renderer)

    @classmethod
    def load(cls, settings: AuditSettings, *, base: str | None = None, tokenizer: str | None = None) -> Subject:
        """A base or a tokenizer by its folder or hub id, or "embedded"; of an adapter, the base that it would be merged into.

        Raises:
            UsageError: both or neither are named, or the loss is tulu-1 and the template another one than Tülu's.
            ModelUnavailable: it is not to be had, or has no fast tokenizer with an end-of-sequence token.
            UntrustedModel: only pickled weights.
            ModelRefused: an adapter that cannot be merged.
        """
        if (base is None) == (tokenizer is None):
            raise UsageError(
                "An audit needs a base model or a tokenizer, one of the two.", fix="For example: instructsel audit pool.jsonl --base MODEL"
            )
        named = base or tokenizer or ""
        name = Path(named).resolve().name if Path(named).is_dir() else named
        folder, tokenizer_folder = unmerged(as_language_model(named), needed_by="the audit")
        loaded = _tokenizer(tokenizer_folder, name)
        pad = None if loaded.pad_token is None else loaded.pad_token_id
        config = read_json(folder / "config.json") if base else {}
        generation = read_json(folder / "generation_config.json") if base else {}
        return cls(
            name,
            ChatTemplate.of(loaded).fitted(settings.loss),
            settings,
            config,
            generation,
            pad,
            _parameters(folder) if base else None,
            folder if base else None,
        )

    @classmethod
    def of(cls, tokenizer: Any, settings: AuditSettings) -> Subject:
        """A tokenizer that is loaded already; it is given Tülu's template where it has none."""
        pad = None if tokenizer.pad_token is None else tokenizer.pad_token_id
        name = Path(str(tokenizer.name_or_path)).name or "tokenizer"
        return cls(name, ChatTemplate.of(tokenizer).fitted(settings.loss), settings, {}, {}, pad, None)

    @property
    def tokenizer(self) -> Any:
        """transformers' fast tokenizer."""
        return self.template.tokenizer

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The part of the configuration that is the language model's."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, Mapping) else self.config

    @cached_property
    def context(self) -> int | None:
        """Tokens the base can hold; None where nothing limits it."""
        return context_length(self.config, self.tokenizer)

    @cached_property
    def embedded(self) -> int | None:
        """Tokens the base embeds; None without a base."""
        value = self.text_config.get("vocab_size")
        return value if isinstance(value, int) and value > 0 else None

    @cached_property
    def stops(self) -> frozenset[int]:
        """Tokens at which generation ends: the tokenizer's end of sequence, and the base's."""
        stated: set[int] = {self.tokenizer.eos_token_id}
        for source in (self.generation, self.text_config) if not self.generation else (self.generation,):
            value = source.get("eos_token_id")
            stated.update(token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int))
        return frozenset(stated)

    def render(self, turns: Turns, *, generation: bool = False, tools: Sequence[dict[str, Any]] | None = None) -> str | None:
        """The turns as text, with the header of a response or tools where that is asked for; None where the template refuses them."""
        text = self.template.renderer.render([Job(turns, generation, tools)])[0]
        return None if isinstance(text, Refused) else text

    @cached_property
    def plain(self) -> str | None:
        """A question and an answer as text."""
        return self.render(conversation())

    @cached_property
    def end(self) -> tuple[int, ...] | None:
        """The tokens on which the loss falls behind the text of a response: the end of turn; None where the template refuses the probe."""
        probe = Example("", "", (Message("user", QUESTION), Message("assistant", ANSWER)))
        encoded = self.template.encode(probe)
        if encoded.reason is not None:
            return None
        return tuple(encoded.ids[len(encoded.ids) - encoded.end :]) if encoded.end else ()

    @cached_property
    def end_token(self) -> int | None:
        """The end of turn as one token: the first special or stop token behind a response; None where there is none."""
        known = set(self.template.control) | self.stops
        return next((token for token in self.end or () if token in known), None)

    @cached_property
    def adds_bos(self) -> bool:
        """Whether the tokenizer writes the begin of sequence in front of a text by itself."""
        ids, _ = self.template.tokens("a", special=True)
        return self.tokenizer.bos_token_id is not None and ids[:1] == [self.tokenizer.bos_token_id]

    @cached_property
    def writes_bos(self) -> bool:
        """Whether the template writes the begin of sequence."""
        bos = self.tokenizer.bos_token
        return bool(bos) and self.plain is not None and self.plain.startswith(bos)

    @cached_property
    def writes_date(self) -> bool:
        """Whether the template writes today's date."""
        return self.template.renderer.uses_date

    @cached_property
    def marks(self) -> tuple[int, ...] | None:
        """The tokens of a response and its end that the template marks as generated; None without marks."""
        marks = self._marked(conversation())
        return None if marks is None else tuple(token for token, mark in marks if mark)

    @cached_property
    def marks_differ(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Tokens of a conversation on which the loss falls in instructsel and the template's marks leave out, and the other way round."""
        turns = conversation(QUESTION, ANSWER, QUESTION, ANSWER)
        encoded = self.template.encode(Example("", "", tuple(Message(turn["role"], turn["content"]) for turn in turns)), loss="assistant")
        marks = self._marked(turns)
        if encoded.reason is not None or marks is None or [token for token, _ in marks] != encoded.ids:
            return (), ()
        pairs = [(token, loss, mark) for (token, mark), loss in zip(marks, encoded.loss_mask, strict=True)]
        return tuple(token for token, loss, mark in pairs if loss and not mark), tuple(
            token for token, loss, mark in pairs if mark and not loss
        )

    @cached_property
    def marks_prompt(self) -> bool:
        """Whether the template marks text of a user as generated."""
        turns = conversation(MARK, ANSWER, MARK, ANSWER)
        (marked,) = self.template.renderer.render_marked([Job(turns)])
        return isinstance(marked, Marked) and any(MARK in marked.text[start:stop] for start, stop in marked.spans)

    @cached_property
    def marks_whole(self) -> bool:
        """Whether the template marks every response of a conversation as generated from its first to its last character."""
        turns = conversation(QUESTION, ANSWER, QUESTION, ANSWER)
        (marked,) = self.template.renderer.render_marked([Job(turns)])
        return isinstance(marked, Marked) and sum(marked.text[start:stop].count(ANSWER) for start, stop in marked.spans) == 2

    def _marked(self, turns: Turns) -> list[tuple[int, bool]] | None:
        """The tokens of a conversation, each with whether the template marks it as generated; None without marks."""
        (marked,) = self.template.renderer.render_marked([Job(turns)])
        if isinstance(marked, Refused):
            return None
        ids, places = self.template.tokens(marked.text)
        marks = [(token, overlaps(place, marked.spans)) for token, place in zip(ids, places, strict=True)]
        return marks if any(mark for _, mark in marks) else None

    @cached_property
    def rewrites(self) -> bool:
        """Whether the template writes an earlier turn differently once others follow it."""
        for answer in (ANSWER, f"<think>\n{MARK}\n</think>\n\n{ANSWER}"):
            first, both = (self.render(conversation(*texts)) for texts in ((QUESTION, answer), (QUESTION, answer, QUESTION, ANSWER)))
            if first is not None and both is not None and not both.startswith(first.rstrip()):
                return True
        return False

    @cached_property
    def renders_tools(self) -> bool:
        """Whether the template writes the tools that it is given."""
        tool = {
            "type": "function",
            "function": {"name": MARK, "description": MARK, "parameters": {"type": "object", "properties": {}, "required": []}},
        }
        text = self.render(conversation(), tools=[tool])
        return text is not None and MARK in text

    @cached_property
    def renders_calls(self) -> bool:
        """Whether the template has a form of its own for the calls of an assistant."""
        forms: tuple[object, ...] = ({}, "{}")
        for arguments in forms:
            call = {"type": "function", "id": "call00001", "function": {"name": MARK, "arguments": arguments}}
            turns: list[dict[str, Any]] = [
                {"role": "user", "content": QUESTION},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ]
            if MARK in (self.render(turns) or ""):
                return True
        return False

    @cached_property
    def separates(self) -> bool | None:
        """Whether the base keeps packed rows apart; None where that is not known."""
        return separates(self.folder, self.config) if self.folder is not None else None

    def named(self, tokens: Sequence[int]) -> str:
        """Tokens by their texts, for people."""
        return " ".join(json.dumps(self.template.decoded([token]), ensure_ascii=False).strip('"') for token in tokens)


def conversation(*texts: str) -> list[dict[str, str]]:
    """Texts as turns of a user and an assistant by turns; a question and an answer by default."""
    return [{"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(texts or (QUESTION, ANSWER))]


def _tokenizer(folder: Path, name: str) -> Any:
    transformers = require("transformers", needed_by="the audit")
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises nothing narrower, and a panic of its is no Exception
        raise ModelUnavailable(
            f"{name} has no tokenizer that transformers can load: {first_line(error)}",
            fix="Name a folder with tokenizer.json and tokenizer_config.json.",
        ) from error


def _parameters(folder: Path) -> int | None:
    """Weights in the safetensors files of a folder, by their headers alone; None where there are none.

    Raises:
        UntrustedModel, ModelUnavailable, ModelRefused: as a fine-tune would, where the files are not a model's.
    """
    return read_tensors(weight_files(folder, folder.name), folder.name).numbers or None


__all__ = ["Subject", "conversation"]
