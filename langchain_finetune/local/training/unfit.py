"""Why a base model can't be trained on an example."""

from collections.abc import Iterator
from contextlib import contextmanager

from jinja2 import TemplateError

from langchain_finetune.local.chat_template import RenderingError


class UnfitExampleError(ValueError):
    """An example that the base model can't be trained on.

    Args:
        code: Stable name of the reason: `unsupported_content`, `unsupported_chat_template`,
            `template_without_tools`, `no_answer` or `too_long`.
        message: One sentence that never quotes training text.
        index: Position of the message at fault, counted from 0; None for the whole example.
    """

    def __init__(self, code: str, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.index = index


@contextmanager
def unfit_if_not_rendered() -> Iterator[None]:
    """Turn what rendering raises into what is wrong with the example.

    Raises:
        UnfitExampleError: `unsupported_content` or `unsupported_chat_template`.
    """
    try:
        yield
    except RenderingError as error:
        raise UnfitExampleError("unsupported_content", error.message, error.index) from error
    except TemplateError as error:
        raise UnfitExampleError(
            "unsupported_chat_template",
            "The base model's chat template does not take such a chat.",
        ) from error
