"""Tokenizers of several kinds made on the spot: what they do at the edges of turns differs."""

from __future__ import annotations

from typing import Any, Final

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.tiny import TEXT

TEXTS: Final = (
    " ".join(TEXT),
    "<|user|>\nHow do I boil an egg?\n<|assistant|>\nPut it into water.\n",
    "<|system|>\nBe brief.\n<|user|>\n1 + 1?\n<|assistant|>\n2\n",
)
END: Final = "</s>"
BEGIN: Final = "<s>"


def _fast(made: Tokenizer, *, begin: str | None = BEGIN) -> Any:
    begins = {} if begin is None else {"bos_token": begin}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token="<pad>", unk_token="<unk>", **begins)


def _with(made: Tokenizer, single: str) -> Tokenizer:
    """The tokenizer with tokens that it adds to any text by default."""
    names = [name for name in single.split() if name != "$A"]
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[(name, made.token_to_id(name)) for name in names])
    return made


def byte_level(*, adds: str = "", begin: str | None = None) -> Any:
    """Byte-level BPE that may join a line break with what stands before it."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [*TEXTS] * 4,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=["<pad>", "<unk>", BEGIN, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return _fast(_with(tokenizer, adds) if adds else tokenizer, begin=begin)


def letters() -> Any:
    """A token for each byte: nothing is joined."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<unk>", BEGIN, END]
    tokenizer.train_from_iterator(
        [""], trainers.BpeTrainer(vocab_size=len(alphabet), special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    return _fast(tokenizer, begin=None)


def metaspace(*, adds: str = f"{BEGIN} $A") -> Any:
    """A unigram model with ▁ for a space, as SentencePiece's: pieces may hold a line break and letters behind it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.train_from_iterator(
        [text.replace(" ", "▁") for text in TEXTS] * 4,
        trainers.UnigramTrainer(
            vocab_size=220,
            special_tokens=["<pad>", "<unk>", BEGIN, END],
            unk_token="<unk>",
            initial_alphabet=sorted(set("".join(TEXTS)) | set("▁\n<|>éABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!+")),
            show_progress=False,
        ),
    )
    return _fast(_with(tokenizer, adds))


def word_piece(*, adds: str = f"{BEGIN} $A {END}") -> Any:
    """WordPiece: white space is lost, lines breaks too, and a token stands behind every text."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        [*TEXTS] * 4, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["<pad>", "<unk>", BEGIN, END], show_progress=False)
    )
    return _fast(_with(tokenizer, adds))


TOKENIZERS: Final = {
    "byte-level": byte_level,
    "byte-level with begin": lambda: byte_level(adds=f"{BEGIN} $A", begin=BEGIN),
    "byte-level whose begin is not added": lambda: byte_level(begin=BEGIN),
    "letters": letters,
    "metaspace": metaspace,
    "word-piece": word_piece,
}
"""Kind → a new tokenizer of it."""

__all__ = ["BEGIN", "END", "TOKENIZERS", "byte_level", "letters", "metaspace", "word_piece"]
