"""Train on recorded chats, compare with the model so far on others, and let a gate decide."""

from itertools import product

from langchain_core.chat_sessions import ChatSession
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_finetune import Compare, Convert, FineTune, Gate, Split, normalized_text

THINGS = ["laptop", "phone", "printer", "camera", "tablet", "router", "monitor", "keyboard"]
WISHES = {
    "My {} is broken, please repair it.": "repair",
    "I would like to send my {} back.": "return",
    "When will the {} that I ordered arrive?": "delivery",
    "How much does a new {} cost?": "price",
}


def recorded() -> list[ChatSession]:
    """Return what the app was asked, and what it answered: the topic of each message."""
    return [
        ChatSession(
            messages=[
                SystemMessage("Name the topic."),
                HumanMessage(wish.format(thing)),
                AIMessage(topic),
            ]
        )
        for thing, (wish, topic) in product(THINGS * 2, WISHES.items())
    ]


def main() -> None:
    """Train, and replace the model so far if the tuned one is better on chats it never saw."""
    prepare = Convert(duplicates="drop_exact", split=Split(test=0.4, seed=1))
    fine_tune = FineTune(
        model="nano",
        engine="local",
        hyperparameters={"n_epochs": 15},
        seed=1,
        chat_settings={"temperature": 0, "max_tokens": 8},
    )
    tuned = (prepare | fine_tune).invoke(recorded())

    so_far = tuned.model_copy(update={"model_name": "nano", "metadata": None})
    compare = Compare(old=so_far, evaluators=[normalized_text])
    # The gate knows which chats were held out from this training.
    model = Gate(compare, better={"normalized_text": 0.0}).invoke(tuned)

    told = (model.metadata or {}).get("gate")
    if told is None:
        print("The gate kept", model.model_name)
        return
    [difference] = told["differences"]
    print(f"{difference['cases']} cases: {difference['old']:.0%} -> {difference['new']:.0%}")
    print("The gate let pass", model.model_name)


if __name__ == "__main__":
    main()
