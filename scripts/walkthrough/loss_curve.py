"""The loss curve as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl


def draw_loss_curve(losses: Sequence[tuple[int, float]], path: Path) -> Path:
    """Draw training loss over steps into a PNG file and return its path.

    Args:
        losses: Pairs of step and loss.
        path: The file; an older one is replaced.
    """
    mpl.use("Agg")  # No screen is needed.
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    figure, axes = plt.subplots(figsize=(7, 4))
    axes.plot([step for step, _ in losses], [loss for _, loss in losses], marker=".")
    axes.set(title="Fine-tuning", xlabel="step", ylabel="training loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
