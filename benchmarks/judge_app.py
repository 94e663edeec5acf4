"""How long a page of the judge app takes with 10,000 pairs of which 9,000 are judged, and a judgment.

    python benchmarks/judge_app.py

Requests go through the application without a network, as the tests' do. Processor and wall time of each request; the first five are
left out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from instructsel.human.store import Answer
from tests.human.app_client import App, judged

PAIRS = 10_000
JUDGED = 9_000
PAGES = 100


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Of the processor, and on the wall."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return 1e3 * (time.process_time() - processor), 1e3 * (time.perf_counter() - wall)


def told(name: str, times: list[tuple[float, float]]) -> None:
    """Print what requests took."""
    processor, wall = zip(*times, strict=True)
    print(
        f"{name}: processor {statistics.median(processor):.1f} ms (largest {max(processor):.1f}), "
        f"wall {statistics.median(wall):.1f} ms (largest {max(wall):.1f}); medians of {len(times)}"
    )


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        app = App(Path(folder) / "judgments.sqlite3", PAIRS, ("ada",))
        client = app.client("ada")
        for position in range(JUDGED):
            app.store.judge(app.numbers["ada"], position, Answer(True, True, 2))
        for position in range(5):
            client.get(f"/pairs/{JUDGED + position}")
        told(f"a page of {PAIRS:,} pairs", [milliseconds(lambda at=at: client.get(f"/pairs/{at}")) for at in range(JUDGED, JUDGED + PAGES)])
        told("a judgment, two requests", [milliseconds(lambda at=at: judged(client, at)) for at in range(JUDGED, JUDGED + PAGES)])


if __name__ == "__main__":
    main()
