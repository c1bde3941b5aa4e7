"""What makes a line of prompt and completion fit for training."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_finetune.convert.checks import Finding


def check_completion(example: Any) -> Iterator[Finding]:
    """Yield every fault of a line `{"prompt": ..., "completion": ...}`.

    A prompt may be empty: then the model learns to begin.

    Example:
        >>> [finding.code for finding in check_completion({"prompt": "Once", "completion": ""})]
        ['no_completion']
    """
    if not isinstance(example, Mapping):
        yield Finding("not_an_object", "An example must be a JSON object.")
        return
    if not isinstance(example.get("prompt"), str):
        yield Finding("no_prompt", "An example needs a prompt, which is text.")
    completion = example.get("completion")
    if not isinstance(completion, str) or not completion:
        yield Finding("no_completion", "An example needs a completion: text that is not empty.")
