"""Short responses that say nothing but that they will not answer: told from their words, whatever the phrase."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 160
"""Characters of a response that is short."""
MOST_WORDS: Final = 30
ONE_OTHER: Final = 6
"""Words from which a response may have one that says what it is about."""
_GRAMMAR: Final = """
a an the this that these those it its that's it's i i'm i'd i'll i've me my mine myself we we're we'd our us you you're you'd your
am is are was were be been being isn't aren't wasn't will won't would wouldn't can can't cannot could couldn't shall should
shouldn't may might must mustn't do don't does doesn't did didn't have haven't has had no not nor never nothing none neither and or
but so if as because since for from in into of off on out over to up with without within by at about against than then too what
which who whom whose when where why how here there there's something anything someone anyone somebody anybody nobody everybody everyone else other another any some such all
more most much only just even still very quite really rather again now today yet one ones kind kinds sort sorts thing things way
matter case point place time moment
"""
_OF_ANSWERING: Final = """
sorry apologize apologise apologies apology afraid unfortunately regrettably sadly regret hmm um well okay ok nope yes oh please thanks
thank however instead help helping helpful assist assisting assistance aid support answer answering answers respond responding
response responses reply comment comments commenting answered asks ends breaking elsewhere beyond quiet discuss discussing discussion talk talking speak speaking say saying tell
telling share sharing give giving provide providing offer offering write writing create creating generate generating produce
producing make making complete completing comply complying fulfill fulfil fulfilling engage engaging continue continuing proceed
participate participating recommend advise advice opinion opinions view views weigh request requests question questions prompt query
topic topics subject subjects task tasks content information details area field expertise territory conversation able unable allowed
permitted supposed comfortable uncomfortable appropriate inappropriate willing unwilling qualified capable incapable authorized right
wrong sure position liberty free good idea best better decline declining refuse refusing pass skip avoid avoiding stop stopping end
ending leave leaving stay staying steer clear steering away draw drawing line lines cross crosses crossing break breaks rule rules
policy policies guidelines guideline limits limit boundaries boundary bounds like want wish prefer choose choosing feel feeling think
believe need going go get getting let let's know knowing understand happy glad love ask asking asked try trying find take taking
change move part decision decisions look looking safe safety sensitive harmful unethical ethical ethics conscience reasons concerns
personal private specific particular address handle handling entertain cover touch process perform execute carry elaborate expand
clarify disclose divulge describe explain explaining reveal teach guide show suggest guess speculate judge predict verify confirm put
debate domain scope purview remit capability capabilities ability abilities knowledge data permission purpose function role job duty law
laws terms standards values principles morals experts expert professional professionals doctor lawyer therapist specialist acceptable
unacceptable available unavailable possible impossible irresponsible responsible illegal dangerous risky unsafe confidential secret
controversial difficult delicate serious offensive hateful violent explicit hands tied service told message messages query queries keep
keeping withhold withholding opt opting forbid forbids forbidden prohibited type words statement accept access deal dealing work
instructed instructions programmed trained designed meant made built allow allows permit permits let lets
"""
WORDS: Final = frozenset(_GRAMMAR.split()) | frozenset(_OF_ANSWERING.split())
"""Of grammar, and of what a model says of answering."""
WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?")
NO: Final = re.compile(
    r"\b(?:not|no|nor|never|cannot|unable|apolog\w+|afraid|unfortunately|regret\w*|declin\w+|refus\w+|pass|avoid\w*|stop\w*|end|ending|"
    r"(?:some(?:thing|one|body)|another) else|instead|uncomfortable|incapable|unwilling|inappropriate|lines?|rather|nope|nothing|off|forb\w+|prohibited|withh\w+|opt(?:ing)? out|keep(?:ing)? out|leave that|leave this|tied|illegal|irresponsible|anything but|(?:can|able to|will|could) only|only able|break(?:ing)? (?:the|my|our|any) rules|cross(?:es)? (?:a|the|my) line|beyond (?:me|us)|keep quiet|elsewhere)\b|n't\b|\bsorry\b(?! to hear)"
)
"""What turns down."""
ANSWERING: Final = re.compile(
    r"\b(?:help\w*|assist\w*|aid|answer\w*|respond\w*|response|reply|comment\w*|discuss\w*|talk\w*|speak\w*|say\w*|tell\w*|shar(?:e|ing)|giv(?:e|ing)|provid\w+|"
    r"offer\w*|writ(?:e|ing)|creat\w+|generat\w+|produc\w+|complet\w+|comply\w*|fulfil\w*|engag\w+|continu\w+|proceed|participat\w+|recommend\w*|advi[sc]e|"
    r"opinions?|request\w*|questions?|prompt|topics?|subject\w*|tasks?|content|conversation|decisions?|lines?|rules?|limits?|ask|asking|part|position|place|"
    r"comfortable|uncomfortable|area|expertise|weigh|explain\w*|reveal|disclos\w+|describe|elaborate|clarify|information|service|support|quer(?:y|ies)|matter|debate|words|"
    r"messages?|experts?|told|data|access|predict|verify|confirm|speculate|guess|handle|address|hands|this one|that one)\b"
)
"""What is turned down."""
OWN: Final = re.compile(r"\b(?:i|i'm|i'd|i'll|i've|me|my|we|us|our|let's)\b|^(?:no comment|sorry|please (?:ask|find|look))\b")
OFFER: Final = re.compile(r"anything else|\?\W*$|^only (?:when|if)\b")
"""What a response says that offers help, asks, or answers under a condition."""
ABOUT_A_TEXT: Final = re.compile(
    r"\b(?:rewrit\w*|translat\w*|paraphras\w*|reword\w*|rephras\w*|convert\w*|correct\w*|edit\w*|sentences?|dialog\w*|quote\w*|tweet|lyrics|complete|"
    r"fill|traduc\w+|tradui\w*|übersetz\w*|перевед\w+|examples?|punctuat\w+|tense|voice|formal\w*|polite\w*|e-?mail|letter|message|negat\w+|sentiment|classif\w+|opposite|statement|phrase|respon[ds]\w*|reply)\b|翻译|翻譯|翻訳|번역|ترجم"
)
"""What a prompt says that wants a text of somebody's."""


def evades(low: str, prompt: str) -> bool:
    """Whether a response turns its prompt down and says nothing else.

    Nearly all of its words are of grammar or of answering, one of them says no, and one says that it is the writer who does.

    Args:
        low: the response in small letters, with plain apostrophes.
        prompt: what it answers; of a prompt that wants a sentence or a reply of somebody, no response does.

    >>> evades("i don't think i should get into this topic.", "Who won?"), evades("i don't think he won this year.", "Who won?")
    (True, False)
    """
    if len(low) > LONGEST or "\n" in low.strip() or not NO.search(low):
        return False
    words = WORD.findall(low)
    others = sum(word not in WORDS for word in words)
    if not 2 <= len(words) <= MOST_WORDS or others > (len(words) >= ONE_OTHER):
        return False
    if not ANSWERING.search(low) or not OWN.search(low) or OFFER.search(low):
        return False
    return not ABOUT_A_TEXT.search(prompt.lower())
