"""The circuit breaker: when it opens, who probes, when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hala.engines.breaker import LONGEST_REST, THRESHOLD, Breaker


def play(story: Callable[[Breaker], Coroutine[Any, Any, None]], rest: float = 0.01) -> None:
    """Runs a story with a breaker in a loop of its own."""

    async def run() -> None:
        await asyncio.wait_for(story(Breaker(rest)), 20)

    asyncio.run(run())


def trip(breaker: Breaker) -> None:
    """As many straight failures as open the circuit."""
    for _ in range(THRESHOLD):
        breaker.fail(False)


def test_single_failures_open_nothing() -> None:
    """A failure now and then is a row's matter: the circuit opens after straight ones only."""

    async def story(breaker: Breaker) -> None:
        for _ in range(5 * THRESHOLD):
            breaker.fail(False)
            if breaker.failures == THRESHOLD - 1:
                breaker.succeed()
        assert not breaker.open
        assert not await breaker.admit()
        trip(breaker)
        assert breaker.open

    play(story)


def test_one_probe_at_a_time_in_turn() -> None:
    """While the circuit is open one request asks at a time, each time another; the first answer lets all go on."""

    async def story(breaker: Breaker) -> None:
        trip(breaker)
        order: list[int] = []
        asking = 0

        async def request(number: int) -> None:
            nonlocal asking
            while True:
                probe = await breaker.admit()
                if not probe:
                    return
                order.append(number)
                asking += 1
                assert asking == 1
                await asyncio.sleep(0.005)
                asking -= 1
                breaker.succeed() if len(order) == 4 else breaker.fail(True)
                if not breaker.open:
                    return

        await asyncio.gather(*(request(number) for number in range(6)))
        assert order == [0, 1, 2, 3]
        assert not breaker.open and breaker.failures == 0

    play(story)


def test_pauses_double_up_to_a_bound() -> None:
    """A server that stays away is asked less and less often, but never forgotten."""

    async def story(breaker: Breaker) -> None:
        trip(breaker)
        rests = []
        for _ in range(8):
            rests.append(breaker.rest)
            breaker.fail(True)
        assert rests[:3] == [2.0, 4.0, 8.0]
        assert rests[-1] == LONGEST_REST
        breaker.succeed()
        assert breaker.rest == 1.0

    play(story, rest=1.0)


def test_probe_waits_for_somebody_to_make_it() -> None:
    """When nobody waits at the time of the probe, the next request is it, and the one after it waits."""

    async def story(breaker: Breaker) -> None:
        trip(breaker)
        await asyncio.sleep(0.05)
        assert await breaker.admit()
        waiting = asyncio.ensure_future(breaker.admit())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        breaker.succeed()
        assert not await waiting

    play(story)


def test_stragglers_start_no_second_probe() -> None:
    """Requests that were under way when the circuit opened fail late: they count, and change nothing."""

    async def story(breaker: Breaker) -> None:
        trip(breaker)
        timer = breaker.timer
        breaker.fail(False)
        assert breaker.timer is timer
        assert breaker.failures == THRESHOLD + 1
        assert breaker.silence >= 0.0

    play(story)


def test_requests_that_left_are_passed_over() -> None:
    """A waiting request that was cancelled takes no turn from the others."""

    async def story(breaker: Breaker) -> None:
        trip(breaker)
        gone, stays = asyncio.ensure_future(breaker.admit()), asyncio.ensure_future(breaker.admit())
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays

    play(story)
