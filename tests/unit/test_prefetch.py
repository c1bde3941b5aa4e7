"""Reading ahead: order, bounds, errors, and threads that end."""

import threading
import time

import pytest

from langchain_finetune.loaders.prefetch import in_order


def readers():
    return [thread for thread in threading.enumerate() if "langchain-finetune" in thread.name]


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert readers() == []


def source(*items, before=lambda: None):
    def read(stop):
        for item in items:
            before()
            yield item

    return read


@pytest.mark.parametrize("workers", [1, 2, 9])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_items_come_in_the_order_of_their_sources(workers, ahead):
    sources = [source(*range(start, start + 4)) for start in range(0, 40, 4)]
    assert list(in_order([source(), *sources, source()], workers=workers, ahead=ahead)) == list(
        range(40)
    )


def test_sources_are_read_side_by_side():
    meeting = threading.Barrier(3, timeout=60)
    sources = [source(number, before=meeting.wait) for number in range(3)]
    assert list(in_order(sources, workers=3)) == [0, 1, 2]


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_no_more_is_read_than_there_is_room_for(ahead):
    read = []

    def counted(first):
        return lambda stop: (read.append(item) or item for item in (first, first + 1, first + 2))

    items = in_order([counted(0), counted(3), counted(6)], workers=2, ahead=ahead)
    for used, _ in enumerate(items, 1):
        time.sleep(0.02)
        # Each thread holds what waits and no more.
        assert len(read) - used <= 2 * ahead
    assert len(read) == 9


def test_an_error_comes_when_its_turn_comes():
    def broken(stop):
        yield 3
        raise LookupError("there")

    items = in_order([source(1, 2), broken, source(4)], workers=3)
    assert [next(items), next(items), next(items)] == [1, 2, 3]
    with pytest.raises(LookupError, match="there"):
        next(items)


def test_threads_end_where_the_iteration_stops_early():
    endless = [source(*range(10_000)) for _ in range(20)]
    for item in in_order(endless, workers=4, ahead=2):
        assert readers()
        if item == 3:
            break
    assert readers() == []


def test_threads_end_where_the_user_of_the_items_fails():
    with pytest.raises(ZeroDivisionError):
        sum(1 / item for item in in_order([source(1, 0)] * 5, workers=4))
    assert readers() == []


def test_nothing_is_read_before_it_is_asked_for():
    in_order([source(1, before=lambda: pytest.fail("read"))], workers=1)
    assert readers() == []
