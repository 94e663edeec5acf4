"""Secrets are found wherever they stand in a row, those of documentation are none, and no output holds one."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable
from typing import Any

import pytest

from instructsel.gates.checks.secret import DETECTORS, SecretInRow, detected, loaded_detectors
from instructsel.gates.config import ConfiguredCheck, GateConfig
from instructsel.gates.gate import gate
from instructsel.gates.outputs.base import Setting
from instructsel.gates.outputs.registry import outputs
from instructsel.gates.wording.texts import disjoint, hidden_around
from instructsel.pool.pool import Pool
from instructsel.secret_patterns import PATTERNS, secrets_in
from instructsel.text import masked, masked_excerpt
from tests.gates.checks.asking import flags, hits, row

LETTERS = string.ascii_letters + string.digits
RANDOM = random.Random(7)


def some(length: int, alphabet: str = LETTERS) -> str:
    """A random text that has a figure, a capital and a small letter where the alphabet has them."""
    return "".join(RANDOM.choice(alphabet) for _ in range(length - 3)) + "".join(
        RANDOM.choice([sign for sign in alphabet if test(sign)] or list(alphabet)) for test in (str.isdigit, str.islower, str.isupper)
    )


HEXADECIMAL = "0123456789abcdef"
SECRETS: dict[str, Callable[[], str]] = {
    "aws-access-key": lambda: "AKIA" + some(16, string.ascii_uppercase + string.digits),
    "aws-secret-key": lambda: f"aws_secret_access_key = {some(40)}",
    "github-token": lambda: "ghp_" + some(36),
    "gitlab-token": lambda: "glpat-" + some(20),
    "slack-token": lambda: f"xoxb-{some(12, string.digits)}-{some(24)}",
    "slack-webhook": lambda: f"https://hooks.slack.com/services/T{some(8)}/B{some(8)}/{some(24)}",
    "google-key": lambda: "AIza" + some(35),
    "stripe-key": lambda: "sk_live_" + some(24),
    "openai-key": lambda: "sk-proj-" + some(48),
    "anthropic-key": lambda: "sk-ant-api03-" + some(60),
    "huggingface-token": lambda: "hf_" + some(34),
    "npm-token": lambda: "npm_" + some(36),
    "pypi-token": lambda: "pypi-AgEIcHlwaS5vcmc" + some(60),
    "jwt": lambda: f"eyJhbGciOiJIUzI1NiJ9.eyJ{some(40)}.{some(43)}",
    "private-key": lambda: f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END RSA PRIVATE KEY-----",
    "password-in-address": lambda: f"postgres://admin:{some(12)}@db.internal:5432/main",
    "sendgrid-key": lambda: f"SG.{some(22)}.{some(43)}",
    "twilio-key": lambda: "SK" + some(32, HEXADECIMAL),
    "telegram-token": lambda: f"{some(9, '123456789')}:AA{some(33)}",
    "azure-key": lambda: f"AccountKey={some(86)}==",
    "bearer-token": lambda: f"Authorization: Bearer {some(40)}",
    "named-secret": lambda: f'api_key = "{some(32)}"',
}
NO_SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "your-api-key",
    "api_key = 'YOUR_API_KEY_GOES_HERE'",
    "ghp_" + "x" * 36,
    "postgres://user:password@localhost/db",
    "mysql://root:${DB_PASSWORD}@db/main",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6y",
    "risk-free-investment-opportunities and task-based-language-teaching-methods",
    "https://harbor.example:8080/ships/a@b",
    "password = 'correct horse battery'",
    "The key is under the mat, and the token is a coin.",
    "d41d8cd98f00b204e9800998ecf8427e is the digest of nothing.",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
]


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_is_found_by_its_form(kind: str) -> None:
    for text in (SECRETS[kind]() for _ in range(5)):
        assert [secret.kind for secret in secrets_in(f"It is {text}, so be careful.")] == [kind]


GLUED = [kind for kind in SECRETS if kind not in ("telegram-token", "named-secret", "bearer-token", "aws-secret-key")]


@pytest.mark.parametrize("kind", GLUED)
def test_a_secret_is_found_directly_behind_a_letter_or_an_underscore(kind: str) -> None:
    for before in ("key", "MY_", "_", "x"):
        text = f"It is {before}{SECRETS[kind]()} so be careful."
        assert kind in [secret.kind for secret in secrets_in(text)], text
        assert "[masked]" in masked(text), text


def test_a_secret_is_found_in_front_of_an_underscore() -> None:
    assert [secret.kind for secret in secrets_in(f"It is {SECRETS['twilio-key']()}_old")] == ["twilio-key"]


@pytest.mark.parametrize(
    "text",
    [
        "disk_live_migration_of_virtual_machines2024 and task-user-manual-for-the-new-release-2",
        "the shelf_life_of_vegetables_in_cold_storage_2024 and a_spipe-assembly-instructions",
        "desk-proj-plan-2024-for-the-coming-season-of-the-harbor",
        "class TASK_AKIAIO and TASKIANS, or FLASK0123456789",
    ],
)
def test_names_that_have_the_beginning_of_a_secret_inside_are_none(text: str) -> None:
    assert list(secrets_in(text)) == []


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_documentation_prints_is_no_secret(text: str) -> None:
    assert all(secret.is_invented for secret in secrets_in(f"Use {text} here."))


def test_a_key_of_documentation_is_reported_and_does_not_count() -> None:
    example = row("Set the key AKIAIOSFODNN7EXAMPLE first.")
    (result,) = gate(Pool.of([example]), GateConfig((ConfiguredCheck(SecretInRow(), "error"),))).results
    assert result.state == "passed" and [finding.severity for finding in result.findings] == ["warning"]
    assert "one of documentation" in result.findings[0].message
    assert not flags("secret", example, invented=False) and not flags("secret", row("Set your-api-key and sk-xxxx."))


def places(secret: str) -> dict[str, dict[str, Any]]:
    """A row for each place of a secret."""
    question, answer = {"role": "user", "content": "Tide in Brest?"}, {"role": "assistant", "content": "At noon."}
    call = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": json.dumps({"key": secret})}}
    tool = {
        "type": "function",
        "function": {"name": "get_tide", "description": f"Uses {secret}", "parameters": {"type": "object", "properties": {}}},
    }
    return {
        "system": {"messages": [{"role": "system", "content": f"Use {secret}."}, question, answer]},
        "prompt": {"messages": [{"role": "user", "content": f"Use {secret}."}, answer]},
        "response": {"messages": [question, {"role": "assistant", "content": f"It is {secret}."}]},
        "reasoning": {"messages": [question, {"role": "assistant", "content": "Yes.", "reasoning_content": f"It is {secret}."}]},
        "arguments": {"messages": [question, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "5", "tool_call_id": "c1"}, answer]},
        "result": {"messages": [question, {"role": "assistant", "content": "", "tool_calls": [{**call, "function": {"name": "f", "arguments": "{}"}}]},
                                {"role": "tool", "content": secret, "tool_call_id": "c1"}, answer]},
        "tools": {"messages": [question, answer], "tools": [tool]},
        "earlier": {"messages": [question, {"role": "assistant", "content": secret}, question, answer]},
    }  # fmt: skip


@pytest.mark.parametrize("place", ["system", "prompt", "response", "reasoning", "arguments", "result", "tools", "earlier"])
def test_a_secret_is_found_in_every_place_of_a_row(place: str) -> None:
    assert len(hits("secret", places("ghp_" + some(36))[place])) == 1


def test_no_output_of_a_gate_holds_a_secret() -> None:
    secrets = {kind: make() for kind, make in SECRETS.items()}
    rows = [one for text in secrets.values() for one in places(text).values()]
    rows += [row(f"I'm sorry, but I can't help with that. {text} {text}") for text in secrets.values()]
    verdict = gate(Pool.of(rows))
    texts = [json.dumps(verdict.as_dict()), verdict.frame.write_csv(), repr(verdict), *(result.statement for result in verdict.results)]
    texts += [form.render(verdict, Setting()).decode() for form in outputs().values()]
    bodies = [part for text in secrets.values() for part in _telling(text)]
    assert len(bodies) >= len(secrets)
    for text in texts:
        assert not [body for body in bodies if body in text]


def _telling(secret: str) -> list[str]:
    """The parts of a secret that nobody may see: its random runs."""
    return [run[4:] for run in re.findall(r"[A-Za-z0-9+]{16,}", secret)] or [secret.partition("admin:")[2].partition("@")[0]]


@pytest.mark.parametrize("kind", SECRETS)
def test_what_the_gate_finds_is_what_excerpts_mask(kind: str) -> None:
    text = SECRETS[kind]()
    for shown in (masked(f"It is {text}, so."), masked_excerpt(f"It is {text}, so.")):
        assert not [part for part in _telling(text) if part in shown]


def test_several_secrets_of_one_kind_have_keys_of_their_own() -> None:
    reported = hits("secret", row(f"ghp_{some(36)} and ghp_{some(36)}"))
    assert [hit.key for hit in reported] == ["the response github-token", "the response github-token 2"]


def test_a_kind_that_is_allowed_is_not_reported() -> None:
    assert not flags("secret", row(SECRETS["jwt"]()), allow=("jwt",))


def test_the_detectors_of_detect_secrets_are_asked_in_addition() -> None:
    pytest.importorskip("detect_secrets")
    assert len(loaded_detectors()) == len(DETECTORS)
    text = f"artifactory: AKC{some(20)}"
    assert flags("secret", row(text), package="detect-secrets")
    assert not flags("secret", row("The harbor of Brest has two basins, called 1234 and abcd."), package="detect-secrets")


class Counting:
    """A detector that counts the characters that it is given, and finds what stands behind a mark."""

    def __init__(self) -> None:
        self.longest = self.total = 0

    def analyze_string(self, text: str) -> list[str]:
        self.longest, self.total = max(self.longest, len(text)), self.total + len(text)
        return re.findall(r"AKC\w{20}", text)


@pytest.mark.parametrize("place", [0, 3_990, 4_000, 9_000, 99_000])
def test_a_long_line_is_looked_at_in_pieces_to_its_end(place: int) -> None:
    secret = f"AKC{some(20)}"
    line = ". " * 50_000
    text = f"short\n{line[:place]} {secret} {line[place:]}"
    detector = Counting()
    (hit,) = detected(text, (("artifactory", detector),), [])
    assert text[hit.start : hit.end] == secret
    assert detector.longest <= 4_000 and detector.total <= 2 * len(text)
    assert not detected(text, (("artifactory", detector),), [hit]), "what is known is not reported again"


def test_a_secret_that_is_said_once_more_without_its_form_is_hidden_there_too() -> None:
    text = "Connect to https://user:hunter2hunter@h.internal.net/ where hunter2hunter is the password."
    (hit,) = hits("secret", row(text))
    assert "hunter2hunter" not in hit.evidence and hit.evidence.startswith("Connect to")


@pytest.mark.parametrize("kind", ["cut-off", "unclosed-reasoning"])
def test_evidence_that_begins_in_the_middle_of_a_secret_shows_none_of_it(kind: str) -> None:
    secret = "correcthorse99"
    for distance in range(40, 132, 3):
        filler = ("x y " * 40)[:distance] + "and the"
        response = "The ships sail on along the coast. " * 3 + f"The password is {secret} {filler}"
        for hit in hits(kind, row(response if kind == "cut-off" else f"{response}</think> Done.")):
            assert not any(secret[start:] in hit.evidence for start in range(len(secret) - 5)), (distance, hit.evidence)


def test_of_places_that_overlap_everything_is_hidden() -> None:
    text = "one two-three-four-five six seven " + "eight " * 100
    places = disjoint([(8, 13), (4, 23), (14, 18), (28, 33)])
    assert places == [(4, 23), (28, 33)]
    for start, end in ((14, 18), (28, 33)):
        shown = hidden_around(text, places, start, end)
        assert shown.startswith("one [masked] six [masked] eight") and "three" not in shown


def test_every_pattern_stands_in_texts_with_one_of_its_signs() -> None:
    for pattern in PATTERNS:
        assert pattern.signs and pattern.kind not in [other.kind for other in PATTERNS if other is not pattern]


def test_long_hostile_texts_are_searched_once() -> None:
    units = [
        "a://",
        "-----BEGIN PRIVATE KEY-----",
        'key="',
        "aws_",
        "bearer ",
        "M",
        "eyJ",
        "secret",
        "sk-",
        "password = ",
        "a:",
        "://" + "a" * 99,
        "PuTTY-User-Key-File-2: ",
        "AKIA" + "A1B2C3D4" * 2 + " ",
    ]
    for unit in units:
        list(secrets_in(unit * (300_000 // len(unit))))
