"""Chat templates of the families that write calls, results, tools and reasoning; written for these tests."""

from __future__ import annotations

from typing import Final

QWEN_TYPE: Final = (
    "{%- if tools or messages[0].role == 'system' %}{{ '<|im_start|>system\\n' }}"
    "{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{%- endif %}"
    "{%- if tools %}{{ '# Tools\\n<tools>' }}{%- for tool in tools %}{{ '\\n' + (tool | tojson) }}{%- endfor %}{{ '\\n</tools>' }}{%- endif %}"
    "{{ '<|im_end|>\\n' }}{%- endif %}"
    "{%- set ns = namespace(last=-1) %}"
    "{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}"
    "{%- set content = message.content if message.content is string else '' %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{ '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{{ '<|im_start|>assistant\\n' }}"
    "{%- if message.reasoning_content is string and loop.index0 > ns.last %}"
    "{{ '<think>\\n' + message.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{ content }}"
    "{%- for call in message.tool_calls or [] %}"
    "{%- if (loop.first and content) or not loop.first %}{{ '\\n' }}{%- endif %}"
    "{%- if call.function %}{%- set call = call.function %}{%- endif %}"
    '{{ \'<tool_call>\\n{"name": "\' + call.name + \'", "arguments": \' }}'
    "{%- if call.arguments is string %}{{ call.arguments }}{%- else %}{{ call.arguments | tojson }}{%- endif %}"
    "{{ '}\\n</tool_call>' }}{%- endfor %}"
    "{{ '<|im_end|>\\n' }}"
    "{%- elif message.role == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""As Qwen3's: tools in the system part, calls as JSON between tags, reasoning behind the last question alone."""

CHATML_TOOLS: Final = (
    "{%- if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + (message.content or '') }}"
    "{%- for call in message.tool_calls or [] %}{{ (call.function or call) | tojson }}{%- endfor %}{{ '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""ChatML that writes a call as the row has it."""

LLAMA_TYPE: Final = (
    "{%- for message in messages %}"
    "{%- if message.role == 'tool' %}{{ '<|im_start|>ipython\\n\\n' + message.content + '<|im_end|>' }}"
    "{%- elif 'tool_calls' in message %}"
    "{%- if not message.tool_calls | length == 1 %}{{ raise_exception('one call at a time') }}{%- endif %}"
    "{%- set call = message.tool_calls[0].function or message.tool_calls[0] %}"
    "{{ '<|im_start|>assistant\\n\\n{\"name\": \"' + call.name + '\", \"parameters\": ' + (call.arguments | tojson) + '}<|im_end|>' }}"
    "{%- else %}{{ '<|im_start|>' + message.role + '\\n\\n' }}"
    "{%- if tools and message.role == 'user' and loop.first %}{{ 'Functions:' }}{%- for tool in tools %}{{ tool | tojson(indent=4) }}{%- endfor %}{{ '\\n\\n' }}{%- endif %}"
    "{{ message.content | trim + '<|im_end|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n\\n' }}{%- endif %}"
)
"""As Llama 3's: one call a turn, the tools in the first question."""

OPENING_TYPE: Final = QWEN_TYPE.replace(
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}",
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}",
)
"""As QwQ's and DeepSeek-R1's: a prompt ends in an opened <think>, which a response without reasoning does not follow."""
assert OPENING_TYPE != QWEN_TYPE

STRUCTURED: Final = {"qwen": QWEN_TYPE, "chatml with tools": CHATML_TOOLS, "llama": LLAMA_TYPE, "opening": OPENING_TYPE}
