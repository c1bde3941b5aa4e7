"""Models in memory within a bound: who goes, who stays, who waits."""

import asyncio
import threading
from pathlib import Path

import pytest

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.serving.model_pool import ModelPool


class Model:
    def __init__(self, nbytes):
        self.nbytes = nbytes


class Pool(ModelPool):
    """A pool of models as large as their folders' names say, such as `a-30`."""

    def __init__(self, limit):
        self.loads = []
        self.frees = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = set()
        super().__init__(limit, weigh=self._size, load=self._open, free=self._count)

    @staticmethod
    def _size(folder):
        return int(folder.name.partition("-")[2])

    def _open(self, folder, base):
        assert base is None or base.nbytes
        assert self.gate.wait(10)
        self.loads.append(folder.name)
        if folder.name in self.broken:
            raise ApiError(500, "Broken.", code="model_not_loadable")
        return Model(self._size(folder))

    def _count(self):
        self.frees += 1

    async def get(self, name):
        return await self.lease(name, Path(name))

    async def use(self, *names):
        for name in names:
            (await self.get(name)).release()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0.005)


async def test_the_least_recently_used_goes_first():
    pool = Pool(90)
    await pool.use("a-30", "b-30", "c-30", "a-30")
    assert not pool.frees
    await pool.use("d-30")
    assert pool.names == ["c-30", "a-30", "d-30"]
    assert pool.frees == 1
    await pool.use("e-60")
    assert pool.names == ["d-30", "e-60"]
    assert pool.nbytes == 90


async def test_one_in_use_stays():
    pool = Pool(60)
    held = await pool.get("a-30")
    await pool.use("b-30", "c-30", "d-30")
    assert pool.names == ["a-30", "d-30"]
    assert (await pool.get("a-30")).model is held.model


async def test_who_needs_room_waits_until_there_is_some():
    pool = Pool(60)
    one, other = await pool.get("a-30"), await pool.get("b-30")
    one.hold()
    waiting = asyncio.create_task(pool.get("c-30"))
    await settle()
    one.release()
    await settle()
    # One of two that hold it has let go.
    assert not waiting.done()
    one.release()
    assert (await waiting).model.nbytes == 30
    assert pool.names == ["b-30", "c-30"]
    other.release()


async def test_who_waits_for_room_is_not_overtaken():
    pool = Pool(60)
    first = await pool.get("a-60")
    order = []

    async def use(name):
        lease = await pool.get(name)
        order.append(name)
        await asyncio.sleep(0)
        lease.release()

    tasks = [asyncio.create_task(use("b-60"))]
    await settle()
    tasks += [asyncio.create_task(use("a-60")) for _ in range(2)]
    await settle()
    # The model is there, and yet those who came later stand in line.
    assert not order
    first.release()
    await asyncio.gather(*tasks)
    assert order == ["b-60", "a-60", "a-60"]


async def test_what_is_loaded_answers_while_another_is_loading():
    pool = Pool(60)
    await pool.use("a-30")
    pool.gate.clear()
    loading = asyncio.create_task(pool.get("b-30"))
    await settle()
    assert (await pool.get("a-30")).model
    pool.gate.set()
    await loading


async def test_many_who_ask_at_once_load_it_once():
    pool = Pool(30)
    leases = await asyncio.gather(*(pool.get("a-30") for _ in range(10)))
    assert pool.loads == ["a-30"]
    assert leases[0].users == 10


async def test_one_who_goes_while_it_is_loading():
    pool = Pool(60)
    pool.gate.clear()
    leaving = asyncio.create_task(pool.get("a-60"))
    await settle()
    leaving.cancel()
    next_one = asyncio.create_task(pool.get("b-60"))
    await settle()
    # It can't be stopped, and takes its room until it is there.
    assert pool.loads == []
    assert pool.nbytes == 60
    pool.gate.set()
    assert (await next_one).model
    assert pool.loads == ["a-60", "b-60"]
    assert (pool.names, pool.nbytes) == (["b-60"], 60)


async def test_one_that_is_forgotten_while_it_is_loading():
    pool = Pool(60)
    for leaves in (True, False):
        pool.gate.clear()
        asked = asyncio.create_task(pool.get("a-60"))
        await settle()
        forgetting = asyncio.create_task(pool.forget("a-60"))
        if leaves:
            asked.cancel()
        await settle()
        pool.gate.set()
        await forgetting
        if not leaves:
            lease = await asked
            assert pool.nbytes == 60
            lease.release()
        assert (pool.names, pool.nbytes) == ([], 0)


async def test_one_who_goes_while_it_waits_for_room():
    pool = Pool(60)
    held = await pool.get("a-60")
    leaving = asyncio.create_task(pool.get("b-60"))
    await settle()
    leaving.cancel()
    await settle()
    assert (await pool.get("a-60")).model is held.model
    assert pool.loads == ["a-60"]


async def test_one_that_can_not_be_loaded_takes_no_room():
    pool = Pool(60)
    pool.broken.add("a-60")
    for _ in range(2):
        with pytest.raises(ApiError, match="Broken"):
            await pool.get("a-60")
    assert pool.nbytes == 0
    await pool.use("b-60")


async def test_an_error_that_nobody_waits_for_is_nothing_special():
    pool = Pool(60)
    pool.broken.add("a-60")
    pool.gate.clear()
    leaving = asyncio.create_task(pool.get("a-60"))
    await settle()
    leaving.cancel()
    pool.gate.set()
    await pool.use("b-60")
    assert pool.nbytes == 60


async def test_one_larger_than_the_bound():
    pool = Pool(60_000_000)
    await pool.use("a-60000000")
    with pytest.raises(ApiError) as caught:
        await pool.get("b-70000000000")
    assert (caught.value.status, caught.value.code) == (400, "model_too_large")
    assert "70.0 GB" in caught.value.message
    assert "60.0 MB" in caught.value.message
    assert "--model-memory" in caught.value.message
    assert "LCFT_MODEL_MEMORY" in caught.value.message
    # Nothing had to go for it.
    assert pool.names == ["a-60000000"]


async def test_a_forgotten_one_is_there_until_its_answer_is_written():
    pool = Pool(60)
    held = await pool.get("a-60")
    await pool.forget("a-60")
    await pool.forget("nobody-1")
    assert (pool.names, pool.nbytes) == ([], 60)
    waiting = asyncio.create_task(pool.get("b-60"))
    await settle()
    assert not waiting.done()
    held.release()
    await waiting
    assert pool.nbytes == 60
