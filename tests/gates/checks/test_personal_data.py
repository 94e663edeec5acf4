"""Personal data is found by form and checksum; what nobody has is none, and no output holds any."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("stdnum")
pytest.importorskip("phonenumbers")

from instructsel.errors import MissingExtra
from instructsel.gates.checks.personal_data import PersonalData
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.outputs.base import Setting
from instructsel.gates.outputs.registry import outputs
from instructsel.gates.wording.personal import ENTITIES, entities_in
from instructsel.pool.pool import Pool
from tests.gates.checks.asking import dialogue, flags, hits, row

EVERY = tuple(ENTITIES)
DATA = {
    "ann.le-goff@gmail.com": "email",
    "ann+boats@harbor-master.co.uk": "email",
    "+49 30 9018 2030": "phone",
    "+33 1 42 68 53 00": "phone",
    "+14158675309": "phone",
    "(415) 867-5309": "phone",
    "415-867-5309": "phone",
    "4539 1488 0343 6467": "card",
    "4539148803436467": "card",
    "5431-1111-1111-1111": "",
    "DE89 3704 0044 0532 0130 00": "iban",
    "GB33BUKB20201555555555": "iban",
    "FR1420041010050500013M02606": "iban",
    "536-90-4399": "national-id",
    "18984853758": "national-id",
    "RSSMRA85T10A562S": "national-id",
    "44051401359": "national-id",
    "390.533.447-05": "national-id",
    "X-1234567-L": "",
    "131052-308T": "national-id",
    "11010519491231002X": "national-id",
    "93.184.216.34": "ip",
}
NOBODY = [
    "ann@example.com", "ann@mail.example.org", "you@yourdomain.com", "your.name@gmail.com", "no-reply@port.fr", "icon@2x.png", "git@github.com:harbor/ships.git",
    "555-0123", "(212) 555-0199", "+1 202 555 0143", "+44 7700 900123", "+44 20 7946 0018", "123-456-7890", "1-800-275-2273", "4111 1111 1111 1111", "4242424242424242",
    "4539 1488 0343 6468", "DE89 3704 0044 0532 0130 01", "123-45-6789", "078-05-1120", "000-12-3456", "192.168.0.1", "10.1.2.3", "127.0.0.1", "203.0.113.7", "8.8.8.8",
    "version 93.184.216.34", "2021-11-29 14:45", "2 3 5 7 11 13 17 19 23 29", "2009 2010 2011", "ISBN 978-3-16-148410-0", "3.14159265358979", "1,234,567,890", "the years (1994-2001)",
    "40.761194 N 73.965806 W", "57435230K->57435322K", "9f86d081884c7d659a2feaa0c55ad015",
]  # fmt: skip


def test_without_its_libraries_what_needs_none_is_looked_for_by_default_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.gates.checks import personal_data

    def require(module: str, *, needed_by: str) -> Any:
        raise MissingExtra(f"{needed_by} needs '{module}'.", fix="Install it with: pip install 'instructsel[gate]'")

    monkeypatch.setattr(personal_data, "require", require)
    pool = Pool.of([row("Write to anna.lindqvist@kth.se, she knows."), row("Nothing at all.")])
    for named, state, code in ((False, "failed", 0), (True, "skipped", 4)):
        verdict = gate(pool, GateConfig((ConfiguredCheck(PersonalData(), "warning", named=named),)))
        (result,) = verdict.results
        assert (result.state, verdict.exit_code(), len(result.findings)) == (state, code, 0 if named else 1)
        assert "pip install 'instructsel[gate]'" in result.statement
    assert (
        "Not looked for: phone, card, iban, national-id."
        in gate(pool, GateConfig((ConfiguredCheck(PersonalData(), "info"),))).results[0].statement
    )
    unable = GateConfig((ConfiguredCheck(PersonalData(entities=("phone",)), "info"),))
    assert gate(pool, unable).results[0].state == "skipped", "nothing of it needs no library"


@pytest.mark.parametrize("text", [text for text, kind in DATA.items() if kind])
def test_personal_data_is_found_with_its_kind(text: str) -> None:
    sentence = f"Write to the harbor master: {text}, or come."
    entities = list(entities_in(sentence, EVERY))
    assert [(entity.kind, sentence[entity.start : entity.end]) for entity in entities] == [(DATA[text], text)]


@pytest.mark.parametrize("text", NOBODY)
def test_what_nobody_has_is_no_personal_data(text: str) -> None:
    assert all(entity.is_invented for entity in entities_in(f"It is {text} there.", EVERY))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("john.doe@example.com", "email"),
        ("user@domain.com", "email"),
        ("(415) 555-2671", "phone"),
        ("+44 1632 960001", "phone"),
        ("4111 1111 1111 1111", "card"),
        ("378282246310005", "card"),
        ("078-05-1120", "national-id"),
        ("123-45-6789", "national-id"),
    ],
)
def test_what_is_invented_is_reported_and_does_not_count(text: str, kind: str) -> None:
    rows = [row(f"Write to the harbor master: {text}, or come."), row("Nothing at all.")]
    (result,) = gate(Pool.of(rows), GateConfig((ConfiguredCheck(PersonalData(), "warning"),))).results
    assert result.state == "passed" and result.limits[0].value == 0
    assert [(finding.severity, finding.key) for finding in result.findings] == [("info", f"the response {kind}")]
    assert "invented" in result.findings[0].message and text not in result.findings[0].evidence
    assert not flags("personal-data", rows[0], invented=False)


def test_names_of_files_are_no_addresses() -> None:
    assert not flags("personal-data", row("The picture is logo@2x.png, or icon@home.svg."))


def test_a_number_behind_that_of_a_telephone_is_no_part_of_it() -> None:
    for text in ("About +49 30 4864662 587818 were built.", "It is [1, 2, +49 30 4864662 5, 6, 7]."):
        assert [text[entity.start : entity.end] for entity in entities_in(text, ("phone",))] == ["+49 30 4864662"]


def test_a_number_of_a_telephone_without_groups_counts_where_it_is_called_one() -> None:
    assert [entity.kind for entity in entities_in("Call me: 4158675309 tonight.", ("phone",))] == ["phone"]
    assert not list(entities_in("There are 4158675309 drops in it.", ("phone",)))


def test_only_the_entities_of_a_configuration_are_looked_for() -> None:
    text = "Write to ann.le-goff@gmail.com or call +49 30 9018 2030."
    assert [hit.key for hit in hits("personal-data", row(text), entities=("phone",))] == ["the response phone"]
    assert [hit.key for hit in hits("personal-data", row(text))] == ["the response email", "the response phone"]
    assert not flags("personal-data", row("Write to ann@our-port.fr."), allow=("@our-port.fr",))


def test_personal_data_is_found_in_every_turn() -> None:
    mail = "Write to ann.le-goff@gmail.com."
    for one in (dialogue(mail, "Yes."), dialogue("Hi.", mail), dialogue("Hi.", "Yes.", system=mail), dialogue("Hi.", mail, "And?", "Yes.")):
        assert len(hits("personal-data", one)) == 1


def test_no_output_of_a_gate_holds_personal_data() -> None:
    data = [text for text, kind in DATA.items() if kind and kind != "ip"]
    rows = [row(f"I'm sorry, but I can't help with that. It is {text}, and {text}.", f"Is it {text}?") for text in data]
    verdict = gate(Pool.of(rows))
    assert {finding.kind for finding in verdict.findings} >= {"personal-data", "refusal"}
    texts = [json.dumps(verdict.as_dict(), ensure_ascii=False), verdict.frame.write_csv(), repr(verdict)]
    texts += [form.render(verdict, Setting()).decode() for form in outputs().values()]
    for text in texts:
        assert not [piece for piece in data if piece in text]


def test_long_hostile_texts_are_searched_once() -> None:
    for unit in ("a@", "a.a@b.", "1 ", "1", "12-", "(1", "AB12 ", "1.2.3.", "+1", "a@a.a", "@", "000-"):
        list(entities_in(unit * (100_000 // len(unit)), EVERY))


def test_an_ip_address_of_few_figures_is_one() -> None:
    assert flags("personal-data", row("The server at 94.9.3.7 answers."), entities=("ip",))
