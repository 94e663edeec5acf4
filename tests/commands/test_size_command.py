"""instructsel study size: which files its chart may replace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instructsel.commands._size_options import SizeOutputs
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.reports.charts import Series, scatter


def test_a_chart_replaces_a_chart_of_ours_and_no_other_file(tmp_path: Path) -> None:
    results, chart = tmp_path / "sizes", tmp_path / "sizes.svg"
    SizeOutputs(chart=chart).check(results, [])
    points = Series(name="", x=np.arange(3.0), y=np.arange(3.0), labels=["a", "b", "c"])
    chart.write_text(scatter([points], None, title="t", x_label="x", y_label="y"))
    SizeOutputs(chart=chart).check(results, [])
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0"/></svg>'
    chart.write_text(drawing)
    with pytest.raises(UsageError, match="not a chart of instructsel"):
        SizeOutputs(chart=chart).check(results, [])
    with pytest.raises(UsageError, match="is the input"):
        SizeOutputs(chart=chart).check(results, [chart])
    assert chart.read_text() == drawing
    # The folder of the results is made with them, another one is not.
    SizeOutputs(chart=results / "sizes.svg").check(results, [])
    with pytest.raises(EnvironmentFault, match="there is no folder"):
        SizeOutputs(chart=tmp_path / "charts" / "sizes.svg").check(results, [])
