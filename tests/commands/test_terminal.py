"""Names in files of others reach the terminal as text: no command prints a control character, whatever they hold."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import instructsel.commands
from instructsel.commands._streams import SafeStream
from instructsel.text import UNSAFE, clean, in_json, in_toml, neutral
from tests.fuzz import seeds
from tests.fuzz.mutate import LAYOUTS, resealed

PAYLOADS: Final = (
    "\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b]52;c;YQ==\x07", "\x9b31m", "\x9d0;t\x9c", "\x07", "\x08\x08",
    "\x0b\x0c", "\x7f", "\x85", "\x00", "\u200e\u200f", "\u202a\u202b\u202c\u202d\u202e", "\u2066\u2067\u2068\u2069", "\u061c", "\u2028",
    "\u2029", "\u00ad", "\u2060\u2061\u2062\u2063\u2064", "\u200b\u200c\u200d", "\ufeff", "\ufff9\ufffa\ufffb", "\U000e0001\U000e0041",
    "\ufe00\ufe0e", "\ufe0f\ufe0f", "\U000e0100\U000e01ef", "\u3164\uffa0\u115f", "\u180e\u034f", "\ue000\U000f0000", "\ufffe\U0001fffe",
)  # fmt: skip
"""What moves a cursor, sets a color, a title, a link or the clipboard, turns the direction, or stands there unseen."""
ALL: Final = "".join(PAYLOADS)
FREE: Final = frozenset(
    [
        "name",
        "title",
        "citation",
        "note",
        "unit",
        "equation",
        "description",
        "form",
        "message",
        "source",
        "generator",
        "annotator",
        "generator_1",
        "generator_2",
        "dataset",
        "version",
        "text",
        "said",
        "reason",
        "target",
        "pool",
        "scores",
        "base",
        "instruction",
        "input",
        "output",
        "command",
        "response",
        "category",
        "judge",
        "revision",
        "model",
        "tokenizer",
        "label",
    ]
)
"""Keys whose values are texts of whoever wrote the file."""
TRUSTED: Final = frozenset(("kind", "schema", "method", "outcome", "generalize_to", "reason"))


def hostile(value: Any, key: str = "", *, texts: frozenset[str] = FREE) -> Any:
    """A tree with every payload in every free text."""
    if isinstance(value, dict):
        return {name: hostile(item, str(name), texts=texts) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, key, texts=texts) for item in value]
    return f"{value}{ALL}" if isinstance(value, str) and key in texts and key not in TRUSTED else value


def poison(path: Path, texts: frozenset[str] = FREE, apart: tuple[str, ...] = ("run",)) -> None:
    """Write a file of ours with payloads in its texts, sealed again."""
    layout = LAYOUTS[path.suffix]
    data = layout.build(hostile(layout.parse(path.read_bytes()), texts=texts))
    path.write_bytes(resealed(data, apart=apart) if path.suffix == ".json" else data)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = seeds.make(tmp_path_factory.mktemp("poisoned") / "files")
    # What joins files is left as it is: else every command would end at the first of them.
    for path in (folder / "scored").glob("*.parquet*"):
        poison(path, FREE - {"pool", "scores", "source", "reason", "name"} if "chosen" in path.name else FREE - {"pool", "source"})
    for name in ("scored/mine.toml", "study/fitted.toml", "verified/v/verdict.json", "plans/plan.toml", "results/annotations.json"):
        poison(folder / name)
    for path in (folder / "study" / "s" / "runs").glob("*.json"):
        poison(path)
    poison(folder / "study" / "s" / "plan.json", FREE - {"name"})
    poison(folder / "scored" / "pool.jsonl", frozenset(("instruction",)))
    (folder / "plans" / "instructsel.toml").write_text(
        json.dumps({"x": ALL})[1:-1].replace(":", "=", 1).replace('"x"', f'"{in_json(ALL)}"')
    )
    strange = folder / "strange"
    strange.mkdir()
    name = re.sub("[\x00/]", "", ALL)[:60]
    seeds.write_lines(strange / f"{name}.jsonl", [{**row, name: 1, "instruction": ALL + row["instruction"]} for row in seeds.ALPACA])
    (strange / f"{name}.toml").write_bytes((folder / "scored" / "mine.toml").read_bytes())
    return folder


COMMANDS: Final[dict[str, list[str]]] = {
    "scored": [
        "rules show mine.toml",
        "rules show mine.toml --json",
        "explain pool.jsonl:3 --scores pool.scores.parquet --rule mine.toml",
        "explain pool.jsonl:3 --scores pool.scores.parquet --rule mine.toml --json",
        "explain pool.jsonl:3 --selection chosen.jsonl",
        "diff mine.toml longest --scores pool.scores.parquet",
        "diff mine.toml longest --scores pool.scores.parquet --json",
        "diff chosen.jsonl chosen.longest.jsonl",
        "select pool.scores.parquet --rule mine.toml --n 4 -o new.jsonl",
        "select pool.scores.parquet --rule mine.toml --n 4 -o new.jsonl --force --json",
        "report pool.scores.parquet -o r.html",
        "score pool.jsonl --indicators len_in --no-cache -o p.scores.parquet",
        "score pool.jsonl --indicators len_in --dry-run --no-cache",
    ],
    "study": ["rules show fitted.toml", "study status s", "status s", "status s --json", "report s -o r.md", "rules fit s/study.parquet --bootstrap 0 -o -"],
    "verified": ["report v -o r.md", "report v -o r.json --json", "verify v/plan.toml -o v", "status v", "verify v/verdict.json -o w"],
    "plans": ["verify plan.toml -o w", "rules list", "status", "doctor"],
    "results": ["verify --results selection=annotations.json --results random=outputs.json -o w"],
}  # fmt: skip


def called(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and everything that a command printed."""
    done = subprocess.run(
        [sys.executable, "-m", "instructsel", *arguments],
        cwd=folder,
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "INSTRUCTSEL_CACHE": str(folder / "cache"), "NO_COLOR": "1", **environment},
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


def unsafe(text: str) -> list[str]:
    return sorted(
        {
            f"{ord(sign):x}"
            for sign in text
            if sign != "\n" and (UNSAFE.fullmatch(sign) or unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp"))
        }
    )


@pytest.mark.parametrize("place", sorted(COMMANDS))
def test_no_command_prints_what_a_terminal_obeys(poisoned: Path, place: str) -> None:
    seen = 0
    for line in COMMANDS[place]:
        code, text = called(poisoned / place, *line.split())
        assert code in (0, 1, 2, 3, 4, 5) and "fault of instructsel" not in text, f"{line}: {text[-800:]}"
        assert not unsafe(text), f"{line}: {unsafe(text)}"
        seen += "\\u001b" in text
    assert seen or place in ("plans", "results"), "no command showed a payload, so that nothing was tried"


def test_names_of_files_are_printed_as_text(poisoned: Path) -> None:
    folder = poisoned / "strange"
    (pool,), (rule,) = folder.glob("*.jsonl"), folder.glob("*.toml")
    for arguments in (["score", pool.name, "--indicators", "len_in", "--no-cache"], ["rules", "show", rule.name], ["rules", "show", f"{rule.name}x.toml"], ["select", pool.name, "--n", "3"], ["status"], ["explain", f"{pool.name}:2"], [rule.name], ["score", f"--{rule.name}"]):  # fmt: skip
        code, text = called(folder, *arguments)
        assert "fault of instructsel" not in text and not unsafe(text), f"{arguments[:2]}: {unsafe(text)} {text[-400:]}"
        assert code == 0 or "\\u001b" in text or "No such" in text, text


def test_a_traceback_and_what_other_packages_print_are_text_too(poisoned: Path) -> None:
    code, text = called(poisoned / "scored", "select", f"a{PAYLOADS[0]}.parquet", "--traceback")
    assert code == 2 and "Traceback" in text and not unsafe(text)
    script = (
        "import logging, warnings\nfrom instructsel.commands._streams import guard\nguard()\nguard()\n"
        f"warnings.warn({ALL!r}.replace(chr(13), ''))\nlogging.error({ALL!r})\nraise ValueError({ALL!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 1 and done.stderr.count(b"\\u001b[31m") == 3 and not unsafe(done.stderr.decode())


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("shown", [clean, neutral, in_json, in_toml], ids=lambda function: function.__name__)
def test_every_cleaner_escapes_every_payload(shown: Callable[[str], str], payload: str) -> None:
    assert not unsafe(shown(f"a{payload}b"))
    assert shown("ä中🎈❤️é\u0301") == "ä中🎈❤️é\u0301"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_escaped_json_says_the_same(payload: str) -> None:
    record = {f"k{payload}": [payload, 1]}
    assert json.loads(in_json(json.dumps(record, ensure_ascii=False))) == record


def test_a_guarded_stream_is_its_stream_in_everything_else() -> None:
    stream = SafeStream(sys.stderr)
    assert stream.fileno() == sys.stderr.fileno() and stream.isatty() == sys.stderr.isatty()


def test_commands_print_through_the_console_alone() -> None:
    """A call of typer.echo elsewhere would be a second way to the terminal, without the cleaner."""
    allowed = {"_console.py": 2, "_gate_outputs.py": 1, "__init__.py": 1, "audit.py": 1, "report.py": 1, "score.py": 1}
    counts: dict[str, int] = {}
    for path in Path(instructsel.commands.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.echo", "print", "typer.secho"):
                counts[path.name] = counts.get(path.name, 0) + 1
    assert counts == allowed
