"""How a text ends: whether the sentence, list, bracket or code that it began is finished. Told from its last part and a few counts."""

from __future__ import annotations

import re
from typing import Final

from instructsel.gates.texts import FENCE

TAIL: Final = 2_000
"""Characters at the end of a text that are looked at for sentences."""
CODE_TAIL: Final = 200_000
"""Characters whose brackets are counted."""
ENDS: Final = ".!?…。！？｡։।॥؟۔።፧་།။៕។᠃‽~～"
"""Signs that end a sentence, in all scripts that have them."""
CLOSERS: Final = "\"'”’»)]}*_`」』）】》〉›｠＂>" + "\u200f\u200e"
"""What may stand behind the end of a sentence."""
SENTENCE: Final = re.compile(r"(?<!\s\d)(?<!\s\d\d)(?<!^\d)[.!?][\"'”’)\]*_]{0,3}(?=\s)|[…。！？।؟۔։።။]")
DANGLING: Final = re.compile(
    r"\b(?:and|or|nor|but|because|the|a|an|which|whose|if|as|than|their|its|our|your|my|his|every|such as|including|is|are|was|were|am|"
    r"although|while|when|where|whereas|from|into|onto|between|among|of|to|with|for|at|by|both|either|how|what|that|who|more|most|"
    r"through|during|towards?|upon|via|per|these|those|very|can|could|should|would|will|must|may|might|has|have|had|be|"
    r"e\.g|i\.e|und|oder|aber|weil|dass|eine|einen|einem|einer|vom|zum|zur|für|parce que|dans|pour|avec|lorsque|pero|porque|para|perché|della|nella|"
    r"omdat|het|een|voor|oraz|ale|lub|który|и|или|но|что|чтобы|для|котор(?:ый|ая|ое|ые|ого|ой|ых|ым|ому)|veya|çünkü|için"
    r")$"
)
"""Words of a sentence that goes on."""
ITEM: Final = re.compile(r"^\s{0,12}(?:[-*•‣◦▪–]|\(?\d{1,3}[.)）、:]|\(?[a-zA-Z][.)])(?:\s+|$)")
BARE_ITEM: Final = re.compile(r"^\s{0,12}(?:[-*•]|\(?\d{1,3}[.)]|#{1,6}|>)\s*(?:\*\*|__)?\s*$")
SALUTATION: Final = re.compile(r"(?:dear|hi|hello|liebe|cher|estimad)\b", re.IGNORECASE)
HASH_TAG: Final = re.compile(r"[#@]\w+\W{0,8}$")
ADDRESS: Final = re.compile(r"(?:https?://|www\.)\S*$|\S+@\S+$|\[\d{1,3}\]?$|\S\.(?:com|org|net|edu|gov|html?|pdf|py|js)/?\S*$")
WORD: Final = re.compile(r"\w[\w'’-]*")
CODE: Final = re.compile(
    r"^\s*(?:def |class |import |from \w+ import|function\b|public |private |static |const |let |var |#include|using |package |SELECT\b|INSERT\b"
    r"|CREATE TABLE|<\w+[ >]|</|<!|\$\w+ ?=|for ?\(|while ?\(|if ?\(|return\b|\}|\{|//|/\*|\w+\(.*\);?$|[\w.\[\]]+ [-+*/]?= \S)",
    re.MULTILINE,
)
STRING: Final = re.compile(
    r"\"[^\"\n]*\"|'[^'\n]*'|`[^`\n]*`|^[ \t]*(?://|#).*|(?<=[;{}])[ \t]*//.*|  # .*|\$\{#|[$@%]#|split ?\(//", re.MULTILINE
)
"""What is no code in code: texts and comments."""
ATTRIBUTION: Final = re.compile(r"[-–—~]\s?[A-Z][\w.' ]{1,40}$")
BOLD: Final = re.compile(r"(?:^|[\s(])\*\*(?=\w)")
PAIRS: Final = (("(", ")"), ("[", "]"), ("{", "}"))
UNSEGMENTED_END: Final = re.compile("[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff]$")
"""Thai, Lao, Tibetan, Burmese, Khmer: a sentence may end without a sign."""
HAN: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]$")
CUT_YEAR: Final = re.compile(
    r"(?:\b(?:in|since|by|until|early|late|mid|around|before|after)|\b[12]\d{3}\s?[-–]|\d(?:st|nd|rd|th)?,)\s?(?:19|20)$"
)
"""The first half of a year."""
STRANDED: Final = frozenset(
    {
        "of",
        "to",
        "with",
        "for",
        "at",
        "by",
        "from",
        "into",
        "is",
        "are",
        "was",
        "were",
        "am",
        "can",
        "could",
        "will",
        "would",
        "should",
        "may",
        "might",
        "must",
        "has",
        "have",
        "had",
        "be",
        "that",
        "more",
        "most",
        "how",
        "what",
        "who",
        "when",
        "where",
        "in",
    }
)
"""Words that end a sentence now and then."""
PROSE: Final = 120
"""Characters of a text that has sentences."""
LEAST: Final = 24
"""Characters below which nothing is said of an end."""


MUST_FOLLOW: Final = "at a sign that something must follow"
MID_SENTENCE: Final = "in the middle of a sentence"
NO_SIGN: Final = "in a sentence without a sign at its end"
NO_SIGN_IN_LIST: Final = "in a list's item without a sign at its end"
GUESSES: Final = frozenset({NO_SIGN, NO_SIGN_IN_LIST})
"""Ends that people write, too: whether they are cuts is told from those that can be nothing else."""


def unfinished(text: str) -> str | None:
    """What shows that a text is cut off, in words that follow "it ends"; None where nothing does.

    >>> unfinished("The harbor has two basins. The larger one was built in 1865 and the"), unfinished("Two basins")
    ('in the middle of a sentence', None)
    """
    text = text.rstrip()
    if len(text) < LEAST:
        return None
    if FENCE in text and sum(line.lstrip().startswith(FENCE) for line in text.split("\n")) % 2 and text.count(FENCE) % 2:
        return "inside fenced code"
    last = text.rpartition("\n")[2].strip()[-TAIL:]
    if text.endswith(FENCE) or last.startswith("|"):
        return None
    if text[0] in "{[" and _json_left_open(text):
        return "inside a structure of brackets"
    if is_code(text):
        return _unfinished_code(text)
    if "\n" in text and BARE_ITEM.match(last) and not last.startswith(">"):
        return "at the sign of a list's item"
    return _unfinished_prose(text, last)


def _json_left_open(text: str) -> bool:
    """Whether a structure opens at the first character and never closes."""
    opened, closed = ("{", "}") if text[0] == "{" else ("[", "]")
    # Prose may begin with a bracket: a structure has a quote, a digit or another bracket behind it.
    if not re.match(r"[\[{]\s*[\"\[{\d]", text):
        return False
    part = text[:CODE_TAIL]
    return len(text) <= CODE_TAIL and part.count(opened) > part.count(closed)


def is_code(text: str) -> bool:
    """Whether a text is code that stands in no fence."""
    lines = text[-TAIL:].count("\n") + 1
    marks = len(CODE.findall(text[-TAIL:]))
    return (marks >= 2 and marks * 3 >= lines) or text[:2] in ("#!", "<!", "<?")


def _unfinished_code(text: str) -> str | None:
    tail = STRING.sub("", text[-CODE_TAIL:])
    if len(text) <= CODE_TAIL and any(tail.count(opened) > tail.count(closed) for opened, closed in PAIRS[::2]):
        return "inside brackets that never close"
    last = text.rpartition("\n")[2].strip()
    if re.search(
        r"(?:[=(\[{,+]|\b(?:def|return|and|or|not|in|=>)|^(?:def|class|if|for|while|elif|else|try)\b[^#]*:)$", last
    ) and not last.startswith(("#", "//", "case")):
        return "in the middle of a statement"
    return None


def _unfinished_prose(text: str, last: str) -> str | None:
    sign = last[-1]
    if sign in ENDS or (sign in CLOSERS and len(last) > 1):
        return _open_pair(text, last)
    if ADDRESS.search(last[-200:]) or HASH_TAG.search(last[-100:]):
        return None
    words = len(WORD.findall(last))
    if sign == "," and last[-2:-1] in ENDS and len(last) > 1:
        # The comma is one too many.
        return None
    if sign in "([{«“「『" or (sign in ",，、" and words > 3 and not _is_verse(text) and not SALUTATION.match(last)):
        return MUST_FOLLOW
    if sign in "-–—&=" and words > 3 and not _is_verse(text):
        return MUST_FOLLOW if sign != "-" or last[-2:-1].isalpha() else None
    if sign in ":：":
        return MUST_FOLLOW if words > 2 and not _is_verse(text) and "\n" not in text[-2:] else None
    if not sign.isalnum() or UNSEGMENTED_END.search(last):
        return None
    return _open_pair(text, last) or _mid_sentence(text, last, words)


def _mid_sentence(text: str, last: str, words: int) -> str | None:
    """Whether the last line is a sentence that goes on."""
    if _is_verse(text):
        return None
    tail = text[-TAIL:]
    if HAN.search(last):
        ended = len(re.findall("[。！？…]", tail))
        open_part = re.split("[。！？；…]", last)[-1]
        return NO_SIGN if (ended >= 2 and len(open_part) > 3 and "。" in last) or (ended >= 3 and len(open_part) > 10) else None
    is_item = ITEM.match(last) is not None
    line = ITEM.sub("", last)
    in_line = len(SENTENCE.findall(line))
    before = len(SENTENCE.findall(tail))
    open_part = SENTENCE.split(line)[-1]
    rest_words = len(WORD.findall(open_part))
    if (words >= 6 or in_line or before > 1) and rest_words > 2 and DANGLING.search(last[-40:]) and not _may_end(open_part):
        return MID_SENTENCE
    if CUT_YEAR.search(last[-24:]):
        return "in the middle of a number"
    if ATTRIBUTION.search(last[-60:]):
        return None
    if is_item:
        return _mid_list(text, in_line, rest_words)
    if in_line and before >= 2 and rest_words >= 2 and len(text) >= PROSE:
        return NO_SIGN
    # A last paragraph of one long unfinished sentence behind paragraphs that are finished.
    ended = sum(line.rstrip()[-1:] in ENDS or line.rstrip()[-2:-1] in ENDS for line in tail.split("\n")[:-1] if len(line) > 60)
    return NO_SIGN if ended >= 2 and rest_words >= 5 and before >= 3 and len(last) >= PROSE // 2 else None


def _may_end(sentence: str) -> bool:
    """Whether a sentence may end with a preposition: a question or a clause (what it is made of), a title, or a row of words."""
    words: list[str] = WORD.findall(sentence)
    if sentence.rstrip()[-1:].isupper() or sentence.count(",") * 2 >= len(words):
        return True
    if words[-1] in STRANDED:
        return len(words) < 7 or any(word.lower() in ("what", "who", "which", "where", "how", "that") for word in words[-8:-1])
    return bool(sum(word[:1].isupper() for word in words) * 2 > len(words))


def _mid_list(text: str, in_line: int, rest_words: int) -> str | None:
    """Whether the last item of a list stops where all others end with a sign."""
    items = [line.rstrip() for line in text[-TAIL * 2 :].split("\n")[:-1] if ITEM.match(line)]
    ended = sum(item[-1:] in ENDS or item[-2:-1] in ENDS for item in items)
    if rest_words < 2:
        return None
    if (items and ended == len(items) and (in_line or len(items) > 1)) or (not items and in_line):
        return NO_SIGN_IN_LIST
    return None


def _open_pair(text: str, last: str) -> str | None:
    """Whether a bracket or a quotation mark opens in the last line and never closes."""
    for opened, closed in (("(", ")"), ("[", "]"), ("（", "）"), ("「", "」"), ("『", "』"), ("«", "»"), ("“", "”"), ("《", "》")):
        place = last.rfind(opened)
        if place >= 0 and closed not in last[place:] and last.count(opened) > last.count(closed):
            behind = last[place + 1 :]
            if (opened == "“" and '"' in behind) or behind.strip()[:1] in (")", "(", ""):
                continue
            # What ends with a full stop inside a bracket is a forgotten bracket as often as a cut.
            if last[-1] in ENDS and (opened in "(（[" or len(behind) > 200):
                continue
            if last[-1] not in ENDS and last[-1] not in CLOSERS:
                return "inside a bracket or a quotation that never closes"
    if (
        "**" in last
        and last.count("**") % 2
        and text.count("**") % 2
        and BOLD.search(last[last.rfind("**") - 1 if last.rfind("**") else 0 :])
    ):
        return "inside bold text that never closes"
    return None


def _is_verse(text: str) -> bool:
    """Whether a text is a poem or a song, a table, or a list of names: several short lines, few of which end as sentences do."""
    lines = [line.strip() for line in text[-TAIL:].split("\n") if line.strip()]
    if len(lines) < 3:
        return False
    short = sum(len(line) < 64 for line in lines)
    ended = sum(line[-1] in ENDS for line in lines)
    return short >= 0.8 * len(lines) and ended <= 0.5 * len(lines)


__all__ = ["GUESSES", "MUST_FOLLOW", "is_code", "unfinished"]
