"""Many mutated pools of text in one process: python -m tests.fuzz.texts --seconds 900.

An input is a pool of one to four rows of all kinds that formats read, as JSON lines, an array, CSV or TSV, after one to three steps of `mutate`. It
is read whole and each row again, as the harness does, and without a folder, a process or a command line of its own, so that a second tries hundreds.
An input may take 5 s of processor time and 500 MB. Seed and number say all of it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from instructsel.errors import InstructselError
from instructsel.pool.pool import Pool
from tests.fuzz import seeds
from tests.fuzz.mutate import mutated

SECONDS: Final = 5
"""Of processor time for one input."""
MEBIBYTES: Final = 500
"""What one input may add to the peak of the process."""
KINDS: Final = ("pool.jsonl", "pool.json", "pool.csv", "pool.tsv")
ASKED: Final = {"role": "user", "content": "Tide in Brest?"}
SAID: Final = {"role": "assistant", "content": "5.1 metres."}
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": {"port": "Brest"}}}
TOOLS: Final = [
    {"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object", "properties": {"port": {"type": "string"}}}}}
]
PARTS: Final = [
    {"type": "thinking", "thinking": "Ebb."},
    {"type": "text", "text": "5.1"},
    {"type": "tool_use", "id": "c", "name": "f", "input": {}},
]
RESULT: Final = [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "5"}]}]
ROWS: Final[tuple[dict[str, Any], ...]] = (
    {"messages": [ASKED, {**SAID, "weight": 1, "reasoning_content": "Ebb."}], "tools": TOOLS, "system": "Be brief."},
    {
        "messages": [
            ASKED,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
            SAID,
        ]
    },
    {"messages": [ASKED, {"role": "assistant", "content": PARTS}, {"role": "user", "content": RESULT}, SAID], "weights": [0, 1]},
    {
        "messages": [
            ASKED,
            {**SAID, "channel": "analysis"},
            {**SAID, "channel": "commentary", "recipient": "functions.f"},
            {**SAID, "channel": "final"},
        ]
    },
    {
        "messages": [{**ASKED, "name": "ann"}, {**SAID, "train_detail": [{"begin_offset": 0, "end_offset": 9, "train": True}]}],
        "label": True,
    },
    {"messages": {"role": ["user", "assistant"], "content": ["Q", "A"]}, "metadata": {"desirable": True}},
    {"messages": json.dumps([ASKED, SAID]), "reasoning": ["Ebb."], "thumbs_up": 1},
    {"messages": str([ASKED, SAID]), "feedback": "up"},
    {
        "conversations": [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": json.dumps({"name": "f", "arguments": {}})},
            {"from": "observation", "value": "5"},
            {"from": "gpt", "value": "A"},
        ],
        "tools": json.dumps(TOOLS),
    },
    {"conversations": ["Q", "A"]},
    {"conversation": [["Q", "A"], ["R", "B"]]},
    {"conversation": [{"human": "Q", "assistant": "A"}]},
    {
        "contents": [{"role": "user", "parts": [{"text": "Q"}]}, {"role": "model", "parts": [{"text": "A"}]}],
        "systemInstruction": {"parts": [{"text": "S"}]},
    },
    {"instruction": "Q", "input": "I", "output": "A", "history": [["a", "b"]], "system": "S"},
    {"instruction": "Q", "context": "C", "response": "A", "kto_tag": "true"},
    {"instruction": "Q", "instances": [{"input": "", "output": "A"}, {"input": "x", "output": "B"}]},
    {"prompt": [ASKED], "completion": [SAID], "thinking": "Ebb.", "image": None},
    {"prompt": "Q", "completion": "A", "contexts": ["C"], "A": "chalk", "B": "zinc"},
    {"question": "Q", "answer": "A", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "images": []},
    {"message_id": "m1", "parent_id": None, "text": "Q", "role": "prompter"},
    {"message_id": "m2", "parent_id": "m1", "text": "A", "role": "assistant", "rank": 0},
    {"message_tree_id": "m1", "prompt": {"text": "Q", "role": "prompter", "replies": [{"text": "A", "role": "assistant", "replies": []}]}},
    {"messages": [ASKED, {"role": "tool", "content": {"m": 5.1}}, {"role": "tool", "content": [{"m": 1}, [2, None]]}, SAID]},
    {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"m": 1}}]}}]}, SAID]},
    *(row for name in ("xlam", "glaive", "responses", "dialogue") for row in seeds.ROWS[name]),
    # What is refused with the line that makes rows of it.
    {"columns": ["instruction", "output"], "index": [0, 1], "data": [["Q", "A"], ["R", "B"]]},
    {"instruction": {"0": "Q", "1": "R"}, "output": {"0": "A", "1": "B"}},
    {"0": {"instruction": "Q", "output": "A"}, "1": {"instruction": "R", "output": "B"}},
    {"schema": {}, "data": [{"instruction": "Q", "output": "A"}]},
    {"text": "### Human: Q### Assistant: A"},
    *seeds.ALPACA[:2],
)
"""What formats read, and layouts that are refused by name."""


def written(rows: Sequence[dict[str, Any]], name: str) -> bytes:
    """Rows in a file of this name."""
    if name.endswith((".jsonl", ".json")):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        return ("\n".join(lines) + "\n" if name.endswith("l") else f"[{', '.join(lines)}]").encode("utf-8", "surrogatepass")
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.writer(file, delimiter="," if name.endswith(".csv") else "\t")
    table.writerow(columns)
    for row in rows:
        cells = [row.get(column) for column in columns]
        table.writerow(["" if cell is None else cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    return file.getvalue().encode()


def input_of(seed: int, number: int) -> tuple[str, bytes, dict[str, Any]]:
    """The name and bytes of an input, and how it is read."""
    source = random.Random(f"texts/{seed}/{number}")
    name = source.choices(KINDS, (6, 2, 1, 1))[0]
    data = written(source.choices(ROWS, k=source.choice((1, 1, 2, 4))), name)
    for _ in range(source.choice((1, 1, 2, 3))):
        data = mutated(data, name, source)
    options: dict[str, Any] = {}
    if source.random() < 0.2:
        options = source.choice(({"roles": ["AI=assistant"]}, {"reasoning": "in"}, {"undesirable": "keep"}, {"oasst": "all-paths"}))
    return name, data, options


def attempt(path: Path, data: bytes, options: dict[str, Any]) -> str:
    """Read an input: "read" or "refused", or what broke."""
    path.write_bytes(data)
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        pool = Pool.read(path, **options)
        report = pool.report
        if report.read != report.kept + report.n_dropped + report.n_quarantined or report.examples != len(pool):
            return f"rows are lost: {report.sentence()}, {len(pool)} examples"
        if sum(len(example.text) >= 0 for example in pool.examples()) != len(pool):
            return "examples are lost"
        for position in range(len(pool)):
            pool.raw(pool.ids[position])
    except InstructselError as error:
        return "refused" if str(error).strip() else "an error without a message"
    except TimeoutError:
        return f"took more than {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]} {traceback.format_exc(limit=-3)[-400:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read"


def peak() -> int:
    """Mebibytes at the peak of this process."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next((int(line.split()[1]) >> 10 for line in file if line.startswith("VmHWM")), 0)


def _late(*_: object) -> None:
    raise TimeoutError


def soak(folder: Path, *, seed: int, start: int, most: int, until: float) -> tuple[dict[str, int], list[str]]:
    """Try inputs one after the other.

    Returns:
        How many were read and refused; and what broke, by number.
    """
    counts, broken = {"read": 0, "refused": 0}, []
    signal.signal(signal.SIGPROF, _late)
    for number in range(start, start + most):
        if time.time() > until:
            break
        name, data, options = input_of(seed, number)
        before = peak()
        outcome = attempt(folder / name, data, options)
        if outcome in counts and (grown := peak() - before) > MEBIBYTES:
            outcome = f"took {grown} MiB"
        if outcome in counts:
            counts[outcome] += 1
        else:
            broken.append(f"seed {seed} input {number} ({name}, {options}): {outcome}")
    return counts, broken


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.texts", description="Mutated pools of text, hundreds a second.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    parser.add_argument("--most", type=int, default=500_000)
    given = parser.parse_args(arguments)
    os.environ["INSTRUCTSEL_PROCESSES"] = "1"
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        counts, broken = soak(Path(folder), seed=given.seed, start=given.start, most=given.most, until=time.time() + given.seconds)
    for line in broken[:50]:
        sys.stdout.write(f"{line}\n")
    total = sum(counts.values()) + len(broken)
    sys.stdout.write(f"{total:,} inputs: {counts['read']:,} read, {counts['refused']:,} refused, {len(broken):,} broken\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
