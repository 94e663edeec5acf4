"""Encoder–decoder models that answer a question with Yes or No, as UniEval does.

Source: Zhong et al. 2022, UniEval, arXiv:2210.07197; input strings and the score as in its released evaluator.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ModelRefused, UsageError
from instructsel.extras import require
from instructsel.models import packing, runner
from instructsel.models.answers import UNKNOWN_LIMIT as UNKNOWN
from instructsel.models.answers import Answers, Encoded, OutputCache, Question, escape_special_tokens, unknown_share
from instructsel.models.foreign import refusing_files
from instructsel.models.load import LocalModel, devices, load_tokenizer, locate, quiet, refuse_code, settings
from instructsel.models.network import load_network
from instructsel.models.scoring_model import SWITCHED_OFF, TOLERANCE, ScoringModel

MAX_LENGTH: Final = 1024
"""Tokens of an input, the end token included; UniEval's own limit."""
ROWS: Final = 48
"""Rows of a packed batch at most, and of every batch of the decoder. Never the number of a batch's slots: keys and queries are told apart by it."""
WORDS: Final = ("Yes", "No")
HISTORY: Final = " </s> dialogue history: "
"""What stands between a response and its history."""

PROBES: Final = (
    (
        "Sure, I can help with that. Turn the key to the left and pull the door towards you.",
        "key key the left door pull pull sure qwxz help help help",
    ),
    (
        "I watched that film last week. The ending surprised me, and the music was wonderful.",
        "film ending week the surprised asdf jkl; me me music 7 7 was was",
    ),
    (
        "Bread rises because yeast turns sugar into gas, and the dough holds the bubbles.",
        "zzt bread of gas; sugar rises rises lkj yeast dough dough bubbles ]]",
    ),
)
"""(natural, not natural) responses: any evaluator of naturalness or of understandability tells them apart."""


@dataclass(frozen=True, eq=False, kw_only=True)
class YesNoModel(ScoringModel):
    """An encoder–decoder model. Load one with YesNoModel.load.

    A question is (question, response, history): the history, where there is one, follows the response, and is what is cut
    where all are longer than 1,024 tokens. The answer is p(Yes) / (p(Yes) + p(No)) at the first step of the decoder.
    """

    end: int
    """The end token, which every row closes with."""
    control: tuple[str, ...]
    """The control tokens that a row may spell and not mean."""
    workers: tuple[_Decider, ...]

    @classmethod
    @refusing_files("a yes–no evaluator")
    def load(
        cls,
        name: str,
        *,
        revision: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        probe: str = "",
        max_length: int = MAX_LENGTH,
        packing: bool = True,
    ) -> Self:
        """Load an evaluator and put it to the probe.

        Args:
            name: a local folder or a hub id.
            revision: a hub revision.
            precision: fp32, bf16, or auto; never fp16, in which T5 overflows.
            device: cpu, cuda, or auto.
            probe: the beginning of an input that natural responses must get a higher answer to; "" for no probe.
            max_length: tokens of an input at most.
            packing: pack rows where the model allows it.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: pickled weights, or code of its own.
            ModelRefused: no encoder–decoder, weights or the words Yes and No missing, or it fails the probe.
        """
        source = locate(name, revision=revision, needed_by="UniEval")
        refuse_code(source)
        precision, device = settings(precision, device)
        tokenizer = load_tokenizer(source)
        tokenizer.encode_special_tokens = False
        words = [_first(tokenizer, word) for word in WORDS]
        end = source.config.get("eos_token_id", 1)
        if None in words or words[0] == words[1]:
            raise ModelRefused(
                f"The tokenizer of {source.name} does not tell Yes from No.", fix="Name UniEval, or a model trained like it."
            )
        model = _loaded(source, precision)
        places = devices(device)
        first = _Decider(model.to(places[0]), places[0], (int(words[0] or 0), int(words[1] or 0)))
        # A packed batch of T5 holds scores of all slots with all slots: with a GPU's 65,536 that would be 137 GB.
        with quiet():
            why = SWITCHED_OFF if not packing else "on a GPU" if device != "cpu" else _refusal(first, precision)
        if why is not None:
            model.set_attn_implementation(first.plain)
        first.packed = why is None
        others = [_Decider(copy.deepcopy(model).to(place), place, first.words, packed=why is None) for place in places[1:]]
        unknown = tokenizer.token_to_id("<unk>")
        control = tuple(sorted(token.content for token in tokenizer.get_added_tokens_decoder().values()))
        loaded = cls(
            source=source,
            precision=precision,
            device=device,
            max_length=max_length,
            probed=probe,
            tokenizer=tokenizer,
            unknown=unknown,
            end=int(end),
            control=control,
            workers=(first, *others),
            padded_because=why,
        )
        if probe:
            loaded.probe(probe)
        return loaded

    def probe(self, question: str) -> None:
        """Ask about natural and unnatural responses.

        Raises:
            ModelRefused: no number, the same for all, or the unnatural ones on top.
        """
        answers = self.answer([(question, response, None) for pair in PROBES for response in pair])
        if any(answers.reasons):
            raise ModelRefused(f"{self.source.name} gives no finite answer to the sanity probe.", fix="Use fp32 or bf16, or another model.")
        good, bad = answers.values[0::2], answers.values[1::2]
        if float(np.ptp(answers.values)) < 1e-3:
            raise ModelRefused(
                f"{self.source.name} answers every question of the sanity probe alike ({answers.values[0]:.3g}): its output is squashed, or it was not trained to say Yes and No.",
                fix="Name UniEval, or a model trained like it.",
            )
        wins = int((good > bad).sum())
        if wins * 2 <= len(good) or good.mean() <= bad.mean():
            raise ModelRefused(
                f"{self.source.name} finds gibberish more natural than speech in {len(good) - wins} of {len(good)} pairs of the sanity probe: its sign is inverted, or it is no such evaluator.",
                fix="Name UniEval, or a model trained like it; --skip-probe uses this one all the same, and every output says so.",
            )

    def answer(
        self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """p(Yes) / (p(Yes) + p(No)) of each input, in [0, 1]."""
        return self._run(
            self._encoded(questions),
            lambda worker: lambda ids, lengths, members: worker.answers(ids, lengths),
            packed_rows=ROWS,
            cache=cache,
            progress=progress,
        )

    def _encoded(self, questions: Sequence[Question]) -> Encoded:
        # UniEval writes the end token into its inputs as text and means the token; rows that spell it mean the text.
        escaped = [tuple(None if text is None else escape_special_tokens(text, self.control) for text in texts) for _, *texts in questions]
        heads = [f"{question}{response}" for (question, *_), (response, _) in zip(questions, escaped, strict=True)]
        # One text each: tokens form across the seams, as they did in training.
        inputs = [head if history is None else f"{head}{HISTORY}{history}" for head, (_, history) in zip(heads, escaped, strict=True)]
        texts = runner.Ragged.tokenized(self.tokenizer, inputs)
        head_lengths = runner.Ragged.tokenized(self.tokenizer, heads).lengths
        reasons: list[str | None] = [None] * len(questions)
        truncated = np.zeros(len(questions), dtype=bool)
        rows: list[NDArray[np.int32]] = []
        positions: list[int] = []
        for number, (_, _, history) in enumerate(questions):
            row = texts[number]
            truncated[number] = len(row) > self.max_length - 1
            if unknown_share(row, self.unknown) > UNKNOWN:
                reasons[number] = "unsupported_language"
            elif history is not None and head_lengths[number] >= self.max_length - 1:
                # No token of the history would be seen: whether the response follows from it could not be said.
                reasons[number] = "too_long"
            else:
                rows.append(np.append(row[: self.max_length - 1], np.int32(self.end)))
                positions.append(number)
        return Encoded(runner.Ragged.of(rows), np.array(positions, dtype=np.int64), reasons, truncated)


class _Decider:
    """An encoder–decoder on one device: token ids → p(Yes) / (p(Yes) + p(No))."""

    def __init__(self, model: Any, device: str, words: tuple[int, int], *, packed: bool = False) -> None:
        self.model = model
        self.device = device
        self.words = words
        self.packed = packed
        self.plain = str(getattr(model.config, "_attn_implementation", "eager") or "eager")

    def answers(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """(b,)"""
        torch = require("torch", needed_by="UniEval")
        with torch.inference_mode():
            states = self._packed(ids, lengths) if self.packed else self._padded(ids, lengths)
            head = self.model.get_output_embeddings().weight[list(self.words)].float()
            # Row by row: a matrix product would round by where a row stands. The softmax over the whole vocabulary cancels.
            logits = (states.float()[:, None, :] * head[None]).sum(-1).double()
            shares: NDArray[np.float64] = torch.sigmoid(logits[:, 0] - logits[:, 1]).cpu().numpy()
        return shares[: len(lengths)]

    def _start(self, rows: int) -> Any:
        torch = require("torch", needed_by="UniEval")
        return torch.full((rows, 1), int(self.model.config.decoder_start_token_id or 0), dtype=torch.int64, device=self.device)

    def _scaled(self, states: Any) -> Any:
        """T5 with tied embeddings scales the decoder's states before its head."""
        tied = getattr(self.model.config, "scale_decoder_outputs", getattr(self.model.config, "tie_word_embeddings", False))
        return states * (self.model.model_dim**-0.5) if tied and hasattr(self.model, "model_dim") else states

    def _packed(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Any:
        torch = require("torch", needed_by="UniEval")
        with packing.bounded(packing.Boundaries(lengths)):
            states = self.model.get_encoder()(input_ids=torch.from_numpy(ids)[None].to(self.device)).last_hidden_state
        with packing.bounded(packing.Boundaries(lengths, single=True)):
            decoded = self.model.get_decoder()(input_ids=self._start(ROWS).T, encoder_hidden_states=states, use_cache=False)
        return self._scaled(decoded.last_hidden_state[0])

    def _padded(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> Any:
        torch = require("torch", needed_by="UniEval")
        tokens = torch.from_numpy(ids).to(self.device)
        present = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(self.device)
        states = self.model.get_encoder()(input_ids=tokens, attention_mask=present).last_hidden_state
        decoded = self.model.get_decoder()(
            input_ids=self._start(len(ids)), encoder_hidden_states=states, encoder_attention_mask=present, use_cache=False
        )
        return self._scaled(decoded.last_hidden_state[:, 0])


def _loaded(source: LocalModel, precision: str) -> Any:
    torch = require("torch", needed_by="UniEval")
    if not source.config.get("is_encoder_decoder"):
        raise ModelRefused(
            f"{source.name} is no encoder–decoder model.", fix="Name UniEval (MingZhong/unieval-dialog), or a model like it."
        )
    if source.config.get("model_type") != "t5":
        raise ModelRefused(f"{source.name} is a {source.config.get('model_type')} model; UniEval's are T5.", fix="Name UniEval.")
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"UniEval is not run in {precision}: T5 overflows in it.", fix="Say --precision fp32 or bf16.")
    return load_network(
        source,
        "Seq2SeqLM",
        kind="an encoder–decoder",
        needed_by="UniEval",
        random="answers",
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )


def _refusal(worker: _Decider, precision: str) -> str | None:
    """Why this model's rows cannot be packed; None where they can."""
    torch = require("torch", needed_by="UniEval")

    def logit(probability: Any) -> Any:
        clipped = np.clip(probability, 1e-12, 1 - 1e-12)
        return np.log(clipped / (1 - clipped))

    def alone(row: NDArray[np.int64]) -> float:
        worker.model.set_attn_implementation(worker.plain)
        ids = torch.from_numpy(row)[None].to(worker.device)
        with torch.inference_mode():
            logits = worker.model(input_ids=ids, decoder_input_ids=worker._start(1)).logits[0, 0].double()
        return float(logits[worker.words[0]] - logits[worker.words[1]])

    def together(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        worker.model.set_attn_implementation(packing.register())
        worker.packed = True
        logits: NDArray[np.float64] = logit(worker.answers(ids, lengths))
        return logits

    why = packing.leaks(together, int(worker.model.config.vocab_size), alone, tolerance=max(TOLERANCE[precision], 1e-4))
    if why is None:
        worker.model.set_attn_implementation(packing.register())
    return why


def _first(tokenizer: Any, word: str) -> int | None:
    """The first token of a word, unless the tokenizer does not know it."""
    ids = tokenizer.encode(word, add_special_tokens=False).ids
    return int(ids[0]) if ids and ids[0] != tokenizer.token_to_id("<unk>") else None
