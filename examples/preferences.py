"""Make preference pairs from scored answers, and train with DPO."""

from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, FineTune

TOPICS = ["tea", "rain", "cats", "trains", "bread", "maps", "chess", "snow", "bees", "boats"]


def sessions() -> list[dict[str, object]]:
    """Return two answers to each question; people preferred the short one.

    A loader gives such sessions too: `feedback={"key": "user_score", "use_score": True}`.
    """
    found: list[dict[str, object]] = []
    for topic in TOPICS:
        question = HumanMessage(f"Do you like {topic}?")
        short = AIMessage("Yes!")
        long = AIMessage(f"Well, as to {topic}, there is a lot to be said about {topic}.")
        found.append({"messages": [question, short], "score": 1.0})
        found.append({"messages": [question, long], "score": 0.0})
    return found


def main() -> None:
    """Pair, train, and show the margins that DPO reports."""
    examples = Convert(method="preference").invoke(sessions())
    pair = next(iter(examples))
    print("preferred:", pair["preferred_output"][0]["content"])
    print("not preferred:", pair["non_preferred_output"][0]["content"])

    step = FineTune(model="nano", engine="local", hyperparameters={"n_epochs": 4}, seed=1)
    job = step.submit(examples)
    job.wait()
    first, *_, last = job.metrics()
    print(f"loss {first['train_loss']:.3f} -> {last['train_loss']:.3f}")
    model = job.model(temperature=0, max_tokens=24)
    print("Do you like soup? ->", model.invoke("Do you like soup?").content)
    print("The tuned model is", model.model_name)


if __name__ == "__main__":
    main()
