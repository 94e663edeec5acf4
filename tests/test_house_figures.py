"""benchmarks/house.py on a checkout small enough to count by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PYPROJECT = """
[tool.setuptools]
package-dir = { "instructsel.adapters" = "adapters" }
[[tool.importlinter.contracts]]
type = "layers"
layers = ["instructsel.top", "instructsel.left | instructsel.right", "instructsel.bottom"]
ignore_imports = ["instructsel.right -> instructsel.top"]
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "instructsel/__init__.py": "",
    "instructsel/top.py": "from instructsel import left\nLIMIT = 3\nfound = value = [each for each in range(LIMIT)]\n",
    "instructsel/left.py": "import instructsel.bottom\n\n\ndef first(self, *given, **options):\n    size = 1\n    return size\n",
    "instructsel/right.py": "def later():\n    import instructsel.top\n    from instructsel import left\n",
    "instructsel/bottom.py": (
        "from typing import TYPE_CHECKING\nfrom . import left\nif TYPE_CHECKING:\n    from instructsel import top\nfor _ in []:\n    pass\n"
    ),
    "adapters/one.py": "from instructsel import top\n",
    "benchmarks/fast.py": "told = 1\n",
    "tests/test_it.py": "found = told = each = 1\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def measure(checkout: Path, *options: str) -> str:
    script = str(ROOT / "benchmarks" / "house.py")
    return subprocess.run([sys.executable, script, str(checkout), *options], capture_output=True, text=True, check=True).stdout


def test_the_figures_of_a_checkout_are_those_counted_by_hand(checkout: Path, tmp_path: Path) -> None:
    results = tmp_path / "house.json"
    measure(checkout, "--repeats", "0", "--label", "before", "--json", str(results))
    figures = json.loads(results.read_text())["before"]
    package = figures["package"]
    # __init__ 0, top 3, left 6, right 3, bottom 6, one 1; tests are left out.
    assert (package["files"], package["lines"], package["file_lines"]["median"], package["file_lines"]["max"]) == (6, 19, 3, 6)
    assert (package["functions"], package["function_lines"]["max"], package["parameters"]["max"]) == (2, 2, 3)
    # found, value, each, size: the constant and _ are no variables.
    assert package["names"]["assigned"] == {"count": 4, "fillers": 2, "share": 0.5}
    assert package["names"]["parameters"] == {"count": 3, "fillers": 1, "share": 0.3333}
    assert figures["benchmarks"]["names"]["assigned"]["fillers"] == 1


def test_rings_and_imports_upward_are_named_but_not_those_for_type_checkers(checkout: Path, tmp_path: Path) -> None:
    measure(checkout, "--repeats", "0", "--json", str(tmp_path / "house.json"))
    imports = json.loads((tmp_path / "house.json").read_text())["after"]["imports"]
    assert imports["rings"] == [["instructsel.bottom", "instructsel.left"]]
    # The import of left by right runs inside a function and goes sideways; that of top by right is excused.
    assert imports["upward"] == ["instructsel.bottom -> instructsel.left", "instructsel.right -> instructsel.left"]
    assert "instructsel.adapters.one" not in str(imports["upward"])


def test_before_and_after_stand_side_by_side_in_one_file(checkout: Path, tmp_path: Path) -> None:
    results = tmp_path / "house.json"
    measure(checkout, "--repeats", "1", "--label", "before", "--json", str(results))
    (checkout / "instructsel" / "commands.py").write_text("def main():\n    raise SystemExit(3)\n")
    printed = measure(checkout, "--repeats", "1", "--label", "after", "--json", str(results))
    assert set(json.loads(results.read_text())) == {"before", "after"}
    assert ["package:", "files", "6", "7"] in [line.split() for line in printed.splitlines()]
    # A start that fails is counted, and the script goes on.
    assert json.loads(results.read_text())["after"]["cold_starts"]["instructsel --version"]["failed"] == 2


def test_the_recorded_figures_are_those_of_the_script() -> None:
    recorded = json.loads((ROOT / "benchmarks" / "results" / "house.json").read_text())["before"]
    assert (recorded["package"]["files"], recorded["package"]["file_lines"]["max"]) == (158, 904)
    assert recorded["package"]["names"]["assigned"]["share"] == 0.127
