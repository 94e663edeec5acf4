"""What the numbers of a harness run depend on besides the model: settings of its tasks and of the run, and how it was computed.

Settings decide what a model is asked and how its reply is counted: results with other settings are no comparison of models. How it was
computed (batch size, number format, device, backend, release) moves a number less, and may be allowed to differ.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

TASK_SETTINGS: Final = (
    "output_type",
    "repeats",
    "generation_kwargs",
    "target_delimiter",
    "doc_to_text",
    "doc_to_target",
    "doc_to_choice",
    "process_results",
)
"""Of a task's configuration: those of which the harness's hash of documents, prompts and targets does not know everything."""
MODEL_ARGUMENTS: Final = frozenset(
    {
        *("pretrained", "peft", "delta", "tokenizer", "revision", "subfolder", "model", "path", "engine", "base_url", "gguf_file"),
        *("trust_remote_code", "use_fast_tokenizer", "cache_dir", "download_dir", "token", "use_auth_token", "api_key", "auth_token"),
        *("header", "headers", "device_map", "device_map_option", "parallelize", "max_memory_per_gpu", "max_cpu_memory"),
        *("offload_folder", "tp_plan", "tensor_parallel_size", "data_parallel_size", "pipeline_parallel_size", "low_cpu_mem_usage"),
        *("gpu_memory_utilization", "swap_space", "logits_cache", "max_batch_size", "num_concurrent", "max_retries", "timeout"),
        *("tokenizer_backend", "tokenized_requests", "lora_local_path", "max_lora_rank", "seed", "verify_certificate"),
    }
)
"""Arguments of a model that say which model it is, or where it runs: they may differ."""
COMPUTING: Final = frozenset(
    {
        *("dtype", "batch_size", "device", "backend", "max_length", "max_model_len", "load_in_8bit", "load_in_4bit", "autogptq"),
        *("gptqmodel", "quantization", "attn_implementation", "softmax_dtype", "mixed_precision_dtype", "kv_cache_dtype"),
    }
)
"""Arguments of a model that say how it is computed."""
HARNESS_NAMES: Final = frozenset({"hf", "hf-auto", "huggingface", "HFLM"})
PRECISIONS: Final[Mapping[str, str]] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16", "float": "float32"}
ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
LONGEST: Final = 60
"""Characters of a setting that is written down as it is; of a longer one there are its first ones and a digest."""


def task_settings(config: Mapping[str, Any], metric: str, filter_name: str) -> dict[str, Any]:
    """The settings of a task that a metric of it depends on, as plain data.

    Args:
        config: the task's configuration, as the harness gives or writes it.
        metric: its name without the filter.
        filter_name: the filter's.
    """
    settings = {name: plain(config.get(name)) for name in TASK_SETTINGS}
    metrics = [entry for entry in config.get("metric_list") or [] if isinstance(entry, Mapping) and entry.get("metric") == metric]
    filters = [entry for entry in config.get("filter_list") or [] if isinstance(entry, Mapping) and entry.get("name") == filter_name]
    settings["metric"] = [plain({key: value for key, value in entry.items() if key != "aggregation"}) for entry in metrics] or None
    settings["filter"] = [plain(entry.get("filter")) for entry in filters] or None
    return settings


def model_arguments(stated: Any) -> dict[str, Any]:
    """The arguments of a model by name, as --model_args gives them: a mapping, or NAME=VALUE with commas between.

    >>> model_arguments("pretrained=my-org/my-model,dtype=float32,add_bos_token=True")
    {'pretrained': 'my-org/my-model', 'dtype': 'float32', 'add_bos_token': True}
    """
    if isinstance(stated, Mapping):
        return {str(name): value for name, value in stated.items()}
    pairs: list[list[str]] = []
    for part in str(stated or "").split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip().isidentifier():
            pairs.append([name.strip(), value])
        elif pairs:
            # A value with a comma in it.
            pairs[-1][1] += f",{part}"
    return {name: _number(value) for name, value in pairs}


def run_settings(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The arguments of a model that change what it is asked or how it replies; None where there are none."""
    settings = {
        name: plain(value)
        for name, value in sorted(arguments.items())
        if name not in MODEL_ARGUMENTS and name not in COMPUTING and not name.startswith("bnb_") and value is not None
    }
    return settings or None


def computed_with(results: Mapping[str, Any]) -> dict[str, Any]:
    """How the numbers of a results file were computed; what it does not say is left out."""
    stated = results.get("config")
    config: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    arguments = model_arguments(config.get("model_args"))
    source = str(results.get("model_source") or config.get("model") or "")
    batch_size = config.get("batch_size") if config.get("batch_size") is not None else arguments.get("batch_size")
    sizes = config.get("batch_sizes")
    if str(batch_size).startswith("auto") and isinstance(sizes, list) and sizes:
        batch_size = f"auto ({', '.join(map(str, sizes))})"
    known = {
        "harness": results.get("lm_eval_version"),
        "backend": "hf" if source in HARNESS_NAMES else source if source and "/" not in source and source.islower() else None,
        "batch_size": None if batch_size is None else str(batch_size),
        "device": device_kind(config.get("device") or arguments.get("device")),
        "dtype": precision_name(config.get("model_dtype") or arguments.get("dtype")),
    }
    others = {
        name: plain(value)
        for name, value in sorted(arguments.items())
        if (name in COMPUTING or name.startswith("bnb_")) and name not in known and value not in (None, False)
    }
    length = others.pop("max_length", None) or others.pop("max_model_len", None)
    # What was not asked for is as by default, and that is known.
    requested = {"max_length": length, "arguments": others or None} if config else {}
    return {**{name: value for name, value in known.items() if value is not None}, **requested}


def device_kind(name: Any) -> str | None:
    """cpu, cuda or another kind; None where it is not known.

    >>> device_kind("cuda:1")
    'cuda'
    """
    return str(name).partition(":")[0] if name else None


def precision_name(name: Any) -> str | None:
    """A number format by torch's name; None where it is not known.

    >>> precision_name("torch.bfloat16"), precision_name("bf16"), precision_name("auto")
    ('bfloat16', 'bfloat16', None)
    """
    text = str(name or "").removeprefix("torch.")
    return None if text in ("", "auto") else PRECISIONS.get(text, text)


def plain(value: Any) -> Any:
    """A setting as plain data: the same of an object and of what the harness writes of it, and no path but its last part."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = ADDRESS.sub("", str(value))
    if len(text) <= LONGEST and "/" not in text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    shown = text.rstrip("/").rpartition("/")[2] if "\n" not in text and " " not in text else " ".join(text[:LONGEST].split())
    return f"{shown[:LONGEST]} ({digest})"


def _number(text: str) -> Any:
    """A value of the command line."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


__all__ = ["computed_with", "device_kind", "model_arguments", "plain", "precision_name", "run_settings", "task_settings"]
