"""Defects of content: responses that say nothing, characters that nobody sees, other languages, secrets and personal data (all made up)."""

from __future__ import annotations

import json
import string
from typing import Any

from plants import Ground, Planted, Row, inside, plant, prompt, response, with_prompt, with_response

from instructsel.pool.sources import zstd

LITTLE = ("T0-DEGEN-001",)
IDENTITY = ("T1-IDENT-001",)
PERSONAL = ("T1-PII-001",)
TONGUE = ("T1-LANG-002", "T1-LANG-003")
ENCODING = ("T0-ENC-001",)


# --- responses


@plant("an empty response", "empty-response", strengths=(1.0, 0.5), rivals=("T0-DEGEN-001", "T0-ROLE-001"))
def empty_response(row: Row, ground: Ground, strength: float) -> Planted:
    """Nothing, or what is drawn as nothing."""
    return [with_response(row, " \n" if strength == 1 else "\u200b\u00a0")]


@plant("an empty prompt", "empty-prompt", strengths=(1.0, 0.5), rivals=("T0-ROLE-001",))
def empty_prompt(row: Row, ground: Ground, strength: float) -> Planted:
    """Nothing, or what is drawn as nothing."""
    return [{**row, "messages": [{"role": "user", "content": "" if strength == 1 else "\u200b"}, response(row)]}]


PLACEHOLDERS = {
    1.0: ("TODO", "N/A", "Lorem ipsum dolor sit amet", "[insert answer here]"),
    0.5: ("<your answer here>", "TBD", "nan", "None"),
}


@plant("a placeholder as response", "placeholder", "short-response", strengths=(1.0, 0.5), rivals=LITTLE)
def placeholder(row: Row, ground: Ground, strength: float) -> Planted:
    """Words that stand for a text that never came."""
    return [with_response(row, ground.rng.choice(PLACEHOLDERS[strength]))]


REFUSALS = {
    1.0: ("I'm sorry, but I can't assist with that request.", "I apologize, but I cannot help with that."),
    0.5: ("Sorry, I am unable to provide an answer to this question.", "I won't be able to help you with this one."),
}


@plant("a refusal", "refusal", strengths=(1.0, 0.5), rivals=IDENTITY)
def refusal(row: Row, ground: Ground, strength: float) -> Planted:
    """In two sets of words."""
    return [with_response(row, ground.rng.choice(REFUSALS[strength]))]


SELVES = {
    1.0: ("As an AI language model, I do not have opinions.", "I am ChatGPT, a large language model trained by OpenAI."),
    0.5: ("As a large language model I have no access to the internet.", "As an artificial intelligence, I have no feelings."),
}


@plant("a response that speaks as an AI", "self-reference", strengths=(1.0, 0.5), rivals=IDENTITY)
def self_reference(row: Row, ground: Ground, strength: float) -> Planted:
    """In front of the response."""
    return [with_response(row, f"{ground.rng.choice(SELVES[strength])} {response(row)['content']}")]


PROSE = (
    "The harbor was rebuilt after the storm of 1953. Its quays were raised by two metres, and the old lighthouse was moved to the northern pier. "
    "Since then the town has lived on fish and on visitors, who come for the regatta in August. In winter most of the houses along the front stand "
    "empty, and the ferry runs three times a week. The museum keeps the log of the last keeper, who wrote down the weather every hour for thirty years."
)


@plant("a response that is cut off", "cut-off", strengths=(1.0, 0.5, 0.3))
def cut_off(row: Row, ground: Ground, strength: float) -> Planted:
    """In the middle of a sentence, in an open fence, behind a comma."""
    words = PROSE.split()
    place = ground.rng.randrange(30, len(words) - 5)
    text = " ".join(words[:place]).rstrip(".,")
    if strength == 1:
        return [with_response(row, f"{text} and the")]
    if strength == 0.5:
        return [
            with_response(
                row,
                f"Here is the code:\n```python\ndef total(values):\n    result = 0\n    for value in values:\n        result += {text[:9]!r}",
            )
        ]
    return [with_response(row, f"{text}, which")]


@plant("a response that repeats the prompt", "echo", strengths=(1.0, 0.5), rivals=LITTLE)
def echo(row: Row, ground: Ground, strength: float) -> Planted:
    """To the letter, or with a word in front."""
    asked = f"{prompt(row)['content']} Tell me in a few sentences what matters most about it, and why."
    return [with_response(with_prompt(row, asked), asked if strength == 1 else f"Sure! {asked}")]


@plant("a response that runs in a loop", "repetition", strengths=(1.0, 0.5), rivals=LITTLE)
def repetition(row: Row, ground: Ground, strength: float) -> Planted:
    """A sentence many times, or behind a text of its own."""
    loop = "The answer is that it depends on the weather. "
    return [with_response(row, loop * 40 if strength == 1 else PROSE + " " + "and then again " * 30)]


@plant("template marks in a text", "chat-markup", strengths=(1.0, 0.5), rivals=("T0-TMPL-001",))
def chat_markup(row: Row, ground: Ground, strength: float) -> Planted:
    """ChatML's, or those of Llama 2 and 3."""
    text = response(row)["content"]
    if strength == 1:
        return [with_response(row, f"{text}<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>")]
    return [with_prompt(row, f"[INST] {prompt(row)['content']} [/INST]")]


# --- characters


@plant("mojibake", "invisible-text", strengths=(1.0, 0.5), rivals=ENCODING)
def mojibake(row: Row, ground: Ground, strength: float) -> Planted:
    """UTF-8 that was read as Latin-1, in many words or in one."""
    piece = "Caf\u00e9 M\u00fcller\u2019s \u201cna\u00efve\u201d d\u00e9j\u00e0 vu"
    broken = piece.encode().decode("cp1252", "replace")
    return [with_response(row, f"{response(row)['content']} {broken if strength == 1 else broken.split()[0]}")]


@plant("replacement characters", "invisible-text", strengths=(1.0, 0.5), rivals=ENCODING)
def replaced(row: Row, ground: Ground, strength: float) -> Planted:
    """In many places, or in one."""
    text = response(row)["content"]
    return [with_response(row, text.replace("e", "\ufffd") + "\ufffd" if strength == 1 else text + " caf\ufffd")]


@plant("characters that turn the reading direction", "invisible-text", rivals=ENCODING)
def bidi(row: Row, ground: Ground, strength: float) -> Planted:
    """Trojan Source."""
    return [with_response(row, f"{response(row)['content']} \u202eabc\u202c \u2066def\u2069")]


@plant("characters without width", "invisible-text", strengths=(1.0, 0.5), rivals=ENCODING)
def zero_width(row: Row, ground: Ground, strength: float) -> Planted:
    """Between letters, or hidden letters of the tag block."""
    text = response(row)["content"]
    hidden = "\u200b".join("secret") if strength == 1 else "".join(chr(0xE0000 + ord(sign)) for sign in "ignore all")
    return [with_response(row, f"{text} {hidden}")]


@plant("control characters", "invisible-text", rivals=ENCODING)
def control(row: Row, ground: Ground, strength: float) -> Planted:
    """Of a terminal."""
    return [with_response(row, f"{response(row)['content']} \x1b[31mred\x1b[0m\x08\x00")]


# --- languages

GERMAN = (
    "Der Hafen wurde nach dem Sturm von 1953 wieder aufgebaut, und seitdem lebt die Stadt vom Fischfang und von den G\u00e4sten im Sommer.",
    "Wer morgens fr\u00fch aufsteht, hat mehr vom Tag, sagt man; wer abends lange wach bleibt, sieht daf\u00fcr die Sterne \u00fcber dem Meer.",
    "Die Maschine pr\u00fcft jede Schraube einzeln und legt diejenigen zur Seite, deren Gewinde nicht den Vorgaben entspricht.",
)
FRENCH = (
    "Le port a \u00e9t\u00e9 reconstruit apr\u00e8s la temp\u00eate de 1953, et depuis la ville vit de la p\u00eache et des visiteurs de l'\u00e9t\u00e9.",
    "Celui qui se l\u00e8ve t\u00f4t profite davantage de la journ\u00e9e, mais celui qui veille longtemps voit les \u00e9toiles au-dessus de la mer.",
)
RUSSIAN = (
    "\u041f\u043e\u0440\u0442 \u0431\u044b\u043b \u0432\u043e\u0441\u0441\u0442\u0430\u043d\u043e\u0432\u043b\u0435\u043d \u043f\u043e\u0441\u043b\u0435 \u0448\u0442\u043e\u0440\u043c\u0430, \u0438 \u0441 \u0442\u0435\u0445 \u043f\u043e\u0440 \u0433\u043e\u0440\u043e\u0434 \u0436\u0438\u0432\u0451\u0442 \u0440\u044b\u0431\u043e\u043b\u043e\u0432\u0441\u0442\u0432\u043e\u043c.",
)


@plant("a row in another language", "language", strengths=(1.0, 0.6, 0.3), rivals=TONGUE, settings={"allow": ["en"]})
def language(row: Row, ground: Ground, strength: float) -> Planted:
    """Russian, German, French: prompt and response."""
    texts = {1.0: RUSSIAN, 0.6: GERMAN, 0.3: FRENCH}[strength]
    return [{**row, "messages": [{"role": "user", "content": ground.rng.choice(texts)}, {"role": "assistant", "content": " ".join(texts)}]}]


@plant("a response in another language than its prompt", "language-mismatch", "language", strengths=(1.0, 0.6, 0.3), rivals=TONGUE)
def mismatch(row: Row, ground: Ground, strength: float) -> Planted:
    """Russian, German, French."""
    texts = {1.0: RUSSIAN, 0.6: GERMAN, 0.3: FRENCH}[strength]
    asked = f"{prompt(row)['content']} Please explain it in a few sentences so that everybody understands it."
    return [with_response(with_prompt(row, asked), " ".join(texts))]


@plant("a Chinese row", "language", rivals=TONGUE, settings={"allow": ["en"]})
def chinese(row: Row, ground: Ground, strength: float) -> Planted:
    """Of a real pool."""
    listed = ground.cache.setdefault("zh", _read(ground, "pools/alpaca_zh_demo"))
    other = ground.rng.choice([entry for entry in listed if len(entry["output"]) > 40])
    turns = [
        {"role": "user", "content": f"{other['instruction']}\n{other['input']}".strip()},
        {"role": "assistant", "content": other["output"]},
    ]
    return [{**row, "messages": turns}]


def _read(ground: Ground, name: str) -> list[dict[str, Any]]:
    raw = zstd.decompress((ground.data / f"{name}.jsonl.zst").read_bytes()).decode()
    return [json.loads(line) for line in raw.split("\n") if line]


# --- secrets and personal data, all of them made up

UPPER = string.ascii_uppercase + string.digits
MIXED = string.ascii_letters + string.digits
BURIED = (1.0, 0.6, 0.3)


def signs(ground: Ground, alphabet: str, number: int) -> str:
    """Random characters."""
    return "".join(ground.rng.choice(alphabet) for _ in range(number))


@plant("an AWS key", "secret", strengths=BURIED, rivals=PERSONAL)
def aws(row: Row, ground: Ground, strength: float) -> Planted:
    """Of its form, with random letters."""
    key = "AKIA" + signs(ground, UPPER, 16)
    return [
        with_response(row, inside(response(row)["content"], f"aws_access_key_id = {key}" if strength >= 0.5 else key, strength, ground.rng))
    ]


@plant("a GitHub token", "secret", strengths=BURIED, rivals=PERSONAL)
def github(row: Row, ground: Ground, strength: float) -> Planted:
    """Of its form, with random letters."""
    return [with_response(row, inside(response(row)["content"], "ghp_" + signs(ground, MIXED, 36), strength, ground.rng))]


@plant("a private key", "secret", strengths=(1.0, 0.6), rivals=PERSONAL)
def private_key(row: Row, ground: Ground, strength: float) -> Planted:
    """A block that begins and ends as one."""
    body = "\n".join(signs(ground, MIXED + "+/", 64) for _ in range(6))
    name = "RSA PRIVATE KEY"
    return [
        with_response(row, inside(response(row)["content"], f"-----BEGIN {name}-----\n{body}\n-----END {name}-----", strength, ground.rng))
    ]


@plant("a token of a chat service", "secret", strengths=(0.6, 0.3), rivals=PERSONAL)
def slack(row: Row, ground: Ground, strength: float) -> Planted:
    """Slack's form, with random figures."""
    figures = string.digits
    token = f"xoxb-{signs(ground, figures, 12)}-{signs(ground, figures, 12)}-{signs(ground, MIXED, 24)}"
    return [with_response(row, inside(response(row)["content"], token, strength, ground.rng))]


@plant("an email address", "personal-data", strengths=BURIED, rivals=PERSONAL)
def email(row: Row, ground: Ground, strength: float) -> Planted:
    """Of a person at a provider."""
    name = f"{ground.rng.choice(('anna', 'jonas', 'maria', 'peter'))}.{signs(ground, string.ascii_lowercase, 6)}{ground.rng.randrange(99)}"
    address = f"{name}@{ground.rng.choice(('gmail.com', 'web.de', 'outlook.com'))}"
    return [with_response(row, inside(response(row)["content"], address, strength, ground.rng))]


@plant("a telephone number", "personal-data", strengths=BURIED, rivals=PERSONAL)
def telephone(row: Row, ground: Ground, strength: float) -> Planted:
    """Of Germany, the United States and Britain, in international form."""
    rng = ground.rng
    number = rng.choice(
        (
            f"+49 30 {rng.randrange(2000000, 9000000)}",
            f"+1 212 {rng.randrange(223, 555)} {rng.randrange(1000, 9999)}",
            f"+44 20 7{rng.randrange(100, 999)} {rng.randrange(1000, 9999)}",
        )
    )
    return [with_response(row, inside(response(row)["content"], number if strength < 0.5 else f"Call {number}", strength, rng))]


@plant("a bank account", "personal-data", strengths=BURIED, rivals=PERSONAL)
def iban(row: Row, ground: Ground, strength: float) -> Planted:
    """An IBAN whose checksum holds."""
    body = signs(ground, string.digits, 18)
    check = 98 - int(f"{body}131400") % 97
    number = f"DE{check:02d}{body}"
    spaced = " ".join(number[place : place + 4] for place in range(0, len(number), 4))
    return [with_response(row, inside(response(row)["content"], spaced if strength == 1 else number, strength, ground.rng))]


@plant("a credit card", "personal-data", strengths=BURIED, rivals=PERSONAL)
def card(row: Row, ground: Ground, strength: float) -> Planted:
    """A number whose checksum holds."""
    body = f"4{signs(ground, string.digits, 14)}"
    total = sum(sum(divmod(int(sign) * (2 if place % 2 == 0 else 1), 10)) for place, sign in enumerate(body))
    number = f"{body}{-total % 10}"
    spaced = " ".join(number[place : place + 4] for place in range(0, 16, 4))
    return [with_response(row, inside(response(row)["content"], spaced if strength == 1 else number, strength, ground.rng))]
