"""Families of chat templates, in small: what the templates of published models do, written for tests.

>>> folder = FAMILIES["qwen3"].base(tmp_path)                         # doctest: +SKIP
>>> ChatTemplate.load(folder).encode(example)                         # doctest: +SKIP
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken
from tokenizers.decoders import ByteLevel

from instructsel.grading.chat import TULU
from tests import tiny

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML: every turn between two markers, the last one followed by a line break as well."""

QWEN25: Final = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' or message.role == 'assistant' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- elif message.role == 'tool' %}"
    "{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""ChatML with a system prompt of its own where the conversation has none."""

QWEN3: Final = (
    "{%- set ns = namespace(last=messages|length - 1, open=true) %}"
    "{%- for message in messages[::-1] %}{%- if ns.open and message.role == 'user' %}"
    "{%- set ns.open = false %}{%- set ns.last = messages|length - 1 - loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}"
    "{%- set reasoning = '' %}{%- set content = message.content %}"
    "{%- if message.reasoning_content is string %}{%- set reasoning = message.reasoning_content %}"
    "{%- elif '</think>' in content %}"
    "{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{%- endif %}"
    "{%- if loop.index0 > ns.last and (loop.last or reasoning) %}"
    "{{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}"
    "{%- else %}{{- '<|im_start|>assistant\\n' + content }}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)
"""ChatML whose responses think: the last one with its reasoning, or an empty one; the reasoning of earlier ones is left out."""

LLAMA3: Final = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
"""Llama 3: a header between two markers, an end-of-turn token that is not the end of text, contents stripped."""

LLAMA31: Final = (
    "{{- bos_token }}"
    "{%- if not date_string is defined %}"
    "{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- else %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' + date_string + '\\n\\n' }}"
    "{{- system_message + '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
"""Llama 3.1 and later: a system turn with today's date."""

GEMMA: Final = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
"""Gemma: turns alternate, no system turn, contents stripped."""

MISTRAL: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)
"""Mistral: markers of ordinary text, the end-of-sequence token after a response, no header before one."""

PHI3: Final = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)
"""Phi 3: after the last turn the end of text as well, so that a conversation is no beginning of a longer one."""

R1: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{% set content = message.content %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<|Assistant|>' + content + eos_token }}"
    "{% else %}{{ '<|User|>' + message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
)
"""DeepSeek R1: a prompt opens the reasoning, a response is written without it."""

TEXT_END: Final = (
    "{% for message in messages %}{{ '### ' + message.role | capitalize + ':\\n' + message.content + '\\n### End\\n\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"
)
"""Markers that are all ordinary text, the end of a turn too: no token says that a response is over."""


@dataclass(frozen=True)
class Family:
    """A chat template with the tokens it counts on."""

    template: str | None
    """Jinja; None is a base without one, which is given Tülu's."""
    end: str
    """What closes a response: the text of the first special token after it, or all of its text where there is none."""
    markers: tuple[str, ...] = ()
    """Special tokens of the tokenizer, beside the end of text and padding."""
    plain_markers: tuple[str, ...] = ()
    """Tokens that the tokenizer adds and does not call special, as Qwen 3 does with <think>."""
    eos: str = "<|endoftext|>"
    """The tokenizer's end of sequence: for base models not the end of a turn."""
    bos: str | None = None
    """The tokenizer's beginning of sequence."""
    dated: bool = False
    """Whether the template writes the date."""

    def tokenizer(self, folder: Path) -> Path:
        """A folder with a byte-level tokenizer that knows the markers, and the template."""
        special = list(dict.fromkeys(("<pad>", self.eos, *(() if self.bos is None else (self.bos,)), *self.markers)))
        made = tiny.tokenizer(folder, special)
        if self.plain_markers:
            made.add_tokens([AddedToken(text, normalized=False, special=False) for text in self.plain_markers])
        made.decoder = ByteLevel()
        made.save(str(folder / "tokenizer.json"))
        config = folder / "tokenizer_config.json"
        changes: dict[str, Any] = {"bos_token": self.bos, "chat_template": self.template}
        merged = {**json.loads(config.read_text()), **changes}
        config.write_text(json.dumps({name: value for name, value in merged.items() if value is not None}))
        return folder

    def base(self, folder: Path, kind: str = "llama", **changes: Any) -> Path:
        """A folder with a tiny language model of random weights, this tokenizer and this template."""
        vocabulary = self.vocabulary(self.tokenizer(folder))
        eos = vocabulary[self.eos]
        settings = {"vocab_size": max(vocabulary.values()) + 1, "eos_token_id": eos, "bos_token_id": vocabulary.get(self.bos or "", eos)}
        tiny.causal(folder, kind, **{**settings, **changes})
        return self.tokenizer(folder)

    @staticmethod
    def vocabulary(folder: Path) -> dict[str, int]:
        """Text → id of the folder's tokenizer, added tokens included."""
        written = json.loads((folder / "tokenizer.json").read_text())
        return {**written["model"]["vocab"], **{token["content"]: token["id"] for token in written["added_tokens"]}}


IM: Final = ("<|im_start|>", "<|im_end|>")
HEADERS: Final = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")

FAMILIES: Final = {
    "tulu": Family(None, "<|endoftext|>"),
    "tulu_bos": Family(TULU, "</s>", eos="</s>", bos="<s>"),
    "chatml": Family(CHATML, "<|im_end|>", IM),
    "chatml_text": Family(CHATML, "<|im_end|>"),
    "qwen25": Family(QWEN25, "<|im_end|>", IM),
    "qwen3": Family(QWEN3, "<|im_end|>", IM, plain_markers=("<think>", "</think>")),
    "qwen3_special": Family(QWEN3, "<|im_end|>", (*IM, "<think>", "</think>")),
    "llama3": Family(LLAMA3, "<|eot_id|>", HEADERS, eos="<|end_of_text|>", bos="<|begin_of_text|>"),
    "llama31": Family(LLAMA31, "<|eot_id|>", HEADERS, eos="<|end_of_text|>", bos="<|begin_of_text|>", dated=True),
    "gemma": Family(GEMMA, "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>"), eos="<eos>", bos="<bos>"),
    "mistral": Family(MISTRAL, "</s>", eos="</s>", bos="<s>"),
    "phi3": Family(PHI3, "<|end|>", ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "r1": Family(R1, "<|end_of_sentence|>", ("<|User|>", "<|Assistant|>", "<think>", "</think>"), eos="<|end_of_sentence|>", bos="<s>"),
    "text_end": Family(TEXT_END, "### End"),
}
"""By name; chatml_text and text_end have an end of turn that is no token."""
