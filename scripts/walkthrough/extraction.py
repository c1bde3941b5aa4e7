"""The second walkthrough: open information extraction, from a dataset of type chat."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, message_to_dict
from langsmith import Client
from langsmith.schemas import Dataset, DataType

SENTENCES = (
    "The baker sells bread.",
    "Our dog chases cats.",
    "The river crosses the valley.",
    "A nurse helps patients.",
    "The museum shows old coins.",
    "My aunt grows tomatoes.",
    "The train reaches Lisbon.",
    "The teacher reads a poem.",
    "Two boys build a raft.",
    "The bridge joins both towns.",
    "The cook peels onions.",
    "The artist paints boats.",
    "A storm damaged the roof.",
    "The clerk signs letters.",
    "The farmer owns six goats.",
    "The choir sings folk songs.",
    "The owl watches the field.",
    "The company makes bicycles.",
    "The children visit the lake.",
    "The pilot lands the plane.",
    "The library lends maps.",
    "The smith repairs an anvil.",
    "The judge heard both sides.",
    "The guide carries a lantern.",
    "The girl feeds the ducks.",
    "The mayor opened the fair.",
    "The gardener waters roses.",
    "The crew loads the ship.",
    "The player wins a medal.",
    "The writer finished her novel.",
)
"""Sentences of subject, verb and object. The first five are the few-shot examples."""

_VERBS = frozenset(
    "sells chases crosses helps shows grows reaches reads build joins peels paints damaged signs "
    "owns sings watches makes visit lands lends repairs heard carries feeds opened waters loads "
    "wins finished".split()
)
_FEW_SHOT = 5
HELD_OUT = "The sailor mends nets."


def triples(sentence: str) -> str:
    """Return the triples of a sentence, as a JSON list of `{s, object, relation}`."""
    words = sentence.rstrip(".").split()
    verb = next(index for index, word in enumerate(words) if word in _VERBS)
    return json.dumps(
        [
            {
                "s": " ".join(words[:verb]),
                "object": " ".join(words[verb + 1 :]),
                "relation": words[verb],
            }
        ]
    )


def conversation(sentence: str) -> list[BaseMessage]:
    """Return messages that ask for the triples of a sentence, with five examples."""
    messages: list[BaseMessage] = []
    for shown in SENTENCES[:_FEW_SHOT]:
        messages += [HumanMessage(shown), AIMessage(triples(shown))]
    return [*messages, HumanMessage(sentence)]


def score(answer: str, sentence: str) -> float:
    """Return the share of the parts of the triple that an answer has right.

    Example:
        >>> score('[{"s": "The baker", "object": "rolls", "relation": "sells"}]', SENTENCES[0])
        0.6666666666666666
    """
    [expected] = json.loads(triples(sentence))
    try:
        found = json.loads(answer)
    except ValueError:
        return 0.0
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        return 0.0
    right = sum(bool(found[0].get(name) == part) for name, part in expected.items())
    return right / len(expected)


def upload_dataset(
    client: Client, name: str, sentences: Sequence[str] = SENTENCES[_FEW_SHOT:]
) -> Dataset:
    """Create a dataset of data type chat and upload the sentences with their triples."""
    dataset = client.create_dataset(name, data_type=DataType.chat)
    examples: list[dict[str, Any]] = [
        {
            "inputs": {"input": [_stored(message) for message in conversation(sentence)]},
            "reference_outputs": {"output": _stored(AIMessage(triples(sentence)))},
        }
        for sentence in sentences
    ]
    client.create_examples(dataset_id=dataset.id, examples=examples)
    return dataset


def _stored(message: BaseMessage) -> dict[str, Any]:
    """Return a message as LangSmith's chat datasets store it."""
    stored = message_to_dict(message)
    return {"type": stored["type"], "data": {"content": stored["data"]["content"]}}
