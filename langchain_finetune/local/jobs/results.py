"""The table of metrics that a succeeded job leaves behind, as OpenAI's result file."""

import base64
import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
"""Columns of the file (OpenAI's fine-tuning guide), and the metrics that fill them."""


def result_file(metrics: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the file's content: CSV, base64-encoded as OpenAI's is.

    Example:
        >>> base64.b64decode(result_file([{"step": 1, "train_loss": 0.5}])).decode().split()[1]
        '1,0.5,,,'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row.get(metric, "") for metric in COLUMNS.values()] for row in metrics)
    return base64.b64encode(text.getvalue().encode())
