"""An engine process with more models than its memory for them holds, and several clients."""

from bench.model_memory import measure


def test_memory_stays_within_its_bound_and_answers_stay_right():
    got = measure(models=8, megabytes=24, fit=2, rounds=1)
    assert got.wrong == 0
    assert got.answers == 32
    assert got.distinct > 4
    # Together they are 130 MB larger than the bound, which would show.
    assert 8 * got.model > got.bound + 120e6
    assert got.slack < 70e6
