"""An engine process with more models than its memory for them holds, and several clients."""

from bench.model_memory import measure


def test_memory_stays_within_its_bound_and_answers_stay_right():
    got = measure(models=7, megabytes=24, fit=2, rounds=1)
    assert got.wrong == 0
    assert got.answers == 28
    assert got.distinct > 4
    # Together they are 100 MB larger than the bound, which would show.
    assert 7 * got.model > got.bound + 100e6
    assert got.slack < 60e6
