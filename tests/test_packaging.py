"""Packaging facts: what is installed is what the checkout holds, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SKIPPED = {
    ".git",
    ".venv",
    "build",
    "dist",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "__pycache__",
    "instructsel-demo",
}


def test_every_package_folder_is_listed() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "instructsel").rglob("__init__.py")}
    # A link in the checkout, which is not followed everywhere.
    folders |= {Path("instructsel") / path.parent.relative_to(ROOT) for path in (ROOT / "adapters").rglob("__init__.py")}
    data = {"instructsel.examples", "instructsel.mixtures.datasets", "instructsel.mixtures.recipes", "instructsel.rules.presets"}
    assert listed == {folder.as_posix().replace("/", ".") for folder in folders} | data


@pytest.mark.parametrize("name", ["adapters", "examples"])
def test_the_committed_links_point_into_the_checkout(name: str) -> None:
    link = ROOT / "instructsel" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert PROJECT["tool"]["setuptools"]["package-dir"][f"instructsel.{name}"] == name


def test_the_extras_are_those_of_the_design() -> None:
    assert set(PROJECT["project"]["optional-dependencies"]) == {
        *(
            "cpu",
            "knn",
            "models",
            "minilm",
            "encoders",
            "train",
            "eval",
            "ifeval",
            "alpaca",
            "fit",
            "opt",
            "gpu",
            "gate",
            "langid",
            "app",
            "dev",
        ),
    }
    extras = PROJECT["project"]["optional-dependencies"]
    assert not any("faiss-cpu" in line for line in extras["gpu"])
    plain = " ".join(PROJECT["project"]["dependencies"])
    assert not any(heavy in plain for heavy in ("torch", "faiss", "transformers", "datasets"))


def python(*arguments: str, cwd: Path, interpreter: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(interpreter), *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_neither_cli_nor_adapters_is_a_module_of_its_own(tmp_path: Path) -> None:
    python(
        "-c",
        "import sys, instructsel, instructsel.adapters, instructsel.commands; assert not {'cli', 'adapters', 'examples'} & set(sys.modules)",
        cwd=tmp_path,
    )


def test_the_door_from_a_checkout_opens() -> None:
    assert "eq4-without-reward" in python("cli.py", "rules", "list", cwd=ROOT).stdout
    assert "eq4-without-reward" in python("-m", "instructsel", "rules", "list", cwd=ROOT).stdout


HEAVY = ("torch", "transformers", "faiss", "datasets", "pandas", "sklearn", "scipy", "statsmodels", "huggingface_hub")


@pytest.mark.parametrize("module", ["instructsel", "instructsel.commands"])
def test_importing_loads_nothing_heavy_and_opens_no_connection(tmp_path: Path, module: str) -> None:
    script = f"""
import socket, sys
def refuse(*arguments): raise AssertionError("a connection at import")
socket.socket.connect = refuse
import {module}
found = set({HEAVY!r}) & set(sys.modules)
assert not found, found
"""
    python("-W", "error", "-c", script, cwd=tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and a source distribution, built from a copy of the checkout."""
    copy = tmp_path_factory.mktemp("build") / "checkout"
    shutil.copytree(
        ROOT, copy, symlinks=True, ignore=lambda folder, names: [name for name in names if name in SKIPPED or name.endswith(".egg-info")]
    )
    python("-m", "build", "--no-isolation", "--outdir", "dist", cwd=copy)
    return copy / "dist"


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"instructsel", f"instructsel-{PROJECT['project']['version']}.dist-info"}
    for wanted in (
        "py.typed",
        "rules/presets/eq4.toml",
        "mixtures/datasets/dolly.toml",
        "mixtures/recipes/human.toml",
        "mixtures/conversions/templates.toml",
        "models/plausibility.safetensors",
        "models/plausibility.json",
        "examples/pool.jsonl",
        "examples/pool.key.json",
        "examples/study.csv",
        "adapters/trl.py",
        "pool/formats/alpaca.py",
    ):
        assert f"instructsel/{wanted}" in names
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "instructsel").rglob("*.py")
        if "__pycache__" not in path.parts and "examples" not in path.parts
    }
    assert modules <= set(names)


def test_the_source_distribution_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    python("-m", "build", "--no-isolation", "--wheel", "--outdir", "again", cwd=unpacked)
    (first,), (again,) = built.glob("*.whl"), (unpacked / "again").glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(first).namelist())


def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    interpreter = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (wheel,) = built.glob("*.whl")
    python("-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel), cwd=tmp_path, interpreter=interpreter)
    site = Path(
        python("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path, interpreter=interpreter).stdout.strip()
    )
    # What the wheel needs comes from here; the project itself only from the wheel.
    others = tmp_path / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "instructsel" not in entry.name:
            (others / entry.name).symlink_to(entry)
    (site / "others.pth").write_text(f"{others}\n")
    where = python("-c", "import instructsel; print(instructsel.__file__)", cwd=tmp_path, interpreter=interpreter).stdout
    assert str(home) in where
    (tmp_path / "pool.jsonl").write_text("".join(f'{{"question": "{n}?", "answer": "{"x " * (n + 1)}"}}\n' for n in range(9)))
    command = home / ("Scripts/instructsel.exe" if os.name == "nt" else "bin/instructsel")
    for arguments in (
        ["--version"],
        ["rules", "list"],
        ["score", "pool.jsonl", "--indicators", "len,mtld"],
        ["select", "--rule", "longest", "--n", "3", "-o", "chosen.jsonl", "--keep-near-duplicates"],
    ):
        done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len((tmp_path / "chosen.jsonl").read_text().splitlines()) == 3
    python(
        "-c",
        "from importlib.resources import files; assert (files('instructsel') / 'examples' / 'pool.jsonl').is_file()",
        cwd=tmp_path,
        interpreter=interpreter,
    )
