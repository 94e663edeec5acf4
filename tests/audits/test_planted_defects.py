"""The acceptance of the audit: every planted defect is found where it was planted, and clean pools are clean, with four templates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Audit, Pool, audit
from instructsel.audits.checks.registry import kinds
from tests.audits.real_pools import head, write_rows
from tests.templates import FAMILIES, GEMMA

Rows = list[dict[str, Any]]

TEMPLATES: Final = ("chatml", "llama3", "tulu_bos", "qwen25")
PLACE: Final = 11
"""Where a defect is planted: the row, from 0."""
QUIET: Final = {"no-generation-marks", "template-rewrites", "response-stripped"}
"""Infos that are true of clean pools and of published templates."""
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a qzword up in the register.",
        "parameters": {"type": "object", "properties": {}},
    },
}


@pytest.fixture(scope="module", params=TEMPLATES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose template, tokenizer and generation settings fit together."""
    family = FAMILIES[request.param]
    folder = family.base(tmp_path_factory.mktemp("bases") / request.param, max_position_embeddings=16_384)
    vocabulary = family.vocabulary(folder)
    stops = [vocabulary[family.eos], *([vocabulary[family.end]] if family.end in vocabulary else [])]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> Rows:
    """Rows of three real pools as messages."""
    result = [(row["instruction"], row["response"]) for row in head(shared_data, "dolly", 20)]
    result += [(row["instruction"], row["output"]) for row in head(shared_data, "cot_sample", 20)]
    result += [(row["question"], row["answer"]) for row in head(shared_data, "gsm8k_train", 20)]
    return [
        {"messages": [{"role": "user", "content": question.strip()}, {"role": "assistant", "content": answer.strip()}]}
        for question, answer in result
        if len(question) + len(answer) < 1000
    ]


def audited(base: Path, rows: Rows, folder: Path, **settings: Any) -> Audit:
    return audit(Pool.read(write_rows(folder / "pool.jsonl", rows)), base=str(base), **{"max_length": 4096, **settings})


def alarms(result: Audit) -> dict[str, int]:
    counts = {finding.kind: finding.count for finding in result.findings if finding.severity != "info"}
    if "same-role-twice" in counts or "turn-dropped" in counts:
        # Tülu's own template writes two responses in a row in a way that some of its releases cannot tell apart.
        counts.pop("not-a-prefix", None)
    return counts


@pytest.mark.parametrize(
    "name", ["dolly", "cot_sample", "gsm8k_train", "lima_history", "evol_instruct_1k_sharegpt", "alpaca_zh_demo", "oasst_en_100_tree"]
)
def test_clean_pools_raise_no_alarm(name: str, base: Path, shared_data: Path, tmp_path: Path) -> None:
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", head(shared_data, name, 100)))
    result = audit(pool, base=str(base), max_length=16_384)
    assert not result.failing(["any"])
    assert {finding.kind for finding in result.findings} <= QUIET
    assert result.totals.trained_rows == len(pool) == len(result.frame)


def said(rows: Rows, place: int = PLACE) -> Rows:
    """A copy of the rows, and the turns of the one at a place."""
    return json.loads(json.dumps(rows))  # type: ignore[no-any-return]


def turns(row: dict[str, Any]) -> list[dict[str, Any]]:
    return row["messages"]  # type: ignore[no-any-return]


def change(role: str, text: Callable[[str], str]) -> Callable[[dict[str, Any]], None]:
    """A change of the contents of a role."""

    def changed(row: dict[str, Any]) -> None:
        for turn in turns(row):
            if turn["role"] == role:
                turn["content"] = text(turn["content"])

    return changed


def insert(place: int, *new: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda row: turns(row).__setitem__(slice(place, place), new)


ROW_DEFECTS: Final[dict[str, tuple[str, Callable[[dict[str, Any]], None], dict[str, Any], set[str]]]] = {
    "a prompt that fills the length": ("prompt-fills-length", change("user", lambda text: text + " and so on" * 2500), {}, set()),
    "an empty response": ("empty-response", change("assistant", lambda text: " \n"), {}, set()),
    "a response that is cut off": (
        "truncated-response",
        change("assistant", lambda text: text + " and so on" * 2500),
        {},
        {"lost-end-mark"},
    ),
    "an end of turn that is cut off": (
        "lost-end-mark",
        change("assistant", lambda text: text + " and so on" * 2500),
        {},
        {"truncated-response"},
    ),
    "a row beyond the context": (
        "beyond-context",
        change("assistant", lambda text: text + " and so on" * 5000),
        {"max_length": 100_000},
        set(),
    ),
    "two assistant turns": ("same-role-twice", insert(2, {"role": "assistant", "content": "One more thing."}), {}, set()),
    "a response without a question": (
        "assistant-first",
        insert(0, {"role": "assistant", "content": "Ask me something."}),
        {},
        set(),
    ),
    "tools": ("tools-dropped", lambda row: row.__setitem__("tools", [TOOL]), {}, set()),
    "a weight of a row": ("weights-ignored", lambda row: row.__setitem__("weight", 0.25), {}, set()),
    "a weight of a turn": ("weights-ignored", lambda row: turns(row)[1].__setitem__("weight", 0.25), {}, set()),
    "reasoning in a field": (
        "reasoning-dropped",
        lambda row: turns(row)[1].__setitem__("reasoning_content", "First the qzfirst, then the second."),
        {},
        set(),
    ),
    "thinking in a field": ("reasoning-dropped", lambda row: turns(row)[1].__setitem__("thinking", "Thus the qzsecond."), {}, set()),
    "tool outputs with loss on all": (
        "tool-output-trained",
        insert(1, {"role": "assistant", "content": "Let me see."}, {"role": "tool", "content": "17 degrees"}),
        {"loss": "all"},
        set(),
    ),
}
"""Defect → its kind, how it is planted in a row, the settings, and what else is true of such a row."""


@pytest.mark.parametrize("defect", ROW_DEFECTS)
def test_a_defect_of_a_row_is_found_in_that_row_and_nothing_else_is(defect: str, base: Path, rows: Rows, tmp_path: Path) -> None:
    kind, plant, settings, companions = ROW_DEFECTS[defect]
    planted = said(rows)
    plant(planted[PLACE])
    result = audited(base, planted, tmp_path, **settings)
    assert alarms(result) == dict.fromkeys({kind, *companions}, 1)
    (finding,) = (finding for finding in result.findings if finding.kind == kind)
    assert finding.rows == (f"pool.jsonl:{PLACE + 1}",)
    flags = result.frame["flags"].to_list()
    assert kind in flags[PLACE].split() and not any(kind in flag.split() for flag in flags[:PLACE] + flags[PLACE + 1 :])
    assert result.failing([kind]) == (finding,)


def test_a_duplicate_is_found_in_its_second_row(base: Path, rows: Rows, tmp_path: Path) -> None:
    result = audited(base, [*rows[:PLACE], rows[3], *rows[PLACE:]], tmp_path)
    assert alarms(result) == {"duplicate-tokens": 1}
    assert result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def test_a_row_that_cannot_be_read_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "pool.jsonl", rows)
    lines = path.read_text().splitlines()
    lines[PLACE] = '{"messages": ['
    path.write_text("\n".join(lines) + "\n")
    result = audit(Pool.read(path), base=str(base), max_length=4096)
    assert alarms(result) == {"rows-not-read": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def test_a_control_token_that_is_spelled_out_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    eos = json.loads((base / "tokenizer_config.json").read_text())["eos_token"]
    planted = said(rows)
    turns(planted[PLACE])[0]["content"] += f" Explain {eos} to me."
    result = audited(base, planted, tmp_path)
    assert alarms(result) == {"spelled-control-tokens": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def changed(base: Path, folder: Path, edit: Callable[[dict[str, Any]], None], file: str = "tokenizer_config.json") -> Path:
    """A copy of a base with one of its files edited."""
    copy = folder / "changed"
    shutil.copytree(base, copy)
    content = json.loads((copy / file).read_text())
    edit(content)
    (copy / file).write_text(json.dumps(content))
    return copy


def template_with(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def edit(config: dict[str, Any]) -> None:
        assert old in config["chat_template"]
        config["chat_template"] = config["chat_template"].replace(old, new)

    return edit


def prefixed(text: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.__setitem__("chat_template", text + config["chat_template"])


WITHOUT_SYSTEM: Final = "{%- set messages = messages | rejectattr('role', 'equalto', 'system') | list %}"
WITHOUT_TOOL: Final = "{%- set messages = messages | rejectattr('role', 'equalto', 'tool') | list %}"


def test_a_template_that_drops_the_system_turn_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    insert(0, {"role": "system", "content": "Answer as the harbor's qzmaster."})(planted[PLACE])
    broken = changed(base, tmp_path, prefixed(WITHOUT_SYSTEM))
    result = audited(broken, planted, tmp_path)
    assert alarms(result) == {"system-dropped": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)
    assert not alarms(audited(base, planted, tmp_path))


def test_a_template_that_drops_tool_outputs_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    insert(1, {"role": "assistant", "content": "Let me see."}, {"role": "tool", "content": "qz 17 degrees"})(planted[PLACE])
    result = audited(changed(base, tmp_path, prefixed(WITHOUT_TOOL)), planted, tmp_path)
    assert alarms(result) == {"turn-dropped": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def test_a_template_that_refuses_a_row_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    insert(0, {"role": "system", "content": "Be brief."})(planted[PLACE])
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    result = audited(changed(base, tmp_path, prefixed(refuses)), planted, tmp_path)
    assert alarms(result) == {"template-refused": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def test_a_template_that_drops_reasoning_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    change("assistant", lambda text: f"<think>\nFirst the qzfirst.\n</think>\n\n{text}")(planted[PLACE])
    strips = (
        "{%- set ns = namespace(turns=[]) %}{%- for message in messages %}"
        "{%- set ns.turns = ns.turns + [{'role': message['role'], 'content': message['content'].split('</think>')[-1].lstrip()}] %}"
        "{%- endfor %}{%- set messages = ns.turns %}"
    )
    result = audited(changed(base, tmp_path, prefixed(strips)), planted, tmp_path)
    assert alarms(result) == {"reasoning-dropped": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)
    assert not alarms(audited(base, planted, tmp_path))


def test_a_template_that_changes_responses_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    change("assistant", lambda text: f"{text} QZQZ done.")(planted[PLACE])
    censors = (
        "{%- set ns = namespace(turns=[]) %}{%- for message in messages %}"
        "{%- set ns.turns = ns.turns + [{'role': message['role'], 'content': message['content'].replace('QZQZ', '')}] %}"
        "{%- endfor %}{%- set messages = ns.turns %}"
    )
    result = audited(changed(base, tmp_path, prefixed(censors)), planted, tmp_path)
    assert alarms(result) == {"response-changed": 1} and result.findings[0].rows == (f"pool.jsonl:{PLACE + 1}",)


def test_an_end_of_turn_at_which_nothing_stops_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    unreachable = changed(base, tmp_path, lambda config: config.__setitem__("eos_token_id", [0]), "generation_config.json")
    config = json.loads((unreachable / "tokenizer_config.json").read_text())
    config["eos_token"] = "<pad>"
    # The template's own end stays what it was.
    config["chat_template"] = config["chat_template"].replace(
        "eos_token", f"'{json.loads((base / 'tokenizer_config.json').read_text())['eos_token']}'"
    )
    config["pad_token"] = None
    (unreachable / "tokenizer_config.json").write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    assert alarms(audited(unreachable, rows, tmp_path)) == {"unreachable-end-of-turn": 1}


def test_an_end_of_turn_that_is_text_is_named_as_one_with_a_fix_that_fits(rows: Rows, tmp_path: Path) -> None:
    result = audited(FAMILIES["text_end"].base(tmp_path / "text_end"), rows, tmp_path)
    (found,) = (finding for finding in result.findings if finding.kind == "unreachable-end-of-turn")
    assert r'trained: the text "\n### End"; stops at: <|endoftext|>' in found.detail and "stop string" in found.fix


def test_a_template_without_an_end_of_turn_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    ends = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    bare = ends + "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    result = audited(changed(base, tmp_path, lambda config: config.__setitem__("chat_template", bare)), rows, tmp_path)
    assert alarms(result) == {"no-end-of-turn": 1}


def test_two_begins_of_sequence_are_found_in_every_row(base: Path, rows: Rows, tmp_path: Path) -> None:
    config = json.loads((base / "tokenizer_config.json").read_text())
    if not config.get("bos_token"):
        config["bos_token"] = config["pad_token"]
    begin = "{{ bos_token }}" if "bos_token" in config["chat_template"] else "{{ bos_token }}{{ bos_token }}"
    double = changed(
        base, tmp_path, lambda plain: plain.update(bos_token=config["bos_token"], chat_template=begin + config["chat_template"])
    )
    assert alarms(audited(double, rows, tmp_path)) == {"double-bos": len(rows)}


def test_padding_that_is_the_end_of_turn_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    from instructsel.audits.settings import AuditSettings
    from instructsel.audits.subject import Subject

    end = Subject.load(AuditSettings(), base=str(base)).end_token
    text = Subject.load(AuditSettings(), base=str(base)).tokenizer.convert_ids_to_tokens(end)
    same = changed(base, tmp_path, lambda config: config.__setitem__("pad_token", text))
    assert alarms(audited(same, rows, tmp_path)) == {"pad-is-end-of-turn": 1}


def test_a_template_that_writes_the_date_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    def dated(config: dict[str, Any]) -> None:
        today = "{{ 'Today is ' + strftime_now('%d %b %Y') + '.\\n' }}"
        head_text, mark, tail = config["chat_template"].partition("{{ bos_token }}")
        config["chat_template"] = head_text + mark + today + tail if mark else today + head_text

    assert alarms(audited(changed(base, tmp_path, dated), rows, tmp_path)) == {"todays-date": 1}


def test_a_template_that_rewrites_earlier_turns_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    insert(2, {"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Then it ended."})(planted[PLACE])
    forgets = (
        "{%- set ns = namespace(turns=[]) %}{%- for message in messages %}"
        "{%- set content = message['content'] if loop.last or message['role'] != 'assistant' else message['content'] + ' (earlier)' %}"
        "{%- set ns.turns = ns.turns + [{'role': message['role'], 'content': content}] %}{%- endfor %}{%- set messages = ns.turns %}"
    )
    broken = changed(base, tmp_path, prefixed(forgets))
    result = audited(broken, planted, tmp_path, loss="assistant")
    counts = alarms(result)
    # With marks the loss tokens are known to TRL, whatever the template does to earlier turns.
    expected = {"no-generation-marks": 1, "not-a-prefix": 1} if "no-generation-marks" in counts else {}
    assert counts == {"template-rewrites": 1, **expected}
    assert alarms(audited(broken, planted, tmp_path, loss="assistant", trainer="instructsel"))["not-a-prefix"] == 1
    assert "template-rewrites" in {finding.kind for finding in audited(broken, rows, tmp_path).findings}


def test_a_template_without_generation_marks_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    def unmarked(config: dict[str, Any]) -> None:
        config["chat_template"] = config["chat_template"].replace("{% generation %}", "").replace("{% endgeneration %}", "")

    assert alarms(audited(changed(base, tmp_path, unmarked), rows, tmp_path, loss="assistant")) == {"no-generation-marks": 1}


def test_marks_that_leave_the_end_of_turn_out_are_found(rows: Rows, tmp_path: Path) -> None:
    short = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}{% generation %}"
        "{{ message.content }}{% endgeneration %}{% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    base = replace(FAMILIES["chatml"], template=short, eos="<|im_end|>", markers=("<|im_start|>",)).base(tmp_path / "base")
    result = audited(base, rows, tmp_path, loss="assistant", max_length=512)
    assert "marks-without-end" in alarms(result) and "marks-differ" in {finding.kind for finding in result.findings}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{% if message.role == 'assistant' %}", "{% if true %}"),
        ("{% if message.role == 'assistant' %}", "{% if message.role == 'assistant' and loop.last %}"),
        ("{% generation %}{{ message.content }}", "{{ message.content[:9] }}{% generation %}{{ message.content[9:] }}"),
    ],
)
def test_marks_on_prompts_and_marks_that_miss_a_part_of_a_response_are_found(old: str, new: str, rows: Rows, tmp_path: Path) -> None:
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}{% generation %}"
        "{{ message.content }}<|im_end|>{% endgeneration %}\n{% else %}{{ message.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    for number, text in enumerate((template, template.replace(old, new))):
        family = replace(FAMILIES["chatml"], template=text, eos="<|im_end|>", markers=("<|im_start|>",))
        result = audited(family.base(tmp_path / str(number), max_position_embeddings=16_384), rows, tmp_path, loss="assistant")
        expected = [{}, {"marks-differ": 1}][number]
        counts = alarms(result)
        # A response before the last whose end is not marked is one that the model is not taught to end.
        assert {kind: count for kind, count in counts.items() if kind != "marks-without-end" or not number} == expected


def test_calls_are_found_where_the_template_leaves_them_out_and_nowhere_else(rows: Rows, tmp_path: Path) -> None:
    calls = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    base = replace(FAMILIES["chatml"], template=calls, eos="<|im_end|>", markers=("<|im_start|>",)).base(tmp_path / "base")
    planted = said(rows)
    insert(1, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "17 degrees"})(planted[PLACE])
    assert "calls-dropped" not in alarms(audited(base, planted, tmp_path, max_length=512))
    deaf = replace(
        FAMILIES["chatml"], template=calls.replace("message.tool_calls or []", "[]"), eos="<|im_end|>", markers=("<|im_start|>",)
    )
    assert alarms(audited(deaf.base(tmp_path / "deaf"), planted, tmp_path, max_length=512))["calls-dropped"] == 1


def test_a_tokenizer_of_another_model_is_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    result = audited(changed(base, tmp_path, lambda config: config.__setitem__("vocab_size", 300), "config.json"), rows, tmp_path)
    assert alarms(result).keys() == {"outside-vocabulary"} and alarms(result)["outside-vocabulary"] > 0


def test_packing_that_leaks_and_packing_that_splits_are_found(base: Path, rows: Rows, tmp_path: Path) -> None:
    assert not alarms(audited(base, rows, tmp_path, packing="bfd"))
    wrapped = audited(base, rows, tmp_path, packing="wrapped", max_length=700)
    assert alarms(wrapped).keys() >= {"packing-leaks", "packing-splits"}
    cut = audited(base, rows, tmp_path, packing="bfd", max_length=400)
    assert {"lost-end-mark"} <= alarms(cut).keys() <= {"lost-end-mark", "prompt-fills-length", "truncated-response"}


def test_a_state_space_model_that_mixes_packed_rows_is_found(rows: Rows, tmp_path: Path) -> None:
    base = FAMILIES["tulu"].base(tmp_path / "mamba", "mamba")
    assert alarms(audited(base, rows, tmp_path, packing="bfd")).keys() == {"packing-leaks"}


def test_what_is_worth_knowing_is_said_and_fails_nothing_unless_it_is_named(rows: Rows, tmp_path: Path) -> None:
    base = FAMILIES["tulu"].base(tmp_path / "base")
    result = audited(base, rows, tmp_path, loss="all", max_length=512)
    infos = {finding.kind for finding in result.findings if finding.severity == "info"}
    assert infos >= {"template-missing", "prompts-trained"}
    assert {finding.kind for finding in result.failing(["template-missing"])} == {"template-missing"}


def test_a_template_that_takes_no_system_turn_and_no_tools_is_named_by_row(shared_data: Path, tmp_path: Path) -> None:
    base = replace(FAMILIES["gemma"], template=GEMMA, eos="<end_of_turn>", markers=("<start_of_turn>",)).base(tmp_path / "base")
    pool = Pool.read(write_rows(tmp_path / "pool.jsonl", head(shared_data, "glaive_toolcall_en_demo", 60)))
    result = audit(pool, base=str(base), max_length=100_000)
    refused = result.frame.filter(result.frame["reason"] == "template_refused")
    assert len(refused) == alarms(result)["template-refused"] > 10


def test_twenty_kinds_and_more_are_planted_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert sum(f'"{kind}"' in text for kind in kinds()) >= 30


def test_a_turn_that_is_not_to_be_trained_is_found_where_trl_trains_every_response(base: Path, rows: Rows, tmp_path: Path) -> None:
    planted = said(rows)
    planted[PLACE]["messages"] = [*planted[PLACE]["messages"], *planted[PLACE + 1]["messages"]]
    planted[PLACE]["messages"][1]["train"] = False
    assert "weights-ignored" not in alarms(audited(base, planted, tmp_path))
    assert "weights-ignored" not in alarms(audited(base, planted, tmp_path, loss="assistant", trainer="instructsel"))
    assert alarms(audited(base, planted, tmp_path, loss="assistant"))["weights-ignored"] == 1
