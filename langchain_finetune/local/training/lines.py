"""The examples of a job's files: read first, put into tokens once the tokenizer is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from langchain_finetune.local.chat_template import SHOWS_FORMAT
from langchain_finetune.local.training.encoding import Encoder, UnfitExampleError
from langchain_finetune.local.training.events import TrainingFailure
from langchain_finetune.local.training.methods import TRAINING
from langchain_finetune.local.training.sequences import Encoded
from langchain_finetune.local.training.spec import Spec, read_examples
from langchain_finetune.methods import Method

NumberedLines = list[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class TrainingLines:
    """The examples of a job's training and validation files, with the numbers of their lines."""

    method: Method
    train: NumberedLines
    validation: NumberedLines | None

    @classmethod
    def read(cls, spec: Spec) -> Self:
        """Read both files.

        Raises:
            TrainingFailure: `invalid_training_file` or `invalid_validation_file`.
        """
        train = read_examples(spec.train, method=spec.method, code="invalid_training_file")
        validation = spec.validation and read_examples(
            spec.validation, method=spec.method, code="invalid_validation_file"
        )
        return cls(spec.method, train, validation or None)

    def encoded(
        self, tokenizer: Any, config: Any, generation_config: Any
    ) -> tuple[list[Encoded], list[Encoded] | None]:
        """Put both files into tokens.

        Raises:
            TrainingFailure: An example, or all of them, can't be trained on with this tokenizer.
        """
        if any("response_format" in example.get("input", example) for _, example in self.train):
            # It is saved with the tokenizer, so that serving shows formats as training did.
            tokenizer.init_kwargs[SHOWS_FORMAT] = True
        try:
            encoder = Encoder.of(tokenizer, config, generation_config)
        except UnfitExampleError as error:
            raise TrainingFailure(error.code, error.message) from error
        encode = TRAINING[self.method].encode
        train = encode(encoder, self.train)
        try:
            return train, encode(encoder, self.validation) if self.validation else None
        except TrainingFailure as error:
            code = error.code.replace("training_file", "validation_file")
            raise TrainingFailure(code, f"Validation file: {error.message}") from error
