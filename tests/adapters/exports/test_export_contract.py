"""Every export says what it can carry, refuses what it cannot, and writes the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.contents import CONTENTS, contents
from instructsel.adapters.exports.registry import FRAMEWORK, exports
from instructsel.adapters.exports.run import export
from instructsel.errors import EnvironmentFault, NothingToDo, UsageError
from instructsel.grading.chat import LOSSES
from tests.conversations import ASKED, HOLDING, SAID, pool


def test_every_row_here_holds_what_it_is_called_for(tmp_path: Path) -> None:
    assert list(HOLDING) == list(CONTENTS)
    for name, row in HOLDING.items():
        examples = pool(tmp_path / "pool.jsonl", row, {"messages": [ASKED, SAID]}).examples()
        assert any(name in contents(example, example.messages) for example in examples), name
    (plain,) = pool(tmp_path / "pool.jsonl", {"messages": [ASKED, SAID]}).examples()
    assert contents(plain, plain.messages) == frozenset()


@pytest.mark.parametrize("consumer", exports().values(), ids=lambda consumer: consumer.name)
def test_an_export_states_everything(consumer: Export) -> None:
    assert consumer.title and consumer.source and consumer.endings and consumer.rules
    assert set(consumer.losses) <= set(LOSSES)
    stated = [consumer.refused, consumer.left_out, consumer.altered, consumer.noted]
    assert set().union(*stated) <= set(CONTENTS)
    assert sum(map(len, stated)) == len(set().union(*stated)), "what is refused is not altered as well"
    assert type(consumer).__doc__


@pytest.mark.parametrize("holding", HOLDING)
@pytest.mark.parametrize("consumer", exports().values(), ids=lambda consumer: consumer.name)
def test_what_an_export_cannot_carry_ends_it_or_is_left_out_and_counted(tmp_path: Path, consumer: Export, holding: str) -> None:
    rows = pool(tmp_path / "pool.jsonl", HOLDING[holding], {"messages": [{**ASKED, "content": "And in Dover?"}, SAID]})
    settings = consumer.decided(ExportSettings())
    (example,) = [example for example in rows.examples() if example.messages[0].content != "And in Dover?"]
    held = contents(example, consumer.turns(example, settings))
    if held & consumer.left_out:
        result = export(rows, consumer, tmp_path / "out")
        assert result.account.written == 1
        assert result.account.left_out[min(held & consumer.left_out)].first == "pool.jsonl:1"
    elif held & consumer.refusals(settings):
        with pytest.raises(UsageError, match=rf"which {consumer.name} cannot carry \(first: pool.jsonl:1\)") as raised:
            export(rows, consumer, tmp_path / "out")
        assert "1 row has " in raised.value.message and "--drop-unsupported" in str(raised.value.fix)
        assert not (tmp_path / "out").exists()
        result = export(rows, consumer, tmp_path / "out", settings=ExportSettings(drop_unsupported=True))
        assert result.account.written == 1 and result.account.n_refused == 1
    else:
        result = export(rows, consumer, tmp_path / "out")
        assert result.account.written == 2
        assert set(result.account.altered) == held & set(consumer.alterations())
        assert set(result.account.noted) == held & set(consumer.noted)
    assert result.account.read == 2


@pytest.mark.parametrize("consumer", exports().values(), ids=lambda consumer: consumer.name)
def test_the_same_rows_give_the_same_bytes_in_whatever_order_they_stand(tmp_path: Path, consumer: Export) -> None:
    rows = [{"messages": [{**ASKED, "content": f"Tide {number}?"}, SAID]} for number in range(9)]
    first = export(pool(tmp_path / "a.jsonl", *rows), consumer, tmp_path / "one")
    second = export(pool(tmp_path / "a.jsonl", *rows[::-1]), consumer, tmp_path / "two")
    files = [
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    # The manifest and the card name the file that was read, by its own bytes.
    own = ("manifest.json", "README.md")
    data = [{name: content for name, content in listed.items() if not name.name.endswith(own)} for listed in files]
    assert first.digest == second.digest and data[0] == data[1]
    assert export(pool(tmp_path / "a.jsonl", *rows), consumer, tmp_path / "three").digest == first.digest
    again = {path.relative_to(tmp_path / "three"): path.read_bytes() for path in sorted((tmp_path / "three").rglob("*")) if path.is_file()}
    export(pool(tmp_path / "a.jsonl", *rows), consumer, tmp_path / "four")
    assert again == {
        path.relative_to(tmp_path / "four"): path.read_bytes() for path in sorted((tmp_path / "four").rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("consumer", exports().values(), ids=lambda consumer: consumer.name)
def test_nothing_is_replaced_without_force_and_no_input_at_all(tmp_path: Path, consumer: Export) -> None:
    rows = pool(tmp_path / "pool.jsonl", {"messages": [ASKED, SAID]})
    export(rows, consumer, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="is there already"):
        export(rows, consumer, tmp_path / "out")
    export(rows, consumer, tmp_path / "out", settings=ExportSettings(force=True))
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    if not consumer.whole_folder:
        target = tmp_path / f"pool{consumer.endings[0]}"
        target.touch()
        with pytest.raises(UsageError, match="is the input"):
            export(rows, consumer, target, inputs=[target], settings=ExportSettings(force=True))
    (tmp_path / "file").touch()
    with pytest.raises((UsageError, EnvironmentFault)):
        export(rows, consumer, tmp_path / "file" / "out")


def test_an_export_of_nothing_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="None of 1 row is left"):
        export(pool(tmp_path / "pool.jsonl", {"messages": [SAID]}), "trl", tmp_path / "out")


def test_unknown_consumers_losses_and_orders_are_refused(tmp_path: Path) -> None:
    rows = pool(tmp_path / "pool.jsonl", {"messages": [ASKED, SAID]})
    with pytest.raises(UsageError, match="no consumer 'lamafactory'") as raised:
        export(rows, "lamafactory", tmp_path / "out")
    assert raised.value.fix == "Did you mean 'llamafactory'?"
    with pytest.raises(UsageError, match="cannot be made to train on all"):
        export(rows, "trl", tmp_path / "out", settings=ExportSettings(loss="all"))
    with pytest.raises(UsageError, match="is a format"):
        export(rows, "sharegpt", tmp_path / "out", settings=ExportSettings(loss="completion"))
    with pytest.raises(UsageError, match="no order of rows 'rank'"):
        ExportSettings(order="rank")
    with pytest.raises(UsageError, match="no selection is recorded"):
        export(rows, "trl", tmp_path / "out", settings=ExportSettings(order="score"))


def test_the_files_that_are_no_export_are_there() -> None:
    folder = Path(__file__).resolve().parents[3] / "adapters" / "exports"
    assert {f"{name}.py" for name in FRAMEWORK} <= {path.name for path in folder.glob("*.py")}


def test_completion_knows_the_exports() -> None:
    from instructsel.commands._completion import CONSUMERS

    assert set(CONSUMERS) == set(exports())
