"""How far a command is: one line that moves on a terminal, one plain line every ten seconds elsewhere, and when all will be done.

A command of one loop:

    progress = Progress("len", quiet=quiet)
    for number, row in enumerate(rows, 1):
        progress(number, len(rows))

A command of several steps, each reported by whoever does it:

    with Stages({"reading": 1, "embedding": 20, "ranking": 1}, quiet=quiet) as stages:
        pool = read(progress=stages("reading", unit="bytes"))
        space = embed(pool, progress=stages("embedding"))
        rank(space, progress=stages("ranking"))

The numbers are the expected shares of the time; without them nothing is said of the time left in all. A step that cannot count
says how long it has been at work.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from instructsel.text import clean

EVERY: Final = 10.0
"""Seconds between two plain lines."""
REFRESH: Final = 0.25
"""Seconds between two looks of a terminal's line."""
BAR: Final = 16
"""Columns of the bar."""

_ended: list[bool] = []
"""Whether the moving line was left standing, which ended it."""

Report = Callable[[int, int], None]
"""Takes how much is done, and of how much."""

_shown: list[Stages] = []
"""The displays that are at work; the one that reported last comes last."""
_bars: list[Any] = []
"""The terminal's one moving line, while there is one: whoever reported last writes on it."""


@dataclass
class Stage:
    """One step of a command."""

    name: str
    unit: str
    weight: float | None
    """Its expected share of the time, in any unit; None where nobody knows."""
    done: int = 0
    total: int | None = None
    first: int = 0
    """What was done when it was first reported: the cache's work, or an earlier run's."""
    part: tuple[str, int, int] | None = None
    """How far the one unit is that is at work: what is counted, done, total."""
    started: float | None = None
    ended: bool = False
    finished: float | None = None
    """When all of it was done."""
    estimate: tuple[float, float] | None = None
    """When whoever does the work said how many seconds it still takes, and how many: then nothing else is shown as the time left."""

    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""
        if self.ended:
            return 1.0
        if not self.total:
            return 0.0
        inside = self.part[1] / self.part[2] if self.part and self.part[2] and self.done < self.total else 0.0
        return min(1.0, (self.done + min(1.0, inside)) / self.total)


class Stages:
    """The progress of a command of one or several steps; a context manager, whose calls return what a step reports to.

    Args:
        names: the steps in their order, or step → its expected share of the time.
        quiet: show nothing.
        every: seconds between plain lines.
        clock: for tests.
    """

    def __init__(
        self,
        names: Sequence[str] | Mapping[str, float],
        *,
        quiet: bool,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        weights = names if isinstance(names, Mapping) else dict.fromkeys(names)
        self.stages = {name: Stage(name, "rows", weight) for name, weight in weights.items()}
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "CI" not in os.environ
        self.quiet = quiet
        self.every = REFRESH if self.live else every
        self.clock = clock
        self.current: Stage | None = None
        self._begun: tuple[float, float] | None = None
        """When the first step reported, and the fraction of all that was done by then."""
        self._last = clock()
        self._lines = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if not self.quiet and self._thread is None:
            self._stop.clear()
            _shown.append(self)
            if self.live and not _bars:
                _bars.append(_terminal_line())
            self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(erase=kind is None)

    def __call__(self, name: str, *, unit: str | None = None) -> Report:
        """What a step reports to. It begins with its first report; asking for the step after it ends it."""
        stage = self.stages.setdefault(name, Stage(name, "rows", None))
        stage.unit = unit or stage.unit
        self._begin(stage)

        def report(done: int, total: int) -> None:
            self.report(stage, done, total)

        return report

    def report(self, stage: Stage, done: int, total: int, *, seconds_left: float | None = None) -> None:
        """Note that `done` of `total` of a step are done, and the seconds that the others take where whoever does the work knows."""
        with self._lock:
            stage.estimate = None if seconds_left is None else (self.clock(), seconds_left)
            if stage is not self.current:
                self._begin(stage)
            if stage.total is None:
                stage.first = done
                # What came before the first one (loading a model) says nothing of how long the others take.
                stage.started = self.clock()
            stage.done, stage.total, stage.ended = done, total, done >= total
            stage.part = None
            stage.finished = (stage.finished or self.clock()) if stage.ended else None
            if self._begun is None:
                self._begun = self.clock(), self._fraction()
            if self in _shown:
                _shown.remove(self)
                _shown.append(self)
        self._show()

    def within(self, what: str, done: int, total: int) -> None:
        """Note how far the unit is that is at work, such as steps of a training where the units are runs."""
        with self._lock:
            if self.current is not None:
                self.current.part = what, done, total
        self._show()

    def close(self, *, erase: bool = True) -> None:
        """Stop showing; a line that was cut off by an error stays on the terminal."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=2)
        self._thread = None
        if self in _shown:
            _shown.remove(self)
        if _bars and not any(display.live for display in _shown):
            bar = _bars.pop()
            bar.live.transient = erase
            # Without erasing, this ends the line.
            bar.stop()
            _ended.extend([True] * (not erase))

    def line(self) -> str:
        """How far the command is, in one line."""
        stage = self.current
        if stage is None:
            return ""
        now = self.clock()
        names = list(self.stages)
        place = f" ({names.index(stage.name) + 1} of {len(names)})" if len(names) > 1 else ""
        parts = []
        if stage.finished is not None and now > stage.finished and stage.name != names[-1]:
            # What comes next has not reported yet: a model is fetched or loaded.
            following = names[names.index(stage.name) + 1]
            parts.append(f"done; getting ready for {following}, {span(now - stage.finished)} so far")
        elif stage.total is None:
            parts.append(f"{span(now - (now if stage.started is None else stage.started))} so far")
        else:
            parts.append(f"{stage.done:,} of {stage.total:,} {stage.unit}")
            if stage.part:
                parts.append(f"{stage.part[0]} {stage.part[1]:,} of {stage.part[2]:,}")
            if (left := self._left(stage, now)) is not None:
                parts.append(f"about {span(left)} left")
        if len(names) > 1 and (left_in_all := self._left_in_all(now)) is not None:
            parts.append(f"all done in about {span(left_in_all)}")
        return f"{stage.name}{place}: {', '.join(parts)}"

    def _begin(self, stage: Stage) -> None:
        if self.current is not None and self.current is not stage and self.current.total is None:
            # It could not count; another one at work means that it is done.
            self.current.ended = True
        if stage.started is None:
            stage.started = self.clock()
        self.current = stage

    def _left(self, stage: Stage, now: float) -> float | None:
        if stage.estimate is not None and not stage.ended:
            at, seconds = stage.estimate
            return seconds - (now - at) if now - at < seconds else None
        fresh = stage.fraction() - (stage.first / stage.total if stage.total else 0.0)
        if fresh <= 0 or stage.ended or stage.started is None:
            return None
        return (now - stage.started) / fresh * (1 - stage.fraction())

    def _left_in_all(self, now: float) -> float | None:
        if self._begun is None:
            return None
        started, first = self._begun
        fraction = self._fraction()
        return (now - started) / (fraction - first) * (1 - fraction) if first < fraction < 1 else None

    def _fraction(self) -> float:
        weights = [stage.weight for stage in self.stages.values()]
        known = [weight for weight in weights if weight is not None]
        if len(known) < len(weights) or not sum(known):
            return 0.0
        return sum((stage.weight or 0.0) * stage.fraction() for stage in self.stages.values()) / sum(known)

    def _tick(self) -> None:
        while not self._stop.wait(self.every / 4):
            if _shown and _shown[-1] is self:
                self._show()

    def _show(self) -> None:
        if self.quiet:
            return
        with self._lock:
            now = self.clock()
            stage = self.current
            last_one = stage is not None and stage.ended and self._lines > 0 and stage is list(self.stages.values())[-1]
            if stage is None or (now - self._last < self.every and not last_one):
                return
            self._last = now
            self._lines = 0 if last_one else self._lines + 1
            text = clean(self.line())
            if self.live and _bars:
                _bars[0].update(0, completed=100 * (self._fraction() or stage.fraction()), line=text)
            elif not self.live:
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()


def _terminal_line() -> Any:
    """A bar and a line of text at the bottom of the terminal."""
    # Imported when there is a terminal to draw on.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    bar = Progress(
        BarColumn(bar_width=BAR),
        TextColumn("{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        # The bar alone may move the cursor.
        console=Console(file=getattr(sys.stderr, "stream", None), stderr=True, highlight=False),
        refresh_per_second=4,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=100, line="")
    bar.start()
    return bar


class Progress:
    """The progress of a command of one loop: called with how much is done and of how much, it shows itself and ends by itself.

    Args:
        label: what is at work.
        quiet: show nothing.
        every: seconds between plain lines.
        unit: what is counted.
    """

    def __init__(self, label: str, *, quiet: bool, every: float = EVERY, unit: str = "examples") -> None:
        self.stages = Stages([label], quiet=quiet, every=every)
        self.stage = self.stages.stages[label]
        self.stage.unit = unit

    def __call__(self, done: int, total: int) -> None:
        """Note that `done` of `total` are done."""
        if self.stage.total is None:
            self.stages.__enter__()
        self.stages.report(self.stage, done, total)
        if done >= total:
            self.stages.close()

    def within(self, what: str, done: int, total: int) -> None:
        """Note how far the unit is that is at work."""
        self.stages.within(what, done, total)

    def close(self) -> None:
        """Stop showing before all is done."""
        self.stages.close(erase=False)


def above(text: str) -> bool:
    """Print a line above the terminal's moving one; whether there is one."""
    if not _bars:
        return False
    _bars[0].console.print(text, markup=False, highlight=False, soft_wrap=True)
    return True


def close_all(*, interrupted: bool = False) -> None:
    """Leave the terminal's line as it is and go on below it: before an error is printed.

    Args:
        interrupted: by a key, which the terminal has written as ^C where the cursor was.
    """
    for display in list(_shown):
        display.close(erase=False)
    if interrupted and not _ended and sys.stderr.isatty():
        sys.stderr.write("\n")
    _ended.clear()


def span(seconds: float) -> str:
    """A time for people.

    >>> span(41), span(200), span(7300)
    ('41 s', '3 min', '2 h 2 min')
    """
    if seconds < 99.5:
        return f"{seconds:,.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours < 48 else f"{hours / 24:,.0f} days"
