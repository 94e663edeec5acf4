"""The harness: inputs by number and seed, in a process with limits; what breaks is kept as files, made small, and replayed.

An input is a reader's valid files after one to three steps (mutate.py). Reader, seed and number say all of it: the same three make the same
bytes. A reader may read it, or refuse it with an `InstructselError`. It breaks the rules with any other exception, an exit code that is not
ours, control characters on the terminal, more memory or processor time than an input may take, a signal, or a temporary file left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent.parent
SECONDS: Final = 20
"""Of processor time for one input; a slow machine is slow on the clock, not here."""
MEBIBYTES: Final = 1_500
"""What one input may add to the memory of the process."""
SMALLER: Final = 60
"""Tries to make an input that breaks a reader smaller."""
KEPT: Final = "fuzz-failures"


@dataclass(frozen=True)
class Failure:
    """An input that breaks a reader."""

    reader: str
    seed: int
    number: int
    what: str
    steps: tuple[int, ...] = ()
    """Which of its steps are needed."""

    def __str__(self) -> str:
        return f"{self.reader} seed {self.seed} input {self.number} steps {list(self.steps)}: {self.what}"


@dataclass
class Outcome:
    """What a reader did with its inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    failures: list[Failure] = field(default_factory=list)


def steps_of(seed: int, reader: str, number: int) -> list[int]:
    """The seeds of an input's steps."""
    source = random.Random(f"{seed}/{reader}/{number}")
    return [source.getrandbits(48) for _ in range(source.choice((1, 1, 1, 2, 3)))]


def write_input(reader: Any, seeds: Path, place: Path, steps: Sequence[int]) -> None:
    """The files of an input, in an empty folder."""
    from tests.fuzz.mutate import mutated, resealed
    from tests.fuzz.readers import lay_out

    files = lay_out(reader, seeds, place)
    for step in steps:
        source = random.Random(step)
        path = source.choice(files)
        data = mutated(path.read_bytes(), path.name, source, bytes_too=reader.bytes_too)
        if reader.apart is not None and path.suffix == ".json" and source.random() < 0.9:
            data = resealed(data, apart=reader.apart)
        path.write_bytes(data)
    _reseal_verification(place)


def _reseal_verification(place: Path) -> None:
    """The digest of a Parquet file that only its manifest carries, as a forger would write it."""
    import hashlib

    for table in place.rglob("verification.parquet"):
        manifest = table.with_name(table.name + ".json")
        with contextlib.suppress(OSError, ValueError, TypeError):
            record = json.loads(manifest.read_bytes())
            if "sha256" in record:
                record["sha256"] = hashlib.sha256(table.read_bytes()).hexdigest()
                manifest.write_text(json.dumps(record))


def attempt(reader: Any, seeds: Path, steps: Sequence[int], room: Path) -> tuple[str, str]:
    """Try one input: "read", "refused" or "broken", and why."""
    from instructsel.errors import InstructselError

    place = Path(tempfile.mkdtemp(prefix="input-", dir=room))
    spare = Path(os.environ["TMPDIR"])
    before = _peak()
    try:
        write_input(reader, seeds, place, steps)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                reader.read(place)
            outcome = ("read", "")
        except InstructselError as error:
            outcome = ("refused", "") if str(error).strip() else ("broken", "an error without a message")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            last = [
                frame
                for frame in traceback.extract_tb(error.__traceback__)
                if "instructsel" in frame.filename or "adapters" in frame.filename
            ]
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last[-4:]))
            outcome = ("broken", f"{type(error).__name__}: {str(error)[:500]} [{where}]")
        import gc

        gc.collect(1)
        left = [path.name for path in spare.iterdir()]
        hidden = [path.name for path in place.rglob("*.tmp")]
        if left or hidden:
            for path in spare.iterdir():
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
            if outcome[0] != "broken":
                outcome = ("broken", f"left temporary files: {[*left, *hidden][:3]}")
        if (grown := _peak() - before) > MEBIBYTES and outcome[0] != "broken":
            outcome = ("broken", f"took {grown:,} MiB")
        return outcome
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        shutil.rmtree(place, ignore_errors=True)


def _peak() -> int:
    """Mebibytes at the peak of this process."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next((int(line.split()[1]) >> 10 for line in file if line.startswith("VmHWM")), 0)


def child(seeds: Path, room: Path, log: Path, seed: int, work: Sequence[tuple[str, int, int]]) -> None:
    """Try inputs one after the other, in this process; each is noted before and after. A hang ends it by its processor time."""
    import resource

    from tests.fuzz.readers import by_name

    room.mkdir(parents=True, exist_ok=True)
    (room / "tmp").mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(room / "tmp")
    tempfile.tempdir = str(room / "tmp")
    os.environ["INSTRUCTSEL_CACHE"] = str(room / "cache")
    (room / "cache").mkdir(mode=0o700, exist_ok=True)
    limit = 12 << 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with open(log, "a", encoding="utf-8", buffering=1) as out:
        for name, start, count in work:
            reader = by_name(name)
            for number in range(start, start + count):
                steps = steps_of(seed, name, number)
                out.write(json.dumps(["begin", name, number, steps]) + "\n")
                result, why = attempt(reader, seeds, steps, room)
                if result == "broken" and len(steps) > 1:
                    steps, why = _smaller(reader, seeds, steps, room, why)
                out.write(json.dumps([result, name, number, steps, why]) + "\n")


def _smaller(reader: Any, seeds: Path, steps: list[int], room: Path, why: str) -> tuple[list[int], str]:
    """The steps of an input that are needed to break a reader."""
    for step in list(steps):
        if len(steps) == 1:
            break
        fewer = [other for other in steps if other != step]
        result, again = attempt(reader, seeds, fewer, room)
        if result == "broken":
            steps, why = fewer, again
    return steps, why


def run(seeds: Path, room: Path, *, seed: int, work: Sequence[tuple[str, int, int]], until: float | None = None) -> dict[str, Outcome]:
    """Try inputs of several readers in children: one that dies is followed by another, which goes on behind the input that killed it.

    Args:
        seeds: the valid files.
        room: an empty folder for everything that is written.
        seed: of all chance.
        work: reader, number of the first input, and how many.
        until: a time of the clock at which no child is begun any more.
    """
    room.mkdir(parents=True, exist_ok=True)
    outcomes = {name: Outcome() for name, _, _ in work}
    pending = [list(entry) for entry in work if entry[2] > 0]
    turn = 0
    while pending and (until is None or time.time() < until):
        turn += 1
        log, place = room / f"log-{turn}.jsonl", room / f"child-{turn}"
        arguments = ["--child", str(seeds), str(place), str(log), str(seed), json.dumps(pending)]
        with open(room / f"stderr-{turn}", "wb") as stderr:
            process = subprocess.Popen([sys.executable, "-m", "tests.fuzz", *arguments], cwd=ROOT, stdout=stderr, stderr=stderr)
            try:
                _watch(process, log)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
        begun = None
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
            entry = json.loads(line)
            if entry[0] == "begin":
                begun = entry
                continue
            begun = None
            result, name, number, steps, why = entry
            _count(outcomes[name], result, Failure(name, seed, number, why, tuple(steps)))
            _done(pending, name, number)
        if begun is not None:
            _, name, number, steps = begun
            code = process.returncode
            why = (
                f"the process ended with {code}" if code >= 0 else f"the process was ended by signal {-code} ({signal.Signals(-code).name})"
            )
            _count(outcomes[name], "broken", Failure(name, seed, number, why, tuple(steps)))
            _done(pending, name, number)
        elif process.returncode != 0 and pending:
            raise RuntimeError((room / f"stderr-{turn}").read_text(encoding="utf-8", errors="replace")[-2_000:])
        shutil.rmtree(place, ignore_errors=True)
    return outcomes


def _watch(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a child; one whose log stands still for very long waits for something that never comes, and is ended."""
    last, since = -1, time.monotonic()
    while process.poll() is None:
        size = log.stat().st_size if log.exists() else 0
        if size != last:
            last, since = size, time.monotonic()
        elif time.monotonic() - since > 600:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)


def _count(outcome: Outcome, result: str, failure: Failure) -> None:
    outcome.inputs += 1
    outcome.read += result == "read"
    outcome.refused += result == "refused"
    if result == "broken":
        outcome.failures.append(failure)


def _done(pending: list[list[Any]], name: str, number: int) -> None:
    while pending and pending[0][0] != name:
        pending.pop(0)
    if pending:
        end = pending[0][1] + pending[0][2]
        pending[0][1:] = [number + 1, end - number - 1]
        if pending[0][2] <= 0:
            pending.pop(0)


def keep(failure: Failure, seeds: Path, folder: Path) -> Path:
    """Write the files of an input that breaks a reader, and how to replay it."""
    from tests.fuzz.readers import by_name

    place = folder / f"{failure.reader.replace(' ', '-')}-{failure.seed}-{failure.number}"
    shutil.rmtree(place, ignore_errors=True)
    (place / "files").mkdir(parents=True)
    write_input(by_name(failure.reader), seeds, place / "files", failure.steps)
    (place / "failure.json").write_text(json.dumps({"reader": failure.reader, "what": failure.what, "steps": failure.steps}, indent=1))
    return place


def replay(place: Path) -> None:
    """Read the files of a failure again, in this process."""
    from tests.fuzz.readers import by_name

    record = json.loads((place / "failure.json").read_text())
    with tempfile.TemporaryDirectory() as copy:
        target = Path(shutil.copytree(place / "files", Path(copy) / "files"))
        by_name(record["reader"]).read(target)


def plan(units: int, names: Sequence[str] | None = None, *, start: int = 0) -> list[tuple[str, int, int]]:
    """Reader, first input and number of inputs: `units` times a reader's weight."""
    from tests.fuzz.readers import READERS

    return [(reader.name, start, units * reader.weight) for reader in READERS if names is None or reader.name in names]


def summary(outcomes: dict[str, Outcome]) -> str:
    totals = [sum(getattr(outcome, name) for outcome in outcomes.values()) for name in ("inputs", "read", "refused")]
    broken = sum(len(outcome.failures) for outcome in outcomes.values())
    return f"{len(outcomes)} readers, {totals[0]:,} inputs: {totals[1]:,} read, {totals[2]:,} refused, {broken:,} broken"


def soak(seconds: float, *, seed: int, units: int, folder: Path, names: Sequence[str] | None = None) -> dict[str, Outcome]:
    """Go on with new inputs until the time is over; what breaks is kept in a folder and said."""
    from tests.fuzz import seeds as valid

    total: dict[str, Outcome] = {}
    until, start = time.time() + seconds, 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        source = valid.make(Path(temporary) / "seeds")
        while time.time() < until:
            work = plan(units, names, start=start)
            outcomes = run(source, Path(temporary) / f"room-{start}", seed=seed, work=work, until=until)
            for name, outcome in outcomes.items():
                known = total.setdefault(name, Outcome())
                known.inputs, known.read, known.refused = (
                    known.inputs + outcome.inputs,
                    known.read + outcome.read,
                    known.refused + outcome.refused,
                )
                known.failures += outcome.failures
                for failure in outcome.failures:
                    sys.stdout.write(f"{failure}\n  kept: {keep(failure, source, folder)}\n")
            shutil.rmtree(Path(temporary) / f"room-{start}", ignore_errors=True)
            start += units * 8
    return total


def main(arguments: Sequence[str]) -> int:
    """`python -m tests.fuzz`: soak for some seconds, or replay what was kept."""
    if arguments[:1] == ["--child"]:
        seeds, room, log, seed, work = arguments[1:]
        child(Path(seeds), Path(room), Path(log), int(seed), [tuple(entry) for entry in json.loads(work)])
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Forged, odd and damaged files for every reader.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--units", type=int, default=5, help="inputs of a reader in a round, times its weight")
    parser.add_argument("--reader", action="append", help="only these; by default all")
    parser.add_argument("--keep", type=Path, default=Path("build") / KEPT, help="folder for inputs that break a reader")
    parser.add_argument("--replay", type=Path, help="a folder that was kept")
    given = parser.parse_args(arguments)
    if given.replay:
        replay(given.replay)
        return 0
    outcomes = soak(given.seconds, seed=given.seed, units=given.units, folder=given.keep, names=given.reader)
    sys.stdout.write(f"{summary(outcomes)}\n")
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0
