"""Record an app in a file, train on it, and compare the base and the tuned model."""

from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate

from langchain_finetune import Convert, FineTune, RichProgress, RunFileChatLoader, RunRecorder

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Name the opposite."), ("user", "{word}")],
)
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "up": "down",
    "wet": "dry",
    "old": "new",
    "day": "night",
    "open": "closed",
    "early": "late",
    "hard": "soft",
    "full": "empty",
    "rich": "poor",
    "left": "right",
}


def main() -> None:
    """Stand in for users of the app, then learn from what they got."""
    # The app's model so far. Yours calls a provider; this one knows all answers by heart.
    answers = [AIMessage(answer) for answer in OPPOSITES.values()]
    app = PROMPT | GenericFakeChatModel(messages=iter(answers))

    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        with RunRecorder(path) as recorder:
            for word in OPPOSITES:
                app.invoke({"word": word}, {"callbacks": [recorder]})

        examples = (RunFileChatLoader(path) | Convert()).invoke({})
        with RichProgress() as progress:
            tuned = FineTune(
                model="nano",
                engine="local",
                hyperparameters={"n_epochs": 40},
                seed=1,
                chat_settings={"temperature": 0, "max_tokens": 16},
            ).invoke(examples, {"callbacks": [progress]})

    base = tuned.model_copy(update={"model_name": "nano"})
    for word in ("hot", "early"):
        question = PROMPT.invoke({"word": word})
        print(f"{word}: base {base.invoke(question).content!r}", end=", ")
        print(f"tuned {tuned.invoke(question).content!r}")
    print("The tuned model is", tuned.model_name)


if __name__ == "__main__":
    main()
