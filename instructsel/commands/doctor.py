"""instructsel doctor: what this machine can run, and what to do about the rest."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import orjson
import typer

from instructsel.cache import Cache, default_folder
from instructsel.commands import _options as options
from instructsel.commands._console import reported
from instructsel.commands.cache import checked, existing, one_line, size
from instructsel.commands.status import lines as run_lines
from instructsel.commands.status import unfinished
from instructsel.errors import InstructselError
from instructsel.extras import EXTRA_OF, require
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Indicator, ModelIndicator
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models.load import EMBEDDED, PICKLED, LocalModel, locate, read_json, refuse_code, settings
from instructsel.models.precision import BF16_UNITS, cpu_instructions, why
from instructsel.text import aligned

CPU: Final = ("knn", "models", "minilm")
"""The extras that the extra cpu is made of: what the README installs."""
MODULE_OF: Final = {"faiss-cpu": "faiss", "faiss-gpu": "faiss"}
"""Distribution → its module, where the name is not the same."""
ORDER: Final = ("len", "len_in", "mtld", "knn_6", "rew", "ppl", "ppl_cond", "ifd", "nat", "coh", "und")
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
    """Say what this machine can run: extras, models, indicators, precision, cache and unfinished runs. Ends with 4 where something is wrong."""
    found = Findings()
    extras = _extras(found)
    precision = _precision(found)
    models = _models(extras, found)
    plain: dict[str, Any] = {
        "instructsel": _version(),
        "machine": _machine(),
        "precision": precision,
        "extras": extras,
        "models": models,
        "indicators": _indicators(models, usable_torch=precision["error"] is None),
        "cache": _cache(cache, found, quiet=quiet),
    }
    plain |= {"runs": plain["cache"].pop("runs"), "notes": found.notes, "problems": found.problems}
    if json:
        typer.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode())
    else:
        for text in [*([] if quiet else _lines(plain)), *_problem_lines(found.problems, quiet=quiet)]:
            typer.echo(one_line(text))
    if found.problems:
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
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    # A container's limit is below what the machine has.
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found = min(found, int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return found


def _found(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _precision(found: Findings) -> dict[str, Any]:
    """What "auto" means here, and the GPUs."""
    plain: dict[str, Any] = dict.fromkeys(("torch", "cpu", "cpu_bf16", "cpu_why", "device", "auto")) | {"gpus": [], "error": None}
    if not _found("torch"):
        return plain
    try:
        torch = require("torch", needed_by="doctor")
        cpu, (auto, device) = settings("auto", "cpu")[0], settings("auto", "auto")
        gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count() if device == "cuda" else 0)]
        instructions = cpu_instructions(torch)
        plain |= {"torch": str(torch.__version__), "cpu": cpu, "cpu_bf16": sorted(instructions.intersection(BF16_UNITS))}
        plain |= {"cpu_why": why(instructions), "auto": auto, "device": device}
        plain["gpus"] = [{"name": str(gpu.name), "memory": int(gpu.total_memory)} for gpu in gpus]
        if not gpus and shutil.which("nvidia-smi"):
            build = "a build for CPUs" if torch.version.cuda is None else "no GPU that it can use"
            found.notes.append(f"An NVIDIA driver is here, but torch {torch.__version__} has {build}.")
    except Exception as error:  # a broken installation raises anything
        plain["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        found.problem(
            f"torch is installed but does not work ({plain['error']}).",
            "pip install --force-reinstall torch; pip install 'instructsel[models]'",
        )
    return plain


def _extras(found: Findings) -> dict[str, dict[str, Any]]:
    """Every extra: its distributions, their versions, what is missing, and the pip line."""
    installed = _installed()
    gpu_index = sorted(name for name in installed if name.startswith("faiss-gpu"))
    plain: dict[str, dict[str, Any]] = {}
    for extra, needed in _requirements().items():
        parts = []
        for name, wanted in needed.items():
            module = MODULE_OF.get(name, name.replace("-", "_"))
            # Both kinds of faiss give the module; the extra gpu wants its own.
            owners = [*gpu_index] if name == "faiss-gpu" else [name, *gpu_index] if name == "faiss-cpu" else [name]
            owner = next((each for each in owners if each in installed), None)
            version = installed[owner] if owner is not None else None
            here = _found(module) and (name != "faiss-gpu" or owner is not None)
            fits = owner != name or _fits(version, wanted)
            state = "missing" if not here else "ok" if fits else "other version"
            parts.append({"name": name if not here else owner or name, "module": module, "version": version if here else None})
            parts[-1] |= {"wanted": wanted, "state": state}
        line = f"pip install 'instructsel[{extra}]'"
        if extra == "gpu" and "faiss-cpu" in installed and not gpu_index:
            line = f"pip uninstall faiss-cpu, then: {line}"
        works = all(part["state"] == "ok" for part in parts)
        plain[extra] = {"works": works, "modules": parts, "fix": None if works else line}
        if extra in CPU and not works:
            what = ", ".join(_shortcoming(part) for part in parts if part["state"] != "ok")
            found.problem(f"The extra {extra} does not work: {what}.", line)
    if "faiss-cpu" in installed and gpu_index:
        found.problem(
            f"faiss-cpu and {gpu_index[0]} are both installed and overwrite each other's files.",
            f"pip uninstall faiss-cpu {gpu_index[0]}, then install one: pip install 'instructsel[knn]' or pip install 'instructsel[gpu]'",
        )
    return plain


def _shortcoming(part: Mapping[str, Any]) -> str:
    return f"{part['name']} is missing" if part["state"] == "missing" else f"{part['name']} is {part['version']}, not {part['wanted']}"


def _installed() -> dict[str, str]:
    """Distribution, in its normal spelling → version."""
    return {_normal(each.name): each.version for each in metadata.distributions() if each.name}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements() -> dict[str, dict[str, str]]:
    """Extra → distribution → versions, in the order of EXTRA_OF; from our own metadata where we are installed."""
    plain: dict[str, dict[str, str]] = {extra: {} for extra in EXTRA_OF.values()}
    inner: dict[str, list[str]] = {}
    try:
        told = metadata.requires("instructsel") or []
    except metadata.PackageNotFoundError:
        told = []
    for requirement in told:
        parts = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?\s*([^;]*);.*\bextra\s*==\s*['\"]([^'\"]+)['\"].*", requirement)
        if parts is None or parts[4] not in plain:
            continue
        if parts[1] == "instructsel":
            inner.setdefault(parts[4], []).extend(name.strip() for name in parts[2].split(","))
        else:
            plain[parts[4]][_normal(parts[1])] = parts[3].strip(" ()")
    for module, extra in EXTRA_OF.items():
        # Run from a checkout that is not installed there is no metadata: the modules themselves.
        if not told:
            plain[extra]["faiss-cpu" if module == "faiss" else _normal(module)] = ""
    return {
        extra: {**{name: wanted for other in inner.get(extra, []) for name, wanted in plain[other].items()}, **plain[extra]}
        for extra in plain
    }


def _fits(version: str | None, wanted: str) -> bool:
    """Whether a version is among those wanted; unknown counts as yes."""
    if version is None or not wanted or not _found("packaging"):
        return True
    try:
        return bool(require("packaging.specifiers", needed_by="doctor").SpecifierSet(wanted).contains(version, prereleases=True))
    except ValueError:
        return True


def _models(extras: Mapping[str, Mapping[str, Any]], found: Findings) -> dict[str, Any]:
    """The embedded MiniLM and what the hub's cache on this machine holds."""
    embedded: dict[str, Any] = {"works": False, "folder": None, "reason": "not installed", "fix": extras["minilm"]["fix"]}
    if extras["minilm"]["works"]:
        try:
            folder = str(locate(EMBEDDED, needed_by="doctor").folder)
            embedded = {"works": True, "folder": folder, "reason": None, "fix": None}
        except InstructselError as error:
            embedded = {"works": False, "folder": None, "reason": error.message, "fix": error.fix}
            found.problem(error.message, error.fix or "")
    given = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    hub: dict[str, Any] = {"folder": None, "offline": given.upper() in ("1", "ON", "YES", "TRUE"), "models": []}
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
                key=lambda each: (each["name"], each["revision"]),
            )
        except Exception as error:  # whatever the hub's client raises: its cache is not ours
            found.notes.append(f"The hub's cache cannot be looked through ({type(error).__name__}: {error}).")
    return {"embedded": embedded, "hub": hub}


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
    plain = []
    for name in registry.names():
        try:
            indicator = registry.load(name)()
            plain.append({"symbol": indicator.symbol, **_readiness(indicator, models, usable_torch=usable_torch)})
        except Exception as error:  # a plug-in raises anything
            reason = f"{type(error).__name__}: {error}"
            plain.append({"symbol": name, "state": "no", "model": None, "reason": reason, "fix": "Mend or remove the plug-in."})
    return sorted(plain, key=lambda each: (ORDER.index(each["symbol"]) if each["symbol"] in ORDER else len(ORDER), each["symbol"]))


def _readiness(indicator: Indicator, models: Mapping[str, Any], *, usable_torch: bool) -> dict[str, Any]:
    model = str(getattr(indicator, "model", "") or "") or None
    distances = isinstance(indicator, NeighborDistance)
    needed = ["faiss"] if distances else []
    if distances or isinstance(indicator, ModelIndicator):
        needed += ["torch", "transformers", "safetensors"]
    if model and model != EMBEDDED:
        needed.append("huggingface_hub")
    if missing := [module for module in needed if not _found(module)]:
        wanted = ",".join(dict.fromkeys(EXTRA_OF[module] for module in missing))
        return _told("no", model, f"not installed: {', '.join(missing)}", f"pip install 'instructsel[{wanted}]'")
    if "torch" in needed and not usable_torch:
        return _told("no", model, "torch does not work here", "See the problems below.")
    if model is None:
        return _told("ready", None, None, None)
    if model == EMBEDDED:
        embedded = models["embedded"]
        why = None if embedded["works"] else f"the embedded MiniLM: {embedded['reason']}"
        return _told("ready" if embedded["works"] else "no", model, why, embedded["fix"])
    return _from_hub(indicator.symbol, model, str(getattr(indicator, "revision", None) or "main"), models["hub"])


def _from_hub(symbol: str, model: str, revision: str, hub: Mapping[str, Any]) -> dict[str, Any]:
    here = [
        each for each in hub["models"] if each["name"] == model and (each["revision"] == revision or (each["main"] and revision == "main"))
    ]
    instead = f"or another: --model {symbol}=FOLDER_OR_HUB_ID"
    if here and here[0]["weights"] == "safetensors" and here[0]["refused"] is None:
        return _told("ready", model, None, None)
    if here and here[0]["weights"] == "pickled":
        return _told("no", model, here[0]["refused"], f"Convert them to safetensors, {instead}")
    why = here[0]["refused"] or "only its tokenizer is here" if here else "not on this machine"
    if hub["offline"]:
        return _told("no", model, f"{why}, and HF_HUB_OFFLINE is set", f"HF_HUB_OFFLINE=0 hf download {model}, {instead}")
    return _told("download", model, why, f"hf download {model}, {instead}")


def _told(state: str, model: str | None, reason: str | None, fix: str | None) -> dict[str, Any]:
    return {"state": state, "model": model, "reason": reason, "fix": fix}


def _cache(folder: Path | None, found: Findings, *, quiet: bool) -> dict[str, Any]:
    place = folder if folder is not None else default_folder()
    flag = f" --cache {folder}" if folder is not None else ""
    plain: dict[str, Any] = {"folder": str(place), "exists": False, "bytes": 0, "files": 0, "shelves": 0, "limit": None}
    plain |= {"sound": False, "damaged": [], "free": _free(place), "runs": []}
    try:
        plain["limit"] = options.cache_limit()
    except InstructselError as error:
        found.problem(f"INSTRUCTSEL_CACHE_LIMIT: {error.message}", error.fix or "")
    try:
        store: Cache = existing(folder)
    except InstructselError as error:
        found.problem(error.message, error.fix or "")
        return plain
    kept = [shelf for shelf in store.kept() if shelf.files]
    damaged = checked(store, quiet=quiet)
    plain |= {"exists": place.is_dir(), "bytes": sum(shelf.bytes for shelf in kept), "files": sum(shelf.files for shelf in kept)}
    plain |= {"shelves": len(kept), "sound": not damaged, "damaged": [str(path) for path in damaged], "runs": unfinished(store)}
    if damaged:
        named = ", ".join(plain["damaged"][:3]) + (f" and {len(damaged) - 3:,} more" if len(damaged) > 3 else "")
        found.problem(f"Files of the cache are damaged and count as missing: {named}.", f"instructsel cache prune{flag}")
    if not os.access(_existing_parent(place), os.W_OK | os.X_OK):
        found.problem(
            f"The cache {place} cannot be written.", "Choose another with --cache or INSTRUCTSEL_CACHE, or go without: --no-cache"
        )
    if plain["limit"] is not None and plain["bytes"] > plain["limit"]:
        found.notes.append(
            f"The cache is above its limit; the next score removes what was used least recently, or: instructsel cache prune{flag}"
        )
    if plain["free"] is not None and plain["free"] < LITTLE:
        found.notes.append(f"Only {size(plain['free'])} are free where the cache is.")
    return plain


def _existing_parent(place: Path) -> Path:
    return next(each for each in (place.absolute(), *place.absolute().parents) if os.path.exists(each))


def _free(place: Path) -> int | None:
    try:
        return shutil.disk_usage(_existing_parent(place)).free
    except OSError:
        return None


def _lines(plain: Mapping[str, Any]) -> list[str]:
    machine, precision, models, cache = plain["machine"], plain["precision"], plain["models"], plain["cache"]
    memory = size(machine["memory"]) if machine["memory"] is not None else "unknown"
    found = [
        f"instructsel {plain['instructsel'] or '(not installed, run from a checkout)'}",
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
        *_indented([name, *_extra_cells(extra)] for name, extra in plain["extras"].items()),
        *_section("models"),
        *_indented(_model_rows(models)),
        *_section("indicators that can be scored now"),
        *_indented([each["symbol"], *_readiness_cells(each)] for each in plain["indicators"]),
        *_section("cache"),
        *_indented(_cache_rows(cache)),
    ]
    if plain["runs"]:
        found += _section("unfinished runs (the same command again goes on)")
        found += [f"  {text}" for run in plain["runs"] for text in run_lines(run)]
    return [*found, *(["", *(f"note: {note}" for note in plain["notes"])] if plain["notes"] else [])]


def _problem_lines(problems: list[dict[str, str]], *, quiet: bool) -> list[str]:
    if not problems:
        return [] if quiet else _section("problems: none")
    found = [text for each in problems for text in (f"  {each['problem']}", *([f"    fix: {each['fix']}"] if each["fix"] else []))]
    return [*_section("problems"), *found]


def _section(title: str) -> list[str]:
    return ["", title]


def _indented(rows: Iterable[list[Any]]) -> list[str]:
    return [f"  {text}" for text in aligned(rows)]


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
    here = ", ".join(f"{part['name']} {part['version'] or '(version unknown)'}" for part in extra["modules"] if part["state"] == "ok")
    wrong = ", ".join(_shortcoming(part) for part in extra["modules"] if part["state"] != "ok")
    return ["yes", here] if extra["works"] else ["no", f"{wrong}: {extra['fix']}"]


def _model_rows(models: Mapping[str, Any]) -> list[list[str]]:
    embedded, hub = models["embedded"], models["hub"]
    state = "yes, its digest is right" if embedded["works"] else f"no, {embedded['reason']}: {embedded['fix']}"
    rows = [["embedded MiniLM", "", "", state]]
    rows += [
        [each["name"], each["revision"][:12], size(each["bytes"]), f"refused: {each['refused']}" if each["refused"] else each["weights"]]
        for each in hub["models"]
    ]
    reach = "offline (HF_HUB_OFFLINE is set)" if hub["offline"] else "not asked whether it answers"
    where = f"{'' if hub['models'] else 'no models '}in {hub['folder']}" if hub["folder"] else "huggingface_hub is not installed"
    return [*rows, ["hub", "", "", f"{reach}; {where}"]]


def _readiness_cells(each: Mapping[str, Any]) -> list[str]:
    state = {"ready": "yes", "download": "after a download", "no": "no"}[each["state"]]
    told = f"{each['reason']}. {each['fix']}" if each["reason"] else ""
    return [state, each["model"] or "no model", told]


def _cache_rows(cache: Mapping[str, Any]) -> list[list[str]]:
    held = f"{size(cache['bytes'])}; shelves: {cache['shelves']:,}, files: {cache['files']:,}"
    limit = size(cache["limit"]) if cache["limit"] is not None else "not readable"
    free = size(cache["free"]) if cache["free"] is not None else "unknown"
    return [
        ["folder", cache["folder"] + ("" if cache["exists"] else " (not made yet)")],
        ["holds", f"{held}; limit {limit}; {free} free on its disk"],
        ["sound", "yes" if cache["sound"] else "no"],
        *[["damaged", path] for path in cache["damaged"]],
    ]
