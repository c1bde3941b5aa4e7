"""The geometry of the loss curve."""

import pytest

from langchain_finetune.local.page.loss_curve import (
    HEIGHT,
    MAX_POINTS,
    MAX_ROWS,
    WIDTH,
    loss_plot,
)


def metrics(losses, total=None, **valid):
    steps = total or len(losses)
    rows = [
        {"step": step, "train_loss": loss, "total_steps": steps}
        for step, loss in enumerate(losses, 1)
    ]
    for step, loss in valid.items():
        rows[int(step[1:]) - 1]["valid_loss"] = loss
    return rows


def points(line):
    return [tuple(map(float, point.split(","))) for point in line.points.split()]


def test_there_is_no_curve_before_the_first_figure():
    assert loss_plot([], "supervised") is None
    assert loss_plot([{"step": 1, "total_steps": 9}], "supervised") is None


def test_places_are_those_of_the_axes():
    plot = loss_plot(metrics([2.0, 1.0, 0.5], total=4, s2=1.5), "supervised")
    training, validation = plot.lines
    assert points(training) == [(250, 0), (500, HEIGHT / 2), (750, HEIGHT * 3 / 4)]
    assert points(validation) == [(500, HEIGHT / 4)]
    assert validation.dots == [(50, HEIGHT / 4, "validation, step 2: 1.5")]
    assert [(tick.position, tick.label) for tick in plot.down][::2] == [
        (HEIGHT, "0"),
        (HEIGHT / 2, "1"),
        (0, "2"),
    ]
    assert [(tick.position, tick.label) for tick in plot.across] == [
        (25.0 * step, str(step)) for step in range(5)
    ]
    assert plot.unit == "nats per token"
    assert plot.rows == [(1, "2", ""), (2, "1", "1.5"), (3, "0.5", "")]
    assert plot.summary == (
        "Loss over 3 of 4 steps. Training: last 0.5, lowest 0.5 at step 3."
        " Validation: last 1.5, lowest 1.5 at step 2."
    )


def test_a_loss_that_falls_far_has_a_logarithmic_axis():
    plot = loss_plot(metrics([1.0, 0.1, 0.0001]), "dpo")
    assert [tick.label for tick in plot.down] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert plot.unit == "nats per pair, logarithmic"
    assert [down for _, down in points(plot.lines[0])] == [0, HEIGHT / 4, HEIGHT]


def test_a_loss_over_many_decades_has_few_ticks():
    plot = loss_plot(metrics([1e3, 1e-14]), "supervised")
    assert 4 <= len(plot.down) <= 8
    assert all(0 <= down <= HEIGHT for _, down in points(plot.lines[0]))


@pytest.mark.parametrize(
    "losses", [[0.0], [0.0, 0.0], [1.0], [5e-324, 1e300], [5e-324], [3.0] * 17, [1e300]]
)
def test_odd_losses_are_drawn(losses):
    plot = loss_plot(metrics(losses), "supervised")
    assert all(0 <= across <= WIDTH for across, _ in points(plot.lines[0]))
    places = [tick.position for tick in plot.down]
    assert places == sorted(places, reverse=True)
    assert len(plot.down) > 1


def test_a_long_curve_keeps_its_peaks():
    losses = [1.0] * 20_000
    losses[7_777], losses[12_345] = 2.0, 0.5
    plot = loss_plot(metrics(losses), "supervised")
    drawn = points(plot.lines[0])
    assert len(drawn) <= MAX_POINTS + 2
    assert min(down for _, down in drawn) == 0
    assert max(down for _, down in drawn) == HEIGHT * 3 / 4
    assert [across for across, _ in drawn] == sorted(across for across, _ in drawn)
    assert plot.lines[0].dots == []
    assert plot.thinned
    assert len(plot.rows) <= MAX_ROWS
    assert plot.rows[-1][0] == 20_000
    assert len(plot.across) <= 6
