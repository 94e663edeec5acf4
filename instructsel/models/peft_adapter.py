"""Folders with an adapter and no whole model: merged into their base once, into a folder of the cache that is named for both.

What reads a model's folder then finds a whole model: training, grading, scoring and the audit alike. The digest of the merged model is
of base and adapter together, and the same wherever it is merged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import dump_json, file_digest, fingerprint
from instructsel.cache import default_folder
from instructsel.errors import EnvironmentFault, ModelRefused, ModelUnavailable, UntrustedModel
from instructsel.extras import require
from instructsel.models.answers import first_line
from instructsel.models.load import LocalModel, located, quiet, read_json, refuse_code
from instructsel.models.network import load_network
from instructsel.paths import resolved

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
RECORD: Final = "merged.json"
"""In a merged folder: what it was merged of, and the digest of its weights."""
MERGED: Final = "merged-adapters"
"""The folder of merged models in the cache."""
INSIDE: Final = "adapter"
"""Where a fine-tune keeps its adapter, and all of it that a fine-tune without a merge has."""
MERGEABLE: Final = ("LORA", "ADALORA", "LOHA", "LOKR", "IA3", "OFT", "VERA", "HRA", "FOURIERFT")
"""Kinds of adapters that are nothing but a change of their base's weights."""
ELSEWHERE: Final = ("base_model_name_or_path", "revision", "inference_mode")
"""Settings of an adapter that its change does not depend on once the base is there."""
TOKENIZER: Final = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*", "vocab*", "merges.txt", "*.model")


def adapter_in(folder: Path) -> Path | None:
    """The folder's adapter where it holds one and no whole model, else None.

    Raises:
        ModelRefused: it holds both, so that nobody knows which is meant; transformers would take another model's weights.
    """
    weights = {path.name for path in folder.glob("*.safetensors")}
    if (folder / CONFIG).is_file():
        if weights - {WEIGHTS}:
            raise ModelRefused(
                f"{folder.name} holds a whole model and {CONFIG}: which of the two is meant cannot be known.",
                fix=f"Move {CONFIG} and the adapter's weights into a folder of their own.",
            )
        return folder
    inside = folder / INSIDE
    return inside if not weights and (inside / CONFIG).is_file() else None


def digest_of(adapter: Path, base: str) -> str:
    """The digest of an adapter on a base: of its weights, of its settings, and of the base's weights.

    Args:
        adapter: its folder.
        base: the base's digest.

    Raises:
        ModelUnavailable: its files cannot be read.
    """
    settings = {name: value for name, value in read_json(adapter / CONFIG).items() if name not in ELSEWHERE}
    try:
        weights = file_digest(adapter / WEIGHTS)
    except OSError as error:
        raise ModelUnavailable(f"{adapter / WEIGHTS} cannot be read: {error.strerror or error}.", fix="Fetch the adapter again.") from error
    return hashlib.sha256(b"\0".join([b"adapter", base.encode(), weights.encode(), dump_json(settings)])).hexdigest()


def merged(adapter: Path, name: str, *, revision: str | None, tokenizer: Path, needed_by: str) -> LocalModel:
    """The whole model that an adapter makes of its base, merged now or before.

    Args:
        adapter: its folder.
        name: what the model is called.
        revision: of the adapter on the hub.
        tokenizer: the folder whose tokenizer it has, where there is one; else the base's.
        needed_by: what the user asked for, for messages.

    Raises:
        ModelUnavailable: files that are missing or cannot be read, or a base that is not to be had.
        UntrustedModel: pickled weights, or a base with code of its own.
        ModelRefused: an adapter that cannot be merged, one on another adapter, or one of another model than its base.
        EnvironmentFault: no room for the merged model.
        MissingExtra: peft is not installed.
    """
    settings = _checked_settings(adapter, name)
    base = _base(settings, name, needed_by)
    digest = digest_of(adapter, base.digest)
    if not (tokenizer / "tokenizer.json").is_file():
        tokenizer = base.folder
    texts = {path.name: file_digest(path) for path in _tokenizer_files(tokenizer)}
    folder = default_folder() / MERGED / fingerprint({"digest": digest, "tokenizer": texts, "settings": base.settings})
    source = merged_before(folder)
    if source is None:
        _merge(adapter, base, tokenizer, folder, {"name": name, "digest": digest, "base": {"name": base.name, "digest": base.digest}})
        source = merged_before(folder)
    if source is None:
        raise EnvironmentFault(f"The merged model in {folder} cannot be read back.", fix="Free some space, or set INSTRUCTSEL_CACHE.")
    return LocalModel(name, revision, folder, digest, adapter_of=base.name)


def unmerged(name: str, *, needed_by: str) -> tuple[Path, Path]:
    """Where a model's files and its tokenizer's are, without a merge: of an adapter, its base's files, and the tokenizer that it would
    be merged with. No weights of a local folder are read.

    Args:
        name: a local folder, or a hub id.
        needed_by: what the user asked for, for messages.

    Returns:
        (the folder of the whole model, the folder of the tokenizer); they are one where the name is no adapter.

    Raises:
        ModelUnavailable, UntrustedModel, ModelRefused: as a merge would, where the adapter or its base are not what can be merged.
    """
    local = Path(name)
    folder = local if local.is_dir() else located(name, revision=None, needed_by=needed_by).folder
    adapter = adapter_in(folder)
    if adapter is None:
        return folder, folder
    base = _base(_checked_settings(adapter, folder.name), folder.name, needed_by, digested=False).folder
    return base, folder if (folder / "tokenizer.json").is_file() else base


def merged_before(folder: Path) -> LocalModel | None:
    """The model that was merged into a folder; None where there is none, or its weights are not those that were written."""
    try:
        record = read_json(folder / RECORD)
        if not record or record["weights"] != {path.name: file_digest(path) for path in sorted(folder.glob("*.safetensors"))}:
            return None
        return LocalModel(record["name"], None, folder, record["digest"], adapter_of=record["base"]["name"])
    except (ModelUnavailable, KeyError, TypeError):
        return None


def _checked_settings(adapter: Path, name: str) -> dict[str, Any]:
    """An adapter's settings, where it is one that can be merged."""
    settings = read_json(adapter / CONFIG)
    kind, task = settings.get("peft_type"), settings.get("task_type")
    if kind not in MERGEABLE:
        raise ModelRefused(
            f"{name} is an adapter of the kind {kind!r}, which is no change of its base's weights and cannot be merged.",
            fix=f"Use one of the kinds {', '.join(MERGEABLE)}.",
        )
    if task not in (None, "CAUSAL_LM"):
        raise ModelRefused(
            f"{name} is an adapter for the task {task!r}, not for a causal language model.", fix="Merge it into its base first."
        )
    if settings.get("megatron_config") is not None:
        raise UntrustedModel(f"{name} names a module to import (megatron_config).", fix="Only adapters that peft itself can load are used.")
    if not (adapter / WEIGHTS).is_file():
        if pickled := sorted(path.name for path in adapter.glob("adapter_model.*") if path.suffix in (".bin", ".pt", ".pth")):
            raise UntrustedModel(
                f"{name} has its weights only as {pickled[0]}, which can run code when it is read.",
                fix="Save the adapter as safetensors: PeftModel.save_pretrained(…)",
            )
        raise ModelUnavailable(f"{name} has {CONFIG} and no {WEIGHTS}.", fix="Name the folder that holds the adapter's files.")
    return settings


def _base(settings: Mapping[str, Any], name: str, needed_by: str, *, digested: bool = True) -> LocalModel:
    """The base that an adapter's settings name; without the digest of a local folder's weights, which reads all of them, if need be."""
    stated, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(stated, str) or not stated:
        raise ModelUnavailable(
            f"{name} is an adapter that does not name its base: base_model_name_or_path is {stated!r}.", fix=f"Write it into its {CONFIG}."
        )
    try:
        if digested or not Path(stated).is_dir():
            base = located(stated, revision=revision if isinstance(revision, str) else None, needed_by=needed_by)
        else:
            base = LocalModel(resolved(stated).name, None, Path(stated), "")
        refuse_code(base)
    except ModelUnavailable as error:
        raise ModelUnavailable(
            f"{name} is an adapter on {stated}, which is not here: {error.message}",
            fix=f"{error.fix} Another place is written as base_model_name_or_path in the {CONFIG} of {name}.",
        ) from error
    if not any(base.folder.glob("*.safetensors")) or adapter_in(base.folder) is not None:
        raise ModelRefused(
            f"{name} is an adapter on {stated}, which is an adapter itself."
            if adapter_in(base.folder) is not None
            else f"{name} is an adapter on {stated}, which has a tokenizer and no weights.",
            fix=f"Merge {stated} into its own base first, and name the result as base_model_name_or_path.",
        )
    if "quantization_config" in base.config:
        raise ModelRefused(
            f"{name} is an adapter on {stated}, whose weights are quantized: merged into them it would be rounded.",
            fix=f"Write the base in full precision as base_model_name_or_path into its {CONFIG}.",
        )
    return base


def _tokenizer_files(folder: Path) -> list[Path]:
    return sorted({path for pattern in TOKENIZER for path in folder.glob(pattern) if path.is_file()})


def _merge(adapter: Path, base: LocalModel, tokenizer: Path, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the merged model into a folder, whole or not at all."""
    network = _network(adapter, base, str(record["name"]))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unfinished-"))
        try:
            with quiet():
                network.save_pretrained(str(unfinished))
            for path in _tokenizer_files(tokenizer):
                shutil.copyfile(path, unfinished / path.name)
            weights = {path.name: file_digest(path) for path in sorted(unfinished.glob("*.safetensors"))}
            (unfinished / RECORD).write_bytes(dump_json({**record, "weights": weights}, indent=True))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        # Another process may have been faster.
        if merged_before(folder) is None:
            raise EnvironmentFault(
                f"{record['name']} cannot be merged into {folder}: {error.strerror or first_line(error)}.",
                fix="Free some space, or set INSTRUCTSEL_CACHE to another folder.",
            ) from error


def _network(adapter: Path, base: LocalModel, name: str) -> Any:
    """The base with the adapter's change added in fp32, rounded once to the base's own precision."""
    torch = require("torch", needed_by=f"the adapter {name}")
    peft = require("peft", needed_by=f"the adapter {name}")
    safetensors = require("safetensors", needed_by=f"the adapter {name}")
    network = load_network(base, "CausalLM", kind="a causal language model", needed_by="the merge", random="merged weights")
    try:
        with quiet(), warnings.catch_warnings(action="ignore"), safetensors.safe_open(str(adapter / WEIGHTS), framework="pt") as file:
            config = peft.PeftConfig.from_pretrained(str(adapter))
            model = peft.PeftModel(network, config)
            expected = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
            missing = sorted(expected - set(file.keys()))
            unexpected = [str(key) for key in model.load_adapter(str(adapter), "default").unexpected_keys]
            if missing or unexpected:
                raise ValueError(
                    f"it has no weights for {missing[0]}"
                    if missing
                    else f"its weights are of {unexpected[0]}, which the base does not have"
                )
            whole = model.merge_and_unload(safe_merge=True)
    except (
        ValueError,
        RuntimeError,
        TypeError,
        KeyError,
        AttributeError,
        NotImplementedError,
        OSError,
        safetensors.SafetensorError,
    ) as error:
        # torch says what does not fit below a heading, a tensor a line.
        why = next((line.strip() for line in str(error).splitlines() if "size mismatch" in line), first_line(error))
        raise ModelRefused(
            f"The adapter {name} does not fit its base {base.name}: {why.rstrip('.')}.",
            fix="Name the base that it was trained on as base_model_name_or_path in its " + CONFIG + ".",
        ) from error
    stated = base.config.get("dtype", base.config.get("torch_dtype"))
    dtype = getattr(torch, stated, torch.float32) if isinstance(stated, str) else torch.float32
    return whole.to(dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else torch.float32)


__all__ = ["MERGED", "RECORD", "adapter_in", "digest_of", "merged", "merged_before", "unmerged"]
