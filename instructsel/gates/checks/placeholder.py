"""Rows with a placeholder where a text belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.endings import is_code
from instructsel.gates.wording.texts import Answer, answers, around, without_fences

SURE: Final = frozenset(
    [
        "todo",
        "to-do",
        "tbd",
        "tba",
        "fixme",
        "xxx",
        "placeholder",
        "noinput",
        "nooutput",
        "noresponse",
        "noanswer",
        "n/a",
        "#ref!",
        "#value!",
        "redacted",
        "changeme",
        "replaceme",
        "foobar",
        "asdf",
        "asdfasdf",
        "asdfgh",
        "qwerty",
        "qwertyuiop",
        "lorem",
        "inserttext",
        "yourtext",
        "yourname",
        "yourresponse",
        "youranswer",
        "%s",
        "%d",
        "tbc",
        "wip",
    ]
)
"""Single words that are no answer, whatever is asked."""
PHRASES: Final = frozenset(
    phrase.strip()
    for phrase in [
        "no input",
        "no output",
        "no response",
        "no answer",
        "no answer available",
        "no answer provided",
        "no answer given",
        "no response provided",
        "no response given",
        "no response available",
        "no input provided",
        "no output provided",
        "no text provided",
        "no content provided",
        "answer missing",
        "response missing",
        "missing answer",
        "missing response",
        "missing text",
        "content removed",
        "content deleted",
        "content missing",
        "text removed",
        "text missing",
        "to do",
        "no data",
        "no content",
        "not available",
        "not applicable",
        "not provided",
        "none given",
        "insert answer here",
        "insert response here",
        "insert text here",
        "insert your answer here",
        "answer here",
        "your answer here",
        "your answer",
        "your response here",
        "your response",
        "response here",
        "output here",
        "text here",
        "write your answer here",
        "write answer here",
        "write your response here",
        "enter text here",
        "enter your answer here",
        "type here",
        "type your answer here",
        "add answer here",
        "add your answer here",
        "sample text",
        "sample response",
        "sample answer",
        "sample output",
        "example text",
        "example response",
        "example answer",
        "example output",
        "dummy text",
        "dummy response",
        "dummy answer",
        "test response",
        "test answer",
        "answer goes here",
        "response goes here",
        "text goes here",
        "output goes here",
        "expected output",
        "response text",
        "answer text",
        "output text",
        "coming soon",
        "under construction",
        "to be determined",
        "to be announced",
        "to be added",
        "to be completed",
        "to be filled",
        "to be filled in",
        "to be done",
        "work in progress",
        "fill in",
        "fill me in",
        "fill this in",
        "change me",
        "replace me",
        "placeholder text",
        "placeholder response",
        "placeholder answer",
        "object object",
        "code here",
        "your code here",
        "insert code here",
        "solution here",
        "result here",
        "model output",
        "generated text",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "request timed out",
        "rate limit exceeded",
        "too many requests",
        "404 not found",
        "500 internal server error",
        "hello world placeholder",
        "lorem ipsum",
        "answer pending",
        "response pending",
        "answer to be added",
        "answer to be added later",
        "write your answer below",
        "write your response below",
        "see above",
        "see below",
        "same as above",
        "content not available",
        "content unavailable",
        "text not available",
        "asdf asdf",
        "%response%",
        "%answer%",
        "%output%",
        "answer to follow",
        "response to follow",
        "to be continued",
        "to be written",
        "to be provided",
        "to be confirmed",
        "not yet answered",
        "not yet written",
        "put your answer here",
        "put answer here",
        "write here",
        "insert here",
        "insert answer",
        "insert response",
        "insert text",
        "add text here",
        "your text here",
        "your text",
        "content goes here",
        "description here",
        "empty response",
        "response unavailable",
        "answer unavailable",
        "this is a placeholder",
        "this is a test",
        "this is a sample response",
        "response placeholder",
        "assistant response",
        "assistant message",
        "assistant reply",
        "response content",
        "content here",
        "message here",
        "todo add answer",
        "todo write answer",
        "todo fill in",
        "hier einfügen",
        "platzhalter",
        "texte ici",
        "votre réponse ici",
        "su respuesta aquí",
        "texto aquí",
        "待补充",
        "待填写",
        "待续",
        "无输入",
        "无输出",
        "占位符",
        "此处填写",
        "请输入",
        "请在此输入",
        "ここに入力",
        "プレースホルダー",
        "여기에 입력",
        "sin respuesta",
        "keine antwort",
        "pas de réponse",
        "нет ответа",
        "заполнить",
        "заглушка",
        "здесь будет ответ",
        "folgt noch",
        "à venir",
        "未入力",
        "略",
        "write something here",
        "add your content",
        "no completion",
        "api error",
        "504 gateway timeout",
        "something went wrong",
        "please try again later",
        "untitled",
        "nenhuma resposta",
    ]
)
DOUBTFUL: Final = frozenset(
    [
        "none",
        "null",
        "nil",
        "nan",
        "undefined",
        "string",
        "str",
        "text",
        "unknown",
        "missing",
        "empty",
        "blank",
        "void",
        "error",
        "test",
        "testing",
        "pass",
        "na",
        "n.a",
        "response",
        "output",
        "answer",
        "input",
        "result",
        "placeholder",
        "xx",
        "timeout",
        "pending",
        "loading",
        "foo",
        "deleted",
        "removed",
        "object",
        "value",
        "content",
        "message",
        "todo",
        "data",
        "number",
        "integer",
        "boolean",
        "array",
        "false-value",
    ]
)
"""Words that are an answer now and then: no placeholder where the prompt has them, or asks what code or a format gives."""
ASKS_FOR_IT: Final = re.compile(
    r"\b(?:print\w*|return\w*|output|type|python|java\w*|sql|code|program|function|script|variable|keyword|class|value|json|any of|there any|if any|which|how many|exist\w*|none|null|"
    r"classif\w+|label|categor\w+|extract\w*|detect)\b",
    re.IGNORECASE,
)
FROM_PROGRAMS: Final = frozenset({"TODO", "nan", "NaN"})
"""What a program or a programmer leaves where a text is missing, spelled so; a question alone asks for none of it."""
OF_PROGRAMS: Final = re.compile(
    r"\b(?:print\w*|return\w*|the output|data type|python|java\w*|sql|code|programs?|programming|functions?(?! rooms?\b)|script|variable|json|nan|todo|pandas|numpy|dataframe)\b",
    re.IGNORECASE,
)
NOT_MADE: Final = re.compile(
    r"\W{0,3}(?:error\b\W{0,3}(?:code\W{0,3})?\d{3}\b|http(?: error)?\W{0,3}[45]\d\d\b|[\w.]{1,40}(?:error|exception): |traceback \(most recent call last\)|\{\W{0,3}error\W{1,4}[{\"']"
    r"|(?:api |openai )?rate limit(?: \w+)? (?:reached|exceeded|error)|(?:connection|server|api|internal|gateway|network|timeout|request|generation|inference) (?:server )?error\W*$"
    r"|(?:the |your |my )?(?:api |http )?(?:request|connection|generation|call|response) (?:has )?(?:timed out|was aborted|failed)\W*$|(?:an? )?(?:\w+ )?error (?:has )?occurred\W*(?:$|(?:while|when|during) (?:processing|generating|calling|handling))"
    r"|(?:error\W{1,3})?failed to (?:generate|get|fetch|produce|retrieve|parse)(?: \w+){0,2} (?:response|answer|output|completion|reply)|error\W{1,3}(?:the )?(?:model|api|server|empty|no|null)\b"
    r"|(?:the |that )?(?:model|server|api|engine) (?:is currently |is |was )?(?:overloaded|returned (?:no|an empty|an error))|max(?:imum)? (?:tokens|length|retries)(?: \w+)? (?:exceeded|reached)"
    r"|content (?:was |has been )?(?:filtered|blocked|withheld)\W*$|(?:response|answer|output|text|completion) (?:was |has )?(?:not |never )(?:been )?(?:generated|produced|given|provided|available|recorded|saved|found|returned)\W*$"
    r"|(?:skipped|deleted|removed|left blank|left out) by \w+\W*$|n/a\W{1,3}(?:skipped|missing|not|none|no)\b)",
    re.IGNORECASE,
)
"""What a generator, or somebody who wrote responses, leaves where there is none; at the beginning of a response."""
TO_COME: Final = re.compile(
    r"(?:this|the|my|your|model)(?: model's)? (?:answer|response|output|text|reply|content|field|section|page|cell|space)(?: (?:was|is|has been|intentionally|left|deliberately)){1,4} (?:blank|empty)(?: \w+)?\W*$"
    r"|(?:the |your |my |an? )?(?:model's |full |final )?(?:answer|response|output|reply|text|content|solution)(?: (?:will|is to|shall|should|to))+ be (?:inserted|added|filled in|provided|written|generated|completed|supplied|put) (?:here|there|later|below|at this point|soon|in this \w+|afterwards)\W*$"
    r"|(?:see|refer to|same as|as in) (?:the )?(?:answer|response|output|reply|previous (?:answer|response|output|reply|one|row|example))(?: (?:above|below|before))?\W*$|to do: \S",
    re.IGNORECASE,
)
"""What a response says in place of one: that it is empty, comes later, or stands elsewhere."""
AT_EITHER_END: Final = re.compile(
    r"(%{1,2}|@@)[A-Z][A-Z_ ]{1,30}\1|\$\{?(?:answer|response|output|result|text)\}?|(?:[Aa]nswer: ?)?[?？]{2,}"
)
"""A word in capitals between the marks of a variable, a variable, or question marks alone."""
LABEL: Final = re.compile(r"^\s*(?:answer|response|output|assistant|result)\s*[:=]\s*(?=\S)", re.IGNORECASE)
CROSSES: Final = re.compile(r"x{3,}")
WRAPPING: Final = " \t\r\n.!…:;*_\"'`~-–—()[]{}<>#/\\|"
"""What may stand around a placeholder."""
ELLIPSIS: Final = re.compile(r"[\s.…·•\-–—_?*~、。，]+$")
SLOT: Final = (
    r"(?:(?:sur|first |last |full )?names?|company|organi[sz]ation|employer|school|university|institution|department|city|town|state|country|location|venue|product|service|(?:job |event )?title|position|role|address|"
    r"(?:phone|telephone|account|order|reference|invoice|contact)?[ _]?number|phone|e-?mail(?: address)?|contact(?: information| details)?|website|url|web address|amount|price|salary|dates?|time|day|month|year|signature|recipient|sender|customer|client)"
)
"""What a letter leaves open."""
ABROAD: Final = (
    r"\b(?:hier|antwort|text|name)\b[^\]\n]{0,20}\b(?:einfügen|eintragen|ergänzen|einsetzen)\b|\bà (?:compléter|remplir)\b|\b(?:insérez|insérer|complétez|saisissez|indiquez) (?:ici|votre|le|la|un|une|vos)\b"
    r"|\b(?:inserte|insertar|escriba|añada|rellene|ingrese|introduzca) (?:su|tu|aquí|la|el|un)\b|\bpendiente de (?:completar|respuesta|rellenar)\b|\b(?:insira|inserir|escreva|preencha|digite) (?:a|o|aqui|sua|seu|um)\b"
    r"|\b(?:inserisci|inserire|scrivi|compila) (?:qui|la|il|tuo|tua)\b|\b(?:вставьте|вставить|введите|впишите|добавьте) (?:здесь|сюда|ответ|текст|имя|свой|ваш|ваше)\b|\b(?:wstaw|wpisz|uzupełnij) (?:tutaj|tu|odpowiedź|tekst|swoj\w+)\b"
    r"|\b(?:hier|antwoord|tekst|naam) (?:invullen|invoegen)\b|\bvul hier\b|\b(?:buraya|yanıtı?|cevabı?) (?:\w+ )?(?:ekleyin|girin|yazın)\b"
    r"|(?:此处|這裡|这里|在此|请)[^\]】）\n]{0,8}?(?:填写|填寫|插入|输入|輸入|补充|補充|填入)|(?:ここに|回答を|名前を|テキストを)[^\]】）\n]{0,8}?(?:入力|記入|挿入)|여기에 ?[^\]\n]{0,10}(?:입력|삽입|작성)"
)
"""What a spot to fill in says in other languages."""
SPOT: Final = re.compile(
    r"\[\s*(?:insert|enter|add|fill in|type|replace|put|specify|provide|write|paste|include|describe|state|todo|tbd|placeholder|your)(?:\s[^\[\]\n]{0,80})?\]"
    rf"|\[\s*(?!(?:an?|the|in|of|this)\b)(?:[A-Za-z'’]+[ _]){{0,3}}{SLOT}(?:[ _]here)?\s*\](?!\()"
    r"|<\s*(?:insert|enter|add|fill in|replace|put|specify|paste|todo|tbd|placeholder|your)\b[^<>\n]{0,80}>"
    r"|<[A-Za-z'’ ]{1,40} here>"
    rf"|(?<![$\w{{]){{(?:first|last|full|company|user|customer|client|recipient|sender|product|phone|e?mail|contact|your)_?{SLOT}}}"
    r"|\{\s*(?:insert|enter|fill in|replace|todo|tbd|placeholder|your)\b[^{}\n]{0,80}\}"
    r"|\b(?:lorem ipsum dolor|dolor sit amet, consectetur)\b|\bTODO: |\bFIXME\b|_{3,} \(insert|\bXX/XX/XXXX\b|\[TODO\]|\[TBD\]|\[PLACEHOLDER\]|\(insert [^()\n]{1,60} here\)",
    re.IGNORECASE,
)
"""A spot that somebody was to fill in."""
SPOT_ABROAD: Final = re.compile(
    rf"[\[【（(<]\s?[^\[\]【】（）()<>\n]{{0,30}}?(?:{ABROAD})[^\[\]【】（）()<>\n]{{0,30}}[\]】）)>](?!\()", re.IGNORECASE
)
"""The same in other languages."""
VARIABLE: Final = re.compile(
    r"(?<![\w}$\\])\{\{\s{0,3}[A-Za-z_][\w.\-]{0,40}\s{0,3}(?:\|[^{}\n]{0,40})?\}\}|\{%-?\s{0,3}(?:if|for|endif|endfor|else|set|block|include)\b[^{}\n]{0,80}%\}|<%=?\s{0,3}[\w.]{1,40}\s{0,3}%>|\$\{[A-Za-z_][\w.]{0,40}\}"
    r"|(?<![\w{$\\])\{(?:input|instruction|prompt|question|context|response|output|answer|query|text|user_input|user|history|name|topic|passage|document|sentence|language)\}"
)
"""A variable of a template that nobody filled in."""
IS_TEMPLATE: Final = re.compile(
    r"template|jinja|handlebars|mustache|placeholder|variable|f-string|format string|interpolat|bash\b|shell|script|javascript|typescript|node\b|react|vue\b|angular|django|flask|ansible|"
    r"helm\b|yaml|docker|makefile|terraform|html|css|php\b|ruby|rails|\berb\b|python|\bjava\b|kotlin|swift|c#|latex|\\begin|\bcode\b|\bfunction\b|\{%|regex|\bapi\b|json|\bsql\b|"
    r"terminal|command|fill in the blank|github|workflow",
    re.IGNORECASE,
)
"""What a prompt says that wants code, or a text with variables."""
IS_LETTER: Final = re.compile(
    r"template|placeholder|fill in the blank|lorem ipsum|dummy|filler|to-?do\b|\bletter|e-?mail|\bform\b|contract|resum[eé]|cover |invitation|\bdraft|\binsert|message|memo\b|announcement|advert|"
    r"press release|speech|toast\b|thank|obituary|\bbio\b|profile|notice\b|certificate|agreement|script|generic|"
    r"\beinen? (?:\w{1,20} ){0,3}\w{0,20}brief\b|anschreiben|vorlage|\blettre\b|courriel|\bmodèle\b|formulaire|\bcarta\b|correo|plantilla|formulario|\blettera\b|modello|письмо|шаблон|信|邮件|郵件|模板|合同|表格|手紙|メール|テンプレート|편지|이메일|양식",
    re.IGNORECASE,
)
"""What a prompt says that wants a text with spots to fill in."""
LONGEST: Final = 400
A_SENTENCE: Final = 100
"""Characters of a response in place of which an error stands, and of a sentence that says there is none."""
OF_ERRORS: Final = re.compile(
    r"error|exception|traceback|\bbug\b|debug|\bhttp|status|\blogs?\b|message|server|\bapi\b|crash|rewrite|translat|classif|summar",
    re.IGNORECASE,
)
"""What a prompt says whose answer may be an error's words."""
ABOUT_TO_DO: Final = re.compile(r"\bto[- ]?do\b|rewrite|translat|rephras|paraphras|correct|sentence", re.IGNORECASE)
FILLER: Final = re.compile(r"lorem|filler|dummy|placeholder|latin", re.IGNORECASE)
NO_INPUT: Final = re.compile(r"(?:^|\n)\s{0,3}[<\[(]?\s?no[ _-]?input\s?[>\])]?\s?\.?\s{0,3}$", re.IGNORECASE)
LATIN: Final = "lorem ipsum"


@dataclass(frozen=True)
class Placeholder(RowCheck):
    """Placeholders where a response or an input belongs: TODO, N/A, <noinput>, [insert a name], {{variable}}, lorem ipsum.

    A word such as none is one only where the prompt neither has it nor asks for it; a template that the prompt asks for is none.
    """

    number: ClassVar[str] = "IS011"
    kind: ClassVar[str] = "placeholder"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "AlpacaDataCleaned, 2023: the kinds of rows that were mended in Alpaca; Promptsource templates (arXiv:2202.01279)"
    )
    fix: ClassVar[str] = "Write the text that belongs there, or take the row out."
    of_row: ClassVar[bool] = True

    allow: tuple[str, ...] = field(default=())
    """Placeholders that are an answer here, in small letters."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """The first placeholder of each answer, and of what it answers."""
        for answer in answers(change):
            text = answer.text
            if text[: len(LATIN)].casefold() == LATIN and not FILLER.search(answer.prompt):
                yield answer.hit(f"{answer.name} is filler text.", evidence=text)
            elif self._stands_in(text, answer.prompt) or (len(text) <= 60 and self._is_one(text, answer.prompt)):
                yield answer.hit(f"{answer.name} is a placeholder.", evidence=text)
            else:
                yield from self._spots(answer)
            if NO_INPUT.search(answer.prompt[-40:]):
                yield answer.hit(
                    "The input of the prompt is a placeholder.",
                    evidence=around(answer.prompt, max(0, len(answer.prompt) - 20), len(answer.prompt)),
                    about="input",
                )
            elif "{" in answer.prompt and not IS_TEMPLATE.search(answer.prompt):
                match = VARIABLE.search(without_fences(answer.prompt))
                if match is not None:
                    place = answer.prompt.find(match[0])
                    message = "The prompt holds a variable of a template that nobody filled in."
                    yield answer.hit(message, evidence=around(answer.prompt, place, place + len(match[0])), about="prompt")

    def _stands_in(self, text: str, prompt: str) -> bool:
        """Whether a response says that there is none: an error of its generator, or that it comes later or stands elsewhere."""
        if text.casefold() in self.allow or len(text) > LONGEST:
            return False
        if NOT_MADE.match(text):
            return not (OF_ERRORS.search(prompt) or OF_PROGRAMS.search(prompt))
        return len(text) <= A_SENTENCE and (
            AT_EITHER_END.fullmatch(text) is not None
            or (TO_COME.match(text) is not None and not (IS_LETTER.search(prompt) or ABOUT_TO_DO.search(prompt)))
        )

    def _is_one(self, text: str, prompt: str) -> bool:
        """Whether a whole answer is a placeholder."""
        word = " ".join(LABEL.sub("", text).strip(WRAPPING).casefold().replace("_", " ").split())
        if word in self.allow or text.casefold() in self.allow:
            return False
        if not word or ELLIPSIS.match(text):
            return bool(text) and set(text) <= set(".…<>[]{}()?-–—_*~ \n") and ("." in text or "…" in text or "<" in text or "_" in text)
        if text.strip(WRAPPING) in FROM_PROGRAMS:
            return not OF_PROGRAMS.search(prompt)
        if word in DOUBTFUL or text.casefold().strip(" .") in DOUBTFUL:
            marked = text[0] in "<[{" and text[-1] in ">]}" and word not in prompt.casefold()
            return marked or not (re.search(rf"\b{re.escape(word)}\b", prompt.casefold()) or ASKS_FOR_IT.search(prompt))
        if word in SURE or word in PHRASES or CROSSES.fullmatch(word) or text.casefold().strip(" .") in ("n/a", "#n/a"):
            return word not in prompt.casefold() or text[:1] == "<"
        return False

    def _spots(self, answer: Answer) -> Iterator[Hit]:
        """A spot to fill in, a variable, or filler text in an answer."""
        text = answer.text
        if not (
            "[" in text
            or "{" in text
            or "<" in text
            or "$" in text
            or "orem" in text
            or "olor sit" in text
            or "【" in text
            or "（" in text
            or ("(" in text and len(text) <= A_SENTENCE)
            or "TODO" in text
            or "FIXME" in text
            or "XX/" in text
            or "insert" in text
        ):
            return
        unfenced = without_fences(text)
        match = SPOT.search(unfenced)
        if match is None and ("[" in unfenced or not unfenced.isascii() or len(unfenced) <= A_SENTENCE):
            match = SPOT_ABROAD.search(unfenced)
        what = "a spot that nobody filled in"
        if match is None and ("{" in unfenced or "<%" in unfenced):
            match, what = VARIABLE.search(unfenced), "a variable of a template that nobody filled in"
        if (
            match is None
            or (IS_LETTER if what[0:6] == "a spot" else IS_TEMPLATE).search(answer.prompt)
            or match[0] in answer.prompt
            or is_code(unfenced)
        ):
            return
        if LATIN in match[0].casefold():
            what = "filler text"
        place = text.find(match[0])
        yield answer.hit(f"{answer.name} holds {what}.", evidence=around(text, place, place + len(match[0])))
