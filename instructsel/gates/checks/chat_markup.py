"""Rows whose texts hold the signs of a chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.sieve import sieve_of_passages
from instructsel.gates.wording.texts import FENCE, Passage, around, passages

CONTROL: Final = re.compile(
    r"<[|｜][A-Za-z][\w▁ .:/-]{0,40}[|｜]>|<[|｜]\d{1,6}[|｜]>|\[/?INST\]|<</?SYS>>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]"
    r"|</?(?:start|end)_of_(?:turn|text|image)>|<(?:bos|eos|pad|unk|sop|eop)>|\[(?:gMASK|sMASK|BOS|EOS|PAD|\|Human\||\|AI\||\|assistant\||\|user\|)\]|<\|?(?:human|bot)\|?>:"
    r"|<extra_id_\d{1,3}>|<reserved_\d{1,4}>|<eoh>|<eoa>|<eom>|<\|?im_(?:start|end|sep)\|?>|<[｜|](?:User|Assistant)[｜|]>|<｜[\w▁]{2,40}｜>|\[\[(?:HUMAN|ASSISTANT|SYSTEM)\]\]"
    r"|<(?:human|assistant|gpt|bot)>:? ?$|<unused\d{1,3}>|<jupyter_\w{1,20}>|<fim_(?:prefix|middle|suffix)>|<0x[0-9A-F]{2}>"
    r"|&lt;\|[A-Za-z]\w{0,40}\|&gt;|<\|(?:turn|channel|think|tool|tool_call|tool_response|image|audio)>|<(?:turn|channel|think|tool|tool_call|tool_response|image|audio)\|>"
)
"""Control tokens of chat templates: nothing but a template, or a text about one, has them."""
SENTENCE: Final = re.compile(r"^\s{0,3}<s>(?!.{0,400}</s>\S)|</s>\s*$|<s>\s{0,3}\[INST\]|</s>\s{0,3}<s>", re.DOTALL)
"""Begin and end of Llama's sequences, where no struck text of HTML stands."""
HEADING: Final = re.compile(
    r"^[ \t]{0,3}#{2,4} ?(Instruction|Input|Response|Output|Human|Assistant|User|System|Answer|Question|Prompt):[ \t]*(?:$|\S)",
    re.MULTILINE | re.IGNORECASE,
)
"""Headings of Alpaca's template."""
ASSISTANT: Final = "assistant\n"
PREAMBLE: Final = "below is an instruction that describes a task"
TURN: Final = re.compile(
    r"^[ \t*]{0,4}(human|user|assistant|ai|system|gpt|bot|chatbot|question|answer|prompter|q|a)[ \t*]{0,4}(?:>>>?|:)[ \t*]",
    re.MULTILINE | re.IGNORECASE,
)
"""How a turn of a flattened dialogue begins."""
SPEAKER: Final = r"(?i)(?:human|user|assistant|prompter|gpt)[ \t*]{0,4}(?:>>|:)|assistant\r?\n"
"""What an ASCII text has that goes on with a turn of somebody who counts."""
IS_DIALOGUE: Final = re.compile(
    r"dialog|conversation|\bchat|script|transcript|role.?play|interview|^(?:human|user|assistant):|对话|会話", re.IGNORECASE | re.MULTILINE
)
ASKS_FOR_DIALOGUE: Final = re.compile(
    r"dialog|conversation|chat|script|transcript|interview|role.?play|screenplay|\bscene\b|q ?& ?a\b|questions? and answers?|faq|\bquiz|question|simulat|pretend|act as|template|token|prompt|"
    r"few.?shot|example|human|\buser\b|assistant|\bbot\b|对话|聊天|会話",
    re.IGNORECASE,
)
"""What a prompt says whose answer has turns of its own."""
SIGNS: Final = ("<|", "<｜", "INST]", "SYS>>", "_of_", "<s>", "</s>", "###", "##", "<bos>", "<eos>", "<pad>", "<unk>", "<sop>", "<eop>", "MASK]", "[BOS]", "[EOS]", "[PAD]", "[|", "<extra_id", "<reserved",
    "<eoh>", "<eoa>", "<eom>", "<im_", "[[", "<human>", "<bot>", "<assistant>", "<gpt>", "<unused", "<jupyter_", "<fim_", "<0x", "TOOL", "SYSTEM_PROMPT", "|>", "&lt;|")  # fmt: skip
"""One of them stands in every text that has such a token."""


@dataclass(frozen=True)
class ChatMarkup(RowCheck):
    """Control tokens of a chat template in a text, where the trainer's template is going to put its own.

    A token between backquotes or in fenced code is a text about one. Headings and names of turns count in responses alone, where the prompt
    has and wants none.
    """

    number: ClassVar[str] = "IS018"
    kind: ClassVar[str] = "chat-markup"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Transformers documentation, chat templates: special tokens in a text are taken for the template's own"
    fix: ClassVar[str] = "Take the markup out, and split the row into turns where it holds several."
    of_row: ClassVar[bool] = True

    allow: tuple[str, ...] = field(default=())
    """Tokens that may stand in texts, e.g. of a pool that is formatted already."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """One for each text, at its first token."""
        sieve = sieve_of_passages(change)
        likely = (sieve.holding(SIGNS) | sieve.matching(SPEAKER)).tolist()
        positions = {passage.position for passage in compress(passages(change), likely)}
        prompts: dict[int, str] = {}
        for passage, is_likely in zip(passages(change), likely, strict=True):
            if passage.position in positions and (passage.where == "the prompt" or "(user)" in passage.where):
                prompts[passage.position] = passage.text
            if not is_likely:
                continue
            place = self._place(passage, prompts.get(passage.position, ""))
            if place is not None:
                token = passage.text[slice(*place)].strip()
                message = f"{passage.holds} markup of a chat template: {token[:40]}"
                yield Hit(passage.position, message, evidence=around(passage.text, *place), key=passage.where)

    def _place(self, passage: Passage, prompt: str) -> tuple[int, int] | None:
        text = passage.text
        if any(sign in text for sign in SIGNS):
            for pattern in (CONTROL, SENTENCE):
                for match in pattern.finditer(text):
                    if match[0].strip() not in self.allow and not _is_code(text, match.start()):
                        return match.span()
            place = self._heading(passage, prompt) if "##" in text else None
            if place is not None:
                return place
        if not passage.is_answer:
            return None
        return (self._turn(text, prompt) if ":" in text else None) or (_bare_turn(text, prompt) if ASSISTANT in text else None)

    def _heading(self, passage: Passage, prompt: str) -> tuple[int, int] | None:
        """Where the headings of a template stand."""
        text = passage.text
        preamble = text[:400].casefold().find(PREAMBLE)
        if preamble >= 0:
            return preamble, preamble + len(PREAMBLE)
        headings = [match for match in HEADING.finditer(text) if match[0].strip() not in self.allow and not _is_code(text, match.start())]
        if not headings or (passage.is_answer and "###" in prompt):
            return None
        names = {match[1].casefold() for match in headings}
        # One heading in a prompt is the prompt's own structure, unless it is its end.
        counts = passage.is_answer or len(headings) > 1 or not text[headings[-1].end() :].strip()
        return headings[0].span() if counts and names & {"response", "instruction", "human", "assistant"} else None

    def _turn(self, text: str, prompt: str) -> tuple[int, int] | None:
        """Where a response goes on with turns of others; None where it is a dialogue that was asked for."""
        matches = [
            match for match in TURN.finditer(text[:200_000]) if match[1].casefold() in ("human", "user", "assistant", "prompter", "gpt")
        ]
        speakers = {match[1].casefold() for match in matches}
        both = bool(speakers & {"human", "user"}) and "assistant" in speakers
        if not matches or (IS_DIALOGUE if both else ASKS_FOR_DIALOGUE).search(prompt):
            return None
        match = matches[0]
        if match[0].strip() in self.allow or _is_code(text, match.start()):
            return None
        # A response that begins with the name of its speaker, or goes on with a turn of another.
        first = match.start() == 0 and match[1].casefold() in ("assistant", "gpt")
        if first or (match.start() and text[: match.start()].endswith("\n") and match[1].casefold() in ("human", "user", "prompter")):
            return match.span()
        return None


def _bare_turn(text: str, prompt: str) -> tuple[int, int] | None:
    """Where a turn begins with its name on a line of its own, as templates leave it whose control tokens were taken out."""
    place = 0 if text.startswith(ASSISTANT) else -1
    if place < 0:
        user = max(text.find(f"\n{name}\n") for name in ("user", "human"))
        place = text.find(f"\n{ASSISTANT}", user) if user >= 0 else -1
    if place < 0 or not text[place + len(ASSISTANT) :].strip() or ASKS_FOR_DIALOGUE.search(prompt):
        return None
    return place, place + len(ASSISTANT)


def _is_code(text: str, start: int) -> bool:
    """Whether a place stands in fenced code or between backquotes or quotation marks."""
    before = text[max(0, start - 2_000) : start]
    if FENCE in text and text.count(FENCE, 0, start) % 2:
        return True
    line = before.rpartition("\n")[2].replace(FENCE, "")
    return line.count("`") % 2 == 1 or (before[-1:] in "\"'“‘" and before[-1:] != "")
