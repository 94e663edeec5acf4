"""How the originals of the open datasets become conversations, as the code of Wang et al. 2023 does it, and seeded row by row.

    result = convert("dolly", ["databricks-dolly-15k.jsonl"], seed=42)
    result.report.sentence()                 # rows read = kept + dropped + quarantined
    result.write("dolly.jsonl")              # {"dataset": "dolly", "id": "dolly_…", "messages": […]}, a line each
    for row in result.rows(): …              # the same as plain data

    convert(OasstPaths(paths="leaves", top_k=1), ["2023-04-12_oasst_ready.trees.jsonl.gz"])

A draw depends on the seed, the row's own content, and for equal rows on which of them it is; not on other rows nor on the order of rows and
files. The lines are in the order of their ids. One file, one conversion: a frozen dataclass whose fields are its settings. Rows are read by
the readers of pools, so that a file may be JSON lines, an array, Parquet, compressed.
"""

from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome
from instructsel.mixtures.conversions._registry import make, names
from instructsel.mixtures.conversions._run import Result, convert

__all__ = ["Conversion", "Converted", "InputRow", "Outcome", "Result", "convert", "make", "names"]
