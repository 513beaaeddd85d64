"""The circuit breaker: when everything fails, one request at a time asks whether the server is back, and the others wait.

    probe = await breaker.admit()
    ...                            # one exchange
    breaker.succeed()              # or breaker.fail(probe)

After `THRESHOLD` straight failures the circuit opens. A probe passes after one second, then after two, four and so on up to half
a minute; each probe is another request, so that one that kills the server does not keep it from coming back. The first answer
closes the circuit.
"""

from __future__ import annotations

import asyncio
from collections import deque

THRESHOLD = 20  # straight failures after which the server counts as away
REST, LONGEST_REST = 1.0, 30  # seconds before the first probe, and how many times that at most between two


class Breaker:
    """One circuit for all slots of an engine; lives in one event loop.

    `failures` counts the straight ones, `open` says whether only probes pass.
    """

    def __init__(self, rest: float = REST) -> None:
        self.failures, self.open = 0, False
        self.first_rest = self.rest = rest
        self.since = 0.0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.vacant = False  # whether a probe may pass that nobody was there to make
        self.timer: asyncio.TimerHandle | None = None

    @property
    def silence(self) -> float:
        """Seconds since the first of the straight failures; 0 when there is none."""
        return asyncio.get_running_loop().time() - self.since if self.failures else 0.0

    async def admit(self) -> bool:
        """Wait until a request may be sent; True when it is a probe."""
        if not self.open:
            return False
        if self.vacant:
            self.vacant = False
            return True
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn
        return self.open

    def succeed(self) -> None:
        """The server lives: everybody may go on."""
        self.failures, self.open, self.vacant = 0, False, False
        self.rest = self.first_rest
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        while self._release():
            pass

    def fail(self, probe: bool) -> None:
        """Count a failure; the next probe comes after a pause that doubles."""
        loop = asyncio.get_running_loop()
        if not self.failures:
            self.since = loop.time()
        self.failures += 1
        opens = not self.open and self.failures >= THRESHOLD
        if opens or (self.open and probe):
            self.open = True
            self.timer = loop.call_later(self.rest, self._let_one)
            self.rest = min(2 * self.rest, LONGEST_REST * self.first_rest)

    def _let_one(self) -> None:
        self.timer = None
        self.vacant = not self._release()

    def _release(self) -> bool:
        """Wake the one that waits longest; False when nobody does."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False
