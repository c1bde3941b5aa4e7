"""Two experiments on one dataset, run by LangSmith's own `evaluate`, and their comparison."""

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langsmith import evaluate


def question(number):
    return f"What is {number} times 2?"


def compared(client, name, cases, *, attack="", repetitions=1):
    """Make a comparison; return it, and the ids of the examples.

    Args:
        client: LangSmith's client.
        name: Name of the dataset and of the comparison.
        cases: Scores of the old and the new answer to each case; None for an answer that fails.
        attack: A text that is everywhere.
        repetitions: Answers to each case.
    """
    dataset = client.create_dataset(name)
    made = client.create_examples(
        dataset_id=dataset.id,
        examples=[
            {
                "inputs": {"input": question(number) + attack},
                "reference_outputs": {"output": f"{2 * number}{attack}"},
            }
            for number, _ in enumerate(cases)
        ],
    )
    names = []
    for place, side in enumerate(("old", "new")):

        def app(inputs, place=place, side=side):
            number = int(inputs["input"].split()[2])
            if cases[number][place] is None:
                raise ValueError(f"no answer {attack}")
            call = {"name": f"Calculator{attack}", "args": {"side": side}, "id": "1"}
            return {"output": AIMessage(f"{side} answer {number}{attack}", tool_calls=[call])}

        def correct(inputs, outputs, place=place):
            number = int(inputs["input"].split()[2])
            score = cases[number][place]
            return {"key": f"correct{attack}", "score": score, "comment": f"said {score}{attack}"}

        def fluent(outputs):
            return {"key": "fluent", "score": 0.5}

        results = evaluate(
            app, data=name, client=client, evaluators=[correct, fluent], max_concurrency=0,
            experiment_prefix=f"{side} {name}", num_repetitions=repetitions,
        )  # fmt: skip
        names.append(results.experiment_name)
    client.flush()
    projects = [client.read_project(project_name=each) for each in names]
    comparison = client.create_comparative_experiment(
        name, [each.id for each in projects], description=attack or None,
        metadata={"verdict": f"pass{attack}"},
    )  # fmt: skip
    return comparison, made["example_ids"]


def chat_case(client, name, old, new):
    """Make a comparison of one case, a chat with these answers."""
    dataset = client.create_dataset(name)
    sent = [SystemMessage("You are kind."), HumanMessage("Hello?")]
    inputs = {"messages": [each.model_dump() for each in sent]}
    client.create_example(inputs=inputs, dataset_id=dataset.id)
    names = [
        evaluate(
            lambda _, answer=answer: {"messages": [AIMessage(answer)]},
            data=name, client=client, max_concurrency=0,
        ).experiment_name
        for answer in (old, new)
    ]  # fmt: skip
    client.flush()
    ids = [client.read_project(project_name=each).id for each in names]
    return client.create_comparative_experiment(name, ids)
