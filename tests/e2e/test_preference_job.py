"""Preferences, as pairs and as judged answers, through the whole chain, on the embedded engine."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_finetune import Convert, FineTune, FineTuningSession


def chats():
    """Twelve answers with the worse one beside each."""
    for number in range(12):
        yield FineTuningSession(
            messages=[HumanMessage(f"Is {number} a number?"), AIMessage("Yes.")],
            rejected={"role": "assistant", "content": "Who knows."},
            source={"run_id": f"run-{number}"},
        )


@pytest.mark.train
@pytest.mark.parametrize("method", ["preference", "unpaired_preference"])
def test_pairs_train_and_the_model_answers(engine, method):
    step = FineTune(
        model="nano", engine="local", suffix="polite", hyperparameters={"n_epochs": 1, "beta": 0.2}
    )
    examples = Convert(method=method).invoke(list(chats()))
    job = step.submit(examples)
    job.wait(timeout_s=300)
    model = job.model(temperature=0, max_tokens=8)
    assert "polite" in model.model_name
    assert isinstance(model.invoke("Is 3 a number?").content, str)
    assert {"step", "train_loss"} <= set(job.metrics()[0])
