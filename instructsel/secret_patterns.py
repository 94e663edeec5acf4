"""What secrets look like: one list, by which excerpts and logs are masked, and by which the gate finds them in rows.

A pattern is wide, so that masking hides more than a secret rather than less; `sure` tells which of its matches are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

WORD: Final = r"\b"
ALONE: Final = "(?<![A-Za-z0-9])"
GLUED: Final = "(?<=[A-Za-z])"
"""Where patterns begin: at a word, and what is looked for in its place."""
RANDOM: Final = re.compile(r"(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{14,}")
"""What a secret has that stands directly behind a letter, and no word or name of a file has: figures among many letters, without a hyphen."""


@dataclass(frozen=True)
class SecretPattern:
    """How one kind of secret is written."""

    kind: str
    """Its name in settings and keys."""
    name: str
    """What messages call it, with its article."""
    signs: tuple[str, ...]
    """One of them stands in every text that has it."""
    pattern: str
    """What is masked."""
    sure: str = ""
    """What a match has to be, from its beginning to its end, to be a secret; any match where it is empty."""
    is_named: bool = False
    """Whether only what the text calls a secret is one: its value is the last group."""

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The wide pattern; an underscore before it is no part of its word."""
        return re.compile(self.pattern.replace(WORD, ALONE), re.DOTALL)

    @cached_property
    def compiled_glued(self) -> re.Pattern[str] | None:
        """The wide pattern directly behind a letter; None of what has no beginning of its own, or is known by what the text calls it."""
        begins = self.pattern.removeprefix(WORD)
        if self.is_named or begins == self.pattern or begins.startswith(("[", "\\d")):
            return None
        return re.compile(self.pattern.replace(WORD, GLUED), re.DOTALL)

    @cached_property
    def compiled_sure(self) -> re.Pattern[str]:
        """The narrow one."""
        return re.compile(self.sure or ".*", re.DOTALL)


PATTERNS: Final = (
    SecretPattern(
        "private-key", "a private key", ("PRIVATE KEY-----",),
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    SecretPattern("private-key-putty", "a private key", ("PuTTY-User-Key-File",), r"PuTTY-User-Key-File-\d: .{0,400}?Private-Lines: \d+\s+\S{16,}"),
    SecretPattern("jwt", "a JSON Web Token", ("eyJ",), r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"),
    SecretPattern("anthropic-key", "an Anthropic API key", ("sk-ant-",), r"\bsk-ant-[\w-]{6,}", r".{27,}"),
    SecretPattern(
        "openai-key", "an API key of OpenAI's form", ("sk-",), r"\bsk-(?!ant-)[\w-]{12,}",
        r"sk-(?:(?:proj|svcacct|admin|or-v1|None|lf|user)-[\w-]{16,}|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9]{18,}[\w-]*|[A-Za-z0-9_-]{40,})",
    ),
    SecretPattern(
        "stripe-key", "a Stripe key", ("k_live_", "k_test_", "whsec_", "sk_", "rk_", "pk_"), r"\b(?:[sprk]k_[\w-]{12,}|whsec_\w{16,})",
        r"(?:[sr]k_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{24,})",
    ),
    SecretPattern("hyphenated-key", "a key", ("pk-", "rk-", "kk-"), r"\b[pr]k-[\w-]{12,}", r"(?!)"),
    SecretPattern(
        "github-token", "a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\b(?:gh[pousr]|github_pat)_\w{16,}",
        r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}",
    ),
    SecretPattern("gitlab-token", "a GitLab token", ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-"), r"\bgl(?:pat|dt|rt|cbt|ptt|soat)-[\w-]{16,}"),
    SecretPattern("npm-token", "an npm token", ("npm_",), r"\bnpm_\w{16,}", r"npm_[A-Za-z0-9]{30,}"),
    SecretPattern("pypi-token", "a PyPI token", ("pypi-",), r"\bpypi-[\w-]{16,}", r"pypi-[\w-]{40,}"),
    SecretPattern("huggingface-token", "a Hugging Face token", ("hf_", "api_org_"), r"\b(?:hf|api_org)_\w{16,}", r"(?:hf|api_org)_[A-Za-z0-9]{28,}"),
    SecretPattern("slack-token", "a Slack token", ("xox", "xapp-"), r"\b(?:xox[a-z]|xapp)-[\w-]{8,}", r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    SecretPattern("slack-webhook", "a Slack webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}"),
    SecretPattern("discord-webhook", "a Discord webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d{10,}/[\w-]{20,}"),
    SecretPattern(
        "aws-access-key", "an AWS access key", ("AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ANPA", "ABIA", "ACCA"),
        r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[0-9A-Z]{12,}", r"[A-Z]{4}[0-9A-Z]{16}",
    ),
    SecretPattern(
        "aws-secret-key", "an AWS secret key", ("aws", "AWS", "Aws"),
        r"(?i)\baws_?(?:secret)?_?(?:access)?_?(?:key|secret)[\w ]{0,20}[\"']?\s{0,4}(?:=>|=|:|is)\s{0,4}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])", is_named=True,
    ),
    SecretPattern("google-key", "a Google API key", ("AIza",), r"\bAIza[\w-]{30,}", r"AIza[\w-]{33,38}"),
    SecretPattern("google-secret", "a Google OAuth secret", ("GOCSPX-", "ya29."), r"\bGOCSPX-[\w-]{16,}|\bya29\.[\w-]{8,}", r"GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,}"),
    SecretPattern("azure-key", "an Azure account key", ("AccountKey", "SharedAccessKey"), r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,}={0,2})", is_named=True),
    SecretPattern("sendgrid-key", "a SendGrid key", ("SG.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
    SecretPattern("twilio-key", "a Twilio key", ("SK",), r"\bSK[0-9a-f]{32}(?![A-Za-z0-9])"),
    SecretPattern("mailgun-key", "a Mailgun key", ("key-",), r"\bkey-[0-9a-f]{32}(?![A-Za-z0-9])"),
    SecretPattern("mailchimp-key", "a Mailchimp key", ("-us",), r"\b[0-9a-f]{32}-us\d{1,2}(?![A-Za-z0-9])"),
    SecretPattern("telegram-token", "a Telegram bot token", (":AA",), r"\b\d{8,10}:AA[\w-]{30,36}(?![A-Za-z0-9])"),
    SecretPattern("discord-token", "a Discord bot token", ("M", "N", "O"), r"\b[MNO][A-Za-z\d_-]{23,28}\.[\w-]{6}\.[\w-]{27,40}(?![A-Za-z0-9])"),
    SecretPattern("shopify-token", "a Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"\bshp(?:at|ca|pa|ss)_\w{16,}"),
    SecretPattern("digitalocean-token", "a DigitalOcean token", ("_v1_",), r"\bdo[opr]_v1_\w{16,}"),
    SecretPattern("databricks-token", "a Databricks token", ("dapi",), r"\bdapi[0-9a-f]{32}(?:-\d)?(?![A-Za-z0-9])"),
    SecretPattern("square-token", "a Square token", ("sq0",), r"\bsq0(?:atp|csp|idp)-[\w-]{22,}"),
    SecretPattern("vault-token", "a Vault token", ("hvs.", "hvb."), r"\bhv[sb]\.[\w-]{20,}"),
    SecretPattern("replicate-token", "a Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{30,}"),
    SecretPattern("groq-key", "a Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{40,}"),
    SecretPattern("xai-key", "an xAI key", ("xai-",), r"\bxai-[A-Za-z0-9]{60,}"),
    SecretPattern("perplexity-key", "a Perplexity key", ("pplx-",), r"\bpplx-[A-Za-z0-9]{40,}"),
    SecretPattern("langchain-key", "a LangSmith key", ("lsv2_",), r"\blsv2_(?:pt|sk)_\w{30,}"),
    SecretPattern("atlassian-token", "an Atlassian token", ("ATATT3", "ATCTT3"), r"\bAT[AC]TT3[\w=-]{40,}"),
    SecretPattern("linear-key", "a Linear key", ("lin_api_",), r"\blin_api_[A-Za-z0-9]{30,}"),
    SecretPattern("notion-token", "a Notion token", ("ntn_", "secret_"), r"\b(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})(?![A-Za-z0-9])"),
    SecretPattern("figma-token", "a Figma token", ("figd_",), r"\bfigd_[\w-]{30,}"),
    SecretPattern("newrelic-key", "a New Relic key", ("NRAK-",), r"\bNRAK-[A-Z0-9]{27}(?![A-Za-z0-9])"),
    SecretPattern("grafana-token", "a Grafana token", ("glsa_", "glc_"), r"\b(?:glsa|glc)_[\w+/=]{30,}"),
    SecretPattern("postman-key", "a Postman key", ("PMAK-",), r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}(?![A-Za-z0-9])"),
    SecretPattern("supabase-token", "a Supabase token", ("sbp_",), r"\bsbp_[0-9a-f]{40}(?![A-Za-z0-9])"),
    SecretPattern("airtable-token", "an Airtable token", ("pat",), r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}(?![A-Za-z0-9])"),
    SecretPattern("facebook-token", "a Facebook token", ("EAAC", "EAAB", "EAAG"), r"\bEAA[BCG][A-Za-z0-9]{80,}"),
    SecretPattern("alibaba-key", "an Alibaba Cloud key", ("LTAI",), r"\bLTAI[A-Za-z0-9]{16,26}(?![A-Za-z0-9])"),
    SecretPattern("age-key", "an age key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    SecretPattern(
        "password-in-address", "a password in an address", (":/",), r"(?:(?<=://)|(?<=:/)(?!/))[^\s/@:]{0,200}:[^\s/@]{1,400}(?=@)",
        r"[\w.%+-]{0,60}:(?!\d{2,5}$)[^\s/@\"'<>{}$|,;]{4,100}",
    ),
    SecretPattern(
        "bearer-token", "an authorization header", ("earer ", "EARER "), r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/=-]{20,500})", r"(?=.*\d)(?=.*[a-zA-Z]).*", is_named=True,
    ),
    SecretPattern(
        "named-secret", "what the text calls a key or a password",
        ("key", "KEY", "Key", "token", "TOKEN", "Token", "secret", "SECRET", "Secret", "passw", "PASSW", "Passw", "pwd", "PWD", "Pwd"),
        r"(?i)(?:api[ _-]?key|secret[ _-]?key|access[ _-]?key|access[ _-]?token|auth[ _-]?token|client[ _-]?secret|private[ _-]?key|secret|token|password|passwd|pwd)"
        r"[\"']?\s{0,3}(?:=>|:=|=|:)\s{0,3}[\"'`]([^\s\"'`]{16,200})[\"'`]",
        r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w+/=.~!@#$%^&*-]{16,}|[0-9a-f]{32,}|[0-9A-F]{32,}", is_named=True,
    ),
)  # fmt: skip
"""Every kind."""
BY_KIND: Final = {pattern.kind: pattern for pattern in PATTERNS}

PLACEHOLDER: Final = re.compile(
    r"example|your[-_ ]?|(?:^|[-_])my[-_ ]|placeholder|change[-_ ]?me|redacted|insert|replace|dummy|x{4,}|\*{3,}|\.{3}|(.)\1{6,}|<|>|\$\{|\{\{|%[sd]\b|process\.env|os\.environ|getenv"
    r"|abcdefgh[a-z]{8,}|1234567890123456|fake|sample|foobar|todo",
    re.IGNORECASE,
)
"""What the keys of documentation have that no key of anybody has."""
KNOWN: Final = frozenset({"sk_test_4eC39HqLyjWDarjtT1zdp7dc", "sk_test_BQokikJOvBiI2HlWgH4olfQ2", "sk_test_26PHem9AhJZvU623DfE1x4sd"})
"""Keys that documentation prints."""
WEAK: Final = frozenset(
    [
        "password",
        "passwd",
        "pass",
        "secret",
        "pwd",
        "admin",
        "root",
        "user",
        "username",
        "test",
        "guest",
        "changeme",
        "token",
        "key",
        "pw",
        "postgres",
        "mysql",
        "mongo",
        "redis",
        "rabbitmq",
        "mypassword",
        "db_password",
        "dbpassword",
    ]
)
"""Passwords that an address of documentation has."""
LEAST: Final = 16
"""Characters of such a run."""
LONG: Final = re.compile(r"[\w+/=.:!@#$%^&*~-]{16}")
"""What every secret has, but passwords in addresses and the heads of private keys."""
DIFFERENT: Final = 6
"""Signs of the random part that differ, at least."""
BASE64: Final = re.compile(r"[A-Za-z0-9+/=]{16}")
JWT_OF_DOCUMENTATION: Final = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l"
"""The claims of jwt.io's example."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in a text."""

    kind: str
    start: int
    end: int
    is_invented: bool = False
    """Whether it is one of documentation, which opens nothing."""

    @property
    def name(self) -> str:
        """What messages call it, with its article."""
        return BY_KIND[self.kind].name if self.kind in BY_KIND else f"a secret ({self.kind})"


def secrets_in(text: str) -> Iterator[Secret]:
    """The secrets of a text by their form, those of documentation among them, in no order.

    >>> [secret.kind for secret in secrets_in("export KEY=AKIA" + "2E0A8F3B244C9986")]
    ['aws-access-key']
    """
    # Without a word of as many signs no pattern has to be tried.
    is_long = max(map(len, text.split()), default=0) >= LEAST and LONG.search(text) is not None
    if not is_long and ":/" not in text and "-----" not in text:
        return
    taken = bytearray()
    for pattern in PATTERNS:
        for sign in pattern.signs:
            if sign in text:
                break
        else:
            continue
        for start, end in _places(pattern, text):
            value = text[start:end]
            if taken and (taken[start] or taken[end - 1]):
                continue
            if pattern.compiled_sure.fullmatch(value):
                taken = taken or bytearray(len(text))
                taken[start:end] = b"1" * (end - start)
                yield Secret(pattern.kind, start, end, is_placeholder(pattern.kind, value))


def _places(pattern: SecretPattern, text: str) -> Iterator[tuple[int, int]]:
    """Where what a pattern matches stands: as a word, and directly behind a letter where it is as random as a secret."""
    for match in pattern.compiled.finditer(text):
        yield match.span(match.lastindex or 0) if pattern.is_named else match.span()
    for match in pattern.compiled_glued.finditer(text) if pattern.compiled_glued is not None else ():
        if RANDOM.search(match[0]):
            yield match.span()


def is_placeholder(kind: str, value: str) -> bool:
    """Whether what looks like a secret is one of documentation."""
    if kind == "private-key":
        body = value.partition("KEY-----")[2] or value.partition("BLOCK-----")[2]
        return bool(body.strip()) and BASE64.search(body) is None
    if kind == "password-in-address":
        password = value.partition(":")[2]
        return password.casefold() in WEAK or PLACEHOLDER.search(value) is not None or password.startswith(("{", "[", "%", "$"))
    if value in KNOWN or PLACEHOLDER.search(value) or JWT_OF_DOCUMENTATION in value:
        return True
    return len(set(value[4:])) < DIFFERENT


def hidden_keys(text: str, hidden: str) -> str:
    """A text with something in place of every key that shows what it is by how it begins, and of every password in an address.

    >>> hidden_keys("see hf_" + "a1B2" * 8, "…")
    'see …'
    """
    for pattern in PATTERNS:
        if not pattern.is_named and any(sign in text for sign in pattern.signs):
            text = pattern.compiled.sub(hidden, text)
            if pattern.compiled_glued is not None:
                text = pattern.compiled_glued.sub(lambda match: hidden if RANDOM.search(match[0]) else match[0], text)
    return text


__all__ = ["BY_KIND", "PATTERNS", "Secret", "SecretPattern", "hidden_keys", "is_placeholder", "secrets_in"]
