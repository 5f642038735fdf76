"""Calls are computed in batches: one batch at a time, and the next one has what came meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from r4t_ray.serve.generator import Batches


class Doubling:
    """Doubles numbers when it is told to, and keeps the batches that it was given."""

    def __init__(self, most: int = 64) -> None:
        self.seen: list[list[int]] = []
        self.num_at_work = 0
        self.go = asyncio.Event()
        self.batches = Batches(self._double, most)

    async def _double(self, numbers: list[int]) -> list[int]:
        self.seen.append(numbers)
        self.num_at_work += 1
        assert self.num_at_work == 1
        await self.go.wait()
        self.num_at_work -= 1
        if -1 in numbers:
            raise ValueError("minus one")
        return [2 * number for number in numbers]

    async def begin(self, *numbers: int) -> list[asyncio.Task[int]]:
        """Call with each number, the first one alone, and return when the others wait."""
        tasks = [asyncio.create_task(self.batches(numbers[0]))]
        while not self.seen:
            await asyncio.sleep(0)
        tasks += [asyncio.create_task(self.batches(number)) for number in numbers[1:]]
        while len(self.batches._waiting) < len(numbers) - 1:
            await asyncio.sleep(0)
        return tasks


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within_seconds() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(within_seconds())


def test_calls_that_come_while_a_batch_is_computed_are_the_next_batch() -> None:
    async def test() -> None:
        doubling = Doubling()
        tasks = await doubling.begin(1, 2, 3, 4)
        assert doubling.seen == [[1]]
        doubling.go.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8]
        assert doubling.seen == [[1], [2, 3, 4]]
        assert await doubling.batches(5) == 10  # after a pause

    run(test)


def test_a_batch_has_at_most_so_many_calls_in_their_order() -> None:
    async def test() -> None:
        doubling = Doubling(most=2)
        tasks = await doubling.begin(1, 2, 3, 4, 5, 6)
        doubling.go.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10, 12]
        assert doubling.seen == [[1], [2, 3], [4, 5], [6]]

    run(test)


def test_a_fault_reaches_every_call_of_its_batch_and_no_other() -> None:
    async def test() -> None:
        doubling = Doubling(most=2)
        tasks = await doubling.begin(1, 2, -1, 3)
        doubling.go.set()
        first, second, third, last = await asyncio.gather(*tasks, return_exceptions=True)
        assert (first, last) == (2, 6)
        assert [str(second), str(third)] == ["minus one", "minus one"]

    run(test)


def test_results_of_another_number_than_calls_are_a_fault() -> None:
    async def one(numbers: list[int]) -> list[int]:
        return [1, 2]

    async def test() -> None:
        with pytest.raises(ValueError, match="zip"):
            await Batches(one, 4)(1)

    run(test)


def test_a_call_that_is_cancelled_while_it_waits_is_left_out() -> None:
    async def test() -> None:
        doubling = Doubling()
        first, left, last = await doubling.begin(1, 2, 3)
        left.cancel()
        first.cancel()
        await asyncio.sleep(0)
        doubling.go.set()
        assert await last == 6
        assert doubling.seen == [[1], [3]]

    run(test)


def test_a_batch_runs_in_the_context_of_no_caller() -> None:
    caller: ContextVar[str] = ContextVar("caller", default="none")

    async def seen(numbers: list[int]) -> list[str]:
        return [caller.get() for _ in numbers]

    async def test() -> None:
        caller.set("first")
        assert await Batches(seen, 4)(1) == "none"

    run(test)


def test_batches_serve_one_event_loop_after_another() -> None:
    async def double(numbers: list[int]) -> list[int]:
        return [2 * number for number in numbers]

    batches = Batches(double, 4)
    assert [asyncio.run(batches(number)) for number in (1, 2)] == [2, 4]
