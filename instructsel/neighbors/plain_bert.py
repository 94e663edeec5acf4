"""Which encoders are a BERT whose vectors are the mean or the first token of its states, and nothing else.

These run here, packed; see `instructsel.models.bert`. Whatever a folder says beyond that (another module, a prompt, fewer
dimensions, another tokenizer than its tokenizer.json) is computed by sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.errors import ModelRefused
from instructsel.models.bert import PackedBert
from instructsel.models.load import LocalModel, read_json
from instructsel.models.modules import POOLING, Module, pooling_mode, read_modules

MAX_LENGTH: Final = 256
"""Tokens seen of a text where a model says no number of its own."""
LIBRARY: Final = "config_sentence_transformers.json"
TRANSFORMER: Final = "sentence_bert_config.json"
TRANSFORMERS: Final = (
    TRANSFORMER,
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""Names of the configuration of a Transformer module; sentence-transformers reads the first that has something in it."""
USUAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "do_lower_case": (None, False),
    "transformer_task": (None, "feature-extraction"),
    "module_output_name": (None, "token_embeddings"),
    "modality_config": (None, {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}),
    "processing_kwargs": (None, {}),
    "query_expansion": (None,),
}
"""Values of a Transformer module's configuration at which it gives the last states of the text's tokens."""
OF_NO_EFFECT: Final = ("max_seq_length", "unpad_inputs", "query_length", "document_length")
"""Keys that say nothing about what is computed of a text, or that are read here too."""
AS_ITS_FILE: Final = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of tokenizers that are what their tokenizer.json says."""
MODEL_TYPE: Final = "SentenceTransformer"


def bert_pooling(source: LocalModel) -> str | None:
    """mean or cls for a BERT whose vectors are no more than that; None for an encoder that is anything else.

    Raises:
        UntrustedModel: a module is code of somebody else.
        ModelRefused: it is no encoder of one vector a text, or pools in a way that sentence-transformers would not see.
    """
    library = read_json(source.folder / LIBRARY)
    model_type = library.get("model_type", MODEL_TYPE)
    if model_type != MODEL_TYPE:
        raise ModelRefused(
            f"{LIBRARY} of {source.name} says that it is a {str(model_type)[:80]}; an encoder gives one vector for a text.",
            fix=f"Name a model of the type {MODEL_TYPE}.",
        )
    modules = read_modules(source.folder)
    is_bert = PackedBert.fits(source.config) and _is_plain(source, library)
    if not modules:
        mode = pooling_mode(read_json(source.folder / POOLING / "config.json"))
        if mode not in ("mean", "cls") or (mode == "cls" and not is_bert):
            raise ModelRefused(
                f"{source.name} pools by {mode} and has no modules.json.",
                fix="Name a folder as SentenceTransformer.save makes it.",
            )
        return mode if is_bert else None
    if not is_bert or not _are_plain(modules):
        return None
    mode = pooling_mode(read_json(source.folder / modules[1].path / "config.json"))
    return mode if mode in ("mean", "cls") else None


def own_limit(source: LocalModel) -> int:
    """Tokens of a text that a model says it sees; newer releases of sentence-transformers say it in the tokenizer's settings."""
    limits = (
        read_json(source.folder / TRANSFORMER).get("max_seq_length"),
        read_json(source.folder / "tokenizer_config.json").get("model_max_length"),
        source.config.get("max_position_embeddings"),
    )
    # Tokenizers without a limit name a number beyond any text.
    return next((limit for limit in limits if isinstance(limit, int) and 0 < limit < 1 << 20), MAX_LENGTH)


def _are_plain(modules: tuple[Module, ...]) -> bool:
    kinds = [module.kind for module in modules]
    return kinds in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) and not modules[0].path


def _is_plain(source: LocalModel, library: Mapping[str, Any]) -> bool:
    """Whether the settings around the weights say nothing that changes a text's tokens or its vector."""
    if library.get("default_prompt_name") is not None or library.get("truncate_dim") is not None:
        return False
    if any((source.folder / name).is_file() for name in TRANSFORMERS[1:]) and not read_json(source.folder / TRANSFORMER):
        return False
    transformer = read_json(source.folder / TRANSFORMER)
    usual = all(key in OF_NO_EFFECT or value in USUAL.get(key, (None,)) for key, value in transformer.items())
    return usual and _tokenizer_is_its_file(source)


def _tokenizer_is_its_file(source: LocalModel) -> bool:
    """Whether transformers makes of tokenizer_config.json the tokenizer that tokenizer.json describes.

    A BertTokenizer takes the words from tokenizer.json, and from tokenizer_config.json how they are looked up.
    """
    path = source.folder / "tokenizer.json"
    if not path.is_file():
        # Without a vocabulary either, there is none: what is missing is told where it is loaded.
        return not (source.folder / "vocab.txt").is_file()
    settings = read_json(source.folder / "tokenizer_config.json")
    if settings.get("truncation_side", "right") != "right":
        return False
    kind = settings.get("tokenizer_class")
    if kind in AS_ITS_FILE:
        return True
    if kind not in (None, "BertTokenizer", "BertTokenizerFast"):
        return False
    written = read_json(path)
    return all(written.get(key) == part for key, part in _of_bert_tokenizer(settings, written).items())


def _of_bert_tokenizer(settings: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' BertTokenizer puts into a tokenizer of these words, by the keys of tokenizer.json."""
    model = written.get("model")
    first, last = (_content(settings.get(key, default)) for key, default in (("cls_token", "[CLS]"), ("sep_token", "[SEP]")))
    around = [
        {"SpecialToken": {"id": first, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": last, "type_id": 0}},
    ]
    processor = written.get("post_processor")
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {**(processor if isinstance(processor, dict) else {}), "type": "TemplateProcessing", "single": around},
        "model": {
            **(model if isinstance(model, dict) else {}),
            "type": "WordPiece",
            "unk_token": _content(settings.get("unk_token", "[UNK]")),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
    }


def _content(token: Any) -> Any:
    """The text of a token that a configuration writes as a text or as an object."""
    return token.get("content") if isinstance(token, dict) else token


__all__ = ["MAX_LENGTH", "bert_pooling", "own_limit"]
