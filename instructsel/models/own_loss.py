"""Whether a way around a model's logits computes the model's own loss: found out by trying, for names of settings never end.

A causal language model's loss is cheaper from its last hidden states and its head alone, but not every model's logits are what its
head gives: Granite divides them, Cohere multiplies them, Gemma 2 bends them, MiniCPM divides the states before the head. A way that
skips such a step trains and grades another model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from instructsel.extras import require

TOLERANCE: Final = {"fp32": 1e-4, "bf16": 2e-2}
"""How far the two losses may be apart, as a share of the largest logit, by the precision of the weights."""
PROBE: Final = (2, 24)
"""Rows and tokens of the batch."""
CONTEXT: Final = 9
"""Tokens of the second row that have no loss."""
LARGEST: Final = 1024.0
"""Logits are tried as they are and at least as large as this: a cap does nothing to small ones."""

Loss = Callable[[Any, Any], Any]
"""Token ids (b, t) and labels (b, t), −100 where there is no loss → the mean loss over the labels, in nats."""


def difference(model: Any, loss: Loss) -> str | None:
    """How a way of computing the loss differs from `model(input_ids, labels).loss`; None where it does not.

    Both are computed on drawn tokens, with the last hidden states as they are and enlarged.

    Args:
        model: a causal language model of transformers, without adapters.
        loss: the other way; it computes hidden states with the model's own backbone.
    """
    torch = require("torch", needed_by="the loss")
    rows, width = PROBE
    generator = torch.Generator().manual_seed(20260101)
    ids = torch.randint(0, model.get_input_embeddings().weight.shape[0], (rows, width), generator=generator).to(model.device)
    labels = ids.clone()
    labels[1, :CONTEXT] = -100
    tolerance = TOLERANCE["fp32" if model.dtype == torch.float32 else "bf16"]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            largest = float(model(input_ids=ids, use_cache=False).logits.abs().max())
            for factor in (1.0, _enlarging(largest)):
                with _enlarged(_backbone(model), factor):
                    own = float(model(input_ids=ids, labels=labels, use_cache=False).loss)
                    other = float(loss(ids, labels))
                # Compared this way round, a loss that is no number differs from any.
                if not abs(own - other) <= tolerance * max(1.0, largest * factor):
                    return f"the model's own loss is {own:.5g} nats a token, not {other:.5g}" + (
                        f", with hidden states {factor:g} times as large" if factor != 1.0 else ""
                    )
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        IndexError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else 'no message'}"
    finally:
        model.train(training)
    return None


def _enlarging(largest: float) -> float:
    """The power of two, exact in every precision, that brings a logit to LARGEST."""
    factor = 1.0
    while 0.0 < largest * factor < LARGEST:
        factor *= 2.0
    return factor


def _backbone(model: Any) -> Any:
    """The module whose output both ways go through; OPT's own forward passes by the one around it."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    return model.base_model if decoder is None or decoder is model else decoder


@contextmanager
def _enlarged(backbone: Any, factor: float) -> Iterator[None]:
    """The backbone's last hidden states are so many times as large in this block."""

    def enlarge(module: Any, arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * factor
        return output

    hook = backbone.register_forward_hook(enlarge)
    try:
        yield
    finally:
        hook.remove()


__all__ = ["difference"]
