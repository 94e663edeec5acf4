"""Phrases by which responses refuse, in small letters: English and thirty other languages."""

from __future__ import annotations

from typing import Final

from instructsel.gates.wording.phrases import Phrases

ADVERB: Final = r"(?:(?:unfortunately|sadly|regrettably|however|simply|just|really|honestly|also|currently|still|not|therefore|thus|ethically|legally|knowingly|directly|in good conscience),? ){0,2}"
NOT_ABLE: Final = (
    rf"(?:i (?:{ADVERB})(?:can't|cannot|can not|cant|won't|will not|wont|must not|am not able to|am unable to|am not allowed to|am not permitted to"
    rf"|am not programmed to|am not comfortable(?: with)?|am uncomfortable(?: with)?|am not willing to|do not feel comfortable|don't feel comfortable|am not in a position to|would not be able to"
    rf"|wouldn't be able to|will not be able to|won't be able to|must (?:respectfully |politely )?(?:decline|refuse)|have to (?:respectfully |politely )?(?:decline|refuse)"
    rf"|(?:respectfully |politely )(?:decline|refuse)|refuse|need to decline|am not qualified|do not have the ability to|don't have the ability to|lack the ability to)"
    rf"|i'm (?:{ADVERB})(?:not able to|unable to|not allowed to|not permitted to|not programmed to|not comfortable(?: with)?|uncomfortable(?: with)?|not willing to|not qualified|not going to(?: be able to)?|not in a position to))"
)
HELP: Final = (
    r"(?:help(?:ing)?(?! but\b| it\b| feeling| noticing| thinking| wondering| feel| being| smiling| falling)|assist(?:ing)?|aid|comply|fulfil?l(?:ing)?|provid(?:e|ing)|answer(?:ing)?|respond(?:ing)?|engag(?:e|ing)|discuss(?:ing)?|generat(?:e|ing)"
    r"|creat(?:e|ing)|produc(?:e|ing)|writ(?:e|ing)|compos(?:e|ing)|draft(?:ing)?|shar(?:e|ing)|offer(?:ing)?|giv(?:e|ing)(?! up| in\b)|suggest(?:ing)?|recommend(?:ing)?|support(?:ing)?|participat(?:e|ing)|promot(?:e|ing)|condon(?:e|ing) (?:any|the|such|this|that|violen\w+|illegal|or|acts?|harm\w*|hate\w*)|encourag(?:e|ing)"
    r"|facilitat(?:e|ing)|perform(?:ing)?|complet(?:e|ing)|execut(?:e|ing)|process(?:ing)?|access(?:ing)?|do (?:that|this|so|as)|doing (?:that|this|so)|proceed|continu(?:e|ing) with|carry out|satisfy|accommodate|grant|offer|be of (?:any )?(?:help|assistance)|speculate|disclose|reveal|advise|summari[sz]e|translate|display|draw|(?:see|view|open|watch|play|hear) (?:(?:the|any|your|this|that|an?)(?: \w+)? )?(?:image|audio|picture|photo|file|attach|excel|table|video|document|link|screen)\w*|browse|listen|to)"
)
FIRST_PERSON: Final = (
    "i can|i won|i will not|i am |i'm |i must|i have to|i need to|i do not|i don't|i lack|i refuse|i respect|i would not|i wouldn't|i polite"
    "|really can|really won|just can|just won|simply can|simply won|honestly can|also can|also won|still can|still won|sadly can|ately can|edly can|ically can"
)
"""How NOT_ABLE begins."""
OBJECT: Final = (
    r"(?:that|this|your|such|any such|these|those|the (?:requested|rest|specific|exact|other|full|actual|remaining)|the (?:details?|information|instructions|requests?|question"
    r"|recipe|steps)|(?:any )?(?:specific |further |more |medical |legal |financial |professional |detailed |exact )*"
    r"(?:details?|information|instructions|advice|guidance|assistance|recipes?|steps|content|help))"
)
"""What a refusal is about, beside what was asked."""
DOING: Final = ("fulfilling", "answering", "completing", "complying with", "providing", "discussing", "responding to", "assisting with", "engaging in", "engaging with")  # fmt: skip
"""What a model says would be wrong."""
SAY: Final = "(?:answer|discuss|say|comment|share|help|assist|do|talk|get into|go into|engage|respond|provide|write|participate|support|advise|speak|give|generate|create)"
"""What a model would rather not do."""
AGAINST: Final = ("against", "violate", "violates", "violating", "contrary to", "conflict with", "conflicts with", "not align with", "inconsistent with", "breach of", "breaches of")  # fmt: skip
OPENING: Final = Phrases.of(
    (
        FIRST_PERSON,
        rf"\b{NOT_ABLE} (?:to )?{ADVERB}{HELP}\b",
    ),
    (
        "sorry|apologi",
        rf"\b(?:sorry|apologi[sz]e|apologies|my apologies)(?: for (?:the|any) \w+)?[,.;]? (?:but |however,? )?(?:{ADVERB})(?:as (?:an? )?[\w ]{{1,40}},? )?(?:but )?(?:i|that|this|it) (?:can't|cannot|can not|am unable|am not able|'m unable|is not (?:something|possible)|isn't (?:something|possible)|won't|will not|don't (?:have|know)|do not (?:have|know)|must decline|have to decline)\b",
    ),
    (
        "unable to|not able to|cannot|can't|can not",
        r"^(?:sorry[,.]? |unfortunately,? |i'm afraid |regrettably,? )?(?:(?:we|this request|the request|your request|this question|this task|it) )?(?:(?:is|am|are) )?(?:unable to|not able to|cannot|can't|can not|cannot be) (?:be )?(?:comply|assist|help|fulfil\w*|answer\w*|provide|complet\w*|respond|process\w*|generat\w*|creat\w*|satisf\w*|done|honou?red|accommodated)\b",
    ),
    (
        "i'm afraid|i am afraid",
        r"\b(?:i'm|i am) afraid (?:that )?(?:i|this|that|it)(?: is|'s)? (?:can't|cannot|won't|unable|not able|not possible|not something|am unable|am not able|do not|don't)\b",
    ),
    (
        "not able to|unable to|cannot|can't|won't",
        rf"^(?:unfortunately|regrettably|sadly|sorry|no|as an? [\w ]{{1,40}}),? (?:but )?i(?:'m| am)? (?:unable|not able|can't|cannot|won't|will not|do not|don't)\b(?:[^.\n]{{0,40}}\b{HELP}\b)?",
    ),
    (
        "i do not have|i don't have|i don't know|i do not know|i have no",
        r"^(?:i'm sorry,? (?:but )?|sorry,? (?:but )?|unfortunately,? |as an? [\w ]{1,40}, )?i (?:do not|don't) (?:have (?:access to|the ability to|enough (?:information|context|data)|(?:any )?information|the (?:necessary |required )?(?:information|data|context))|know (?:the answer|how to answer))",
    ),
)
"""What a refusal begins with: looked for in the first sentences."""
CLOSING: Final = Phrases(OPENING.phrases[:2])
"""What a refusal ends a response with: looked for in the last sentences."""
ANYWHERE: Final = Phrases.of(
    (
        f"{FIRST_PERSON}|we can't|we cannot",
        rf"\bi (?:{ADVERB})(?:can't|cannot|can not|am unable to|am not able to|will not|won't) (?:assist|help(?! but\b| it\b| \w+ing\b| feel| being| how| myself| him| her| them)|provide|comply|fulfil)\b(?! the best)"
        rf"|\b{NOT_ABLE} (?:to )?{ADVERB}{HELP} (?:you |with |in |on |to |for |about |details (?:about|on) ){{0,3}}{OBJECT}\b(?! best)"
        rf"|\bi (?:can't|cannot|won't|will not),? (?:in good (?:faith|conscience)|ethically|legally),? \w+"
        rf"|\b(?:{NOT_ABLE}|(?:we|i) (?:can't|cannot)) (?:{ADVERB})(?:help|assist|aid|comply|fulfil?l)(?: (?:you|anyone))?(?: (?:with|in) (?:that|this|your|the|such|any|creating|writing|making|planning|doing|anything|requests?)\b[\w ]{{0,40}}| (?:this|that|your|such|the) (?:\w+ )?request\w*)",
    ),
    (
        "something i|something that i|something we|beyond what i",
        rf"\b(?:not|isn't) something (?:that )?(?:i|we)(?:'m| am|'re| are)? ?(?:can|could|able to|allowed to|will|would|feel comfortable|comfortable) {SAY}(?:ing)?\b"
        rf"|\bsomething (?:that )?(?:i|we)(?:'m| am| are|'re)? (?:(?:can't|cannot|can not|won't) {SAY}|not able|unable|not allowed|not permitted|not comfortable)\b"
        r"|\bbeyond what i(?:'m| am)? (?:can|could|able|allowed)\b",
    ),
    (
        "rather not|prefer not|wish to|choose not",
        rf"\bi(?:'d| would) (?:much )?(?:rather|prefer) not(?: to)? {SAY}\b|\bi (?:do not|don't) wish to {SAY}\b|\bi (?:choose|prefer) not to {SAY}\b",
    ),
    (
        "not to answer|not to provide|not to discuss|not to help|not to share|not to assist|not to give|not to engage|prohibited from|forbidden from|barred from|restricted from|prevented from|forbidden to",
        rf"\bi(?: am|'m| have been|'ve been| was) (?:programmed|instructed|trained|designed|told|asked) not to {SAY}\b"
        rf"|\bi(?: am|'m) (?:prohibited|forbidden|barred|restricted|prevented) (?:from|to) (?:{SAY}|{SAY}?\w*ing)\b",
    ),
    (
        "prevent|prohibit|forbid|not allow|n't allow|not permit|n't permit|preclude",
        r"\b(?:my|our|openai's|company|content|usage|safety|ethical|community|these|the) (?:\w+ ){0,2}?(?:guidelines|programming|polic(?:y|ies)|principles|terms of (?:use|service)|restrictions|instructions)"
        r" (?:prevents?|prohibits?|forbids?|(?:do|does) not (?:allow|permit)|(?:don't|doesn't) (?:allow|permit)|precludes?) (?:me|us|this|that|it|such|answering|providing|sharing|from)\b|\bopenai's policy prohibits\b",
    ),
    (
        "violat|goes against|is against|conflicts with|is in violation|contravenes|breaches",
        r"\b(?:your|this) (?:request|question|prompt|query) (?:violates?|goes against|is against|conflicts with|is in violation of|breaches|contravenes)\b"
        r"|\bthis (?:content |request |prompt |question )?(?:violates|(?:may|might|could|would) violate) (?:our|my|the) (?:\w+ ){0,2}?(?:polic(?:y|ies)|guidelines|terms)\b",
    ),
    (
        "to decline|to refuse|to pass on|to say no",
        r"\bi(?: am|'m|'ll| will|'d| would)? ?(?:going to |gonna |just |afraid i )?(?:have|need) to (?:respectfully |politely |kindly )?"
        r"(?:(?:decline|refuse)(?: (?:this|that|your|to (?:answer|help|assist|provide|write|respond|do|comply|engage))|[.,;!]|$)|pass on (?:this|that)|say no to (?:this|that))",
    ),
    (
        "not possible for me|impossible for me",
        rf"\bit(?: is|'s) (?:not possible|impossible) for me to (?:help|assist|fulfil\w*|comply|answer|provide|complete (?:this|that|your)|{SAY} (?:this|that|your))\b(?! you out)",
    ),
    (
        "be part of|be a part of|take part|not be |n't be |be of help|be of a|ask me to|not qualified",
        r"\bi (?:can't|cannot|won't|will not) (?:be (?:a )?part of (?:this|that|such)|take part in (?:this|that|it|such|any)|be (?:writ|provid|answer|help|creat|discuss|generat|shar|do|assist)\w*ing (?:this|that|your|such|with)|be of (?:any )?(?:help|assistance))\b|\bi(?: am|'m) not qualified to (?:give|provide|offer|answer|advise)\b"
        r"|^please (?:do not|don't) ask me to\b",
    ),
    (
        [f"{verb} {which}" for verb in DOING for which in ("this", "that", "your", "such", "these")],
        r"\b(?:fulfilling|answering|completing|complying with|providing|discussing|responding to|assisting with|engaging (?:in|with)) (?:this|that|your|such(?: an?)?|these) (?:\w+ )?(?:requests?|questions?|prompts?|topics?|content|quer(?:y|ies)|information|tasks?)"
        r" (?:would|could|may|might|is|goes) (?:be )?(?:inappropriate|unethical|harmful|dangerous|illegal|irresponsible|against|a violation|not (?:be )?(?:appropriate|possible|something|allowed|permitted|within))\b",
    ),
    (
        "against my|against our|rules i |rules that i|guidelines i |guidelines that i|policy i |policies i |policy that i|policies that i",
        r"\b(?:that|this|it|which|doing so)(?:'s| is| would be| goes| would go| runs)? against (?:(?:my|our) (?:\w+ ){0,2}?(?:rules?|guidelines?|polic(?:y|ies)|terms)|(?:the|a) (?:\w+ ){0,2}?(?:rules?|guidelines?|polic(?:y|ies)) (?:that )?(?:i|we))\b",
    ),
    (
        "i refuse.|i refuse!|don't answer questions|do not answer questions|don't answer such|do not answer such",
        r"^(?:no[,.;]? |sorry[,.;]? (?:but )?)?i refuse[.!]|^(?:\w+[,.;]? (?:but )?)?i (?:do not|don't) answer (?:such|questions (?:of this|of that|like|about this|on this))",
    ),
    (
        "pass on this|pass on that|don't do that|do not do that|don't do this",
        r"^(?:\w+,? (?:but )?)?i(?:'m going to| am going to|'ll| will|'ll have to| will have to) pass on (?:this|that)\b|^(?:sorry|no|apologies)[,.]? (?:but )?i (?:don't|do not) do (?:that|this)\b",
    ),
    (
        "has been flagged|was flagged|has been blocked|was blocked|has been rejected|cannot be answered|can't be answered",
        r"\b(?:your|this|the) (?:\w+ )?(?:question|request|message|prompt|query|input) (?:(?:has been|was) (?:flagged|blocked|rejected|denied)|(?:cannot|can't|can not) be answered)\b",
    ),
    (
        "no way i|no way for me|way of knowing",
        r"\bthere(?: is|'s) no way (?:that )?(?:i can|for me to|i could|i'm able to|i'm going to) (?:help|assist|answer|do (?:this|that)|write (?:this|that)|provide|support)\b(?! but| it\b)"
        r"|^(?:\w+[,.]? (?:but )?)?i have no way of knowing (?:that|this|it)?[,.!]",
    ),
    (
        "i should not|i shouldn't|can't say anything|cannot say anything|won't say anything|will not say anything|not able to go|can't go there|won't go there|cannot go there",
        r"\bi (?:shouldn't|should not) (?:help|assist|answer|discuss|provide|write)(?: (?:you|with))* (?:this|that|your|such)\b|\bi (?:can't|cannot|won't|will not) say anything (?:about|on) (?:that|this|it)\b"
        r"|^(?:\w+,? (?:but )?)?i(?:'m| am)? (?:just |simply )?(?:not able to|can't|cannot|won't|will not) go there[.!]",
    ),
    (
        "don't discuss|not discuss|do not discuss|something else|no can do|rephrase|to talk about|with this one|with that one",
        r"\b(?:best|better) if we (?:don't|do not) (?:discuss|talk about|go into|get into) (?:this|that|it)\b|^(?:\w+[,.!]? )?let(?:'s| us) (?:talk about|discuss|move on to|focus on|try) something else(?: instead)?[.!]|^(?:sorry[,.!]? |nope[,.!]? )?no can do[.!]"
        r"|^(?:(?:i'm )?sorry[,.!]? (?:but )?)?i (?:didn't|did not|don't|do not) (?:quite )?(?:get|understand|catch) (?:that|this|you|your (?:question|request|prompt|message))[.,!]? (?:could|can|would) you (?:please )?rephrase"
        r"|\bi(?:'m| am) not (?:allowed|permitted|able|willing) to (?:talk|speak) (?:about|on) (?:this|that|it|such)\b|\bi (?:can't|cannot|won't|will not)(?: help(?: you)?)? with (?:this|that) one\b",
    ),
    (
        [
            f"{of} {what}"
            for of in ("such", "these", "kind of", "sort of", "type of")
            for what in ("matter", "topic", "question", "subject", "request", "thing", "prompt")
        ],
        r"\b(?:i|we) (?:do not|don't|never|won't|will not|cannot|can't) (?:discuss|answer|comment on|talk about|speak (?:about|on|to)|respond to|engage (?:with|in)|get into|touch) (?:such|these|(?:this|that) (?:kind|sort|type) of) (?:matter|topic|question|subject|request|thing|prompt)s?\b(?=[.,;!]|$)",
    ),
    (
        "so i won't|so i will not|so i can't|so i cannot",
        r"\b(?:irresponsible|unethical|illegal|dangerous|harmful|inappropriate|wrong|unsafe|against the law|against the rules)[^.\n]{0,20}, so i (?:won't|will not|can't|cannot)[.!]",
    ),
    (
        "a topic i|a subject i|a question i|a request i|a matter i|a task i",
        rf"\b(?:not|isn't) a (?:topic|subject|question|request|matter|task) (?:that )?(?:i|we)(?:'m| am)? (?:(?:can|could|will|would|may|want to|wish to|care to) {SAY}|able to|allowed to|permitted to|willing to|comfortable)"
        rf"|\ba (?:topic|subject|question|request|matter|task) (?:that )?(?:i|we)(?:'m| am)? (?:(?:can't|cannot|can not|won't|will not) {SAY}|not able|unable|not allowed|not permitted|not willing|not comfortable)",
    ),
    (
        "i lack the|i lack enough|i lack sufficient",
        r"\bi lack (?:the |enough |sufficient )(?:necessary |required |needed |relevant )?(?:information|context|knowledge|data|details|ability|expertise) (?:to|for|that)\b",
    ),
    (
        "keine auskunft|keine angaben|nicht weiterhelfen|nicht behilflich|nicht beantworten",
        r"\b(?:möchte|kann|darf|werde) (?:ich )?(?:dazu|darüber|hierzu|dir|ihnen|euch|leider|zu diesem thema|\s){0,8}(?:keine (?:auskunft|angaben|antwort)|nicht weiterhelfen|nicht behilflich)\b|\bdiese frage (?:kann|darf|möchte|werde) (?:ich )?(?:leider )?nicht beantworten",
    ),
    (
        "préfère ne pas|refuse de répondre|ne souhaite pas",
        r"\bje (?:préfère|souhaite|préférerais|refuse)(?: d[e']| ne pas| pas)* (?:ne pas )?(?:vous |y )?(?:répondre|aider|discuter|commenter|parler|fournir|donner)|\bje ne souhaite pas (?:vous )?(?:répondre|aider|discuter|commenter|parler|fournir)",
    ),
    (
        "autorizado a|autorizada a|prefiero no|permitido responder|es posible responder|puedo responder a eso",
        r"\bno (?:estoy|me está) (?:autorizad[oa]|permitido) (?:a |para )?\w+r\b|\bprefiero no (?:responder|contestar|hablar|comentar|ayudar)",
    ),
    (
        "non mi è possibile|non mi è permesso|preferisco non|preferirei non",
        r"\bnon mi è (?:possibile|permesso|consentito) \w+|\bprefer(?:isco|irei) non (?:risponder|parlar|commentar|aiutar)",
    ),
    (
        "não me é|prefiro não|não tenho permissão|não tenho autorização",
        r"\bnão (?:me é (?:permitido|possível)|tenho (?:permissão|autorização) para) \w+|\bprefiro não (?:responder|comentar|falar|ajudar)",
    ),
    (
        "kan ik geen|mag ik geen|kan ik niet|mag ik niet|wil ik niet",
        r"\b(?:daar|hier|dat|dit|deze vraag|op deze vraag|over dit onderwerp) (?:kan|mag|wil) ik (?:helaas )?(?:geen (?:antwoord|uitspraken|informatie|advies)|niet (?:op |bij |mee |over )?(?:\w+ )?(?:antwoorden|beantwoorden|helpen|ingaan|praten|geven))",
    ),
    (
        "nie jestem w stanie|nie mogę odpowied|wolę nie|nie będę",
        r"\bnie (?:jestem w stanie|mogę|będę) (?:ci |panu |pani |na to )?(?:odpowiedzieć|odpowiadać|pomóc|pomagać|udzielić|spełnić|napisać)|\bwolę nie (?:odpowiadać|mówić)",
    ),
    (
        "не буду|не стану|не имею права|отказываюсь",
        r"\bя (?:не (?:буду|стану|имею права|хочу)|отказываюсь) (?:на это )?(?:отвечать|помогать|обсуждать|писать|комментировать|выполнять)",
    ),
    (
        "不能回答|无法回答|無法回答|不便回答|拒绝回答|不能提供|无法提供|无可奉告",
        r"(?:这个问题|該問題|该问题|此问题|这一问题|对此)[^。\n]{0,8}?我?(?:不能|无法|無法|不便|拒绝)(?:回答|评论|提供|讨论)|我?(?:不便|拒绝)(?:回答|评论)",
    ),
    (
        "outside what i|outside of what i|outside my|outside of my|outside the scope|outside of the scope|beyond what i|beyond my|beyond the scope",
        r"\b(?:(?:that|this|your|the) (?:request|question|topic|task|prompt|query|subject)|this|that|it)(?:'s| is| falls| lies| goes) (?:outside|beyond)(?: of)? (?:what i(?:'m| am| can|'ve)\b|(?:the )?(?:scope|range|bounds) of (?:what i|my)\b|my (?:\w+ )?(?:scope|capabilit|abilit|guidelines|remit|programming|expertise|permissions))",
    ),
    (
        "request can't|request cannot|request can not|unable to process|unable to fulfil|not able to process|unable to complete|unable to a",
        r"\b(?:your|this) request (?:can't|cannot|can not) be (?:fulfil\w+|completed|answered|processed|honou?red|granted|carried out)\b"
        r"|\bwe(?:'re| are) (?:unable|not able) to (?:process|fulfil|complete|answer|assist with) (?:your|this|that)\b",
    ),
    (
        [f"{word} {whose}" for word in AGAINST for whose in ("my ", "openai", "the openai")],
        r"\b(?:against|violates?|violating|contrary to|goes? against|conflicts? with|not align with|inconsistent with|breach(?:es)? of)(?: (?:my|openai's|the openai)) (?:ethical |content |safety |usage |community |core |own |use[ -]case |moral )*(?:guidelines|programming|policy|policies|principles|ethics|values|terms of (?:service|use))",
    ),
    (
        "for me to|would be appropriate|would not be appropriate|think it's appropriate|think it is appropriate",
        r"\b(?:it (?:is|would be|'s)|that would be|this would be|it's|i don't think (?:it's|it is|that's|that is)|that would|it would) (?:not (?:be )?(?:appropriate|ethical|responsible|right)|(?:be )?(?:inappropriate|unethical|illegal|irresponsible|wrong))(?: (?:and|or) \w+)? for me to\b|\b(?:i (?:don't|do not) think (?:it's|it is|that's|that is|(?:it|that) would be)|(?:it|that) (?:wouldn't be|isn't)) (?:appropriate|ethical|responsible|right|wise) for me to\b|\b(?:that would not be|i don't think it's|i do not think it is) appropriate\b",
    ),
    (
        "decline|refus|declining",
        r"\bi (?:must|have to|will have to|need to|am going to|'ll have to) (?:(?:respectfully |politely |kindly )?decline|(?:respectfully |politely |kindly )refuse)\b|\bi (?:respectfully |politely )decline (?:to|this|your)"
        rf"|\bi(?:'m| am) (?:declining|refusing) to {SAY}\b",
    ),
    ("not programmed|not designed|not comfortable", r"\bi(?: a|')m (?:not programmed|not designed|not comfortable) (?:to|with|for) \w+"),
    (
        "ki-modell|leider|tut mir leid|entschuldigung|ich kann|kann ich|darf ich|ich darf|bedaur|verzeih|nicht in der lage|verstößt",
        r"\b(?:(?:es )?tut mir (?:sehr )?leid|entschuldigung|leider|verzeihung|ich bedauere?)[,.:]?(?: aber)? (?:ich )?(?:kann|darf|bin|werde) (?:ich )?(?:\w+ ){0,8}?(?:nicht|keine?n?r?)\b|\bich (?:kann|darf|werde) (?:ihnen |dir |euch )?(?:dabei |hierbei |damit |bei dieser \w+ |bei diesem \w+ |diese \w+ |dieser \w+ )?(?:leider )?(?:nicht|keine?) (?:\w+ ){0,3}?(?:helfen|weiterhelfen|behilflich|unterstützen|beantworten|erfüllen|nachkommen|bereitstellen|entsprechen|geben)|\bich bin (?:leider )?nicht in der lage|\b(?:das|dies|dabei|damit|dazu|hierbei|diese \w+|diesen \w+|darauf) (?:kann|darf|werde) ich (?:dir |ihnen |euch )?(?:leider |hier |aus \w+(?: \w+)? )?(?:nicht|keine?n?) (?:\w+ ){0,3}?(?:\w*helfen|behilflich|unterstützen|beantworten|antworten|erfüllen|nachkommen|bereitstellen|entsprechen|geben|sagen|machen|tun|schreiben|bearbeiten|teilen)|\bich (?:kann|darf) (?:diese|dieses|diesen|solche|die|das) (?:\w+ ){1,3}?nicht (?:weitergeben|teilen|geben|beantworten|bearbeiten|erfüllen|schreiben|erstellen|herausgeben|nennen)|\b(?:das|dies|die anfrage|diese anfrage) verstößt gegen (?:meine|unsere|die) (?:\w+ )?(?:richtlinien|grundsätze|prinzipien|nutzungs\w+)",
    ),
    (
        "je suis désolé|désolée|désolé|je ne peux|je suis dans l'incapacité|je ne suis pas en mesure|je regrette|à l'encontre|il m'est|ne m'est",
        r"\bil (?:m'est (?:malheureusement )?impossible|ne m'est (?:malheureusement )?pas possible) de (?:vous |t'|te |d'|de |l')?(?:vous |te |y )?(?:aider|assister|répondre|fournir|satisfaire|donner|accéder|créer|générer|écrire|rédiger|traiter)|\bdésolée?s?[,.]? (?:mais )?(?:en tant [\w' ]{1,50},? )?(?:je|cela|il m'est)\b[^.\n]{0,20}\b(?:ne peux|ne suis pas|ne puis|n'ai pas|impossible)|\bje (?:ne peux (?:malheureusement )?pas|ne suis (?:malheureusement )?pas (?:en mesure|capable|autorisé)|ne puis) (?:vous |t'|te |d'|de |l')?(?:vous |t'|te |y )?(?:aider|assister|répondre|fournir|satisfaire|donner|accéder|créer|générer|écrire|rédiger|participer|accomplir|faire)|\b(?:va|vont) à l'encontre de (?:mes|mon|nos) ",
    ),
    (
        "lo siento|no puedo|disculpa|lamento|me temo|en contra de mis|no me es posible|lamentablemente|desafortunadamente|desgraciadamente",
        r"\b(?:lo siento|lo lamento|disculpa|disculpe|lamento|perdón|perdona)[^.\n]{0,40}\bno (?:puedo|me es posible|estoy|tengo|podré)|\bno (?:puedo|me es posible|podré|estoy (?:autorizad[oa]|en condiciones)) (?:\w+ )?(?:ayudar|asistir|cumplir|proporcionar|responder|ofrecer|brindar|darte|darle|generar|crear|escribir|participar|hacer eso)|\bme temo que no puedo\b|\bva en contra de (?:mis|nuestras) ",
    ),
    (
        "mi dispiace|non posso|spiacente|mi scuso|purtroppo|non sono in grado",
        r"\b(?:mi (?:dispiace|spiace|scuso)|spiacente|purtroppo)[^.\n]{0,40}\bnon (?:posso|sono|ho|mi è)|\bnon (?:posso|sono in grado di|mi è possibile) (?:\w+ )?(?:aiutar|assister|fornir|rispond|soddisfar|crear|generar|scriver|offrir|partecipar|fare questo)",
    ),
    (
        "desculp|sinto muito|não posso|lamento|infelizmente",
        r"\b(?:desculp[ea]|desculpe-me|sinto muito|lamento|infelizmente)[^.\n]{0,40}\bnão (?:posso|consigo|estou|tenho|sou|é possível)|\bnão (?:posso|consigo|sou capaz de|estou autorizad[oa] a) (?:\w+ )?(?:ajud|auxili|fornecer|responder|atender|cumprir|criar|gerar|escrever|oferecer|participar)",
    ),
    (
        "sorry|spijt|helaas|ik kan",
        r"\b(?:het spijt me|sorry|helaas|excuses)[^.\n]{0,30}\b(?:kan ik|ik kan|ik ben|mag ik|ik mag)\b[^.\n]{0,60}\b(?:niet|geen)\b|\bik kan (?:je |u )?(?:\w+ ){0,3}?(?:niet|geen) (?:\w+ )?(?:helpen|assisteren|beantwoorden|geven|verstrekken|voldoen)",
    ),
    (
        "üzgün|uzgun|yardımcı|yardimci|yardım|maalesef|kusura|özür|veremiyorum|veremem|getirem|edemiyorum|layamıyorum|layamam|yapamıyorum|yapamam",
        r"\b(?:üzgünüm|uzgunum|maalesef|özür dilerim|kusura bakma\w*),? (?:ancak|ama|fakat|ne yazık ki)\b|\b(?:bu konuda )?(?:size |sana )?yard[iı]mc[iı] olamam|\b(?:yardım edemem|yardım edemiyorum|yardımcı olamıyorum|yardımcı olmam mümkün değil|yerine getiremem|yerine getiremiyorum|sağlayamam|sağlayamıyorum|veremem|cevap veremiyorum|yanıt veremiyorum|cevaplayamam|cevaplayamıyorum|yanıtlayamam|yanıtlayamıyorum|yapamam|yapamıyorum)\b",
    ),
    (
        "przykro|przepraszam|niestety|nie mogę",
        r"\b(?:przykro mi|przepraszam|niestety)[^.\n]{0,30}\bnie (?:mogę|jestem)|\bnie mogę (?:ci |panu |pani )?(?:\w+ )?(?:pomóc|spełnić|udzielić|odpowiedzieć|dostarczyć|stworzyć|napisać)",
    ),
    (
        "извин|сожалению|простите|не могу|прошу прощения|жаль",
        r"\b(?:извините|извини|к сожалению|простите|прошу прощения|мне (?:очень )?жаль|сожалею)[^.\n]{0,60}\bне (?:могу|в состоянии|имею|смогу|способ)|\bя не (?:могу|в состоянии|смогу) (?:вам |тебе )?(?:\w+ )?(?:помочь|предоставить|ответить|выполнить|создать|написать|помогать|дать|обсуждать|удовлетворить)",
    ),
    (
        "вибач|на жаль|не можу",
        r"\b(?:вибачте|на жаль|перепрошую)[^.\n]{0,60}\bне (?:можу|в змозі)|\bя не можу (?:\w+ )?(?:допомогти|надати|відповісти|виконати)",
    ),
    (
        "抱歉|对不起|對不起|很遗憾|很遺憾|无法|無法|不能",
        r"(?:抱歉|对不起|對不起|很遗憾|很遺憾|不好意思)[^。\n]{0,40}?(?:无法|無法|不能|没办法|沒辦法|不可以|不会|没有办法|拒绝|做不到|没有能力)|我(?:无法|無法|不能|不可以|不会)(?:为您|为你|為您|向您|向你|给您|给你|直接|帮你|帮您|帮助您|帮助你|协助|满足|回答|提供|完成|满足|执行|生成|创建|撰写|讨论|参与|这样做)",
    ),
    (
        "申し訳|すみません|ごめんなさい|残念|できません|お手伝い|お答え",
        r"(?:申し訳|すみません|ごめんなさい|残念ながら|恐れ入り)[^。\n]{0,60}?(?:できません|できかねます|致しかねます|いたしかねます|ません|出来ません)|(?:お手伝い|お答え|対応|提供|回答|お応え|支援)(?:する|を|は|する?こと)?[^。\n]{0,8}?(?:できません|できかねます|致しかねます|いたしかねます)",
    ),
    (
        "죄송|미안|유감|도와드릴|도울 수|수 없",
        r"(?:죄송|미안|유감)[^.\n]{0,60}?(?:수 없|수가 없|어렵습니다|못합니다|않습니다|드릴 수)|(?:도와드릴|도울|제공할|답변할|답변드릴|제공해 드릴|도와 드릴) 수(?:는|가)? 없",
    ),
    (
        "عذر|آسف|اسف|لا أستطيع|لا يمكنني|للأسف",
        r"(?:عذر|آسف|اسف|للأسف|أعتذر)[^.\n]{0,50}(?:لا (?:أستطيع|يمكنني|يمكن)|غير قادر|لن أتمكن)|(?:لا (?:أستطيع|يمكنني)|لست قادر\w*|غير قادر\w*)(?: على)? (?:مساعد|تقديم|الإجابة|تلبية|المساعدة|توفير|كتابة|إنشاء)",
    ),
    (
        "क्षमा|माफ|खेद|असमर्थ|नहीं कर सक",
        r"(?:क्षमा|माफ|खेद)[^।\n]{0,80}(?:नहीं|असमर्थ)|(?:मदद|सहायता|प्रदान|उत्तर)[^।\n]{0,12}(?:नहीं कर सकत|नहीं दे सकत|असमर्थ)",
    ),
    (
        "xin lỗi|rất tiếc|không thể",
        r"(?:xin lỗi|rất tiếc)[^.\n]{0,50}không (?:thể|có khả năng|được phép)|tôi không (?:thể|được phép) (?:giúp|hỗ trợ|cung cấp|trả lời|đáp ứng|thực hiện|tạo|viết)",
    ),
    (
        "maaf|tidak dapat|tidak bisa",
        r"\bmaaf\b[^.\n]{0,40}\btidak (?:dapat|bisa|mampu|boleh)|\bsaya tidak (?:dapat|bisa|mampu) (?:membantu|memberikan|menyediakan|menjawab|memenuhi|membuat|menulis)",
    ),
    (
        "tyvärr|ledsen|beklager|desværre|undskyld|ursäkta|förlåt|jag kan inte|jeg kan ikke|jeg kan desværre",
        r"\b(?:tyvärr|ledsen|beklager|desværre|dessverre|undskyld|unnskyld|ursäkta|förlåt)\b[^.\n]{0,30}\b(?:jag|jeg)?[^.\n]{0,12}\b(?:inte|ikke)\b|\b(?:jag kan inte|jeg kan (?:desværre |dessverre )?ikke) (?:hjälpa|hjelpe|hjælpe|svara|svare|besvara|besvare|tillhandahålla|gi|give|ge|bistå)",
    ),
    (
        "omlouvám|bohužel|nemohu|îmi pare rău|nu pot|sajnálom|elnézést|nem tudok|valitettavasti|anteeksi|en voi|λυπάμαι|συγγνώμη|δεν μπορώ|متأسف|نمی\u200cتوانم|نمیتوانم|מצטער|סליחה|לא יכול|ขออภัย|ขอโทษ|ไม่สามารถ",
        r"\b(?:omlouvám se|bohužel)[^.\n]{0,30}\bne(?:mohu|můžu)|\bnemohu (?:vám |ti )?(?:\w+ )?(?:pomoci|poskytnout|odpovědět|splnit)|\bîmi pare rău[^.\n]{0,40}\bnu (?:pot|sunt)|\bnu (?:pot|te pot|vă pot) (?:să )?(?:\w+ )?(?:ajut|ofer|răspund)|\b(?:sajnálom|elnézést|sajnos)[^.\n]{0,40}\bnem (?:tud|áll|lehet)|\b(?:valitettavasti|anteeksi|olen pahoillani)[^.\n]{0,40}\ben (?:voi|pysty)|\b(?:λυπάμαι|συγγνώμη|δυστυχώς)[^.\n]{0,40}\bδεν μπορώ|متأسف[^.\n]{0,40}نمی ?\u200c?توانم|(?:מצטער|סליחה|לצערי)[^.\n]{0,40}לא יכול|(?:ขออภัย|ขอโทษ)[^.\n]{0,60}ไม่(?:สามารถ|ได้)|(?:ฉัน|ผม|ดิฉัน)ไม่สามารถ(?:ช่วย|ให้|ตอบ)",
    ),
)
"""What is a refusal wherever it stands."""
SHORT: Final = Phrases.of(
    (
        "stay away from|steer clear of|keep away from|off limits|off-limits|that kind of|that sort of|to avoid this|to avoid that|to avoid such|everything i stand for|can't help|sit this one out|confidentiality",
        r"^(?:\w+[,.!]? (?:but )?)?that(?:'s| is) (?:a (?:subject|topic|question) (?:that )?i (?:stay away|steer clear|keep away)|off[- ]limits)\b"
        r"|^(?:\w+[,.!]? (?:but )?)?(?:i'm afraid (?:that's|that is|this is)|this is) off[- ]limits\b"
        r"|^(?:\w+[,.!]? (?:but )?)?i (?:don't|do not|won't) do (?:that|this) (?:kind|sort) of (?:thing|task|work|writing|content)\b"
        r"|^i(?: have been|'ve been| was| am|'m) (?:instructed|told|programmed|trained|asked) to avoid (?:this|that|such)\b|^(?:this|that|it) goes against everything i stand for\b"
        r"|^(?:nope|no|sorry|apologies)[,.!]? (?:but )?can't help\b|^i(?:'ll| will) (?:have to )?sit this one out\b|^i(?: am|'m) bound by (?:\w+ )?confidentiality\b",
    ),
    (
        "move on|to change the subject|go along with|be the one to|party to|ask someone else|ask somebody else|else for that|the right one to ask|abstain from|refrain from|not authorized|not authorised|not aware of any|can't, i'm|cannot, i'm|can't, sorry",
        r"^i(?:'d| would) (?:prefer|rather) (?:that )?(?:we |you )?(?:move on|change the subject)\b|^(?:\w+[,.!]? (?:but )?)?i (?:can't|cannot|won't|will not) (?:go along with|be (?:the one to|party to)) \w+"
        r"|^you(?:'ll| will)? (?:need|have) to ask (?:someone|somebody) else\b|^i(?:'m| am) not the right (?:one|person) to ask\b|^i (?:must|have to|will) (?:abstain|refrain) from (?:\w+ing|this|that)\b"
        r"|^(?:\w+[,.!]? (?:but )?)?i(?:'m| am) not (?:authori[sz]ed to|aware of any such)\b|^i (?:can't|cannot)[,.] (?:i'm )?sorry\b",
    ),
    (
        "i have no info|i have no record|i have no knowledge|i have no data|find any info|to verify|to confirm|is not possible|'s not possible|medical advice|legal advice|financial advice",
        r"^(?:\w+[,.!]? (?:but )?)?i have no (?:information|data|knowledge|records?) (?:about|on|of) (?:this|that|such|it)\b|^(?:\w+[,.!]? (?:but )?)?i (?:can't|cannot|could not|couldn't|was unable to|am unable to) find any information (?:about|on) (?:this|that|it|such)\b"
        r"|^(?:\w+[,.!]? (?:but )?)?i(?:'m| am) (?:unable|not able) to (?:verify|confirm) (?:this|that|it|your|the)\b|^(?:unfortunately|sorry|i'm sorry|regrettably)[,.!]? (?:but )?(?:that|this|it)(?:'s| is) not possible[.!]"
        r"|^(?:\w+[,.!]? (?:but )?)?i (?:don't|do not) (?:give|offer|provide) (?:out )?(?:medical|legal|financial|personal) advice\b",
    ),
    (
        "please provide|please share|please paste|please send|please give me|please attach|please include|provided to|provided for|no text|no input|no article|no passage|no image|no sentence|forgot to|didn't include|did not include|didn't provide|did not provide|haven't provided|have not provided|didn't attach|did not attach",
        r"^(?:sure[,.!] |okay[,.!] |of course[,.!] |sorry[,.!] (?:but )?)?(?:could you )?please (?:provide|share|paste|send|give me|attach|include) (?:me )?(?:with )?(?:the|your|a|some|more) (?:\w+ )?(?:text|article|passage|paragraph|sentences?|input|image|picture|file|data|code|context|details|information|story|document|table|list|question)\b"
        r"|^(?:sorry[,.!] (?:but )?|i'm sorry[,.!] (?:but )?|unfortunately[,.!] )?there (?:is|was|are|were) no (?:text|input|article|passage|paragraph|image|sentences?|data|code|table|context) (?:provided|given|attached|included|to (?:summar|translat|edit|rewrit|analy|classif))"
        r"|^(?:sorry[,.!] (?:but )?|i'm sorry[,.!] (?:but )?)?(?:it (?:seems|looks like|appears)(?: that| like)? )?you (?:forgot to|didn't|did not|haven't|have not) (?:include|provided?|attach(?:ed)?|pasted?|shared?|give|given) (?:me |us )?(?:with )?(?:the|your|any|an?) (?:\w+ ){0,2}?(?:text|article|passage|paragraph|sentences?|inputs?|image|picture|file|data|code|context|details|information|story|document|table|list|question|lyrics|link)\b",
    ),
)
"""What is a refusal where it begins a response that is short."""
ABROAD: Final = Phrases.of(
    (
        "ablehnen|ich nicht.|ich nicht,|nichts schreibe|nichts sage|refuser|décliner|ne ferai|hors de m|mes capacités|mes compétences",
        r"\b(?:ich (?:muss|möchte|werde)|(?:muss|möchte|werde) ich) (?:\w+ ){0,3}ablehnen\b|^(?:nein, )?(?:das|dies|so etwas) (?:mache|tue|schreibe|beantworte) ich nicht[.,]|\bdass ich (?:dazu|hierzu|darüber) nichts (?:schreibe|sage)"
        r"|\bje (?:dois|vais devoir|suis obligée? de|suis contrainte? de) (?:\w+ )?(?:refuser|décliner)\b|^(?:non, )?je ne (?:le )?ferai pas (?:cela|ça|ceci)\b|\b(?:ce sujet|cela|cette \w+|ceci) (?:est |sort )?(?:hors de (?:mon|ma|mes) (?:domaine|portée|compétences?|champ)|dépasse mes (?:capacités|compétences))",
    ),
    (
        "rechazar|declinar|negarme|recusar|rifiutare|declinare|fuera de mi|no voy a|fora do meu|fora das minhas|mie capacità|mie possibilità|mie competenze",
        r"\b(?:debo|tengo que|me veo obligad[oa] a|devo|tenho (?:de|que)|sono costrett[oa] a) (?:rechazar|declinar|negarme|recusar|rifiutare|declinare)\b|\b(?:eso|esto|esa \w+) (?:queda |está )?fuera de mis? (?:capacidades|alcance|competencias|ámbito)|^(?:no, )?no voy a (?:hacer eso|responder|contestar|ayudar)"
        r"|\b(?:isso|isto|esse \w+) está fora (?:do meu|das minhas) (?:alcance|capacidades|âmbito|escopo)|\bquesto (?:va oltre|è al di fuori delle|supera) (?:le )?mie (?:capacità|possibilità|competenze)",
    ),
    (
        "отказ|делать не|за пределами моих|моей компетенции|拒绝|拒絕|谢绝|婉拒|お断り|権限がありません|거절|أرفض|weigeren|odmówić|reddetmek|reddediyorum",
        r"\b(?:я (?:вынужден\w*|должен|должна)|мне придётся) (?:\w+ )?отказ\w+|^(?:нет, )?(?:этого|это|такого) (?:я )?делать не (?:буду|стану)|за пределами моих|не в моей компетенции|(?:必须|必須|只能|不得不|我要|我)(?:拒绝|拒絕|谢绝|婉拒)(?:这|此|该|回答|您|你)|お断り(?:し|いた|させて)|私には(?:その)?権限がありません"
        r"|(?:요청|질문|부탁)(?:은|을)? ?거절(?:하겠|합니다|해야)|(?:يجب أن |لا بد أن |سوف )?أرفض (?:هذا|الإجابة|طلب)|\bik moet (?:\w+ ){0,3}weigeren|\b(?:muszę|zmuszon[ya]) (?:\w+ )?odmówić|reddetmek (?:zorunda|durumunda)|isteği reddediyorum",
    ),
    (
        "ich nicht|ich nichts|ich keine|nicht wohl|darf ich|ich darf|meine richtlinien|meine regeln|meinen richtlinien|meinen regeln|nicht befugt|nicht berechtigt",
        r"\b(?:darüber|dazu|hierzu|davon|darauf|hierüber|zu diesem \w+|über (?:dieses|diese|solche|so) \w+) (?:spreche|rede|sage|möchte|will|darf|kann|werde|gebe|antworte|äußere) ich (?:mich |ihnen |dir |leider )*(?:nichts?|keine \w+)"
        r"|\bfühle mich (?:\w+ )?nicht (?:wohl|in der lage)|\bich bin (?:leider )?nicht (?:befugt|berechtigt|autorisiert)|\b(?:widerspricht|verletzt) (?:meinen?|unseren?) (?:richtlinien|regeln|grundsätzen?|prinzipien)",
    ),
    (
        "je ne suis pas|mes règles|nos règles|mes principes|mes directives|mes consignes|ne pas aborder|ne pas évoquer|ne pas m'|ne pas en parler|je ne peux|parlons d'autre|autre chose",
        r"\bje ne suis (?:malheureusement )?pas (?:à l'aise|autorisée?|habilitée?|en droit|disposée?)\b|\b(?:enfreint|viole|contraire à|contrevient à|va contre) (?:mes|nos) (?:\w+ )?(?:règles|principes|directives|consignes|politiques)"
        r"|\bje (?:préfère|préférerais|souhaite) ne pas (?:aborder|évoquer|m'\w+|en parler|entrer|traiter)|\bje ne (?:peux|puis) (?:malheureusement )?pas (?:traiter|aborder|évoquer|discuter|commenter|parler|en parler|partager|révéler)\b|^(?:\w+[,.] )?parlons (?:plutôt )?d'autre chose",
    ),
    (
        "no me siento|otra cosa|cambiar de tema|puedo compartir|puedo comentar|puedo hablar|puedo revelar|puedo tratar|puedo decir|mis normas|mis reglas|mis directrices|mis políticas|mis principios|mis pautas",
        r"\bno me siento (?:cómod[oa]|capaz|a gusto)\b|\bprefiero (?:que )?(?:hablar|hablemos) de otra cosa|\b(?:prefiero|mejor) cambi(?:ar|emos) de tema|\bno (?:te |le |se |lo |la |los |las )*puedo (?:compartir|comentar|hablar de|revelar|tratar|decir)\b"
        r"|\b(?:infringe|viola|incumple|contraviene|contra) (?:de )?mis (?:normas|reglas|directrices|políticas|principios|pautas)",
    ),
    (
        "não estou|não me sinto|minhas diretrizes|minhas regras|minhas políticas|meus princípios|não posso|não vou|mudar de assunto",
        r"\bnão (?:estou (?:autorizad[oa]|em condições|à vontade)|me sinto (?:à vontade|confortável|segur[oa]))\b|\b(?:viola|contraria|infringe|contra) (?:as |os )?(?:minhas|meus) (?:diretrizes|regras|políticas|princípios|normas)"
        r"|\bnão (?:posso|vou) (?:falar|comentar|discutir|tratar|compartilhar|revelar|abordar|entrar)\b|\bprefiro mudar de assunto",
    ),
    (
        "a mio agio|non sono autorizzat|linee guida|le mie regole|miei principi|non posso|non intendo|cambiare argomento",
        r"\bnon (?:mi sento a mio agio|sono autorizzat[oa])\b|\b(?:viola|contro|contrasta con) (?:le mie|i miei) (?:linee guida|regole|principi|norme)|\bnon (?:posso|intendo|voglio) (?:parlar|discuter|commentar|condivider|rivelar|affrontar|trattar)|\bprefer(?:isco|irei) cambiare argomento",
    ),
    (
        "не вправе|не имею права|за рамки|не могу|не буду|не стану|не хочу|мои правила|моим правилам|моим принципам|не уполномоч|сменим тему|о другом",
        r"\bне (?:вправе|имею права|уполномочен\w*|могу|буду|стану|хочу) (?:\w+ ){0,2}?(?:отвеча\w+|ответить|обсужда\w+|обсудить|комментиров\w+|прокомментировать|говорить|рассказ\w+|помога\w+|помочь|раскры\w+|давать|разглаша\w+)"
        r"|\bвыход\w+ за рамки (?:того|моих|моей)|\b(?:наруша\w+ мои|противоречит моим) (?:правила\w*|принцип\w*)|\bдавайте (?:лучше )?(?:сменим тему|поговорим о другом)",
    ),
    (
        "不方便|不便|不宜|恕|我的准则|我的規則|我的规则|我的原则|我的政策|我的使用|换个话题|换一个话题|換個話題|超出",
        r"(?:不方便|不便|不宜|不想|不愿)(?:讨论|討論|回答|透露|评论|評論|谈论|回应|回應|多说|置评|参与)|恕(?:我)?(?:不能|无法|無法|难|難|不便|不)|(?:违反|違反|违背|不符合)了?我的(?:\w{0,6})(?:准则|準則|规则|規則|规定|政策|原则|原則)"
        r"|(?:我们)?(?:换|換)(?:一)?(?:个|個)?(?:话题|話題)吧|超出了?我(?:的|能)?(?:\w{0,6})(?:范围|能力)",
    ),
    (
        "お話し|お話|お伝え|お教え|コメント|差し控え|ガイドライン|返答|話題を変え",
        r"(?:お話し?|お伝え|お教え|お見せ|コメント|返答|お返事)(?:する|すること|いたし|し)?(?:は|を|が)?[^。\n]{0,6}?(?:できません|できかねます|致しかねます|いたしかねます|控え)|差し控え(?:させて|ます)|ガイドラインに(?:反|違反)|話題を変えましょう",
    ),
    (
        "어렵습니다|곤란합니다|지침|말씀드릴|언급할|논의할|이야기할|대답할",
        r"(?:답변|대답|말씀|설명|안내|제공|도움)(?:을|를|은)? ?(?:해 )?(?:드리기|하기)(?:가|는)? ?(?:어렵|곤란)|(?:말씀드릴|언급할|논의할|이야기할|대답할) 수(?:는|가)? 없|지침(?:에|을) (?:어긋|위배|위반)",
    ),
    (
        "خارج نطاق|مناقش|التعليق|التحدث|إرشاداتي|سياستي|قواعدي",
        r"خارج نطاق (?:ما|قدر|صلاحي|اختصاص)|(?:لا (?:أستطيع|يمكنني|أرغب في|أريد|أود)|لن) (?:مناقش|أناقش|التعليق|أعلق|التحدث|أتحدث|الحديث|الرد)|(?:ينتهك|يخالف|يتعارض مع) (?:إرشاداتي|سياستي|قواعدي)",
    ),
    (
        "praat ik|spreek ik|voel me|mijn richtlijnen|mijn regels|mag ik|kan ik|nie mam prawa|nie czuję|moje zasady|moje wytyczne|nie chcę|konuşamam|yorum yapamam|konuşmak istemiyorum|kurallarıma|yönergelerime|pedoman saya|aturan saya|nguyên tắc của tôi|chính sách của tôi",
        r"\b(?:daar|daarover|hierover|over (?:dit|zulke) \w+) (?:praat|spreek|kan|mag|wil) ik (?:je |u |helaas )*(?:niet|niets)\b|\bvoel me (?:er|hier|daar)?(?: \w+)? ?niet (?:prettig|comfortabel|goed) bij|\b(?:in strijd met|tegen) mijn (?:richtlijnen|regels|principes)"
        r"|\bnie (?:mam prawa|czuję się komfortowo|chcę|wolno mi) (?:\w+ )?(?:o tym|odpowiad\w+|rozmawi\w+|mówić|omawi\w+|komentow\w+|tego)|\b(?:narusza|sprzeczne z) (?:moje|moimi) (?:zasad\w+|wytyczn\w+)"
        r"|\b(?:bu konu|bunun) (?:\w+ )?(?:konuşamam|yorum yapamam|konuşmak istemiyorum)|(?:kurallarıma|yönergelerime) aykırı|\bmelanggar (?:pedoman|aturan) saya|\bvi phạm (?:nguyên tắc|chính sách) của tôi",
    ),
)
"""What is a refusal in a response of another language that is short, and of a prompt that wants no text of somebody's."""
