"""How a text ends: whether the sentence, list, bracket or code that it began is finished. Told from its last part and a few counts."""

from __future__ import annotations

import re
from typing import Final

from instructsel.gates.wording.english import ENGLISH, ONWARD
from instructsel.gates.wording.texts import FENCE

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
ARTICLE: Final = re.compile(r"\b(?:the|an?|and|or|your|their|its)$")
"""What no item of a list ends with, however short it is."""
ITEM: Final = re.compile(r"^\s{0,12}(?:[-*•‣◦▪–]|\(?\d{1,3}[.)）、:]|\(?[a-zA-Z][.)])(?:\s+|$)")
ITEM_OF_ARTICLE: Final = re.compile(r"^\s{0,12}(?:[-*•]|\(?\d{1,3}[.)])\s+(?:the|and|or|your|their|its)$", re.IGNORECASE)
"""An item that is a word that no item is."""
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
OPENED: Final = (("(", ")"), ("[", "]"), ("（", "）"), ("「", "」"), ("『", "』"), ("«", "»"), ("“", "”"), ("《", "》"))
"""What is open until it closes; the first two are ASCII."""
PAIRS: Final = (("(", ")"), ("[", "]"), ("{", "}"))
UNSEGMENTED_END: Final = re.compile("[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff]$")
"""Thai, Lao, Tibetan, Burmese, Khmer: a sentence may end without a sign."""
HAN: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]$")
GOES_ON: Final = re.compile(
    r"(?:因为|因為|但是|而且|并且|並且|以及|例如|比如|由于|由於|如果|虽然|雖然|为了|為了|关于|關於|或者|对于|對於|以便|使得|不仅|不僅|所以|因此"
    r"|を|には|では|として|および|または|しかし|そして|によって|によると|における|ための|という"
    r"|를|에서|그리고|하지만|또는|그러나|때문에|위해|위해서|대한|있는)$"
)
"""Words behind which a sentence of Chinese, Japanese or Korean goes on."""
LEAST_OPEN: Final = 8
"""Signs of such a sentence."""
MARKED: Final = re.compile(
    r"[\[(<{]\W{0,4}(?:(?:the |this |rest of |rest |output |response |text |answer |message |content |remainder ){0,3}(?:was |is |has been )?(?:truncated|cut[ -]?off|cut short)|continued)\b[^\[\](){}<>\n]{0,40}[\])>}][.\s]{0,3}$",
    re.IGNORECASE,
)
"""What a program writes where it cuts a text."""
NAMED_ITEM: Final = re.compile(r"^\s{0,12}(?:[-*•]|\d{1,3}[.)])\s+\*\*[^*\n]{1,60}(?:\*\*:|:\*\*)(.?)", re.MULTILINE)
"""An item of a list that begins with its name in bold, and what stands behind it."""
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
OPEN_WORDS: Final = 8
"""Words of a line that is a sentence."""
LEAST: Final = 24
"""Characters below which nothing is said of an end."""


ELEMENTS: Final = ("html", "body", "div", "ul", "ol", "table", "svg", "script", "style", "form")
STRUCTURE: Final = re.compile(r"(?<=\n)[ \t]{0,8}[\[{][ \t]*(?=\n)")
KEY: Final = re.compile(r"\"[^\"\n]{1,80}\"\s*:")
RULE: Final = re.compile(r"\|(?:\s*:?-{2,}:?\s*\|?)+")
"""The line beneath the head of a table."""
FORMULA: Final = re.compile(r"\\[a-zA-Z]{2,12}\{")
HEADING: Final = re.compile(r"#{2,6} \w")
SQL: Final = re.compile(r"\b(?:SELECT|UPDATE|INSERT INTO|DELETE FROM|CREATE TABLE)\b")
SQL_OPEN: Final = re.compile(r"\b(?:SELECT|UPDATE|INSERT|DELETE|WHERE|HAVING|VALUES|SET)\b.*(?:\s[<>=]=?|!=|<>|[(,])$")
"""A line of a statement that ends at a sign that compares or opens."""
SQL_END: Final = re.compile(r"\b(?:AND|OR|WHERE|FROM|SELECT|JOIN|ON|SET|VALUES|BY|IN|LIKE|INTO|AS)$")
ELSEWHERE: Final = re.compile(
    r"\b(?:der|die|das|den|dem|des|und|oder|im|von|wird|werden|eines|für|als|zur|zum|beim|deren|dessen|"
    r"le|la|les|un|une|du|et|ou|de|que|qui|ne|sur|au|aux|dans|pour|avec|par|est|sont|cette|ces|ses|leurs?|très|dont|"
    r"el|los|las|y|o|con|por|del|al|para|como|pero|su|sus|muy|cuyo|cuya|il|lo|gli|di|che|un'|uno|dal|dalle|dallo|nel|nelle|sul|sulle|alla|alle|delle|dei|degli|del|per|come|quali|"
    r"os|um|uma|em|do|da|dos|das|pelo|pela|com|ao|mais|van|met|en|een|het|voor|naar|bij|hun|deze|ett|och|att|på|som|til|for|med|na|i|z|w|się|do|od|za|dla|że|oraz|"
    r"в|на|не|с|по|к|от|у|из|и|а|но|или|что|как|для|за|до|при|о|об|нём|который|которая|которое|которые|ve|bir|ile|için|gibi|daha)$"
)
"""Words of other languages behind which a sentence goes on."""
MUST_FOLLOW: Final = "at a sign that something must follow"
MID_STATEMENT: Final = "in the middle of a statement"
MID_WORD: Final = "in the middle of a word"
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
    if (text[-1] in "])>}" or text[-2:-1] in "])>}") and MARKED.search(text[-100:]):
        return "with the mark of a program that cuts"
    if last.startswith("|"):
        return _unfinished_table(text, last)
    if text.endswith(FENCE):
        return None
    if (text[0] in "{[" and _json_left_open(text)) or _json_in_text_left_open(text):
        return "inside a structure of brackets"
    if text[0] == "<" and text[-1] != ">" and _markup_left_open(text):
        return "inside markup that never closes"
    if last[-1].isupper() and SQL_END.search(last[-20:]) and SQL.search(text[:CODE_TAIL]):
        return MID_STATEMENT
    if last[-1] in "<>=(," and SQL_OPEN.search(last) and SQL.search(text[:CODE_TAIL]):
        return MID_STATEMENT
    if is_code(text):
        return _unfinished_code(text)
    if HEADING.match(last) and last[-1] not in ENDS and len(re.findall(r"(?:^|\n)#{2,6} \w", text[:CODE_TAIL])) > 1:
        return "at a heading with nothing beneath"
    if "\n" in text and ((BARE_ITEM.match(last) and not last.startswith(">")) or _is_next_number(text, last)):
        return "at the sign of a list's item"
    if "\n" in text and "**" in last and last.endswith((":", ":**")) and _is_named_alone(text):
        return "at the name of a list's item"
    return _unfinished_prose(text, last)


def _is_next_number(text: str, last: str) -> bool:
    """Whether a last line is the bare number behind that of the item before it."""
    if len(last) > 2 or not last.isascii() or not last.isdigit() or int(last) < 3:
        return False
    before = text[: -len(last)].rstrip().rpartition("\n")[2].strip()
    return re.match(rf"{int(last) - 1}[.)] \S", before) is not None


def ends_in_words(text: str) -> bool:
    """Whether a text ends with several words and without a sign, as a text does that is cut between two words, and many that are whole.

    >>> ends_in_words("The harbor has two basins, the larger one of"), ends_in_words("Two basins")
    (True, False)
    """
    last = text.rpartition("\n")[2][-TAIL:]
    if not last[-1:].isalnum() or last.startswith("|") or UNSEGMENTED_END.search(last) or is_code(text) or _is_verse(text):
        return False
    if ADDRESS.search(last[-200:]) or HASH_TAG.search(last[-100:]) or ATTRIBUTION.search(last[-60:]):
        return False
    is_one = ITEM.match(last) is None and len(WORD.findall(last)) >= OPEN_WORDS
    # An item counts where others end with a sign.
    return is_one or (len(WORD.findall(SENTENCE.split(last)[-1])) > 1 and len(SENTENCE.findall(text[-TAIL:])) > 2)


def _json_left_open(text: str) -> bool:
    """Whether a structure opens at the first character and never closes."""
    opened, closed = ("{", "}") if text[0] == "{" else ("[", "]")
    # Prose may begin with a bracket: a structure has a quote, a digit or another bracket behind it.
    if not re.match(r"[\[{]\s*[\"\[{\d]", text):
        return False
    part = text[:CODE_TAIL]
    return len(text) <= CODE_TAIL and part.count(opened) > part.count(closed)


def _json_in_text_left_open(text: str) -> bool:
    """Whether a structure that begins on a line of its own behind other lines never closes."""
    if "\n" not in text or ("{" not in text and "[" not in text):
        return False
    starts = list(STRUCTURE.finditer(text[:CODE_TAIL])) if len(text) <= CODE_TAIL else []
    if not starts:
        return False
    part = text[starts[0].start() :]
    opened, closed = ("{", "}") if "{" in starts[0][0] else ("[", "]")
    return part.count(opened) > part.count(closed) and KEY.search(part) is not None


def _unfinished_table(text: str, last: str) -> str | None:
    """Whether the last row of a table has fewer cells than its head."""
    rows = [line.strip() for line in text[-TAIL * 4 :].split("\n")]
    rule = next((number for number, line in enumerate(rows) if number and RULE.fullmatch(line)), 0)
    if rule == len(rows) - 1 and rule and last.count("|") < rows[rule - 1].count("|"):
        return "beneath the head of a table"
    if not rule or len(rows) - 1 <= rule or not rows[rule].endswith("|"):
        return None
    return "in a row of a table with fewer cells than its head" if last.count("|") < rows[rule].count("|") else None


def _markup_left_open(text: str) -> bool:
    """Whether an element of a page opens and never closes."""
    return any(len(re.findall(rf"<{name}[ >]", text[:CODE_TAIL])) > text[:CODE_TAIL].count(f"</{name}>") for name in ELEMENTS)


def is_code(text: str) -> bool:
    """Whether a text is code that stands in no fence."""
    lines = text[-TAIL:].count("\n") + 1
    # Of one line there is one mark at most.
    marks = len(CODE.findall(text[-TAIL:])) if lines > 1 else 0
    return (marks >= 2 and marks * 3 >= lines) or text[:2] in ("#!", "<!", "<?")


def _unfinished_code(text: str) -> str | None:
    tail = STRING.sub("", text[-CODE_TAIL:])
    if len(text) <= CODE_TAIL and any(tail.count(opened) > tail.count(closed) for opened, closed in PAIRS[::2]):
        return "inside brackets that never close"
    last = text.rpartition("\n")[2].strip()
    if re.search(
        r"(?:[=(\[{,+]|\b(?:def|return|and|or|not|in|=>)|^(?:def|class|if|for|while|elif|else|try)\b[^#]*:)$", last
    ) and not last.startswith(("#", "//", "case")):
        return MID_STATEMENT
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
    if "$" in last and FORMULA.search(last) and (open_one := _open_pair(text, last)):
        return open_one
    if not sign.isalnum() or UNSEGMENTED_END.search(last):
        return None
    return _open_pair(text, last) or _mid_sentence(text, last, words)


def _is_named_alone(text: str) -> bool:
    """Whether the last item of a list is a name in bold with nothing behind, and all items before have something."""
    items = NAMED_ITEM.findall(text[-TAIL:])
    return len(items) > 1 and not items[-1] and all(items[:-1])


def _mid_sentence(text: str, last: str, words: int) -> str | None:
    """Whether the last line is a sentence that goes on."""
    if ITEM.match(last) and ((words > 2 and ARTICLE.search(last)) or ITEM_OF_ARTICLE.match(last)) and SENTENCE.search(text[-TAIL:]):
        return MID_SENTENCE
    if _is_verse(text):
        return None
    tail = text[-TAIL:]
    if HAN.search(last):
        ended = len(re.findall("[。！？…]", tail))
        open_part = re.split("[。！？；…]", last)[-1]
        if len(open_part) >= LEAST_OPEN and GOES_ON.search(open_part):
            return MID_SENTENCE
        return NO_SIGN if (ended >= 2 and len(open_part) > 3 and "。" in last) or (ended >= 3 and len(open_part) > 10) else None
    is_item = ITEM.match(last) is not None
    line = ITEM.sub("", last)
    in_line = len(SENTENCE.findall(line))
    before = len(SENTENCE.findall(tail))
    open_part = SENTENCE.split(line)[-1]
    rest_words = len(WORD.findall(open_part))
    if rest_words > 2 and not _may_end(open_part):
        if (words >= 6 or in_line or before > 1) and DANGLING.search(last[-40:]):
            return MID_SENTENCE
        # Of a sentence behind others: a line alone may be a title.
        if before and words >= 6 and last.rpartition(" ")[2].strip(CLOSERS).lower() in ONWARD:
            return MID_SENTENCE
    if before and rest_words > 2 and ELSEWHERE.search(last[-20:]) and not _is_english(tail):
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


def _is_english(tail: str) -> bool:
    """Whether a text has words of English grammar, as many as English has."""
    words = WORD.findall(tail[-400:])
    return sum(word.lower() in ENGLISH for word in words) * 6 >= len(words)


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
    for opened, closed in OPENED[:2] if last.isascii() else OPENED:
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
    if "\\" in last and "{" in last and last.count("{") > last.count("}") and last[-1] not in ENDS and FORMULA.search(last):
        return "inside a formula that never closes"
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


__all__ = ["GUESSES", "MID_WORD", "MUST_FOLLOW", "NO_SIGN", "ends_in_words", "is_code", "unfinished"]
