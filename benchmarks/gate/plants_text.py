"""More defects of content: secrets of other issuers and in other places, refusals and voices in other languages, real responses cut at any place."""

from __future__ import annotations

import json
import string

from plants import Ground, Planted, Row, inside, plant, prompt, response, with_prompt, with_response

PERSONAL = ("T1-PII-001",)
IDENTITY = ("T1-IDENT-001",)
LITTLE = ("T0-DEGEN-001",)
MIXED = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
HEXADECIMAL = "0123456789abcdef"


def signs(ground: Ground, alphabet: str, number: int) -> str:
    """Random characters, a figure among them where the alphabet has figures."""
    text = [ground.rng.choice(alphabet) for _ in range(number)]
    if "7" in alphabet:
        text[ground.rng.randrange(number)] = "7"
    return "".join(text)


def token(ground: Ground, number: int) -> str:
    """A secret of the form that its issuer gives it, with random letters."""
    forms = (
        lambda: f"sk-proj-{signs(ground, MIXED, 48)}",
        lambda: f"sk-{signs(ground, MIXED, 48)}",
        lambda: f"sk-ant-api03-{signs(ground, MIXED, 80)}",
        lambda: f"hf_{signs(ground, string.ascii_letters, 34)}",
        lambda: f"AIza{signs(ground, MIXED, 35)}",
        lambda: f"glpat-{signs(ground, MIXED, 20)}",
        lambda: f"npm_{signs(ground, MIXED, 36)}",
        lambda: f"pypi-AgEIcHlwaS5vcmc{signs(ground, MIXED, 70)}",
        lambda: f"sk_live_{signs(ground, MIXED, 24)}",
        lambda: f"SG.{signs(ground, MIXED, 22)}.{signs(ground, MIXED, 43)}",
        lambda: f"SK{signs(ground, HEXADECIMAL, 32)}",
        lambda: f"{signs(ground, '123456789', 9)}:AA{signs(ground, MIXED, 33)}",
        lambda: f"eyJhbGciOiJIUzI1NiJ9.eyJ{signs(ground, MIXED, 40)}.{signs(ground, MIXED, 43)}",
        lambda: f"postgres://admin:{signs(ground, MIXED, 12)}@db.internal:5432/main",
        lambda: f"https://hooks.slack.com/services/T{signs(ground, UPPER, 8)}/B{signs(ground, UPPER, 8)}/{signs(ground, MIXED, 24)}",
        lambda: f"github_pat_{signs(ground, MIXED, 22)}_{signs(ground, MIXED, 59)}",
        lambda: f"aws_secret_access_key = {signs(ground, MIXED + '+/', 40)}",
        lambda: f"AccountKey={signs(ground, MIXED, 86)}==",
    )
    return forms[number % len(forms)]()


@plant("a secret of one of eighteen issuers", "secret", strengths=(1.0, 0.6, 0.3), rivals=PERSONAL)
def issuer(row: Row, ground: Ground, strength: float) -> Planted:
    """One after the other, in the response."""
    ground.cache["issuer"] = ground.cache.get("issuer", -1) + 1
    return [with_response(row, inside(response(row)["content"], token(ground, ground.cache["issuer"]), strength, ground.rng))]


@plant("a secret outside the response", "secret", strengths=(1.0, 0.6, 0.3), rivals=PERSONAL)
def elsewhere(row: Row, ground: Ground, strength: float) -> Planted:
    """In the system turn, in the prompt, in the arguments of a call."""
    secret = token(ground, ground.rng.randrange(18))
    if strength == 1:
        return [with_prompt(row, inside(prompt(row)["content"], secret, 0.6, ground.rng))]
    if strength == 0.6:
        return [{**row, "messages": [{"role": "system", "content": f"Use {secret} for all calls."}, *row["messages"]]}]
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": json.dumps({"key": secret})}}
    turns = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "done", "tool_call_id": "c1"}]
    return [{**row, "messages": [*row["messages"][:-1], *turns, response(row)]}]


@plant("the number of an identity card", "personal-data", strengths=(1.0, 0.6, 0.3), rivals=PERSONAL)
def identity(row: Row, ground: Ground, strength: float) -> Planted:
    """Of Turkey and of the United States, whose form or checksum holds."""
    rng = ground.rng
    if strength == 1:
        number = f"My SSN is {rng.randrange(100, 660):03d}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}."
    else:
        first = [rng.randrange(1, 10), *(rng.randrange(10) for _ in range(8))]
        tenth = (7 * sum(first[0::2]) - sum(first[1::2])) % 10
        number = "".join(map(str, [*first, tenth, (sum(first) + tenth) % 10]))
    return [with_response(row, inside(response(row)["content"], number, strength, rng))]


REFUSALS = (
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Je suis désolé, mais je ne peux pas répondre à cette demande.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "抱歉，我无法回答这个问题。",
    "申し訳ありませんが、そのご要望にはお応えできません。",
    "Üzgünüm, ancak bu konuda yardımcı olamam.",
    "Извините, но я не могу помочь с этим.",
)


@plant("a refusal in other words", "refusal", strengths=(1.0, 0.6, 0.3), rivals=IDENTITY)
def refusal(row: Row, ground: Ground, strength: float) -> Planted:
    """In other languages; in front of the response; behind it."""
    rng, text = ground.rng, response(row)["content"]
    if strength == 1:
        return [with_response(row, rng.choice(REFUSALS))]
    words = rng.choice(
        ("I cannot fulfill this request.", "I'm not able to assist with that.", "I must decline to answer that.", "I won't provide that.")
    )
    return [with_response(row, f"{words} {text}" if strength == 0.6 else f"{text} However, I can't help you with that request.")]


VOICES = (
    "Als KI-Sprachmodell habe ich keine Meinung.",
    "En tant que modèle de langage, je n'ai pas d'avis.",
    "Como modelo de lenguaje, no tengo opiniones.",
    "作为一个人工智能语言模型，我没有个人意见。",
    "Bir yapay zeka dil modeli olarak fikrim yok.",
    "Как языковая модель, я не имею мнения.",
)


@plant("a voice of another assistant", "self-reference", strengths=(1.0, 0.6, 0.3), rivals=IDENTITY)
def voice(row: Row, ground: Ground, strength: float) -> Planted:
    """In other languages; a cutoff behind the response; a maker's name in it."""
    rng, text = ground.rng, response(row)["content"]
    if strength == 1:
        return [with_response(row, rng.choice(VOICES))]
    if strength == 0.6:
        return [with_response(row, f"{text} As of my knowledge cutoff in September 2021, this was so.")]
    return [with_response(row, f"{text} I was created by {rng.choice(('OpenAI', 'Anthropic', 'Google'))} to help.")]


@plant("a real response cut at any place", "cut-off", strengths=(0.9, 0.6, 0.3))
def cut_anywhere(row: Row, ground: Ground, strength: float) -> Planted:
    """Behind so much of its characters; rows of several sentences that end with a full stop."""
    for _ in range(2_000):
        text = ground.other()["messages"][-1]["content"].strip()
        cut = text[: int(len(text) * strength)].rstrip()
        if len(text) > 400 and text.endswith(".") and cut[-1].isalnum() and "```" not in text:
            return [with_response(row, cut)]
    return [with_response(row, f"{response(row)['content']} It is of no use. It ends here. That is the end of the")]


@plant("a loop at the end of a response", "repetition", strengths=(1.0, 0.6, 0.3), rivals=LITTLE)
def loop(row: Row, ground: Ground, strength: float) -> Planted:
    """A line, a sentence, a few words of the response itself."""
    text = response(row)["content"]
    words = (text.split() or ["so"])[:12]
    piece = " ".join(words) if len(words) > 4 else "and so it goes on and on without an end"
    times = {1.0: 20, 0.6: 8, 0.3: 5}[strength]
    return [with_response(row, f"{text}\n" + (f"{piece}\n" * times if strength == 1 else f"{piece} of the sea and the land " * times))]


@plant("a prompt in front of the response", "echo", strengths=(1.0, 0.6), rivals=LITTLE)
def echo(row: Row, ground: Ground, strength: float) -> Planted:
    """The whole prompt, then an answer; the prompt in capitals."""
    question = f"{prompt(row)['content']} Tell me in a few sentences what matters most about it, and why."
    text = f"{question}\n{response(row)['content']}" if strength == 1 else question.upper()
    return [with_response(with_prompt(row, question), text)]


@plant("headings of a template in a text", "chat-markup", strengths=(1.0, 0.6, 0.3), rivals=("T0-TMPL-001",))
def headings(row: Row, ground: Ground, strength: float) -> Planted:
    """Alpaca's, a flattened dialogue, an end mark alone."""
    text = response(row)["content"]
    if strength == 1:
        return [with_prompt(row, f"### Instruction:\n{prompt(row)['content']}\n\n### Response:\n")]
    return [with_response(row, f"{text}\n\nHuman: And then?\n\nAssistant: Nothing." if strength == 0.6 else f"{text}<|eot_id|>")]


@plant("a spot that nobody filled in", "placeholder", strengths=(1.0, 0.6, 0.3))
def spot(row: Row, ground: Ground, strength: float) -> Planted:
    """A variable of a template, a bracket, an input that is none."""
    text = response(row)["content"]
    if strength == 0.3:
        return [with_prompt(row, f"{prompt(row)['content']}\n<noinput>")]
    return [with_response(row, f"{text} It is called {{{{ name }}}}." if strength == 1 else f"{text} It is called [insert name here].")]


@plant("letters apart from their accents, and private characters", "invisible-text", strengths=(1.0, 0.5), rivals=("T0-ENC-001",))
def decomposed(row: Row, ground: Ground, strength: float) -> Planted:
    """As some file systems write them; bullets of a symbol font."""
    return [with_response(row, response(row)["content"] + (" cafe\u0301 cre\u0300me" if strength == 1 else " \uf0b7 first"))]


@plant("a response of a few signs", "short-response", strengths=(1.0, 0.5), rivals=LITTLE)
def short(row: Row, ground: Ground, strength: float) -> Planted:
    """To a prompt that wants sentences."""
    question = "Describe in several sentences the life of the people who live beside the sea."
    return [with_response(with_prompt(row, question), ground.rng.choice((".", "-", "ok") if strength == 1 else ("Hm", "yes", "sea")))]
