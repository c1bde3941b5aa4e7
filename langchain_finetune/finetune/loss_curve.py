"""The loss curve of a job, as an image."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_finetune.errors import MissingExtraError
from langchain_finetune.extras import missing_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = {"train_loss": "training", "valid_loss": "validation"}


class LossCurve:
    """Training and validation loss over the steps of a job.

    Shows itself in a notebook. Needs matplotlib, which the extra `local` brings.

    Args:
        metrics: Figures of the steps, as `job.metrics()` returns them: dicts with `step` and
            `train_loss` or `valid_loss`, or both.

    Example:
        ```python
        LossCurve(job.metrics()).save("loss.png")
        ```
    """

    def __init__(self, metrics: Sequence[Mapping[str, float]]) -> None:
        self._metrics = metrics

    def save(self, path: str | PathLike[str]) -> None:
        """Write the picture; the name's ending says how, such as `.png` or `.svg`."""
        self._figure().savefig(Path(path).expanduser(), dpi=120)

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self._figure().savefig(picture, format="png", dpi=100)
        return picture.getvalue()

    def _figure(self) -> "Figure":
        try:
            # Without pyplot there is no global state, and no screen is needed.
            from matplotlib.figure import Figure  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise MissingExtraError(missing_extra("A loss curve", "local")) from error
        figure = Figure(figsize=(7, 4), layout="tight")
        axes = figure.subplots()
        for name, label in _CURVES.items():
            points = [(row["step"], row[name]) for row in self._metrics if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set(title="Fine-tuning", xlabel="step", ylabel="loss")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
        return figure
