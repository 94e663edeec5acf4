"""A long reading is never silent: a line every ten seconds where nothing else shows progress."""

from __future__ import annotations

import pytest

from instructsel.errors import UsageError
from instructsel.pool.spec import PoolSpec, _every_ten_seconds


def test_a_line_comes_every_ten_seconds_and_none_at_the_end() -> None:
    moments = iter([0.0, 1.0, 10.0, 10.0, 12.0, 21.0, 21.0, 40.0])
    lines: list[str] = []
    report = _every_ten_seconds(lines.append, clock=lambda: next(moments))
    for done in (1, 2, 3, 4, 5):
        report(done * 1_000_000, 5_000_000)
    assert lines == ["reading: 2 of 5 MB", "reading: 4 of 5 MB"]


def test_a_record_that_names_a_pool_on_the_hub_does_not_have_it_fetched() -> None:
    spec = PoolSpec.of({"pool": {"paths": ["hf://somebody/pool"], "digests": [None]}})
    assert spec is not None
    with pytest.raises(UsageError, match="would be fetched from the hub") as refused:
        spec.read()
    assert "--pool hf://somebody/pool" in str(refused.value.fix)
