"""What the configuration of a model may not say: where else to read from, and which code to run.

A model's identity is the digest of its weights. A key of its configuration that sends a library to other weights, to an adapter,
to a kernel on the hub or to code gives another model under that digest, or runs what its author wrote. transformers,
sentence-transformers and PEFT follow such keys at their defaults; here a model that has one is refused, with the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from instructsel.errors import ModelRefused, UntrustedModel
from instructsel.models.json_files import read_json, read_value
from instructsel.models.modules import read_modules
from instructsel.models.weights import SUFFIX, Tensors, check_inside, read_tensors, weight_files

ADAPTER: Final = "adapter_config.json"
CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer_config.json"
OBJECTS: Final = (CONFIG, TOKENIZER, ADAPTER, "generation_config.json", "sentence_bert_config.json", "config_sentence_transformers.json")
"""Configurations that are objects."""
ATTENTION: Final = (None, "eager", "sdpa", "flex_attention")
"""How attention may be computed: by functions of transformers itself. Any other name can be that of a kernel on the hub."""
ATTENTION_KEYS: Final = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
ELSEWHERE: Final = {
    "transformers_weights": "other weights",
    "configuration_files": "another configuration",
    "gguf_file": "other weights",
    "pretrained_model_name_or_path": "another model",
    "model_name_or_path": "another model",
    "tokenizer_name_or_path": "another tokenizer",
    "processor_name": "another tokenizer",
    "adapter_kwargs": "an adapter",
    "_adapter_model_path": "an adapter",
    "fusion_config": "replaced layers",
    "kernel_config": "kernels of the hub",
    "use_kernels": "kernels of the hub",
    "allow_all_kernels": "kernels of the hub",
    "trust_remote_code": "code of a repository",
    "code_revision": "code of a repository",
}
"""Keys that send a library elsewhere, at any depth, and what to."""
LOADING: Final = ("use_safetensors", "weights_only", "local_files_only", "subfolder", "variant", "revision", "cache_dir", "config", "token")
"""Arguments of from_pretrained that a configuration may not give it: sentence-transformers passes on what stands under *_args."""
CLASSES: Final = {
    "activation_function": re.compile(r"torch\.nn(\.modules)?(\.[a-z_]+)?\.[A-Z]\w*"),
    "tokenizer_class": re.compile(r"sentence_transformers(\.[A-Za-z_]\w*)+"),
}
"""Keys by which a module names a class to import, and what it may name; names without a dot are of the library that reads them."""
MAX_INTEGER: Final = 1 << 31
MAX_LABELS: Final = 100_000
"""A configuration has an entry in memory for each label."""
MAX_POSITIONS: Final = 1 << 26
LAYERS: Final = re.compile(r"^(?!max_)(.*_)?(n_layers?|layers?|blocks?)$")
"""Keys that count layers; a layer has one tensor at least. A largest number, such as max_window_layers, builds none."""
FETCH: Final = "Only models that their libraries load from their own folder are used: remove the key, or name another model."


def check_folder(folder: Path, name: str) -> None:
    """Refuse a folder whose parts lie elsewhere.

    Args:
        folder: the model's.
        name: the model's, for messages.

    Raises:
        UntrustedModel: a link out of the folder.
    """
    for path in (*folder.glob("*.json"), *folder.glob("*.jinja"), *folder.glob("*.model")):
        check_inside(path, folder, name)


def check_configuration(folder: Path, name: str) -> None:
    """Refuse a model whose configuration sends a library to other weights, code, kernels or files.

    Raises:
        UntrustedModel: it does.
        ModelUnavailable: a configuration is no JSON object.
    """
    for path in _configurations(folder):
        content = read_json(path) if path.name in OBJECTS else read_value(path)
        shown = path.relative_to(folder).as_posix()
        for key, value, above in _entries(content):
            _check_entry(key, value, above, f"{shown} of {name}")
        if path.name == TOKENIZER:
            _check_tokenizer(content, name)
        if path.name == CONFIG and "auto_map" in content:
            raise UntrustedModel(
                f"{name} wants to run code of its own repository (auto_map in {shown}).",
                fix="Only models that transformers itself can load are used.",
            )


def _configurations(folder: Path) -> list[Path]:
    places = [folder, *(folder / module.path for module in read_modules(folder) if module.path)]
    return sorted({path for place in places for path in place.glob("*config*.json") if path.is_file()})


def _entries(content: Any) -> Iterator[tuple[str, Any, str]]:
    """Key, value, and the key above, of every entry at any depth."""
    pending: list[tuple[Any, str]] = [(content, "")]
    while pending:
        container, above = pending.pop()
        if isinstance(container, list):
            pending.extend((value, above) for value in container if isinstance(value, dict | list))
        for key, value in container.items() if isinstance(container, dict) else ():
            yield key, value, above
            if isinstance(value, dict | list):
                pending.append((value, key))


def _check_entry(key: str, value: Any, above: str, where: str) -> None:
    if key in ELSEWHERE and value not in (None, False):
        raise UntrustedModel(f"{where} names {ELSEWHERE[key]} ({key}: {_shown(value)}).", fix=FETCH)
    if key in ATTENTION_KEYS:
        names = list(value.values()) if isinstance(value, dict) else [value]
        if foreign := [name for name in names if name not in ATTENTION]:
            raise UntrustedModel(
                f"{where} names the attention {_shown(foreign[0])} ({key}), which can be a kernel on the hub.",
                fix=f"Remove the key, or write one of {', '.join(str(name) for name in ATTENTION if name)}.",
            )
    if key in ("experts_implementation", "_experts_implementation") and isinstance(value, str) and ("/" in value or ":" in value):
        raise UntrustedModel(f"{where} names a kernel on the hub ({key}: {_shown(value)}).", fix=FETCH)
    for of_class, allowed in CLASSES.items():
        if key == of_class and isinstance(value, str) and "." in value and not allowed.fullmatch(value):
            raise UntrustedModel(f"{where} names the class {_shown(value)} ({key}), which is not of its library.", fix=FETCH)
    if key in LOADING and above.endswith(("_args", "_kwargs")):
        raise UntrustedModel(f"{where} says how its files are to be loaded ({above}.{key}: {_shown(value)}).", fix=FETCH)


def _check_tokenizer(content: dict[str, Any], name: str) -> None:
    """Refuse a tokenizer in another file than tokenizer.json: not all libraries would read the same one."""
    files = content.get("fast_tokenizer_files")
    if files is not None and files != ["tokenizer.json"]:
        raise UntrustedModel(f"{TOKENIZER} of {name} names other files of a tokenizer ({_shown(files)}).", fix=FETCH)


def check_module_weights(folder: Path, name: str) -> None:
    """Refuse damaged weight files of an encoder of several modules, and sizes that none of its files has.

    Raises:
        ModelRefused: a header is not what safetensors writes, or a configuration says a number that no model has.
    """
    places = dict.fromkeys([folder, *(folder / module.path for module in read_modules(folder))])
    tensors_in = {place: read_tensors(weight_files(place, name), name) for place in places}
    # A module may speak of the layers of the transformer before it.
    largest = max(tensors_in.values(), key=lambda tensors: len(tensors.shapes))
    for place, tensors in tensors_in.items():
        for path in place.glob("*config*.json"):
            content = read_value(path)
            if tensors.shapes and isinstance(content, dict):
                check_sizes(content, largest, name)


def _shown(value: Any) -> str:
    return repr(value)[:80]


def check_sizes(config: dict[str, Any], tensors: Tensors, name: str) -> None:
    """Refuse a configuration of sizes that its weights cannot have, before anything of these sizes is built.

    Args:
        config: config.json.
        tensors: what the headers of the weight files say.
        name: the model's, for messages.

    Raises:
        ModelRefused: more layers than tensors, a negative size, or a number that no model has.
    """
    for key, value, above in _entries(config):
        if not isinstance(value, int) or isinstance(value, bool) or above in ("id2label", "label2id", "task_specific_params"):
            continue
        limit = MAX_INTEGER
        if LAYERS.search(key):
            limit = max(len(tensors.shapes), 1)
        elif key == "num_labels":
            limit = MAX_LABELS
        elif "position" in key or key == "n_ctx":
            limit = MAX_POSITIONS
        if value > limit:
            raise ModelRefused(
                f"{CONFIG} of {name} says {key} is {value:,}; with its {len(tensors.shapes):,} tensors it can be {limit:,} at most.",
                fix="Fetch the model again.",
            )


__all__ = ["ADAPTER", "ATTENTION", "CONFIG", "SUFFIX", "check_configuration", "check_folder", "check_module_weights", "check_sizes"]
