"""Where a chat template puts the parts of an answer, for templates of several families."""

import pytest

from langchain_finetune.local.serving.structured.template_probe import (
    AnswerFrame,
    CallFrame,
    answer_frame,
)

QUESTION = "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
CLOSE = "<end>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
ANGLES = "{% for c in m.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}"


class Tokenizer:
    def __init__(self, template):
        from transformers import PreTrainedTokenizerFast
        from transformers.utils.chat_template_utils import render_jinja_template

        assert PreTrainedTokenizerFast
        self._render = render_jinja_template
        self.chat_template = template

    def apply_chat_template(self, messages, *, tools, tokenize, add_generation_prompt):
        assert not tokenize
        (text,), _ = self._render(
            [messages],
            tools=tools,
            chat_template=self.chat_template,
            add_generation_prompt=add_generation_prompt,
        )
        return text


def frame(template):
    return answer_frame(Tokenizer(template), ["<end>"])


def test_calls_in_angle_brackets():
    found = frame(QUESTION + ANGLES + CLOSE)
    before = '<call>{"name": "'
    assert found == AnswerFrame(
        "", CallFrame(before, '", "arguments": ', "}</call>" + before, "}</call>", (", ", ": "))
    )


def test_calls_in_a_list():
    calls = (
        "{% if m.tool_calls %}[CALLS][{% for c in m.tool_calls %}"
        '{"name":"{{ c.function.name }}","arguments":'
        '{{ c.function.arguments | tojson(separators=(",", ":")) }}}'
        "{% if not loop.last %},{% endif %}{% endfor %}]{% endif %}"
    )
    found = frame(QUESTION + calls + CLOSE)
    assert found.call == CallFrame(
        '[CALLS][{"name":"', '","arguments":', '},{"name":"', "}]", (",", ":")
    )


def test_an_empty_thought_goes_before_everything():
    thinking = QUESTION.replace(
        "{{ m.content }}", '{% if m.role == "assistant" %}<think></think>{% endif %}{{ m.content }}'
    )
    found = frame(thinking + ANGLES + CLOSE)
    assert found.opening == "<think></think>"
    assert found.call.before == '<call>{"name": "'


@pytest.mark.parametrize(
    "calls",
    [
        # One call only, as in Llama 3.
        (
            "{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
            '{{ raise_exception("one call only") }}{% endif %}'
            '{"name": "{{ m.tool_calls[0].function.name }}", '
            '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}{% endif %}'
        )
    ],
)
def test_one_call_only(calls):
    found = frame(QUESTION + calls + CLOSE)
    assert found.call == CallFrame('{"name": "', '", "parameters": ', None, "}", (", ", ": "))


@pytest.mark.parametrize(
    "calls",
    [
        "",
        (
            "{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
            "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}"
            "</function>{% endfor %}"
        ),
        '{% if m.tool_calls %}{{ raise_exception("no tools") }}{% endif %}',
    ],
    ids=["none", "xml", "refused"],
)
def test_no_calls_as_json(calls):
    assert frame(QUESTION + calls + CLOSE) == AnswerFrame("", None)
