"""Our MTLD beside lexicalrichness on the same texts, alternating; values are asserted equal.

python benchmarks/mtld.py ../shared/data/pools/dolly.jsonl.zst
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import _record

from instructsel import Pool
from instructsel.indicators.mtld import mtld, words


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    from lexicalrichness import LexicalRichness

    texts = [example.response for example in Pool.read(options.pool).examples()]
    texts = [text for text in texts if words(text)]
    seconds: dict[str, list[float]] = {"ours": [], "lexicalrichness": []}
    for _ in range(options.repeats):
        started = time.perf_counter()
        ours = [mtld(words(text)) for text in texts]
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        theirs = [LexicalRichness(text).mtld(threshold=0.72) for text in texts]
        seconds["lexicalrichness"].append(time.perf_counter() - started)
        assert ours == theirs
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        "pool": options.pool.rsplit("/", 1)[-1],
        "rows": len(texts),
        "seconds": seconds,
        "median_seconds": medians,
        "ratio": medians["lexicalrichness"] / medians["ours"],
        "load_average": os.getloadavg()[0],
    }
    print(figures["ratio"], medians)
    print(_record.write("mtld", figures, "lexicalrichness"))


if __name__ == "__main__":
    main()
