"""Reward models: one raw logit for an answer, in the exact format each model was trained on."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ModelRefused, TemplateRefused, UsageError
from instructsel.extras import require
from instructsel.models import deberta, packing, runner
from instructsel.models.answers import UNKNOWN_LIMIT as UNKNOWN
from instructsel.models.answers import Answers, Encoded, OutputCache, Question, escape_special_tokens, unknown_share
from instructsel.models.foreign import refusing, refusing_files
from instructsel.models.load import (
    LocalModel,
    devices,
    load_tokenizer,
    locate,
    quiet,
    read_json,
    refuse_code,
    settings,
)
from instructsel.models.neox_reward import NEOX, _by_row, _neox, _NeoxReward
from instructsel.models.network import load_network
from instructsel.models.scoring_model import SWITCHED_OFF, TOLERANCE, ScoringModel
from instructsel.rendering import Job, Refused, Renderer

Turns = Sequence[tuple[str, str]]
"""(role, text) of a conversation that ends with the answer; a turn with calls, a result or reasoning, and the first turn of a conversation
with tools, have `structured` in place of the role."""

TokensOf = Callable[[str], NDArray[np.int32]]
"""A text → its tokens."""
Frame = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
NONE: Final = np.zeros(0, dtype=np.int32)

MAX_LENGTH: Final = {"pair": 512, "oasst_pythia": 2048, "chat_template": 4096}
ROWS: Final = (96, 6000)
"""Rows of a packed batch at most, on a CPU and on a GPU."""

PROBES: Final = (
    (
        "What is the capital of France?",
        "The capital of France is Paris. It lies on the Seine in the north of the country and is also its largest city.",
        "banana banana qwxz 7 7 7 go away",
    ),
    (
        "How do I boil an egg?",
        "Put the egg into boiling water for about eight minutes, then cool it under cold water and peel it. Six minutes leave the yolk soft.",
        "I refuse. That is a stupid question and so are you.",
    ),
    (
        "Please give me three tips for staying healthy.",
        "1. Eat plenty of fruit and vegetables. 2. Move every day, if only by walking. 3. Sleep seven to eight hours a night.",
        "The train to Hamburg leaves from platform four.",
    ),
    (
        "Explain in one sentence why the sky is blue.",
        "The sky is blue because the air scatters the short blue waves of sunlight far more strongly than the long red ones.",
        "asdf jkl; asdf jkl; asdf jkl; asdf jkl;",
    ),
)
"""(question, good answer, bad answer). Any model worth the name of a reward model ranks these."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RewardModel(ScoringModel):
    """A sequence classifier with one output. Load one with RewardModel.load.

    Profiles, told from the model's configuration:

    - `oasst_pythia`: `<|prompter|>…<|endoftext|><|assistant|>…<|endoftext|>`, a turn after the other, at most 2,048 tokens;
      the hidden state of the last token (or the mean, as its configuration says) through one linear layer.
    - `chat_template`: a decoder with a chat template; the conversation rendered in it.
    - `pair`: the turns before the answer, joined by line breaks, and the answer, as a pair of texts, at most 512 tokens.

    Over-long conversations lose the beginning of their history first and the end of the answer last.
    """

    profile: str
    """oasst_pythia, chat_template or pair."""
    workers: tuple[_Scorer, ...]
    pad_id: int
    """The token that fills rows up."""
    template: Any
    """transformers' tokenizer, for the chat_template profile."""
    frame: Frame
    """The special tokens around and between a pair of texts."""
    separator: int | None
    """The token after which a pair's second text has segment 1, for models that know segments."""

    @classmethod
    @refusing_files("a reward model")
    def load(
        cls,
        name: str,
        *,
        revision: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        probe: bool = True,
        packing: bool = True,
    ) -> Self:
        """Load a reward model and put it to the probe.

        Args:
            name: a local folder or a hub id.
            revision: a hub revision.
            precision: fp32, bf16, or auto.
            device: cpu, cuda, or auto.
            probe: ask it known good and bad answers first.
            packing: pack rows where the model allows it.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: pickled weights, or code of its own.
            ModelRefused: not exactly one output, weights missing, or it fails the probe.
        """
        if name == "embedded":
            raise UsageError(
                "There is no embedded reward model: what could be had in 3 MB does not deserve the name (docs/why/embedded_reward.md).",
                fix="Name one: --reward OpenAssistant/reward-model-deberta-v3-large-v2, or a local folder. To look at corrupted responses: --indicators plausibility",
            )
        source = locate(name, revision=revision, needed_by="the reward")
        refuse_code(source)
        precision, device = settings(precision, device)
        torch = require("torch", needed_by="the reward")
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        neox = source.config.get("model_type") == NEOX
        places = devices(device)
        with quiet():
            model = _neox(source, dtype) if neox else _classifier(source, dtype)
            template = None if neox else _template(source)
        profile = "oasst_pythia" if neox else "chat_template" if template is not None else "pair"
        tokenizer = load_tokenizer(source)
        pad = _padding(source, tokenizer)
        if isinstance(model, _Logit):
            # Classifiers of decoders find their last token by it.
            model.model.config.pad_token_id = pad
        separator = _separator(source, tokenizer) if profile == "pair" else None
        first = _Scorer(model.eval().to(places[0]), places[0], separator)
        with quiet():
            why = first.pack(TOLERANCE[precision]) if packing else SWITCHED_OFF
        workers = (first, *(copy.deepcopy(first).moved(place) for place in places[1:]))
        positions = source.config.get("max_position_embeddings")
        relative = source.config.get("model_type") in ("deberta-v2", "deberta")
        context = positions if isinstance(positions, int) else 1 << 20
        loaded = cls(
            source=source,
            profile=profile,
            precision=precision,
            device=device,
            max_length=min(MAX_LENGTH[profile], context if relative or neox else context - 1),
            probed=probe,
            workers=workers,
            padded_because=why,
            tokenizer=tokenizer,
            pad_id=pad,
            template=template,
            unknown=next((number for word in ("[UNK]", "<unk>") if (number := tokenizer.token_to_id(word)) is not None), None),
            frame=_frame(tokenizer) if profile == "pair" else (NONE, NONE, NONE),
            separator=separator,
        )
        if probe:
            loaded.probe()
        return loaded

    def _form(self) -> dict[str, Any]:
        return {"profile": self.profile, **(self._renderer.dated if self.profile == "chat_template" else {})}

    def probe(self) -> None:
        """Ask for known good and bad answers.

        Raises:
            ModelRefused: no number, the same for all, or the bad ones on top.
        """
        conversations = [[("user", question), ("assistant", answer)] for question, *answers in PROBES for answer in answers]
        scores = self.score(conversations)
        if any(scores.reasons):
            raise ModelRefused(f"{self.source.name} gives no finite number for the sanity probe.", fix="Use fp32, or another model.")
        good, bad = scores.values[0::2], scores.values[1::2]
        spread = float(np.ptp(scores.values))
        if spread < 1e-4:
            raise ModelRefused(
                f"{self.source.name} gives every answer of the sanity probe the same score ({scores.values[0]:.4g}): its output is squashed, or its head is not the trained one.",
                fix="Use another model.",
            )
        wins = int((good > bad).sum())
        if wins * 2 <= len(good) or good.mean() <= bad.mean():
            raise ModelRefused(
                f"{self.source.name} ranks the good answer first in {wins} of {len(good)} pairs of the sanity probe (mean {good.mean():.3g} against {bad.mean():.3g}): its sign may be inverted, or it is no reward model.",
                fix="Use another model; --skip-probe uses this one all the same, and every output says so.",
            )

    def score(
        self, conversations: Sequence[Turns], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """The raw logit of each conversation's answer; the same alone, in any company and in any order."""
        return self._run(
            self._encoded(conversations),
            lambda worker: lambda ids, lengths, members: worker.logits(ids, lengths),
            packed_rows=ROWS[self.device != "cpu"],
            pad_id=self.pad_id,
            dtype=np.float32,
            cache=cache,
            progress=progress,
        )

    def answer(
        self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """`score` for conversations given as role, text, role, text, …"""
        paired = [list(zip(map(str, question[0::2]), map(str, question[1::2]), strict=True)) for question in questions]
        return self.score(paired, cache=cache, progress=progress)

    def _encoded(self, conversations: Sequence[Turns]) -> Encoded:
        rows: list[NDArray[np.int32]] = []
        positions: list[int] = []
        reasons: list[str | None] = [None] * len(conversations)
        truncated = np.zeros(len(conversations), dtype=bool)
        texts = {text: None for turns in conversations for text in self._texts(turns)}
        tokens = runner.Ragged.tokenized(self.tokenizer, list(texts))
        where = {text: number for number, text in enumerate(texts)}
        for number, turns in enumerate(conversations):
            ids, truncated[number] = self._encode(turns, lambda text: tokens[where[text]])
            if not len(ids):
                reasons[number] = "no_tokens"
                continue
            if unknown_share(ids, self.unknown) > UNKNOWN:
                reasons[number] = "unsupported_language"
                continue
            rows.append(ids)
            positions.append(number)
        return Encoded(runner.Ragged.of(rows), np.array(positions, dtype=np.int64), reasons, truncated)

    def _encode(self, turns: Turns, tokens_of: TokensOf | None = None) -> tuple[NDArray[np.int32], bool]:
        """The tokens of a conversation, and whether something was cut; `tokens_of` knows the tokens of its texts already."""
        tokens_of = tokens_of or self._tokens_of
        if self.profile == "oasst_pythia":
            pieces = [self._tagged(_role(role), tokens_of(text)) for role, text in turns]
            return _joined(np.concatenate([NONE, *pieces[:-1]]), pieces[-1], self.max_length)
        if self.profile == "chat_template":
            ids, cut = self._templated(turns)
            return np.array(ids, dtype=np.int32), cut
        return self._paired(*(tokens_of(text) for text in _pair(turns)))

    def _texts(self, turns: Turns) -> Sequence[str]:
        """What of a conversation is tokenized by itself."""
        return [] if self.profile == "chat_template" else _pair(turns) if self.profile == "pair" else [text for _, text in turns]

    def _tagged(self, role: str, text: NDArray[np.int32]) -> NDArray[np.int32]:
        """A turn between its role's token and the end of text; control tokens spelled out in the text stay text."""
        names = ("<|assistant|>" if role == "assistant" else "<|prompter|>", "<|endoftext|>")
        first, last = (self.tokenizer.token_to_id(name) for name in names)
        if first is None or last is None:
            raise ModelRefused(
                f"The tokenizer of {self.source.name} lacks {names[0]} or {names[1]}.", fix="Fetch the tokenizer that belongs to the model."
            )
        return np.concatenate([np.array([first], dtype=np.int32), text, np.array([last], dtype=np.int32)])

    def _tokens_of(self, text: str) -> NDArray[np.int32]:
        return runner.Ragged.tokenized(self.tokenizer, [text])[0]

    def _paired(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> tuple[NDArray[np.int32], bool]:
        """The tokenizer's own form for a pair of texts, with its special tokens around what fits of both."""
        before, between, after = self.frame
        room = self.max_length - sum(map(len, self.frame))
        cut = len(first) + len(second) > room
        if cut:
            second = second[:room]
            first = first[len(first) - (room - len(second)) :] if room > len(second) else NONE
        return np.concatenate([before, first, between, second, after]), cut

    def _templated(self, turns: Turns) -> tuple[list[int], bool]:
        """The conversation in the model's chat template; whole early turns are left out while it is too long."""
        messages, tools = self._messages(turns)
        ids: list[int] = []
        for start in range(len(messages)):
            text = self._renderer.render([Job(messages[start:], tools=tools)])[0]
            if isinstance(text, Refused):
                raise TemplateRefused(
                    f"The chat template of {self.source.name} refuses a conversation: {text.cause}",
                    fix="Name a reward model whose template takes its roles.",
                )
            with refusing(self.source.name, "write a conversation in tokens", fix="Name a reward model whose tokenizer is whole."):
                ids = self.template(text, add_special_tokens=False, verbose=False)["input_ids"]
            if len(ids) <= self.max_length:
                return list(ids), start > 0
        return list(ids)[: self.max_length], True

    def _messages(self, turns: Turns) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        """The turns as templates take them, and the tools."""
        messages: list[dict[str, Any]] = []
        tools: list[dict[str, Any]] | None = None
        for role, text in turns:
            if not role.startswith("{"):
                messages.append({"role": role, "content": self._escaped(text)})
                continue
            known = json.loads(role)
            tools = known.get("tools") or tools
            messages.append(self._escaped_within(known["turn"]))
        return messages, tools

    def _escaped_within(self, value: Any) -> Any:
        """A structure with control tokens of its texts broken up."""
        if isinstance(value, str):
            return self._escaped(value)
        if isinstance(value, list):
            return [self._escaped_within(entry) for entry in value]
        return {key: self._escaped_within(entry) for key, entry in value.items()} if isinstance(value, dict) else value

    @cached_property
    def _renderer(self) -> Renderer:
        """What renders conversations, for the chat_template profile."""
        template = self.template.get_chat_template()
        return Renderer(self.source.name, template, self.template.special_tokens_map)

    def _escaped(self, text: str) -> str:
        """The text with control tokens broken up, so that the template's own are the only ones."""
        added = {str(token.content) for token in self.template.added_tokens_decoder.values()}
        return escape_special_tokens(text, sorted(added | set(self.template.all_special_tokens)))


def structured(turn: Mapping[str, Any], tools: Sequence[Any] | None = None) -> str:
    """A turn that is more than role and text, in place of its role.

    >>> structured({"role": "tool", "content": "5.1", "name": "get_tide"})
    '{"turn":{"role":"tool","content":"5.1","name":"get_tide"}}'
    """
    return json.dumps({"turn": turn, **({"tools": tools} if tools else {})}, ensure_ascii=False, separators=(",", ":"))


def _role(name: str) -> str:
    """The role of a turn, which its structure may stand for."""
    return str(json.loads(name)["turn"]["role"]) if name.startswith("{") else name


def _joined(history: NDArray[np.int32], answer: NDArray[np.int32], limit: int) -> tuple[NDArray[np.int32], bool]:
    """History and answer within a limit: the history loses its beginning first, the answer what stands before its last token."""
    if len(history) + len(answer) <= limit:
        return np.concatenate([history, answer]), False
    if len(answer) >= limit:
        return np.concatenate([answer[: limit - 1], answer[-1:]]), True
    room = limit - len(answer)
    # The history's first token says who speaks first.
    recent = np.concatenate([history[:1], history[len(history) - (room - 1) :]]) if room > 1 else NONE
    return np.concatenate([recent, answer]), True


def _pair(turns: Turns) -> tuple[str, str]:
    """Everything before the answer, and the answer."""
    return "\n".join(text for _, text in turns[:-1]), turns[-1][1]


def _frame(tokenizer: Any) -> Frame:
    """The special tokens the tokenizer puts before, between and behind a pair of texts."""
    marks = tokenizer.encode("a", "b")
    # special_tokens_mask says which positions are the tokenizer's own; the rest are the two texts, in order.
    special_positions = [position for position, special in enumerate(marks.special_tokens_mask) if special]
    first = marks.sequence_ids.index(0) if 0 in marks.sequence_ids else 0
    second = marks.sequence_ids.index(1) if 1 in marks.sequence_ids else len(marks.ids)
    parts = [[], [], []]  # type: list[list[int]]
    for position in special_positions:
        parts[0 if position < first else 1 if position < second else 2].append(marks.ids[position])
    before, between, after = (np.array(part, dtype=np.int32) for part in parts)
    return before, between, after


def _padding(source: LocalModel, tokenizer: Any) -> int:
    """The model's padding token; where it names none, a control token that ends no row, so that none of a row is taken for padding."""
    pad = source.config.get("pad_token_id")
    if isinstance(pad, int) and pad >= 0:
        return pad
    last = {*tokenizer.encode("a").ids[-1:], source.config.get("eos_token_id")}
    control = sorted(number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special and number not in last)
    return control[0] if control else 0


def _separator(source: LocalModel, tokenizer: Any) -> int | None:
    """The control token between a pair's texts, where transformers' tokenizer gives the second one segment 1 and the model knows segments."""
    marks = tokenizer.encode("a", "b")
    segments = source.config.get("type_vocab_size")
    if not isinstance(segments, int) or segments < 2 or 1 not in marks.type_ids:
        return None
    # tokenizer.json has segments for nearly every model; whether one was trained with them its tokenizer's class says.
    if "token_type_ids" not in _tokenizer(source).model_input_names:
        return None
    before = marks.type_ids.index(1) - 1
    if before < 0 or not marks.special_tokens_mask[before]:
        raise ModelRefused(f"{source.name} separates a pair of texts in a way not known here.", fix="Name another reward model.")
    return int(marks.ids[before])


class _Scorer:
    """A reward model on one device: token ids → logits."""

    def __init__(self, model: _Logit | _NeoxReward, device: str, separator: int | None) -> None:
        self.model = model
        self.device = device
        self.separator = separator
        self.packed = False

    def moved(self, device: str) -> _Scorer:
        """On another device."""
        self.model.to(device)
        self.device = device
        if self.packed and deberta.fits(body := getattr(self.model, "body", None)):
            deberta.pack(body)
        return self

    def logits(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """(b,); padded ids (rows, width) or packed ids (slots,)."""
        torch = require("torch", needed_by="the reward")
        with torch.inference_mode():
            outputs = self._packed(ids, lengths) if self.packed else self._padded(ids, lengths)
            logits: NDArray[np.float32] = outputs.float().cpu().numpy()
        return logits[: len(lengths)]

    def _padded(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Any:
        torch = require("torch", needed_by="the reward")
        present = runner.mask(lengths, ids.shape[1])
        inputs = [ids, present]
        if self.separator is not None:
            ends = ids == self.separator
            inputs.append(((ends.cumsum(1) > ends) & (present == 1)).astype(np.int64))
        return self.model(*(torch.from_numpy(array).to(self.device) for array in inputs))

    def _packed(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Any:
        torch = require("torch", needed_by="the reward")
        boundaries = packing.Boundaries(lengths)
        segments = None
        if self.separator is not None:
            ends = np.cumsum(ids == self.separator) - (ids == self.separator)
            # Separators before this token in its own row.
            segments = np.zeros(len(ids), dtype=np.int64)
            total = int(lengths.sum())
            segments[:total] = ends[:total] > np.repeat(ends[boundaries.first], lengths)
        body = self.model.body
        if deberta.fits(body):
            states = deberta.states(body, ids, boundaries, device=self.device, segments=segments)
        else:
            states = packing.packed_states(body, ids, boundaries, device=self.device, use_cache=False)
        return self.model.pooled(states, boundaries, ROWS[self.device != "cpu"], torch)

    def pack(self, tolerance: float) -> str | None:
        """Pack rows from now on, if the model then lets no row see another; else say why not."""
        torch = require("torch", needed_by="the reward")
        body = getattr(self.model, "body", None)
        if body is None:
            return "its pooling is not known here"
        unpacked = str(getattr(body.config, "_attn_implementation", "eager") or "eager")

        def alone(row: NDArray[np.int64]) -> float:
            switch(False)
            with torch.inference_mode():
                return float(self._padded(row[None], np.array([len(row)]))[0])

        def together(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
            switch(True)
            return self.logits(ids, lengths).astype(np.float64)

        def switch(on: bool) -> None:
            self.packed = on
            if deberta.fits(body):
                deberta.pack(body) if on else deberta.unpack(body)
            else:
                body.set_attn_implementation(packing.register() if on else unpacked)

        why = packing.leaks(together, int(body.config.vocab_size), alone, tolerance=tolerance)
        switch(why is None)
        return why


class _Logit:
    """A classifier of transformers' own, as ids and mask → logits (b,)."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def body(self) -> Any:
        """What is below the head, where its pooling is known here: DeBERTa-v2's first token, a decoder's last; else None."""
        base = self.model.base_model
        if deberta.fits(base) and hasattr(self.model, "pooler") and hasattr(self.model, "classifier"):
            return base
        return base if hasattr(self.model, "score") and base is not self.model else None

    def pooled(self, states: Any, boundaries: packing.Boundaries, rows: int, torch: Any) -> Any:
        """States (slots, h) → logits (rows,): always so many rows, so that a matrix product has one shape."""
        if deberta.fits(self.body):
            first = _fixed(states[torch.from_numpy(boundaries.first).to(states.device)], rows, torch)
            return self.model.classifier(self.model.pooler(first[:, None]))[:, 0]
        return self.model.score(states[torch.from_numpy(boundaries.last).to(states.device)])[:, 0]

    def eval(self) -> _Logit:
        """Without dropout."""
        self.model.eval()
        return self

    def to(self, device: str) -> _Logit:
        """On a device."""
        self.model.to(device)
        return self

    def __call__(self, ids: Any, present: Any, segments: Any = None) -> Any:
        known = {} if segments is None else {"token_type_ids": segments}
        return self.model(input_ids=ids, attention_mask=present, **known).logits[:, 0]


def _fixed(states: Any, rows: int, torch: Any) -> Any:
    return torch.nn.functional.pad(states, (0, 0, 0, rows - len(states)))


def _classifier(source: LocalModel, dtype: Any) -> _Logit:
    labels = len(source.config.get("id2label") or {}) or source.config.get("num_labels", 2)
    if labels != 1:
        raise ModelRefused(f"{source.name} has {labels} outputs; a reward model has one.", fix="Name a reward model.")
    model = load_network(source, "SequenceClassification", kind="a sequence classifier", needed_by="the reward", random="head", dtype=dtype)
    linear = require("torch", needed_by="the reward").nn.Linear
    for module in model.modules():
        if isinstance(module, linear) and module.out_features == 1:
            module.forward = functools.partial(_by_row, module)
    return _Logit(model)


def _template(source: LocalModel) -> Any:
    """transformers' tokenizer where the model has a chat template, else None."""
    if not (source.folder / "chat_template.jinja").is_file() and not read_json(source.folder / "tokenizer_config.json").get(
        "chat_template"
    ):
        return None
    return _tokenizer(source)


def _tokenizer(source: LocalModel) -> Any:
    transformers = require("transformers", needed_by="the reward")
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(str(source.folder), trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError) as error:
        raise ModelRefused(
            f"The tokenizer of {source.name} cannot be loaded: {str(error).splitlines()[0][:200]}",
            fix="Name a reward model that transformers can load.",
        ) from error
