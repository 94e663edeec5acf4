"""Every check finds the defect that is planted for it, and is silent where nothing is planted: a new check needs its plant here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Audit, Pool, audit
from instructsel.audits.checks.registry import checks, kinds
from tests.audits.real_pools import write_rows
from tests.templates import FAMILIES

TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}{% generation %}"
    "{{ message.content }}<|im_end|>\n{% endgeneration %}{% else %}{{ message.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML with generation marks around responses and their ends."""
PAIRS: Final = [(f"how do i boil {number} eggs", f"put {number} of them into boiling water") for number in range(2, 8)]
PLACE: Final = 3
"""The row in which a defect is planted, from 0."""
LONG: Final = " and then cool it under cold water" * 60
TURNED: Final = (
    "{%- set ns = namespace(turns=[]) %}{%- for message in messages %}"
    "{%- set ns.turns = ns.turns + [{'role': message.role, 'content': CONTENT}] %}{%- endfor %}{%- set messages = ns.turns %}"
)
"""What changes the content of turns before they are rendered."""

Row = dict[str, Any]


def clean_rows() -> list[Row]:
    return [{"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} for question, answer in PAIRS]


@dataclass(frozen=True)
class Plant:
    """A defect: what is changed in a row, in the base's files, and in the settings."""

    row: Callable[[list[dict[str, Any]], Row], None] | None = None
    """Changes the turns of a row, or the row."""
    template: Callable[[str], str] | None = None
    """Changes the template."""
    files: Callable[[Path], None] | None = None
    """Changes the base's folder."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the audit."""


def content(role: str, text: Callable[[str], str]) -> Callable[[list[dict[str, Any]], Row], None]:
    def edit(turns: list[dict[str, Any]], row: Row) -> None:
        for turn in turns:
            if turn["role"] == role:
                turn["content"] = text(turn["content"])

    return edit


def inserted(place: int, *turns: dict[str, Any]) -> Callable[[list[dict[str, Any]], Row], None]:
    return lambda mine, row: mine.__setitem__(slice(place, place), turns)


def prefixed(text: str) -> Callable[[str], str]:
    return lambda template: text + template


def swapped(old: str, new: str) -> Callable[[str], str]:
    def edit(template: str) -> str:
        assert old in template
        return template.replace(old, new)

    return edit


def json_file(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        edit(content)
        (folder / name).write_text(json.dumps(content))

    return change


def setting(name: str, value: Any) -> Callable[[Path], None]:
    """A setting of the tokenizer; None takes it away."""

    def edit(config: dict[str, Any]) -> None:
        config.pop(name, None)
        if value is not None:
            config[name] = value

    return json_file("tokenizer_config.json", edit)


def with_bos(folder: Path) -> None:
    """A tokenizer that writes a begin of sequence in front of every text."""
    setting("bos_token", "<pad>")(folder)

    def edit(content: dict[str, Any]) -> None:
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<pad>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<pad>": {"id": "<pad>", "ids": [content["model"]["vocab"]["<pad>"]], "tokens": ["<pad>"]}},
        }

    json_file("tokenizer.json", edit)(folder)


def without_letters(folder: Path) -> None:
    """A tokenizer that does not know the bytes of é."""

    def edit(content: dict[str, Any]) -> None:
        for sign in "Ã©":
            del content["model"]["vocab"][sign]
        content["model"]["unk_token"] = "<|im_start|>"

    json_file("tokenizer.json", edit)(folder)
    setting("unk_token", "<|im_start|>")(folder)


def merged_line_breaks(folder: Path) -> None:
    """A tokenizer that has two line breaks as one token."""

    def edit(content: dict[str, Any]) -> None:
        content["model"]["vocab"]["ĊĊ"] = max(FAMILIES["chatml"].vocabulary(folder).values()) + 1
        content["model"]["merges"].append(["Ċ", "Ċ"])

    json_file("tokenizer.json", edit)(folder)
    json_file("config.json", lambda config: config.update(vocab_size=config["vocab_size"] + 1))(folder)


def dropped_role(role: str) -> Callable[[str], str]:
    return prefixed(f"{{%- set messages = messages | rejectattr('role', 'equalto', '{role}') | list %}}")


CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
SYSTEM: Final = {"role": "system", "content": "answer as the harbor master"}
TOOL: Final = {"role": "tool", "content": "17 degrees"}
MORE: Final = {"role": "assistant", "content": "let me see"}
LATER: Final = ({"role": "user", "content": "and then"}, {"role": "assistant", "content": "peel it"})

PLANTS: Final[dict[str, Plant]] = {
    "assistant-first": Plant(inserted(0, MORE)),
    "beyond-context": Plant(content("assistant", lambda text: text + LONG * 10), settings={"max_length": 100_000}),
    "bos-added-again": Plant(files=with_bos, template=prefixed("{{ bos_token }}")),
    "boundary-merged": Plant(content("assistant", lambda text: "\n\n" + text), files=merged_line_breaks),
    "calls-dropped": Plant(inserted(1, {"role": "assistant", "content": None, "tool_calls": [CALL]}, TOOL)),
    "double-bos": Plant(files=setting("bos_token", "<pad>"), template=prefixed("{{ bos_token }}{{ bos_token }}")),
    "duplicate-tokens": Plant(lambda turns, row: turns.__setitem__(slice(None), clean_rows()[0]["messages"])),
    "empty-response": Plant(content("assistant", lambda text: " ")),
    "lost-end-mark": Plant(content("assistant", lambda text: text + LONG), settings={"max_length": 128}),
    "marks-differ": Plant(template=swapped("{% if message.role == 'assistant' %}", "{% if true %}")),
    "marks-without-end": Plant(
        template=swapped("{{ message.content }}<|im_end|>\n{% endgeneration %}", "{{ message.content }}{% endgeneration %}<|im_end|>\n")
    ),
    "missing-bos": Plant(files=with_bos),
    "no-end-of-turn": Plant(template=lambda text: text.replace("<|im_end|>", "")),
    "no-generation-marks": Plant(template=lambda text: text.replace("{% generation %}", "").replace("{% endgeneration %}", "")),
    "no-pad-token": Plant(files=setting("pad_token", None)),
    "not-a-prefix": Plant(template=prefixed("{{ 'open' if add_generation_prompt else 'closed' }}")),
    "outside-vocabulary": Plant(files=json_file("config.json", lambda config: config.update(vocab_size=60))),
    "packing-leaks": Plant(settings={"packing": "wrapped"}),
    "packing-splits": Plant(settings={"packing": "bfd_split", "max_length": 32}),
    "pad-is-end-of-turn": Plant(files=setting("pad_token", "<|im_end|>")),
    "prompt-fills-length": Plant(content("user", lambda text: text + LONG), settings={"max_length": 128}),
    "prompts-trained": Plant(settings={"loss": "all"}),
    "reasoning-dropped": Plant(lambda turns, row: turns[1].__setitem__("reasoning_content", "first the water, then the egg")),
    "reasoning-opened": Plant(template=swapped("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")),
    "response-changed": Plant(
        content("assistant", lambda text: text + " QZ done"), prefixed(TURNED.replace("CONTENT", "message.content.replace('QZ', '')"))
    ),
    "response-stripped": Plant(
        content("assistant", lambda text: "    " + text), prefixed(TURNED.replace("CONTENT", "message.content | trim"))
    ),
    "rows-not-read": Plant(lambda turns, row: row.__setitem__("messages", 17)),
    "same-role-twice": Plant(inserted(2, MORE)),
    "spelled-control-tokens": Plant(content("user", lambda text: text + " <|im_end|>")),
    "system-dropped": Plant(inserted(0, SYSTEM), dropped_role("system")),
    "template-missing": Plant(files=setting("chat_template", None)),
    "template-refused": Plant(inserted(0, SYSTEM), prefixed("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}")),
    "template-rewrites": Plant(
        template=prefixed(TURNED.replace("CONTENT", "message.content if loop.last or message.role == 'user' else message.content + '!'"))
    ),
    "todays-date": Plant(template=prefixed("{{ strftime_now('%d %b %Y') }}")),
    "tool-output-trained": Plant(inserted(1, MORE, TOOL), settings={"loss": "all"}),
    "tools-dropped": Plant(lambda turns, row: row.__setitem__("tools", [CALL["function"]])),
    "truncated-response": Plant(content("assistant", lambda text: text + LONG), settings={"max_length": 128}),
    "turn-dropped": Plant(inserted(1, MORE, TOOL), dropped_role("tool")),
    "unknown-tokens": Plant(content("assistant", lambda text: text + " cliché"), files=without_letters),
    "unreachable-end-of-turn": Plant(
        files=lambda folder: (
            setting("eos_token", "<|endoftext|>")(folder),
            json_file("generation_config.json", lambda config: config.update(eos_token_id=[1]))(folder),
        )[0]
    ),
    "weights-ignored": Plant(lambda turns, row: row.__setitem__("weight", 0.25)),
}
"""Kind of finding → the defect that it finds."""
ROW_PLANTS: Final = {check.kind for check in checks() if check.unit == "row"} - {
    *("packing-leaks", "packing-splits", "prompts-trained", "double-bos", "outside-vocabulary", "not-a-prefix", "reasoning-opened")
}
"""Kinds that are found in the planted row alone."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base in which nothing is wrong."""
    family = replace(FAMILIES["chatml"], template=TEMPLATE)
    folder = family.base(tmp_path_factory.mktemp("clean") / "base", max_position_embeddings=2048)
    vocabulary = family.vocabulary(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [vocabulary["<|endoftext|>"], vocabulary["<|im_end|>"]]}))
    return folder


def audited(base: Path, rows: list[Row], folder: Path, **settings: Any) -> Audit:
    return audit(Pool.read(write_rows(folder / "pool.jsonl", rows)), base=str(base), **{"max_length": 1024, **settings})


def planted(plant: Plant, base: Path, folder: Path) -> Audit:
    copy = folder / "planted"
    shutil.copytree(base, copy)
    if plant.template is not None:
        setting("chat_template", plant.template(TEMPLATE))(copy)
    if plant.files is not None:
        plant.files(copy)
    rows = clean_rows()
    if plant.row is not None:
        plant.row(rows[PLACE]["messages"], rows[PLACE])
    return audited(copy, rows, folder, **plant.settings)


def test_every_check_has_a_plant() -> None:
    assert PLANTS.keys() == set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_a_check_finds_its_plant(kind: str, base: Path, tmp_path: Path) -> None:
    result = planted(PLANTS[kind], base, tmp_path)
    (finding,) = (finding for finding in result.findings if finding.kind == kind)
    assert result.failing([kind]) == (finding,)
    if kind in ROW_PLANTS:
        assert (finding.count, finding.rows) == (1, (f"pool.jsonl:{PLACE + 1}",))


@pytest.mark.parametrize("settings", [{}, {"packing": "bfd"}, {"loss": "assistant"}, {"trainer": "instructsel"}], ids=str)
def test_no_check_finds_anything_where_nothing_is_planted(settings: dict[str, Any], base: Path, tmp_path: Path) -> None:
    assert not audited(base, clean_rows(), tmp_path, **settings).findings
