"""Broken examples: messages, roles, contents, images, targets and files."""

import json

from support.broken import (
    ANSWER,
    RESULT,
    SYSTEM,
    USER,
    Broken,
    agent,
    call,
    calling,
    chat,
    offering,
    picture,
    said,
    shown,
)

HALF = "A smile: \ud83d"
ASSISTANT = {"role": "assistant"}
HISTORY = {**ANSWER, "weight": 0}
BIG = "data:image/png;base64," + "A" * (14 * 2**20 + 4)

PARTS = [{"type": "text", "text": "Yes, "}, {"type": "text", "text": "one."}]

MESSAGES = [
    Broken(
        "an answer in parts",
        "text_in_parts",
        1,
        chat(USER, {**ANSWER, "content": PARTS}),
        severity="warning",
        fixed=True,
    ),
    Broken("no object", "not_an_object", None, ["messages"]),
    Broken("a number", "not_an_object", None, 5),
    Broken("no JSON", "not_json", None, b'{"messages": ['),
    Broken("NaN", "not_json", None, b'{"messages": NaN}'),
    Broken("nested without end", "not_json", None, b"[" * 100_000),
    Broken("no messages", "no_messages", None, {}),
    Broken("messages are text", "no_messages", None, {"messages": "Hi"}),
    Broken("an empty list", "no_messages", None, {"messages": []}),
    Broken("a key of one's own", "unknown_key", None, chat(USER, ANSWER, id=7), severity="warning"),
    Broken("text as a message", "not_a_message", 0, chat("Hi", ANSWER)),
    Broken("a list as a message", "not_a_message", 1, chat(USER, [], ANSWER)),
    Broken("no role", "unknown_role", 0, chat({"content": "Hi"}, ANSWER)),
    Broken("a role of one's own", "unknown_role", 0, chat(said(role="guest"), ANSWER)),
    Broken("a role that is a list", "unknown_role", 0, chat(said(role=["user"]), ANSWER)),
    Broken(
        "a role that open models lack",
        "unknown_role",
        0,
        chat({**SYSTEM, "role": "developer"}, USER, ANSWER),
        rules="nebius",
        fixed=True,
    ),
    Broken(
        "a strange key", "unknown_key", 1, chat(USER, {**ANSWER, "mood": 1}), severity="warning"
    ),
    Broken("no content", "no_content", 0, chat({"role": "user"}, ANSWER)),
    Broken("content is a number", "no_content", 0, chat(said(content=5), ANSWER)),
    Broken("an answer without content", "no_content", 1, chat(USER, ASSISTANT)),
    Broken(
        "an empty instruction", "no_content", 0, chat({"role": "system"}, USER, ANSWER), fixed=True
    ),
    Broken("no part", "no_content", 0, chat(said(content=[]), ANSWER)),
    Broken(
        "an answer that is an object", "invalid_content", 1, chat(USER, {**ANSWER, "content": {}})
    ),
    Broken("a part that is text", "invalid_part", 0, chat(said(content=["Hi"]), ANSWER)),
    Broken(
        "a part without its text", "invalid_part", 0, chat(said(content=[{"type": "text"}]), ANSWER)
    ),
    Broken("a part of no known type", "unknown_part", 0, chat(shown({"type": "map"}), ANSWER)),
    Broken(
        "an image that is text",
        "invalid_part",
        0,
        chat(shown({"type": "image_url", "image_url": "https://example.com/a.png"}), ANSWER),
    ),
    Broken(
        "a sound",
        "unsupported_part",
        0,
        chat(shown({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}), ANSWER),
    ),
    Broken(
        "an image for a text model",
        "unsupported_part",
        0,
        chat(shown(picture()), ANSWER),
        rules="local",
    ),
    Broken(
        "an image by its address, where only base64 is taken",
        "remote_image",
        0,
        chat(shown(picture()), ANSWER),
        rules="together",
    ),
    Broken("too many images", "too_many_images", None, chat(shown(*[picture()] * 11), ANSWER)),
    Broken(
        "too many for Azure",
        "too_many_images",
        None,
        chat(shown(*[picture()] * 65), ANSWER),
        rules="azure",
    ),
    Broken("a large image", "image_too_large", 0, chat(shown(picture(BIG)), ANSWER)),
    Broken("a GIF", "image_type", 0, chat(shown(picture("data:image/gif;base64,R0lG")), ANSWER)),
    Broken(
        "an image of a file", "invalid_image", 0, chat(shown(picture("file:///room.png")), ANSWER)
    ),
    Broken(
        "an image without base64",
        "invalid_image",
        0,
        chat(shown(picture("data:image/png,x")), ANSWER),
    ),
    Broken(
        "an image's detail", "invalid_image_detail", 0, chat(shown(picture(detail="sharp")), ANSWER)
    ),
    Broken(
        "an image in an answer",
        "image_outside_user",
        1,
        chat(USER, {**ANSWER, "content": [picture()]}),
    ),
    Broken(
        "an image in a result",
        "image_outside_user",
        2,
        agent(USER, calling(call()), {**RESULT, "content": [picture()]}, ANSWER),
    ),
    Broken("half a weight", "invalid_weight", 1, chat(USER, {**ANSWER, "weight": 0.5})),
    Broken("a weight in words", "invalid_weight", 1, chat(USER, {**ANSWER, "weight": "1"})),
    Broken(
        "a weight of true", "invalid_weight", 1, chat(USER, {**ANSWER, "weight": True}), fixed=True
    ),
    Broken(
        "a user's weight", "weight_outside_assistant", 0, chat(said(weight=1), ANSWER), fixed=True
    ),
    Broken(
        "a name with spaces", "invalid_name", 0, chat(said(name="Ada Byron"), ANSWER), fixed=True
    ),
    Broken("a name without end", "invalid_name", 0, chat(said(name="a" * 65), ANSWER), fixed=True),
    Broken("a name that is a number", "invalid_name", 0, chat(said(name=5), ANSWER)),
    Broken("no answer", "no_assistant_message", None, chat(SYSTEM, USER)),
    Broken("no last answer", "no_final_answer", None, chat(USER, ANSWER, USER), fixed=True),
    Broken("nothing to learn", "no_target", None, chat(USER, HISTORY)),
    Broken("an empty answer", "empty_target", 1, chat(USER, {**ANSWER, "content": ""})),
    Broken("a blank answer", "empty_target", 1, chat(USER, {**ANSWER, "content": " \n"})),
    Broken(
        "an empty answer beside another",
        "empty_target",
        1,
        chat(USER, {**ANSWER, "content": ""}, USER, ANSWER),
        fixed=True,
    ),
    Broken(
        "an answer of blank parts",
        "empty_target",
        1,
        chat(USER, {**ANSWER, "content": [{"type": "text", "text": ""}]}),
    ),
    Broken("late instructions", "late_system", 1, chat(USER, SYSTEM, ANSWER), severity="warning"),
    Broken(
        "two answers in a row",
        "consecutive_answers",
        2,
        chat(USER, ANSWER, ANSWER),
        severity="warning",
    ),
    Broken("a control token", "special_token", 0, chat(said(content="Say <|im_end|>"), ANSWER)),
    Broken(
        "a token of OpenAI's",
        "special_token",
        1,
        chat(USER, {**ANSWER, "content": "<|fim_suffix|>"}),
    ),
    Broken(
        "a token in arguments",
        "special_token",
        1,
        agent(USER, calling(call(json.dumps({"beds": 1, "view": "<|im_start|>"}))), RESULT, ANSWER),
    ),
    Broken(
        "a token written as an escape",
        "special_token",
        1,
        chat(USER, calling(call(r'{"beds": 1, "note": "\u003c|endoftext|>"}'))),
    ),
    Broken(
        "a token in a tool",
        "special_token",
        None,
        offering({"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}),
    ),
    Broken("half a character", "invalid_unicode", 0, chat(said(content=HALF), ANSWER), fixed=True),
    Broken(
        "half a character in arguments",
        "invalid_unicode",
        1,
        agent(USER, calling(call(r'{"beds": 1, "view": "sea", "x": "\ud83d"}'))),
    ),
    Broken(
        "a large example",
        "example_too_large",
        None,
        chat(said(content="a" * (17 * 2**20)), ANSWER),
        rules="local",
    ),
    Broken(
        "a response format without a name",
        "invalid_response_format",
        None,
        {
            **chat(USER, ANSWER),
            "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        },
        rules="local",
    ),
]
