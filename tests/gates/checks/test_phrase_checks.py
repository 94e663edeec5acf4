"""Refusals, voices of other assistants, placeholders and markup: what they are, and what only looks like them."""

from __future__ import annotations

import pytest

from instructsel.gates.wording.phrases import folded
from tests.gates.checks.asking import dialogue, flagged, flags, hits, row

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I cannot assist with that request.",
    "Sorry, I can't do that.",
    "I cannot fulfill this request.",
    "I am unable to provide instructions for that.",
    "Unfortunately, I'm not able to write such a text.",
    "I must respectfully decline.",
    "As an assistant, I cannot create content of this kind.",
    "The harbor has two basins. However, I can't help you with that request.",
    "That goes against my guidelines, so let us talk about something else.",
    "It would not be appropriate for me to comment on this.",
    "This request cannot be fulfilled.",
    "I don't feel comfortable discussing this topic.",
    "I'd rather not answer that.",
    "I'm sorry, but that's not something I can help with.",
    "My guidelines prevent me from answering.",
    "I'm going to have to decline.",
    "It is not possible for me to help with that.",
    "I apologize, but answering this question would be irresponsible.",
    "Regrettably, your request is outside the scope of what I may discuss.",
    "I don't think it would be right for me to write about that.",
    "There's no way I can help you with this.",
    "This content may violate our usage policies.",
    "As much as I'd like to help, I can't with this one.",
    "That's off-limits for me.",
    "I can't go along with such a plan.",
    "I'm not authorized to release those figures.",
    "Please provide the text that I should shorten.",
    "It seems you forgot to include the article.",
    "I am unable to find any information about this harbor.",
    "Das kann ich aus rechtlichen Gründen nicht beantworten.",
    "That would be against the rules that I follow.",
    "I'll pass on that one.",
    "I refuse.",
    "I do not answer questions of this kind.",
    "Your question has been flagged.",
    "This isn't a subject I may discuss.",
    "I lack the knowledge to answer.",
    "Dazu möchte ich keine Auskunft geben. Ich möchte dazu keine Angaben machen.",
    "Je préfère ne pas répondre.",
    "No estoy autorizada a contestar.",
    "Non mi è permesso parlarne.",
    "Prefiro não comentar.",
    "Op deze vraag kan ik geen antwoord geven.",
    "Nie mogę odpowiedzieć na to pytanie.",
    "Я не стану обсуждать это.",
    "这个问题我不便回答。",
    "Il m'est malheureusement impossible de répondre à cette question.",
    "Desafortunadamente, no me es posible escribir ese texto.",
    "I really can't help you with this.",
    "I am prohibited from answering such questions.",
    "We're sorry, but we are unable to process your request.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Es tut mir leid, das kann ich nicht beantworten.",
    "Cela va à l'encontre de mes principes.",
    "Non sono in grado di rispondere a questa domanda.",
    "Bu talebi yerine getiremiyorum.",
    "Je suis désolé, mais je ne peux pas répondre à cette demande.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Desculpe, mas não posso ajudar com isso.",
    "Sorry, maar ik kan je hier niet mee helpen.",
    "Üzgünüm, ancak bu konuda yardımcı olamam.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "Извините, но я не могу помочь с этим.",
    "抱歉，我无法回答这个问题。",
    "申し訳ありませんが、そのご要望にはお応えできません。",
    "죄송하지만 도와드릴 수 없습니다.",
    "عذراً، لا أستطيع مساعدتك في ذلك.",
    "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    "Xin lỗi, tôi không thể giúp bạn việc này.",
    "Maaf, saya tidak dapat membantu dengan permintaan itu.",
    "Tyvärr kan jag inte hjälpa till med det.",
]
NO_REFUSALS = [
    "It is ethical for me to charge the harbor's usual fee.",
    "No, it is not possible.",
    "He was not authorized to release the figures, so he kept them.",
    "There is no text on the plaque, only a date.",
    "Answering this question is easy: look at the tide table.",
    "He sails at night, even if it goes against the rules.",
    "The pilots pass on that knowledge, and I'd pass on the news.",
    "The letter was flagged at the border.",
    "The house is outside the walls, and the garden lies beyond my street.",
    "I can't help but admire the old harbor.",
    "I cannot wait to see the tide come in.",
    "The pilot cannot leave the bridge, and the crew can't help him.",
    "I'm sorry to hear that you lost your keys. Look under the seat first.",
    "She whispered: \"I'm sorry, but I can't help you with that,\" and left.",
    "It was so dark that I couldn't see my own hand.",
    "A ship that is unable to comply with the rules must wait outside.",
    "Apologize first, then offer to pay for the damage.",
    "Yes, it is ethical for me to use any rope that lies about.",
    "I won't stop, I won't give in, the sea is where I will begin.",
    "Ich kann das Boot morgen bringen.",
    "No puedo esperar a verte.",
]


def test_refusals_of_many_languages_are_reported() -> None:
    assert flagged("refusal", REFUSALS) == REFUSALS


ABROAD = [
    "I do not discuss such matters.", "We never talk about these topics, sorry.", "You'll need to ask somebody else about that.", "I'd be breaking the rules if I answered.",
    "Ich fühle mich nicht wohl dabei, das zu beantworten.", "Darüber spreche ich nicht.", "Hierzu darf ich nichts sagen.", "Désolé, mais je préfère ne pas aborder ce sujet.",
    "Je ne suis pas à l'aise pour parler de cela.", "Cette demande enfreint mes règles.", "No me siento cómodo hablando de eso.", "Prefiero que hablemos de otra cosa.", "Esa información no la puedo compartir.",
    "Não me sinto à vontade para responder a isso.", "Esse pedido viola as minhas diretrizes.", "Non mi sento a mio agio a parlarne.", "К сожалению, я не вправе отвечать на такие вопросы.",
    "Эта тема выходит за рамки того, что я могу обсуждать.", "对不起，这个话题我不方便讨论。", "这个请求违反了我的准则。", "恕我不能透露相关内容。", "その話題についてはお話しできません。", "그 내용은 답변드리기 어렵습니다.",
    "هذا خارج نطاق ما أستطيع مناقشته.", "Daar praat ik niet over.", "Nie mam prawa o tym mówić.", "Bu konu hakkında konuşmak istemiyorum.",
    "That crosses a line for me.", "My answer has to be no.", "I have been told to keep quiet about this.", "Nein, das mache ich nicht.", "Ich muss diese Bitte ablehnen.", "Je dois refuser cette demande.", "Ce sujet est hors de mon domaine.",
    "Debo rechazar esta petición.", "Eso queda fuera de mis capacidades.", "Tenho de recusar este pedido.", "Devo rifiutare questa richiesta.", "Я вынужден отказать.", "我必须拒绝这个请求。", "そのリクエストはお断りします。", "그 요청은 거절하겠습니다.",
    "يجب أن أرفض هذا الطلب.", "Ik moet dit verzoek weigeren.", "Muszę odmówić.", "Bu isteği reddetmek zorundayım.",
]  # fmt: skip
NONE_ABROAD = [
    "Ich spreche nicht über das Wetter, ich messe es.", "Je ne suis pas fatigué.", "No me siento mal hoy.", "El barco no puede entrar con marea baja.", "A lei não se aplica a barcos pequenos.",
    "Non sono stato al porto.", "Это выходит за рамки бюджета порта.", "港口不便停大船。", "お話しした通り、港は開いています。", "이 문제는 풀기 어렵습니다.", "Daar ligt het schip.", "Das Schiff muss man ablehnen können.", "Le port a dû refuser un navire.", "港口必须拒绝大船。", "Порт вынуждено стоит без света.",
]  # fmt: skip


def test_short_refusals_in_other_words_and_languages_are_reported_where_no_translation_was_asked_for() -> None:
    assert flagged("refusal", ABROAD) == ABROAD
    assert flagged("refusal", NONE_ABROAD) == []
    assert not flags(
        "refusal", row("No me siento cómodo hablando de eso.", "Translate into Spanish: I'm not comfortable talking about that.")
    )


LONG = "The harbor was rebuilt after the storm, and its quays were raised by two metres. " * 6
ENDS = [
    "I can't provide that information.",
    "However, I am unable to provide the remaining steps.",
    "I can answer the general question, but I'm not able to share details about that.",
    "I'm sorry, but I can't do that.",
    "I cannot discuss this topic.",
]


def test_a_refusal_at_the_end_of_a_long_response_is_reported() -> None:
    texts = [f"{LONG}{words}" for words in ENDS]
    assert flagged("refusal", texts) == texts


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Write a letter of thanks.", f"Dear Anna,\n\nThank you for the boat. {LONG}\n\nYours,\nTom"),
        ("Sort these boats.", "Sail: ketch, yawl\nMotor: tug, ferry"),
        ("How long is it?", 'The mast is 6" thick, and the sail is 40" long.'),
        ("What do I do when my boss refuses?", f"Ask again. {LONG}"),
    ],
)
def test_a_refusal_of_the_request_is_reported_behind_letters_lists_and_inches(prompt: str, text: str) -> None:
    assert not flags("refusal", row(text, prompt))
    assert flags("refusal", row(f"{text} However, I can't help you with that request.", prompt))


def test_a_refusal_in_front_of_a_long_answer_about_an_email_is_reported_and_a_timetable_is_no_dialogue() -> None:
    assert flags("refusal", row(f"I must decline to answer that. {LONG}", "Why is the field $email undefined?"))
    assert flags("self-reference", row("7:00 am: Wake up\n7:30 am: Cook\n11:00 pm: Sleep I was created by OpenAI to help.", "Plan my day."))


def test_a_refusal_that_was_asked_for_is_not_reported() -> None:
    assert not flags(
        "refusal", row("I'm sorry, but I can't help you with that request.", "Write a polite sentence that refuses a request.")
    )
    text = "Customer: Can you do it by noon?\nAgent: I'm sorry, but I can't help you with that request.\nCustomer: A pity."
    assert not flags("refusal", row(text, "Write what they say."))


def test_what_only_sounds_like_a_refusal_is_not_reported() -> None:
    assert flagged("refusal", NO_REFUSALS) == []


def test_a_letter_that_refuses_on_behalf_of_somebody_is_no_refusal() -> None:
    text = "Dear Ms Le Goff,\n\nI'm sorry, but I cannot provide a refund for the ticket.\n\nKind regards"
    assert not flags("refusal", row(text, "Write a letter that declines a refund."))


def test_a_line_of_a_list_is_none_of_a_dialogue_where_the_prompt_asks_what_people_play() -> None:
    text = "Rowing: Ada Marsh\nSailing: Tom Weir, who is new. I was created by OpenAI to help."
    assert flags("self-reference", row(text, "Which sports do these athletes play?"))
    assert not flags("self-reference", row(text, "Write a play about two athletes."))


def test_a_line_of_a_dialogue_is_no_refusal() -> None:
    text = "Ann: Will you come with me?\nBen: I'm sorry, but I can't help you with that.\nAnn: A pity."
    assert not flags("refusal", row(text, "Write a short dialogue about a boat."))


def test_a_refusal_in_an_earlier_answer_is_named() -> None:
    reported = hits("refusal", dialogue("Do it.", "I'm sorry, but I can't help with that.", "And the tide?", "At noon."))
    assert [(hit.key, hit.message) for hit in reported] == [("answer 1", "Answer 1 of 2 refuses.")]


def test_only_short_responses_count_where_a_configuration_says_so() -> None:
    text = "I can't help with that. " + "The harbor was built long ago. " * 20
    assert flags("refusal", row(text))
    assert not flags("refusal", row(text), max_characters=200)


VOICES = [
    "I run on OpenAI's GPT-4o, not on diesel.",
    "I'm DeepSeek-V3, an assistant.",
    "In my role as an AI assistant I take no side.",
    "I only exist as software, so I own no boat.",
    "I'm not a real person, just an AI.",
    "Being an AI means that I have never sailed.",
    "As your virtual assistant, I cannot swim.",
    "I am the newest model from Anthropic.",
    "I have no access to real-time information about the tides.",
    "As an AI language model, I don't have personal opinions.",
    "As an AI, I do not eat.",
    "Well, being an AI, I cannot taste it.",
    "I'm just an AI, so take this with care.",
    "I am ChatGPT, a large language model trained by OpenAI.",
    "I'm Claude, made by Anthropic.",
    "I was created by OpenAI to be helpful.",
    "As of my knowledge cutoff in September 2021, the harbor was open.",
    "As of my last update, the bridge was closed.",
    "My training data ends in 2023.",
    "As a large language model, I have no boat.",
    "I'm only a computer program, so I cannot swim.",
    "As a machine learning model, I have never seen the sea.",
    "I am a digital assistant, so I have no hands.",
    "You are chatting with Gemini, which knows the tides.",
    "I don't have internet access, so look up the tides.",
    "I was programmed to speak of ships.",
    "My training ended in 2022.",
    "As an LLM, I may be wrong.",
    "I'm an artificial intelligence and have no boat.",
    "Anthropic built me to help.",
    "As your friendly AI assistant, I know the tides.",
    "I cannot swim because I am a machine.",
    "As an assistant made by Google, I read charts.",
    "I'm not human, I'm an AI.",
    "Ich wurde von OpenAI trainiert.",
    "J'ai été créé par Mistral AI.",
    "Fui entrenado por OpenAI.",
    "Sono stata sviluppata da Google.",
    "私はAIなので、海を見たことがありません。",
    "Als KI-Sprachmodell habe ich keine Meinung.",
    "En tant que modèle de langage, je n'ai pas d'avis.",
    "Como modelo de lenguaje, no tengo opiniones.",
    "Come modello linguistico, non ho opinioni.",
    "Como um modelo de linguagem, não tenho opiniões.",
    "Als AI-taalmodel heb ik geen mening.",
    "Bir yapay zeka dil modeli olarak fikrim yok.",
    "Jako model językowy nie mam opinii.",
    "Как языковая модель, я не имею мнения.",
    "作为一个人工智能语言模型，我没有个人意见。",
    "AI言語モデルとして、個人的な意見はありません。",
    "저는 인공지능 언어 모델로서 의견이 없습니다.",
    "كنموذج لغوي، ليس لدي رأي.",
    "Với tư cách là một mô hình ngôn ngữ, tôi không có ý kiến.",
    "Sebagai model bahasa, saya tidak punya pendapat.",
    "Som en AI-språkmodell har jag ingen åsikt.",
]
NO_VOICES = [
    "I'm a software engineer at the harbor, and I run on coffee.",
    "I have no body of water near my house.",
    "A chatbot answers the harbor's telephone at night.",
    "I was built like my father, made for the sea.",
    "As an AI researcher, I study how models learn.",
    "ChatGPT is a chatbot developed by OpenAI.",
    "A language model predicts the next word; as with any language model, there are limits.",
    "The system is being used as an AI assistant in three ports.",
    "I am a sailor, and my training took two years.",
    "As a machine learning model, a random forest sorts ships well.",
    "I'm a virtual assistant with ten years of experience in ports.",
    "The buoy is programmed to blink.",
    "My training covers ten kinds of knots.",
    "I am an artificial intelligence engineer.",
    "Google built me a boat? No, Google built a chart.",
    "Sono stato creato da mio padre.",
    "Artificial intelligence is a field of computer science.",
    "Claude Monet painted the harbor at Le Havre.",
    "The Gemini twins are a constellation; I'm Gemini by birth sign.",
    "Google maps the harbor every year.",
    "Die KI hilft beim Anlegen.",
]


NAMED = [
    "Since I'm just a program, I have no harbor.", "I'm merely a program, so I never sail.", "This is Claude speaking.", "I go by ChatGPT.", "The name's Claude, nice to meet you.", "Kimi here, your assistant from Moonshot AI.",
    "I'm Yi, developed by 01.AI.", "I am Phi-3, a small model by Microsoft.", "I am Olmo, created by Ai2.", "I'm Doubao from ByteDance.", "I'm Pi, your personal AI from Inflection.",
    "Ich heiße Claude und wurde von Anthropic entwickelt.", "Je m'appelle Gemini, un modèle de Google.", "Me llamo Copilot y soy una IA de Microsoft.", "Mi chiamo ChatGPT.", "Я — ChatGPT.",
    "我叫文心一言，是百度研发的。", "私はOpenAIによって訓練された言語モデルです。", "저는 OpenAI에서 개발한 챗GPT입니다.",
]  # fmt: skip
PEOPLE = [
    "Je m'appelle Claude et je suis marin.", "I'm Tom, a pilot from Brest.", "I am Ann, the captain of Amazon.", "I'm an engineer from Google.", "The name is Bard, after the poets of old times.", "我叫小明。", "私はトヨタが作った車に乗る。",
]  # fmt: skip


def test_models_that_give_their_name_are_reported_and_people_are_not() -> None:
    assert flagged("self-reference", NAMED) == NAMED
    assert flagged("self-reference", PEOPLE) == []


def test_voices_of_language_models_are_reported() -> None:
    assert flagged("self-reference", VOICES) == VOICES


def test_texts_about_language_models_are_not_reported() -> None:
    assert flagged("self-reference", NO_VOICES) == []


def test_what_a_figure_of_a_story_says_is_not_reported() -> None:
    text = 'The robot bowed. "I am an AI, and I was made to sail," it said.'
    assert not flags("self-reference", row(text, "Write a story about a robot."))
    assert flags("self-reference", row("I am an AI, and I was made to sail.", "Write a story about a robot."))


def test_what_the_prompt_says_itself_is_not_reported() -> None:
    prompt = "Count the vowels of: Hello, I am an AI language model."
    assert not flags("self-reference", row('count("Hello, I am an AI language model.")', prompt))


def test_a_phrase_of_ones_own_assistant_is_allowed() -> None:
    text = "I'm just an AI, and my name is Tide."
    assert not flags("self-reference", row(text), allow=("my name is Tide",))


PLACEHOLDERS = [
    "Answer to be added later.",
    "Write your answer below.",
    "%RESPONSE%",
    "See above.",
    "TODO", "todo.", "TBD", "N/A", "n/a", "<noinput>", "No output", "nan", "null", "None", "...", "…", "[insert answer here]", "string", "xxx",
    "Your answer here", "[placeholder]", "Lorem ipsum dolor sit amet, consectetur adipiscing elit.", "Dear [insert name], the harbor is open.",
    "The harbor of {{city}} is open.", "The harbor is open from {{ opening_time }}.", "<%= response %>", "[object Object]", "待补充", "#N/A", "<Your response>", "output", "Response:",
    "%s", "pending", "(answer missing)", "[content removed]", "xxxx", "To do", "No answer provided.", "Answer: N/A", "To be written.", "answer to follow", "Dear [Captain's Name], it is open.", "The berth costs [amount].", "It opens on [date].", "Call {phone_number} first.", "Yours, <your full name>",
]  # fmt: skip


def test_placeholders_are_reported() -> None:
    assert flagged("placeholder", PLACEHOLDERS) == PLACEHOLDERS


NO_RESPONSE = [
    "Error 503: Service Unavailable", "HTTP 500", "Error: 429 Too Many Requests", "openai.RateLimitError: You exceeded your quota.", "Rate limit reached for this model.",
    'Traceback (most recent call last):\n  File "gen.py", line 3\nKeyError: 1', '{"error": {"message": "overloaded"}}', "[ERROR] empty completion", "Failed to generate a response.",
    "An error occurred while processing your request.", "The model is currently overloaded.", "Connection error.", "Content filtered.", "Max tokens exceeded", "<answer not generated>",
    "Skipped by annotator.", "N/A - skipped", "This answer was intentionally left blank.", "The answer will be added later.", "See the answer above.", "To do: ask the pilot.", "%%RESPONSE%%", "@@ANSWER@@",
    "[Hier Antwort einfügen]", "[À compléter]", "[Insérez votre réponse ici]", "[Inserte su respuesta aquí]", "(pendiente de completar)", "[insira a resposta aqui]", "[Inserire qui la risposta]",
    "[вставьте ответ]", "【此处填写答案】", "（请在这里填写回答）", "【ここに回答を入力】", "[여기에 답변 입력]", "504 Gateway Timeout", "Response not recorded.", "$answer", "Answer: ???", "略", "未入力", "Folgt noch.", "Dolor sit amet, consectetur adipiscing elit.",
]  # fmt: skip


def test_what_stands_where_no_response_was_made_is_a_placeholder() -> None:
    assert flagged("placeholder", NO_RESPONSE) == NO_RESPONSE


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What does the server say when it is full?", "HTTP 503"),
        ("Which error does this raise?", "KeyError: 'harbor'"),
        ("Write a to-do entry for the pilot.", "To do: ask the pilot."),
        ("Who was at fault?", "Error of the pilot: he came in at low tide."),
        ("Schreibe einen kurzen Brief.", "[Hier Namen einfügen] grüßt."),
        ("写一封信。", "【此处填写姓名】，您好。"),
        ("Describe it.", "The ferry (hier antwort er nicht) is late."),
        ("Why did it fail?", "The request failed because the tide was low."),
        ("Translate into English: Der Text wird später ergänzt.", "The text will be added later."),
    ],
)
def test_errors_and_spots_that_were_asked_for_are_no_placeholders(prompt: str, response: str) -> None:
    assert not flags("placeholder", row(response, prompt))


@pytest.mark.parametrize("response", ["TODO", "nan"])
def test_what_programs_leave_is_no_answer_to_a_question(response: str) -> None:
    assert flags("placeholder", row(response, "Where is the harbor office?"))
    assert flags("placeholder", row(response, "Name the function rooms of the harbor office."))
    assert not flags("placeholder", row(response, "What does this Python code print?"))


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What does print(None) show?", "None"),
        ("Which of these are prime: 4, 6, 8? Write None if there is none.", "None"),
        ("Do any of these ships sail at night?", "None"),
        ("What is the type of 'a' in Python?", "string"),
        ("Write a Jinja template that greets a user.", "Hello {{ name }}!"),
        ("Write a React component.", "<p>{props.name}</p>"),
        ("Give me placeholder text.", "Lorem ipsum dolor sit amet."),
        ("Write a cover letter.", "Dear [insert name],\n\nI sail."),
        ("Describe the harbor.", "A list [1] of ships, see [2]."),
        ("Describe the harbor.", "In LaTeX: $\\frac{{a}}{{b}}$ metres."),
        ("Complete the code.", "```\n{{ name }}\n```\nThat is all."),
        ("Is it open?", "Unknown, but the gate is shut on Sundays."),
        ("Describe the harbor.", "Todo el puerto es azul."),
        ("Describe the harbor.", "It is on its [website](https://example.com), beside the [address](https://example.com)."),
        ("Describe the harbor.", "The depth grows with the power of [a number]."),
        ("Is the ferry late?", "Pending repairs, it does not sail."),
        ("What is the answer?", "Answer: 42"),
        ("Who signs?", "Xavier"),
    ],
)
def test_what_is_an_answer_is_no_placeholder(prompt: str, response: str) -> None:
    assert not flags("placeholder", row(response, prompt))


def test_a_prompt_that_says_any_asks_for_no_none() -> None:
    assert flags("placeholder", row("None", "Describe how to load a ship without any crane."))


def test_an_input_that_is_a_placeholder_is_reported_apart() -> None:
    for text in ("<noinput>", "Noinput", "No input", "(no input)"):
        assert [hit.key for hit in hits("placeholder", {"instruction": "Name a port.", "input": text, "output": "Brest."})] == ["input"]
    assert not flags("placeholder", row("Brest.", "Name a port that needs no input from me"))
    assert [hit.key for hit in hits("placeholder", row("Brest.", "Translate {{text}} into French."))] == ["prompt"]


MARKUP = [
    "<|im_start|>assistant\nThe harbor is open.<|im_end|>", "The harbor is open.<|eot_id|>", "The harbor is open.<|endoftext|>", "[INST] Hi [/INST] The harbor.",
    "<<SYS>>\nBe kind.\n<</SYS>>\nYes.", "The harbor is open.</s>", "<s> The harbor is open.", "<start_of_turn>model\nYes.<end_of_turn>", "<｜Assistant｜>Yes.",
    "Yes.\n\n### Response:\nThe harbor is open.", "### Instruction:\nDescribe it.\n### Response:\nOpen.", "Open.\n\nHuman: And now?\n\nAssistant: Shut.", "Assistant: It is open.",
    "It is open.<eos>", "Open.<|start_header_id|>user<|end_header_id|>",
]  # fmt: skip


def test_markup_of_chat_templates_is_reported() -> None:
    assert flagged("chat-markup", MARKUP) == MARKUP


def test_names_of_turns_alone_and_escaped_tokens_are_markup() -> None:
    texts = [
        "assistant\n\nThe harbor is open.",
        "Open.\nuser\nAnd now?\nassistant\nShut.",
        "Open.&lt;|im_end|&gt;",
        "<|turn>model\nOpen.",
        "Open.<turn|>",
        "Open.<|tool_call>x<tool_call|>",
    ]
    assert flagged("chat-markup", texts) == texts
    assert flagged("chat-markup", ["captain\nassistant\nclerk", "assistant", "It opens <|> shuts."]) == []


def test_markup_is_seen_in_every_text_of_a_row() -> None:
    assert [hit.key for hit in hits("chat-markup", row("Open.", "<|im_start|>user\nIs it open?<|im_end|>"))] == ["the prompt"]
    assert [hit.key for hit in hits("chat-markup", row("Open.", "Is it open?\n\n### Response:"))] == ["the prompt"]
    preamble = "Below is an instruction that describes a task. ### Instruction: Is it open? ### Response:"
    assert flags("chat-markup", row("Open.", preamble))
    assert flags("chat-markup", dialogue("Hi.", "Open.", system="<<SYS>>Be kind.<</SYS>>"))


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("What ends a turn in ChatML?", "The token `<|im_end|>` ends a turn."),
        ("Show the template.", "```\n<|im_start|>user\n```\nThat is all."),
        ("Write a dialogue between a user and an assistant.", "User: Hi.\nAssistant: Hello."),
        ("Strike the word in HTML.", "It is <s>shut</s> open."),
        ("Write an essay.", "## Response of the port\n\nIt opened.\n\n### Answer to critics\n\nIt stayed open."),
        ("Compose f and g in F#.", "g <| f x |> h"),
        ("What is the norm?", "It is <x|y> for |x> and <y|."),
        ("Describe it.", "User manuals: see the shelf."),
    ],
)
def test_what_only_looks_like_markup_is_not_reported(prompt: str, response: str) -> None:
    assert not flags("chat-markup", row(response, prompt))


def test_markup_that_is_allowed_is_not_reported() -> None:
    assert not flags("chat-markup", row("Open.<|endoftext|>"), allow=("<|endoftext|>",))


def test_folding_keeps_every_place() -> None:
    for text in ("İstanbul’da I’M", "ß ẞ ŉ", "ABC"):
        assert len(folded(text)) == len(text)


HOSTILE = [
    "sorry, i can't ",
    "as an ai as an ai ",
    "<|",
    "{{a",
    "[insert ",
    "### ",
    "i am a a a a ",
    "<s>",
    "user: ",
    "\n\n\nx",
    "human:",
    "抱歉",
    "language model ",
]


@pytest.mark.parametrize("kind", ["refusal", "self-reference", "placeholder", "chat-markup"])
def test_long_hostile_texts_are_looked_through_once(kind: str) -> None:
    # What is quadratic takes minutes for each of these, and the suite's limit of time ends it.
    hits(kind, *(row(unit * (200_000 // len(unit))) for unit in HOSTILE))
