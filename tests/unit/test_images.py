"""Images stay in supervised lines, and are refused in pairs."""

from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
]
SESSION = {
    "messages": [HumanMessage(PARTS), AIMessage("A dot.")],
    "rejected": AIMessage("A line."),
    "source": {"run_id": "r-1"},
}


def test_an_image_stays_a_part_of_the_supervised_line():
    [example] = Convert().invoke([SESSION])
    assert example["messages"] == [
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": "A dot."},
    ]


def test_images_of_other_providers_become_openais():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iV"}}
    [example] = Convert().invoke([{"messages": [HumanMessage([image]), AIMessage("A dot.")]}])
    [part] = example["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iV"}}


def test_an_image_is_refused_in_a_pair_with_its_place():
    examples = Convert(method="preference").invoke([SESSION])
    assert list(examples) == []
    [skip] = examples.rejected
    assert (skip.id, skip.code) == ("r-1", "image_in_preference")
    assert "(message 0)" in skip.reason
