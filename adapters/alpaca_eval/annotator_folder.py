"""What the configuration of an annotator in a folder may not say: which code to run, which server to ask, which files to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.paths import resolved

LOADS_MODELS: Final = ("huggingface_local_completions", "vllm_local_completions")
"""Decoders that load any model in this process: with pickled weights, and with the code of its repository where asked to."""
ELSEWHERE: Final = {
    "trust_remote_code": "runs code of a model's repository",
    "base_url": "names the server that texts and key are sent to",
    "api_base": "names the server that texts and key are sent to",
    "azure_endpoint": "names the server that texts and key are sent to",
    "openai_api_base": "names the server that texts and key are sent to",
    "client_config_path": "reads a file with servers and keys",
    "client_configs": "names servers and keys",
    "client_kwargs": "names the server that texts and key are sent to",
    "adapters_name": "loads an adapter",
    "cache_dir": "names a folder to load from",
    "base_dir": "names a folder to read from",
}
"""Keys at any depth of a configuration, and what they do."""
ALLOW: Final = "Read the folder first; then set allow_annotator_code=True (--allow-task-code), or use another annotator."


def check_annotator(folder: Path, configs: Mapping[str, Any]) -> None:
    """Refuse an annotator that runs code, asks a server of its own or reads files outside of its folder.

    Args:
        folder: with configs.yaml.
        configs: its content: annotators by name.

    Raises:
        UsageError: it does.
    """
    for name, config in configs.items():
        where = f"The annotator {str(name)[:80]} of {folder}"
        decoder = config.get("fn_completions")
        if decoder is not None and (not isinstance(decoder, str) or not decoder.isidentifier()):
            raise UsageError(f"{where} has the decoder {str(decoder)[:80]!r}; expected the name of one of AlpacaEval's.", fix=ALLOW)
        if decoder in LOADS_MODELS:
            raise UsageError(f"{where} loads a model in this process ({decoder}), whatever its files are.", fix=ALLOW)
        for key, value in _entries(config):
            if key in ELSEWHERE and value not in (None, False):
                raise UsageError(f"{where} {ELSEWHERE[key]} ({key}: {str(value)[:80]!r}).", fix=ALLOW)
        _check_prompt(folder, config, where)


def _check_prompt(folder: Path, config: Mapping[str, Any], where: str) -> None:
    """AlpacaEval reads a prompt from a file relative to the folder above the annotator's."""
    stated = config.get("prompt_template", "")
    if not isinstance(stated, str):
        raise UsageError(f"{where} has a prompt_template that is no text.", fix="Write it as AlpacaEval's own.")
    if "\n" in stated or "\0" in stated:
        return
    path = folder.parent / stated
    try:
        readable = path.is_file()
    except OSError:
        # A text too long to be a name is the prompt itself.
        return
    if readable and not resolved(path).is_relative_to(resolved(folder)):
        raise UsageError(f"{where} takes its prompt from {stated}, outside of its folder.", fix=ALLOW)


def _entries(config: Any) -> list[tuple[str, Any]]:
    """Key and value of every entry at any depth."""
    entries: list[tuple[str, Any]] = []
    pending = [config]
    while pending:
        container = pending.pop()
        pairs = list(container.items()) if isinstance(container, Mapping) else [("", value) for value in container]
        entries += [(str(key), value) for key, value in pairs]
        pending.extend(value for _, value in pairs if isinstance(value, Mapping | list | tuple))
    return entries


__all__ = ["ALLOW", "check_annotator"]
