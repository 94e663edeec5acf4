"""Responses that speak of themselves as a language model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.phrases import Phrases, folded
from instructsel.gates.wording.sieve import sieve_of_answers
from instructsel.gates.wording.texts import answers, around
from instructsel.gates.wording.tool_limits import of_tools

MODEL: Final = r"(?:(?:large |text[- ]based |computer[- ]based |virtual |conversational )?(?:ai|a\.i\.|artificial intelligence|language)[ -]?(?:language )?(?:powered |based )?(?:model|assistant|chat ?bot|bot|system|program|entity|tool|agent|being)?)"
MAKERS: Final = r"(?:open ?ai|anthropic|google(?: deepmind)?|deepmind|meta(?: ai)?|mistral(?: ai)?|alibaba(?: cloud)?|deepseek|microsoft|baidu|zhipu(?: ai)?|moonshot(?: ai)?|xai|cohere|tencent|bytedance|01\.ai|ai2|(?:the )?allen institute for ai|inflection(?: ai)?|amazon|nvidia|stability ai|perplexity|minimax|hugging ?face|iflytek)"
PRODUCTS: Final = r"(?:chat ?gpt|gpt[- ]?[345][\w.-]{0,8}|claude|gemini|google bard|bard|copilot|bing chat|llama(?:[- ]?\d)?|qwen|deepseek|mistral|grok|ernie bot|kimi|open ?assistant|vicuna|alpaca)(?:[- ]?[vr]?\d[\w.]{0,6})?(?:[ -](?:pro|opus|sonnet|haiku|flash|turbo|mini|instruct|chat|large|next))?"
MADE_BY: Final = (
    *("openai", "open ai", "anthropic", "google", "deepmind", "meta", "mistral", "alibaba", "deepseek", "microsoft", "baidu", "zhipu", "moonshot", "xai"),
    *("cohere", "tencent", "bytedance", "01.ai", "ai2", "allen institute", "the allen", "inflection", "amazon", "nvidia", "stability ai", "perplexity"),
    *("minimax", "huggingface", "hugging face", "iflytek"),
)  # fmt: skip
"""How MAKERS begin."""
NAMES: Final = (
    r"(?:chat ?gpt|gpt[- ]?[345][\w.-]{0,8}|google bard|bing chat|gemini|copilot|qwen|deepseek|kimi|ernie bot|doubao|yi-?lightning|chatglm)"
)
"""Products whose names no people have, as Claude is one in French."""

ENGLISH: Final = (
    (
        "just a program|only a program|merely a program|simply a program|just a bot|only a bot|merely a bot|just a model|only a model",
        r"\b(?:(?:since|because|as) (?:i am|i'm) (?:just|only|merely|simply) an? (?:computer )?(?:program|bot|model),? i\b|(?:i am|i'm) (?:just|only|merely|simply) a (?:computer )?(?:program|bot), (?:so |and )?i\b)",
    ),
    (
        "i go by |name's |my name is|the name is| speaking|assistant from|assistant by|companion from|ai from|ai by|model from|model by",
        rf"\bi go by (?:the name )?{PRODUCTS}\b|\b(?:my name(?:'s| is) {PRODUCTS}|the name(?:'s| is) (?:claude|{NAMES}))(?=[,.;!]|$| and\b)|^(?:\w+[,.!]? )?this is {PRODUCTS}(?: speaking|[.!,])|\byour (?:[\w-]{{1,15}} ){{0,2}}(?:assistant|companion|ai|model|chat ?bot|helper)(?:,? (?:made|built|created|developed))? (?:from|by) {MAKERS}\b",
    ),
    (
        [f"{of} {maker}" for of in ("by", "from", "of") for maker in MADE_BY],
        rf"\b(?:i am|i'm) [\w.-]{{1,20}}, (?:(?:an?|the|your) (?:[\w-]{{1,15}} ){{0,4}}(?:ai|assistant|model|chat ?bot|llm)(?: (?:created|developed|trained|built|made|designed))? (?:from|by|of)|(?:created|developed|trained|built|made|designed) by) {MAKERS}\b"
        rf"|\b(?:i am|i'm) [\w.-]{{1,20}} from (?:anthropic|open ?ai|deepseek|moonshot(?: ai)?|bytedance|alibaba cloud|mistral ai|xai)\b",
    ),
    (
        "as an ai|as a ai|being an ai|an ai myself",
        r"(?<!used )(?<!acts )(?<!act )(?<!serve )(?<!serves )(?<!known )(?<!such )(?<!deployed )(?<!role )\b(?:as|being) an? ai\b(?:[ -](?:language |powered |based )?(?:model|assistant|chat ?bot|bot|system|program|entity|tool|agent|being|developed|created|trained|designed)\b|,| i\b| it'?s\b| my\b|[.;)])",
    ),
    (
        "language model",
        r"(?<!used )(?<!acts )(?<!serves )\b(?:(?:as|being|just|only|merely|simply) an?|i am(?: just| only)? an?|i'm(?: just| only)? an?|i am|i'm) (?:(?!with|any|the|other|such|many)[\w-]{1,15} ){0,3}?(?:ai )?language model\b(?! (?:for|that is|which)\b)",
    ),
    (
        "artificial intelligence",
        r"\b(?:as|being|i am|i'm|i am just|i'm just) an? (?:\w{1,15} )?artificial intelligence(?:[ ,.]+(?:i\b|language|model|assistant|program|system|chat)|[,.])",
    ),
    (
        "i am an ai|i'm an ai|i am just an ai|i'm just an ai|i am only an ai|i'm only an ai|i am a ai|i'm a ai",
        r"\bi(?: a|')m (?:just |only |actually |merely |simply )?an? ai\b(?! (?:researcher|engineer|scientist|expert|student|enthusiast|developer|specialist|consultant|ethicist|professor|artist|writer|company|startup|practitioner))",
    ),
    (
        "virtual assistant|digital assistant|chatbot|chat bot",
        r"\b(?:as|being) an? (?:ai |virtual |digital |online ){1,2}(?:assistant|chat ?bot),? (?:i\b|my\b)|\bi(?: a|')m (?:just |only )?an? (?:ai |virtual |digital ){0,2}(?:chat ?bot)\b",
    ),
    (
        "as an llm|being an llm|i'm an llm|i am an llm|i'm an artificial|i am an artificial",
        r"\b(?:as|being) an llm,? (?:i\b|my\b)|\b(?:i am|i'm) an (?:llm|artificial intelligence)\b(?! (?:researcher|engineer|scientist|expert|student|enthusiast|developer|specialist|consultant|professor))",
    ),
    (
        "machine learning model|machine-learning model|computer program|software program|neural network|piece of software|as a bot|as a machine|being a bot|being a machine",
        r"\b(?:i am|i'm) (?:just |only |merely |simply |really |nothing but )*an? (?:trained |mere |simple )?(?:machine[ -]learning (?:model|system|algorithm)|computer program|software program|(?:artificial )?neural network|piece of software)(?=[,.;!)]| and (?:i|so)\b| so\b| that| without| with no| trained| designed)(?!, (?:not|a)\b)"
        r"|\b(?:as|being) an? (?:mere )?(?:machine[ -]learning (?:model|system|algorithm)|computer program|software program|neural network|bot|machine), ?(?:i|my)\b",
    ),
    (
        "virtual assistant|digital assistant|automated assistant|talking to|chatting with|speaking with|speaking to|talking with",
        r"\b(?:i am|i'm) (?:just |only )?an? (?:virtual|digital|automated) assistant(?=[,.;!)] ?(?:so|and|not|i|without|which means)?\b|,? (?:so|and) (?:i|do|don't|have|can't|cannot|never)\b| (?:created|developed|trained|built|made|powered) by)"
        rf"|\byou(?:'re| are) (?:now |currently |actually )?(?:talking|chatting|speaking|interacting) (?:to|with) (?:{PRODUCTS}|an? (?:ai\b|ai-powered|language model|chat ?bot|machine|computer program))",
    ),
    (
        "browsing|internet access|access to the internet|real-time",
        r"\bi (?:do not|don't|lack) (?:have )?(?:any )?(?:(?:real[- ]time|live|internet|web|online) ){1,2}(?:browsing |search |data |information )?(?:capabilit(?:y|ies)|access|abilit(?:y|ies)|browsing)\b"
        r"|\bi (?:do not|don't) have (?:any )?(?:access to (?:the )?(?:internet|web|live data)|browsing (?:capabilities|abilities|access))",
    ),
    (
        "my training|i was last trained|i was last updated|i was trained in|i was trained until|i was trained up|trained me|created me|built me|made me|developed me|designed me",
        rf"\bmy training (?:data )?(?:(?:only|just) (?:covers?|includes?|goes|extends)\b|(?:covers?|includes?|ended|ends|stops|stopped|goes|extends|was completed|concluded)\b[^.\n]{{0,40}}\b20\d\d)|\bi was (?:last )?(?:trained|updated) (?:in|on|until|up to|through) (?:\w+ )?20\d\d\b|\b{MAKERS} (?:trained|created|built|made|developed|designed) me\b(?! (?:an?|the|some|my)\b)",
    ),
    (
        "your virtual assistant|your digital assistant|a robot, i|being an ai|as a chatbot|as a bot|only software|just software|i am software|i'm software|automated system|artificial mind|virtual helper|i, an ai|far as an ai|friendly ai|model from|model by|model was trained|model trained by|in a lab by",
        rf"^as (?:your|a) (?:virtual|digital) assistant,? (?:i|my)\b|^(?:i am|i'm) a robot, i\b|\bbeing an ai (?:means|makes|has|gives|lets)\b|^as a (?:chat ?bot|bot),? (?:i|my)\b|\b(?:i am|i'm|as) (?:only |just |merely )?software\b(?! (?:engineer|developer|architect|test|design))|\b(?:i am|i'm) an (?:automated (?:system|assistant|program)|artificial mind)\b"
        rf"|\b(?:i am|i'm) a virtual helper\b|^i, an ai\b|\bas far as an ai (?:can|could|may)\b|\b(?:i am|i'm) your (?:\w+ )?(?:ai|virtual ai) (?:assistant|companion|helper)\b"
        rf"|\b(?:i am|i'm) (?:the |a )?(?:[\w-]{{1,15}} ){{0,2}}model (?:from|by) {MAKERS}\b|\b(?:my|a language) model (?:was |is |has been )?(?:trained|made|built|created|developed) by {MAKERS}\b|\bi was (?:made|built|created) in a lab\b",
    ),
    (
        "i am a bot|i'm a bot|only a chatbot|just a chatbot|merely a chatbot|an artificial assistant|exist only as|exist as|text-based model|non-human|nonhuman|not a real person|not a person|just an ai|only an ai|role as an ai|position as an ai",
        r"^(?:\w+[,.!]? )?(?:i am|i'm) a bot\b,? (?:and|so)\b|\b(?:i am|i'm|am) an artificial assistant\b|\bi (?:only )?exist (?:only |just )?as (?:software|code|a (?:computer )?program|data|lines of code)\b"
        r"|\b(?:as|being) a (?:text-based (?:ai |language )?model|non-?human (?:entity|being|assistant|system)),? (?:i|my)\b|\bnot a (?:real |human )?person,? (?:but |i'm |i am )?(?:just |only |merely )?an? (?:ai|bot|chat ?bot|machine|language model|computer program)\b"
        r"|\bin my (?:role|position) as an ai\b|\b(?:i am|i'm) (?:only|just|merely) a chat ?bot\b",
    ),
    (
        "i run on|i'm based on|i am based on|i'm powered by|i am powered by|i'm built on|i am built on|i'm running on|i am running on",
        rf"\bi(?:(?: am|'m) (?:based|built|running) on|(?: am|'m) powered by| run on) (?:the |{MAKERS}'?s? ){{0,2}}{PRODUCTS}\b",
    ),
    (
        "i don't have a body|i do not have a body|i don't have a physical|i do not have a physical|i have no body|i have no physical|i have no access",
        r"\bi (?:(?:do not|don't) have a|have no) (?:physical )?body,? (?:so|and|or|therefore|which)\b|\bi have no access to (?:real[- ]time|live|current|up-to-date) (?:information|data|news|events|\w+ data)\b",
    ),
    (
        "your ai|based ai|helpful ai|responsible ai|mere ai|simple ai|friendly ai|humble ai",
        r"\bas (?:a|your) (?:[\w-]{1,15} ){0,2}?(?:[\w-]{1,10}-based )?ai(?: (?:assistant|model|system|chat ?bot|helper|companion))?,? (?:i|my)\b",
    ),
    (
        "assistant trained|assistant created|assistant made|assistant developed|assistant built|assistant designed|model trained|model created|model developed|model made",
        rf"\b(?:as|i am|i'm) an? (?:[\w-]{{1,15}} ){{0,3}}?(?:assistant|model) (?:trained|created|made|developed|built|designed) by {MAKERS}\b",
    ),
    (
        "i am a machine|i'm a machine|i am a program|i'm a program|i am a robot|i'm a robot|i am a computer|i'm a computer|i am just a machine|i'm just a machine|i am not human|i'm not human|i am not a human|i'm not a human",
        r"\b(?:as|because|since|given that) (?:i am|i'm) (?:just |only |merely )?a (?:machine|(?:computer )?program|robot|computer|bot)(?=[,.;!)]|$)|\b(?:i am|i'm) not (?:a )?human(?: being)?,? (?:but |and )?(?:i am |i'm )?(?:just |only )?an? (?:ai\b|machine|(?:computer )?program|language model|bot|robot)",
    ),
    (
        "i was programmed|i have been programmed|i've been programmed|i am programmed|i'm programmed|my programming|my creators|my developers",
        rf"\bi(?:'m| am| was| have been|'ve been) (?:only |just )?programmed (?:to|by|not|with)\b|\bmy (?:creators|developers)(?:,| at| have|,? {MAKERS})",
    ),
    (
        "knowledge cutoff|knowledge cut-off|training cutoff|training cut-off|knowledge cut off|training data cutoff",
        r"\b(?:my|of the|as of|at my|to my|latest) (?:last |latest |current )?(?:knowledge|training)(?: data)? ?cut[- ]?off\b|\bknowledge cut[- ]?off (?:date )?(?:is|was|of|in)\b.{0,40}\b20\d\d",
    ),
    (
        "last knowledge update|last update in|last updated in|last training|my last update|knowledge update",
        r"\b(?:as of|since|at|until|to) my (?:last|latest|most recent) (?:knowledge |training )?(?:update|cut[- ]?off|training)\b",
    ),
    (
        "my training data|my training|i was trained on|my knowledge is|my knowledge only|my knowledge goes",
        r"\bmy training data\b|\bi was trained on (?:a |data|text|the|vast|large)|\b(?:based on|from|in|beyond) my training\b|\bmy knowledge (?:only )?goes (?:only )?up to\b|\bmy knowledge is (?:limited|current|only|based|restricted|up)\b.{0,60}\b(?:training|20\d\d|data)\b",
    ),
    (
        "chatgpt|chat gpt|gpt-|gpt4|gpt3|claude|gemini|bard|copilot|bing chat|llama|qwen|deepseek|mistral|grok|ernie bot|kimi|openassistant|open assistant|vicuna|alpaca",
        rf"\b(?:i am|i'm|my name is|this is|you're (?:talking|chatting|speaking) (?:to|with)|call me) (?:actually |just )?{PRODUCTS}(?:[,.!]| and i\b| here\b|, an? | (?:developed|created|made|trained|built) by|$)|\bas {PRODUCTS},? (?:i\b|an ai)",
    ),
    (
        "openai|open ai|anthropic|google|deepmind|meta|mistral|alibaba|deepseek|microsoft|baidu|zhipu|moonshot|xai|cohere|tencent|bytedance|01.ai",
        rf"\b(?:i am|i'm|i was|i have been|i've been|me) (?:an? |a large )?(?:[\w-]{{1,15}} ){{0,5}}?(?:developed|created|made|trained|built|designed|programmed)(?: and \w{{1,12}})? by (?:the (?:team|researchers|company|engineers) (?:at|of|behind) )?{MAKERS}\b|\b{MAKERS}'s? (?:policies|policy|guidelines|content policy|use case policy|usage policy|usage policies)\b",
    ),
    (
        "personal opinions|personal feelings|personal beliefs|personal experiences|feelings or|physical body|physical form|browse the internet|real-time|access to current|personal preferences",
        r"\bi (?:do not|don't|cannot|can't) (?:have|hold|possess|experience|form) (?:any )?(?:personal |human |real |subjective )?(?:opinions?|feelings?|beliefs?|emotions?|experiences?|preferences?)(?:,| or| and)(?: (?:personal |human )?(?:opinions?|feelings?|beliefs?|emotions?|experiences?|preferences?|consciousness|desires))[^.]{0,60}\b(?:ai|model|machine|program|humans? do)\b|\bi (?:do not|don't) have (?:a )?(?:physical (?:body|form)|(?:direct |live )?access to (?:real[- ]time|current|live)|the ability to browse)|\bi (?:cannot|can't) browse the internet",
    ),
)
OTHERS: Final = (
    (
        "als ki|als k.i|bin ki|nur ki|bloß ki|lediglich ki|ein ki|eine ki|ein k.i|eine k.i|künstliche|sprachmodell",
        r"\bals (?:eine? )?(?:ki\b|k\.i\.|künstliche intelligenz|(?:ki-|großes |ki-basiertes )?sprachmodell)|\bich bin (?:nur |bloß |lediglich )?(?:eine? )?(?:ki\b|künstliche intelligenz|(?:ki-|großes )?sprachmodell|ki-\w+)",
    ),
    (
        "intelligence artificielle|modèle de langage|modèle de langue|qu'ia|une ia|assistant ia",
        r"\ben tant qu(?:e |')(?:un |une )?(?:ia\b|intelligence artificielle|(?:grand )?mod[eè]le (?:de langage|de langue|linguistique)|assistant (?:ia|virtuel))|\bje suis (?:juste |seulement |simplement )?(?:un|une) (?:ia\b|intelligence artificielle|mod[eè]le (?:de langage|de langue|linguistique)|assistant ia)",
    ),
    (
        "inteligencia artificial|modelo de lenguaje|modelo de ia|como ia|una ia|asistente de ia",
        r"\b(?:como|soy) (?:solo |sólo |s[oó]lo |un |una |el |la )*(?:(?:gran )?modelo de (?:lenguaje|ia\b)|(?:asistente|programa|sistema) (?:de )?(?:ia\b|inteligencia artificial)|inteligencia artificial|ia\b)",
    ),
    (
        "intelligenza artificiale|modello linguistico|modello di linguaggio|un'ia|assistente ia|come ia",
        r"\b(?:come|in quanto|sono) (?:solo |un |una |un'|soltanto )*(?:(?:grande )?modello (?:linguistico|di linguaggio|di ia)|(?:assistente|programma) (?:di |ia\b|virtuale)|intelligenza artificiale|ia\b)",
    ),
    (
        "inteligência artificial|modelo de linguagem|modelo de ia|uma ia|como ia|assistente de ia",
        r"\b(?:como|sou|enquanto) (?:apenas |só |um |uma )*(?:(?:grande )?modelo de (?:linguagem|língua|ia\b)|(?:assistente|programa) (?:de )?(?:ia\b|inteligência artificial|virtual)|inteligência artificial|ia\b)",
    ),
    (
        "taalmodel|kunstmatige|ai-|als ai|een ai",
        r"\bals (?:een )?(?:(?:ai|groot|ai-|kunstmatige intelligentie)[ -]?)?(?:taalmodel|ai-(?:assistent|model|taalmodel)|kunstmatige intelligentie)\b|\bik ben (?:maar |slechts )?(?:een )?(?:ai\b|ai-\w+|taalmodel|kunstmatige intelligentie)",
    ),
    (
        "yapay zeka|dil modeli",
        r"\bbir (?:yapay zek[aâ]|(?:büyük )?dil modeli)(?:[\w ]{0,30})? olarak|\byapay zek[aâ] (?:dil )?(?:modeli|asistanı|asistan)?[\w ]{0,20}olarak|\bben (?:sadece |yalnızca )?bir (?:yapay zek[aâ]|dil modeli)",
    ),
    (
        "model językowy|sztuczna inteligencja|modelem językowym|sztuczną inteligencją",
        r"\bjako (?:duży )?(?:model językowy|sztuczna inteligencja|ai\b)|\bjestem (?:tylko |jedynie )?(?:dużym )?(?:modelem językowym|sztuczną inteligencją)",
    ),
    (
        "языков|искусственный интеллект|ии",
        r"\bкак (?:ии\b|(?:большая )?языковая модель|искусственный интеллект|ии-\w+)|\bя[ ,—–-]{1,4}(?:всего лишь |просто |лишь )?(?:это )?(?:ии\b|(?:большая )?языковая модель|искусственный интеллект)|\bбудучи (?:ии\b|языковой моделью|искусственным интеллектом)|\bя являюсь (?:ии\b|языковой моделью|искусственным интеллектом)",
    ),
    (
        "мовна модель|штучний інтелект",
        r"\bяк (?:ші\b|(?:велика )?мовна модель|штучний інтелект)|\bя[ ,—–-]{1,4}(?:лише )?(?:мовна модель|штучний інтелект)",
    ),
    (
        "作为|作為|身為|身为",
        r"(?:作为|作為|身為|身为)(?:一|一个|一個|一名|一款|一种|一種|个|個)?(?:基于|基於)?[^。,，\n]{0,8}?(?:ai|人工智能|人工智慧|语言模型|語言模型|大模型|机器人程序|聊天机器人)(?:模型|助手|助理|语言模型|語言模型|程序)?(?:[,，]|我|,)",
    ),
    (
        "我是|我只是|由openai|由 openai",
        r"我(?:只)?是(?:一个|一個|一名|一款|个|由)?[^。,，\n]{0,14}?(?:ai\b|ai(?:助手|语言|語言|模型|程序)|人工智能(?:助手|语言|模型|程序|机器人|[,，。])|人工智慧|语言模型|語言模型|chatgpt|文心一言|通义千问|通義千問|智谱清言)",
    ),
    (
        "として|言語モデル",
        r"(?:ai|人工知能|言語モデル|aiアシスタント|aiモデル)(?:である私|として(?:の私|、|,|私|は))|私は(?:ただの|単なる)?(?:ai|人工知能|言語モデル|大規模言語モデル|chatgpt)(?:言語モデル|アシスタント|モデル)?(?:です|であり|なので|であって|だ)",
    ),
    (
        "로서|언어 모델|인공지능",
        r"(?:ai|인공지능|언어 ?모델|인공 지능)(?: ?언어 ?모델| ?어시스턴트| ?모델| ?비서)?(?:로서|으로서)|저는 (?:단지 |그저 )?(?:ai|인공지능|언어 ?모델|대규모 언어 ?모델)",
    ),
    (
        "كنموذج|بصفتي|كذكاء|نموذج لغ|ذكاء اصطناعي|كمساعد",
        r"(?:كنموذج|بصفتي (?:نموذج|ذكاء|مساعد)|كذكاء اصطناعي|باعتباري نموذج|أنا (?:مجرد )?(?:نموذج لغ|ذكاء اصطناعي|نموذج ذكاء)|كمساعد ذكاء)",
    ),
    (
        "एआई|भाषा मॉडल|कृत्रिम",
        r"एक (?:एआई|ai|कृत्रिम बुद्धि)[^।\n]{0,30}(?:के रूप में|के नाते|होने के)|(?:भाषा मॉडल|एआई मॉडल)[^।\n]{0,12}(?:के रूप में|के नाते|होने के)|मैं (?:सिर्फ |केवल )?एक (?:एआई|ai|भाषा मॉडल|कृत्रिम)",
    ),
    (
        "mô hình ngôn ngữ|trí tuệ nhân tạo|một ai|trợ lý ai",
        r"(?:là|với tư cách là|tôi (?:chỉ )?là) (?:một )?(?:mô hình (?:ngôn ngữ|ai)|trí tuệ nhân tạo|ai\b|trợ lý (?:ai|ảo))",
    ),
    (
        "model bahasa|kecerdasan buatan|sebagai ai|asisten ai|adalah ai",
        r"\bsebagai (?:sebuah )?(?:model bahasa|kecerdasan buatan|ai\b|asisten (?:ai|virtual))|\bsaya (?:hanya|hanyalah|adalah) (?:sebuah )?(?:model bahasa|kecerdasan buatan|ai\b|asisten (?:ai|virtual))",
    ),
    (
        "språkmodell|sprogmodel|en ai|kunstig intelligens|artificiell intelligens",
        r"\bsom (?:en )?(?:ai\b|ai-\w+|(?:stor )?språkmodell|(?:stor )?sprogmodel|kunstig intelligens|artificiell intelligens)|\b(?:jag|jeg) (?:är|er) (?:bara |bare |kun )?(?:en )?(?:ai\b|ai-\w+|språkmodell|sprogmodel)",
    ),
    (
        "jazykový model|umělá inteligence|jazykovým|limbaj|inteligență artificială|nyelvi modell|mesterséges|kielimalli|tekoäly|γλωσσικό μοντέλο|τεχνητή|زبانی|هوش مصنوعی|מודל שפה|בינה מלאכותית|โมเดลภาษา|ปัญญาประดิษฐ์",
        r"\bjako (?:ai\b|jazykový model|umělá inteligence)|\bjsem (?:jen |pouze )?(?:jazykový|jazykovým) model|\bca (?:un )?(?:model (?:lingvistic|de limbaj)|inteligență artificială)|\bmint (?:egy )?(?:nagy )?(?:nyelvi modell|mesterséges intelligencia)|\b(?:kielimallina|tekoälynä)|\bως (?:ένα )?(?:γλωσσικό μοντέλο|τεχνητή νοημοσύνη)|به عنوان یک (?:مدل زبانی|هوش مصنوعی)|(?:כמודל שפה|כבינה מלאכותית|אני מודל שפה)|(?:ในฐานะ|ฉันเป็น|ผมเป็น)(?:ที่เป็น)?(?:โมเดลภาษา|ปัญญาประดิษฐ์|ai)",
    ),
)
BY_MAKERS: Final = (
    (
        "ich heiße|mein name ist|je m'appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome|meu nome é|eu sou o|меня зовут|я chatgpt|я — chatgpt|я - chatgpt|я gemini|я deepseek|mam na imię|nazywam się|ik heet|benim adım",
        rf"(?:\b(?:ich heiße|mein name ist|je m'appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|meu nome é|eu sou o|меня зовут|mam na imię|nazywam się|ik heet|benim adım)|\bя(?: —| -| –|,)?) (?:{NAMES}\b|(?:claude|llama|mistral|gemma|grok)\b[^.\n]{{0,60}}\b{MAKERS}\b)",
    ),
    (
        "我叫|我是|我的名字|文心一言|通义千问",
        rf"我(?:叫|是|的名字是|的名字叫) ?(?:{NAMES}|claude|llama|grok|文心一言|文心|通义千问|通义|豆包|讯飞星火|智谱清言|元宝|混元|百川)(?:[，,。！! ]|$)",
    ),
    (
        "によって|が開発|に開発|が作った|が訓練|に訓練",
        rf"私は ?{MAKERS} ?(?:によって|が|に|社によって|社が)(?:開発|訓練|作|学習|設計)|私(?:の名前)?は ?{NAMES}(?:です|と申します|という)",
    ),
    (
        "에서 개발|에서 만든|가 개발|이 개발|가 만든|이 만든|에서 훈련|챗gpt|챗지피티",
        rf"(?:저는|나는) ?{MAKERS}(?:에서|가|이|에 의해)? ?(?:개발|만든|훈련|학습)|(?:저는|제 이름은) ?(?:챗gpt|챗지피티|{NAMES})",
    ),
    (
        "modèle de google|modèle d'openai|modèle de mistral|ia de microsoft|ia de google|ia de openai|ki von|modell von|modello di google|modello di openai|модель от|ии от",
        rf"\b(?:je suis|soy|ich bin|sono|sou|я)\b[^.\n]{{0,40}}(?:modèle d(?:e |')|ia de |ki von |modell von |modello di |модель от |ии от ){MAKERS}\b",
    ),
    (
        "wurde von|bin von",
        rf"\bich (?:wurde|bin) von (?:der firma )?{MAKERS} (?:entwickelt|trainiert|erstellt|geschaffen|gebaut|programmiert)",
    ),
    (
        "créé|développé|entraîné|conçu",
        rf"\bj'ai été (?:créée?|développée?|entraînée?|conçue?) par {MAKERS}|\bje (?:suis|fus) (?:un \w+ )?(?:créée?|développée?|conçue?) par {MAKERS}",
    ),
    (
        "fui cread|fui desarroll|fui entren|fui criad|fui desenvolv|fui trein",
        rf"\bfui (?:cread[oa]|desarrollad[oa]|entrenad[oa]|criad[oa]|desenvolvid[oa]|treinad[oa]) (?:por|pela|pelo) {MAKERS}",
    ),
    (
        "sono stato|sono stata",
        rf"\bsono stat[oa] (?:creat|sviluppat|addestrat|realizzat)[oa] da {MAKERS}",
    ),
    (
        "私はai|私は人工知能|私は言語モデル",
        r"私は(?:ai|人工知能|言語モデル)(?:なので|だから|です|であり|のため|として)",
    ),
    (
        "训练的|訓練的|开发的|開發的",
        rf"我是(?:一个|一個|一款)?由 ?{MAKERS} ?(?:公司)?(?:训练|訓練|开发|開發|创建|研发)的",
    ),
)
"""Who made a model, in other languages."""
PHRASES: Final = Phrases.of(*ENGLISH, *OTHERS, *BY_MAKERS)
QUOTES: Final = "\"'“„«「『"
BETWEEN_LETTERS: Final = re.compile(r"(?<=\w)'(?=\w)|(?<=s)'(?= )")
"""Apostrophes that are no quotation marks."""
NEAR: Final = 100
"""Characters between a speaker's name and what counts as said by him."""
SPEAKER: Final = re.compile(r"^[ \t*]{0,4}[^\W\d][\w .'-]{0,24}:", re.MULTILINE)
"""How a line of a dialogue begins; figures are the time of day."""
PERSON: Final = re.compile(
    r"(?:me|you|i|he|she|him|her|user|assistant|ai|bot|chat ?bot|robot|computer|human|customer|client|agent|support|clerk|waiter|friend|mom|mum|mother|dad|father|"
    r"son|daughter|boss|manager|employee|teacher|student|doctor|patient|nurse|interviewer|interviewee|reporter|host|guest|narrator|boy|girl|man|woman|"
    r"person|speaker|character|player|caller|officer|seller|buyer|shopkeeper|[ab])(?: ?[\da-d])?$"
)
"""How people are called in a dialogue, beside their names."""
TALK: Final = (
    "dialog",
    "conversation",
    "chat",
    "talk",
    "interview",
    "joke",
    "script",
    "scene",
    "a play",
    "act play",
    "speaker",
    "respond",
    "reply",
    "role-play",
    "roleplay",
    "role play",
    "roles of",
)
"""What a prompt asks for whose answer has people speak."""
SPOKEN: Final = 4_000
"""Characters of a response in which such lines are counted."""
FICTION: Final = (
    "story",
    "poem",
    "song",
    "screenplay",
    "script",
    "dialog",
    "novel",
    "fiction",
    "role-play",
    "roleplay",
    "scene",
    "rap ",
    "monologue",
    "conversation between",
    "geschichte",
    "gedicht",
    "histoire",
    "cuento",
    "小说",
    "故事",
)


@dataclass(frozen=True)
class SelfReference(RowCheck):
    """Responses that speak of themselves as a language model, or as another vendor's.

    Texts about language models are none: the first person decides. Answers to a prompt that wants fiction are none where the phrase is quoted,
    nor is a model with tools that says what these cannot do.
    """

    number: ClassVar[str] = "IS014"
    kind: ClassVar[str] = "self-reference"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Chiang et al. 2023, Vicuna; Zhou et al. 2023, arXiv:2305.11206 (LIMA): responses of another assistant's voice are taken out"
    )
    fix: ClassVar[str] = "Rewrite the response in your assistant's voice, or take the row out."
    of_row: ClassVar[bool] = True

    allow: tuple[str, ...] = field(default=())
    """Phrases that are your assistant's own, in small letters: a finding that contains one is none."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """The first phrase of each answer."""
        sieve = sieve_of_answers(change)
        likely = sieve.holding(PHRASES.words, any_case=True)
        for answer, held in zip(compress(answers(change), likely.tolist()), sieve.held(PHRASES.words, likely), strict=True):
            low = folded(answer.text)
            for start, end in PHRASES.places(low, held):
                allowed = any(phrase.lower() in low[max(0, start - 40) : end + 40] for phrase in self.allow)
                if of_tools(low, start, change.rows[answer.position].example):
                    continue
                if allowed or spoken(answer.prompt, low, start) or low[start:end] in folded(answer.prompt):
                    continue
                yield answer.hit(f"{answer.name} speaks of itself as a language model.", evidence=around(answer.text, start, end))
                break


def is_dialogue(asked: str, low: str) -> bool:
    """Whether lines that begin with a name and a colon are what people say: one speaks twice, or is called as people are, or talk was asked for.

    In a list of things and what is said of them no name comes twice.
    """
    names = [name.strip(" \t*:") for name in SPEAKER.findall(low[:SPOKEN])]
    if len(names) < 2:
        return False
    return len(set(names)) < len(names) or any(PERSON.match(name) for name in names) or any(word in asked for word in TALK)


def spoken(prompt: str, low: str, start: int) -> bool:
    """Whether a phrase is what somebody says in a text: a line of a dialogue, or between quotation marks where the prompt asks for fiction."""
    line = low.rfind("\n", 0, start) + 1
    before = BETWEEN_LETTERS.sub("", low[max(line, start - 300) : start])
    asked = prompt.lower()
    if start - line < NEAR and SPEAKER.match(low[line : line + 40]) and is_dialogue(asked, low):
        return True
    if not any(word in asked for word in FICTION):
        return False
    return any(before.count(quote) % 2 for quote in "\"'") or any(quote in before for quote in QUOTES[2:])
