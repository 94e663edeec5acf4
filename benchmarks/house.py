"""Figures of the code itself: lengths, parameters, filler names, import order, cold starts. It reports and never fails.

python benchmarks/house.py                                                     # this checkout, on the terminal
python benchmarks/house.py OTHER --label before --json benchmarks/results/house.json
python benchmarks/house.py --label after --json benchmarks/results/house.json  # prints both side by side

What is counted:

- Files and lines: tracked Python files of the package (instructsel, adapters, cli.py) and, apart, of benchmarks. Tests are left out.
- Length of a function: lines below its first `def` line. Parameters: all of them, `self`, `*args` and `**kwargs` included.
- Assigned names: every name that an assignment, an annotated assignment, a loop, a comprehension, a `with` or a `:=` binds,
  each time it does so; constants in capitals and `_` are no variables and are left out. Parameters, functions and classes are
  counted apart.
- Rings: groups of modules that import one another at module level. Upward: a run-time import, inside functions too, of a module
  that stands on a higher floor of [tool.importlinter] in pyproject.toml, or beside the importer on the same one.
- Cold starts: processor seconds, user and system, of a fresh process; the median of several.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import _record

FILLERS = frozenset(
    ["found", "each", "told", "said", "at", "given", "plain", "kept", "near", "own", "made", "here", "some", "whole", "rest", "asked"]
)
LONG_FILE, LONG_FUNCTION, MANY_PARAMETERS = 640, 80, 8
SCOPES = {"package": ("instructsel/", "adapters/", "cli.py"), "benchmarks": ("benchmarks/",)}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
STARTS = {
    "import instructsel": "import instructsel",
    "instructsel --version": "import sys; sys.argv = ['instructsel', '--version']; from instructsel.commands import main; main()",
    "instructsel --help": "import sys; sys.argv = ['instructsel', '--help']; from instructsel.commands import main; main()",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a checkout, print, and write down what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", nargs="?", type=Path, default=_record.ROOT)
    parser.add_argument("--json", type=Path, help="write the figures to this file, under the label")
    parser.add_argument("--label", choices=["before", "after"], default="after")
    parser.add_argument("--repeats", type=int, default=7, help="cold starts of each kind; 0 measures none")
    options = parser.parse_args(arguments)
    results = json.loads(options.json.read_text(encoding="utf-8")) if options.json and options.json.exists() else {}
    results[options.label] = measured(options.checkout.resolve(), repeats=options.repeats)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print("\n".join(side_by_side({label: results[label] for label in ("before", "after") if label in results})))


def measured(checkout: Path, *, repeats: int) -> dict[str, Any]:
    """All figures of a checkout.

    Args:
        checkout: the folder that holds pyproject.toml.
        repeats: processes started for each cold start; 0 measures none.
    """
    paths = tracked(checkout)
    figures: dict[str, Any] = {
        "commit": commit(checkout),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": _record.hardware(),
        "python": platform.python_version(),
    }
    for scope, prefixes in SCOPES.items():
        figures[scope] = code_figures(checkout, [path for path in paths if path.startswith(prefixes)])
    figures["imports"] = import_figures(checkout, paths)
    figures["cold_starts"] = {name: cold_start(checkout, code, repeats) for name, code in STARTS.items()} if repeats else {}
    return figures


def commit(checkout: Path) -> str:
    """The commit of a checkout, with a + where tracked files differ from it."""
    head = _git(checkout, "rev-parse", "--short=12", "HEAD").strip()
    return (head or "unknown") + ("+" if _git(checkout, "status", "--porcelain", "--untracked-files=no").strip() else "")


def tracked(checkout: Path) -> list[str]:
    """The Python files of a checkout: those that git knows, or all where there is no git."""
    listed = _git(checkout, "ls-files", "*.py").split()
    paths = listed or [path.relative_to(checkout).as_posix() for path in checkout.rglob("*.py")]
    return sorted(path for path in paths if (checkout / path).is_file() and not (checkout / path).parent.is_symlink())


def _git(checkout: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=False).stdout


def code_figures(checkout: Path, paths: Sequence[str]) -> dict[str, Any]:
    """Lengths, parameters and names of some files."""
    lengths = {path: len((checkout / path).read_text(encoding="utf-8").splitlines()) for path in paths}
    functions: list[dict[str, Any]] = []
    names: dict[str, list[str]] = {"assigned": [], "parameters": [], "functions and classes": []}
    for path in paths:
        for node in ast.walk(ast.parse((checkout / path).read_text(encoding="utf-8"))):
            if isinstance(node, FUNCTIONS):
                parameters = _parameters(node)
                lines = (node.end_lineno or node.lineno) - node.lineno
                functions.append({"name": f"{path}:{node.name}", "lines": lines, "parameters": len(parameters)})
                names["parameters"] += parameters
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                names["functions and classes"].append(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id != "_" and not node.id.isupper():
                names["assigned"].append(node.id)
    return {
        "files": len(paths),
        "lines": sum(lengths.values()),
        "file_lines": _spread(lengths, LONG_FILE),
        "functions": len(functions),
        "function_lines": _spread({function["name"]: function["lines"] for function in functions}, LONG_FUNCTION),
        "parameters": _spread({function["name"]: function["parameters"] for function in functions}, MANY_PARAMETERS),
        "names": {kind: _filler_share(listed) for kind, listed in names.items()},
    }


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [argument.arg for argument in [*positional, *(rare for rare in (arguments.vararg, arguments.kwarg) if rare)]]


def _spread(sizes: Mapping[str, int], limit: int) -> dict[str, Any]:
    above = {name: size for name, size in sizes.items() if size > limit}
    return {
        "median": statistics.median(sizes.values()) if sizes else 0,
        "max": max(sizes.values(), default=0),
        "limit": limit,
        "above": len(above),
        "longest": sorted(above, key=lambda name: -above[name])[:10],
    }


def _filler_share(names: Sequence[str]) -> dict[str, Any]:
    fillers = sum(name in FILLERS for name in names)
    return {"count": len(names), "fillers": fillers, "share": round(fillers / len(names), 4) if names else 0.0}


def import_figures(checkout: Path, paths: Sequence[str]) -> dict[str, Any]:
    """Rings among the package's modules, and imports against its floors."""
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    elsewhere = settings.get("setuptools", {}).get("package-dir", {})
    modules = {name: path for path in paths if (name := module_of(path, elsewhere)) is not None}
    contracts = settings.get("importlinter", {}).get("contracts", [])
    layered = next((contract for contract in contracts if contract.get("type") == "layers"), {"layers": []})
    at_once: dict[str, set[str]] = {}
    run_time: dict[str, set[str]] = {}
    for name, path in modules.items():
        edges = list(imports_of(name, checkout / path, modules))
        at_once[name] = {target for target, inside in edges if not inside}
        run_time[name] = {target for target, _ in edges}
    floors = [[part.strip(" ()") for part in layer.replace(":", "|").split("|")] for layer in layered["layers"]]
    upward = [
        f"{name} -> {target}"
        for name, targets in sorted(run_time.items())
        for target in sorted(targets)
        if _is_upward(name, target, floors) and f"{name} -> {target}" not in layered.get("ignore_imports", [])
    ]
    return {"modules": len(modules), "rings": rings(at_once), "upward": upward}


def module_of(path: str, elsewhere: Mapping[str, str]) -> str | None:
    """The dotted name of a file of the package; None for a file outside it."""
    for package, folder in elsewhere.items():
        if path.startswith(f"{folder}/"):
            path = package.replace(".", "/") + path.removeprefix(folder)
            break
    if not path.startswith("instructsel/"):
        return None
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(name: str, path: Path, modules: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """The package's modules that a module imports at run time, and whether only inside a function."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, inside
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield (f"{source}.{alias.name}" if f"{source}.{alias.name}" in modules else source), inside
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside or isinstance(node, FUNCTIONS))

    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from ((target, inside) for target, inside in visit(tree, False) if target in modules and target != name)


def _is_upward(name: str, target: str, floors: Sequence[Sequence[str]]) -> bool:
    importer, imported = _floor(name, floors), _floor(target, floors)
    if importer is None or imported is None or importer == imported:
        return False
    return imported[0] <= importer[0]


def _floor(name: str, floors: Sequence[Sequence[str]]) -> tuple[int, str] | None:
    """The floor a module stands on, 0 the highest, and the room of that floor."""
    matches = [
        (len(room), (number, room)) for number, rooms in enumerate(floors) for room in rooms if name == room or name.startswith(f"{room}.")
    ]
    return max(matches)[1] if matches else None


def rings(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of two and more modules that reach one another; `graph` maps a module to those it imports."""
    reachable = {name: _reached(name, graph) for name in graph}
    groups = {tuple(sorted(other for other in reachable[name] if name in reachable[other])) for name in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reached(name: str, graph: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    pending = [name]
    while pending:
        for target in graph.get(pending.pop(), set()) - seen:
            seen.add(target)
            pending.append(target)
    return seen


def cold_start(checkout: Path, code: str, repeats: int) -> dict[str, Any]:
    """Processor seconds of fresh processes that run `code` in a checkout; the first, which compiles, is not counted."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    seconds: list[float] = []
    failures = 0
    for attempt in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.run([sys.executable, "-c", code], cwd=checkout, env=environment, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        failures += process.returncode != 0
        if attempt:
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"median_seconds": round(statistics.median(seconds), 3), "seconds": [round(value, 3) for value in seconds], "failed": failures}


def side_by_side(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The figures of one or two checkouts, a line a figure."""
    columns = {label: dict(_rows(figures)) for label, figures in results.items()}
    titles = list(dict.fromkeys(title for column in columns.values() for title in column))
    width = max(map(len, titles))
    lines = ["  ".join(["".ljust(width), *(f"{label:>12}" for label in columns)]).rstrip()]
    lines += ["  ".join([title.ljust(width), *(f"{column.get(title, ''):>12}" for column in columns.values())]) for title in titles]
    last = list(results.values())[-1]
    for heading, key in (("longest files", "file_lines"), ("longest functions", "function_lines"), ("most parameters", "parameters")):
        if last["package"][key]["longest"]:
            lines += ["", f"{heading}:", *(f"  {name}" for name in last["package"][key]["longest"])]
    lines += [f"ring: {' '.join(ring)}" for ring in last["imports"]["rings"]]
    lines += [f"upward: {edge}" for edge in last["imports"]["upward"]]
    return lines


def _rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "commit", figures["commit"]
    for scope in SCOPES:
        code = figures[scope]
        yield f"{scope}: files", f"{code['files']:,}"
        yield f"{scope}: lines", f"{code['lines']:,}"
        for title, key in (("lines a file", "file_lines"), ("lines a function", "function_lines"), ("parameters", "parameters")):
            spread = code[key]
            yield f"{scope}: {title}, median", f"{spread['median']:g}"
            yield f"{scope}: {title}, most", f"{spread['max']:,}"
            yield f"{scope}: {title}, above {spread['limit']}", f"{spread['above']:,}"
        for kind, share in code["names"].items():
            yield f"{scope}: filler names, {kind}", f"{share['share']:.2%}"
    yield "import rings", str(len(figures["imports"]["rings"]))
    yield "imports upward", str(len(figures["imports"]["upward"]))
    for name, start in figures["cold_starts"].items():
        yield f"processor seconds: {name}", f"{start['median_seconds']:.3f}"


if __name__ == "__main__":
    main()
