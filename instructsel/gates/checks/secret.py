"""Rows with keys, tokens and passwords."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from typing import Any, ClassVar, Final, Literal

from instructsel.extras import require
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.sieve import sieve_of_passages
from instructsel.gates.wording.texts import disjoint, hidden_around, passages
from instructsel.secret_patterns import Secret, is_placeholder, secrets_in

DETECTORS: Final = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "ibm_cloud_iam": "IbmCloudIamDetector",
    "ibm_cos_hmac": "IbmCosHmacDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "softlayer": "SoftlayerDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""The detectors of detect-secrets that know a secret by its form. Those of high entropy, of keywords and of addresses flag nearly every row."""
SHORTEST: Final = 8
"""Characters of a line that can hold one."""
LONGEST: Final = 4_000
"""Characters of a line that detect-secrets is given at a time: some of its patterns take the square of a text's length."""
OVERLAP: Final = 1_000
"""Characters that two such pieces of a line have in common: a secret as long stands in one of them as a whole."""


@dataclass(frozen=True)
class SecretInRow(RowCheck):
    """Keys, tokens and passwords, in any text of a row: turns, reasoning, calls with their arguments, tools.

    Those of documentation, in the form of a key (AKIAIOSFODNN7EXAMPLE), are reported one severity lower and do not count; words in the place of
    a key (your-api-key, xxxx) are none. What is shown of a row never has the secret in it.
    """

    number: ClassVar[str] = "IS050"
    kind: ClassVar[str] = "secret"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own patterns, which also mask its outputs; detect-secrets 1.5.0 in addition where asked for"
    fix: ClassVar[str] = (
        "Revoke the secret, and take it out of the row or put a placeholder there: it has been public since it was committed."
    )
    of_row: ClassVar[bool] = True

    package: Literal["core", "detect-secrets"] = "core"
    """core: instructsel's patterns; detect-secrets: those and that package's detectors, which need the extra gate."""
    invented: bool = True
    """Whether those of documentation are reported, too."""
    allow: tuple[str, ...] = field(default=())
    """Kinds of secrets that may be there, e.g. jwt."""

    def locked(self, change: Change) -> str | None:
        """detect-secrets, where a configuration asks for it."""
        if self.package == "detect-secrets":
            require("detect_secrets", needed_by="The check secret with package = 'detect-secrets'")
        return None

    def hits(self, change: Change) -> Iterator[Hit]:
        """One for each secret."""
        detectors = loaded_detectors() if self.package == "detect-secrets" else ()
        # detect-secrets looks for others, too.
        likely = sieve_of_passages(change).matching(r"[0-9A-Za-z_+/=.:!@#$%^&*~-]{16}|:/|-----").tolist()
        for passage in passages(change) if detectors else compress(passages(change), likely):
            secrets = sorted(secrets_in(passage.text), key=lambda secret: secret.start)
            if detectors:
                secrets += detected(passage.text, detectors, secrets)
            places = disjoint((one.start, one.end) for one in secrets)
            counts: dict[str, int] = {}
            for secret in secrets:
                if secret.kind in self.allow or (secret.is_invented and not self.invented):
                    continue
                counts[secret.kind] = counts.get(secret.kind, 0) + 1
                number = f" {counts[secret.kind]}" if counts[secret.kind] > 1 else ""
                yield Hit(
                    passage.position,
                    f"{passage.holds} {secret.name}{', one of documentation' if secret.is_invented else ''}.",
                    evidence=hidden_around(passage.text, places, secret.start, secret.end),
                    key=f"{passage.where} {secret.kind}{number}",
                    is_mild=secret.is_invented,
                )


@cache
def loaded_detectors() -> tuple[tuple[str, Any], ...]:
    """Name → detector of detect-secrets."""
    require("detect_secrets", needed_by="The check secret with package = 'detect-secrets'")
    return tuple(
        (module, getattr(require(f"detect_secrets.plugins.{module}", needed_by="The check secret"), name)())
        for module, name in DETECTORS.items()
    )


def detected(text: str, detectors: tuple[tuple[str, Any], ...], known: list[Secret]) -> list[Secret]:
    """What detect-secrets sees in a text besides the secrets that are known, those of documentation left out."""
    taken = bytearray(len(text))
    for secret in known:
        taken[secret.start : secret.end] = b"1" * (secret.end - secret.start)
    result: list[Secret] = []
    for start, piece in _pieces(text):
        for module, detector in detectors:
            kind = module.replace("_", "-").removesuffix("-token").removesuffix("-key")
            for value in sorted(set(detector.analyze_string(piece))):
                place = piece.find(value)
                begin, end = start + place, start + place + len(value)
                if value and place >= 0 and not any(taken[begin:end]) and not is_placeholder(kind, value):
                    taken[begin:end] = b"1" * len(value)
                    result.append(Secret(kind, begin, end))
    return result


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text that may hold a secret, long ones in pieces, each with where it begins."""
    start = 0
    for line in text.split("\n"):
        if len(line) >= SHORTEST:
            for offset in range(0, max(1, len(line) - OVERLAP), LONGEST - OVERLAP):
                yield start + offset, line[offset : offset + LONGEST]
        start += len(line) + 1
