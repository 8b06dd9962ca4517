"""Remakes forms.json beside it: dialogues as `apply_chat_template` of transformers writes them.

    ~/.cache/peers/bin/python Tests/TokenizationTests/Goldens/make_forms.py [SMOLLM2]

By the templates as they are published: SmolLM2's (from its folder, ~/.cache/smollm2 by default), Qwen1.5's and Qwen2's (SmolLM2's with
another text), plain ChatML in three layouts, Llama 3.0's in two; Qwen3's is read from the package trl, which ships it, and only what it
writes is kept. Beside each stands the form that must write the same, and what a folder with that template must choose.
"""

import importlib.resources
import json
import pathlib
import sys

from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
QUESTION = "Tom has 3 apples.\nHow many?"


def turns(*texts, system=None):
    roles = ["user", "assistant"]
    head = [] if system is None else [{"role": "system", "content": system}]
    return head + [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


DIALOGUES = [
    turns(QUESTION),
    turns(""),
    turns("  spaces around \n\n"),
    turns("\u00a0\u3000\u2028wide\x1c\x85\u200b"),
    turns(" \n\t "),
    turns("It's 'quoted' \\n \"twice\" {{ braces }} {% if %}"),
    turns("\u4eba e\u0301 \U0001f600"),
    turns(QUESTION, system="Be brief. "),
    turns(QUESTION, system=""),
    turns("1?", " 2 ", "3?"),
    turns("1?", "<think>\nhm\n</think>\n\n2\n", "3?", "a</think>b</think>\n\nc", "5?", system=" S\n"),
    turns("1?", "<think>never closed", "3?"),
]

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
CHATML_DEFINED = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}" + CHATML
CHATML_LINES = """{%- for message in messages -%}
    {# one turn #}
    {{- "<|im_start|>" + message.role + "\\n" -}}
    {{- message.content + "<|im_end|>\\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|im_start|>assistant\\n" -}}
{%- endif -%}
"""
CHATML_SPREAD = """{% for message in messages %}
    {{- "<|im_start|>" + message.role + "\\n" + message["content"] + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|im_start|>assistant\\n" }}
{%- endif %}
"""
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA3_FIRST = LLAMA3.replace("{% if add_generation_prompt %}", "").removesuffix("{% endif %}")
# What an export writes, by form.
TURN = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
ASSISTANT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
SYSTEM = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n@<|im_end|>\\n' }}{% endif %}"
HELLO = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
OWN = {
    "qwen": SYSTEM.replace("@", "Please reason step by step and put your final answer within \\\\boxed{}.") + TURN
    + ASSISTANT.replace("assistant\\n", "assistant\\n<think>\\n"),
    "chatml": "{# nano-reasoner: prompt form chatml #}" + TURN + ASSISTANT,
    "smollm2": "{# nano-reasoner: prompt form smollm2 #}" + SYSTEM.replace("@", HELLO) + TURN + ASSISTANT,
    "qwen3": "{# nano-reasoner: prompt form qwen3 #}" + TURN.replace("message['content']", "content").replace(
        "{{", "{% set content = message['content'] %}{% if message['role'] == 'assistant' and not loop.last and '</think>' in content %}"
        "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{") + ASSISTANT,
    "llama3": "{# nano-reasoner: prompt form llama3 #}" + LLAMA3.replace("{% set loop_messages = messages %}", "").replace(
        "loop_messages", "messages").replace("\n\n'+", "\n\n' +").replace("\n", "\\n"),
}
# Templates that write something else, however alike they look.
OTHERS = {
    "trimmed": CHATML.replace("message['content'] +", "message['content'] | trim +"),
    "instructed": CHATML.replace("'<|im_end|>'", "' Think.<|im_end|>'"),
    "thinking": CHATML.replace("assistant\\n", "assistant\\n<think>\\n"),
    "dated": LLAMA3.replace("{% set loop_messages", "{% set date = strftime_now('%d %b %Y') %}{% set loop_messages"),
    "untrimmed": LLAMA3.replace(" | trim", ""),
    "other system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Hal.<|im_end|>\n' }}{% endif %}" + CHATML.split("%}", 1)[1],
    "one turn": "{{ messages[0]['content'] }}",
    "no end": "{% for message in messages %}{{ 'a }}",
    "empty": "",
}


def write(template):
    rendered, _ = render_jinja_template(
        conversations=DIALOGUES, chat_template=template, add_generation_prompt=True, bos_token="<|begin_of_text|>")
    return rendered


def main():
    smollm2 = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "~/.cache/smollm2").expanduser()
    smollm2 = (smollm2 / "chat_template.jinja").read_text()
    qwen3 = importlib.resources.files("trl").joinpath("chat_templates/qwen3.jinja").read_text()
    templates = [
        ("SmolLM2", smollm2, "smollm2"), ("Qwen1.5", smollm2.replace(HELLO, "You are a helpful assistant"), None),
        ("Qwen2", smollm2.replace(HELLO, "You are a helpful assistant."), None), ("ChatML", CHATML, "chatml"),
        ("ChatML, with a default", CHATML_DEFINED, "chatml"), ("ChatML, spread", CHATML_SPREAD, "chatml"),
        ("Llama 3", LLAMA3, "llama3"), ("Llama 3, as first published", LLAMA3_FIRST, "llama3")]
    rows = []
    for name, template, form in templates:
        rows.append({"name": name, "template": template, "chosen": form or "qwen", "form": form, "prompts": write(template) if form else None})
    rows.append({"name": "Qwen3", "template": None, "form": "qwen3", "prompts": write(qwen3)})
    written = {row["form"]: row["prompts"] for row in rows if row["form"]}
    for form, template in OWN.items():
        prompts = write(template)
        assert prompts == written.get(form, prompts), form
        rows.append({"name": f"{form}, exported", "template": template, "chosen": form, "form": form, "prompts": prompts})
    # The same in an order of its own: the pieces are written apart, which no outline here has.
    assert write(CHATML_LINES) == write(CHATML)
    rows.append({"name": "ChatML, in pieces", "template": CHATML_LINES, "chosen": None, "form": None, "prompts": None})
    rows += [{"name": name, "template": text, "chosen": None, "form": None, "prompts": None} for name, text in OTHERS.items()]
    (HERE / "forms.json").write_text(json.dumps({"dialogues": DIALOGUES, "own": OWN, "templates": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
