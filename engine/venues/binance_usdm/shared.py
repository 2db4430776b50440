"""One request for many askers.

Some questions can be put for one symbol or for all of them at once. When many symbols lose their stream together, each of
their feeds asks for its own; asked one by one that would be hundreds of requests a second. So whoever asks waits a moment
for others; when enough have come, one of them asks for all and everybody has the answer, for a second. A lone asker asks for
its own symbol, which is cheaper.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import trio

from engine.venues.base import VenueError
from engine.venues.decoding import WireError

T = TypeVar("T")

_GATHER_S = 0.01
_GOOD_FOR_S = 1.0


class _Group(Generic[T]):
    """Those who ask together. Its first member acts for it; when that one is cancelled the group ends without an answer."""

    def __init__(self) -> None:
        self.members = 1
        self.done = trio.Event()
        self.alone = False
        self.answer: Mapping[str, T] | None = None
        self.error: VenueError | None = None


class Shared(Generic[T]):
    """`one` asks for a symbol, `every` for all; `enough` askers are worth the price of all."""

    def __init__(
        self,
        one: Callable[[str], Awaitable[T]],
        every: Callable[[], Awaitable[Mapping[str, T]]],
        *,
        enough: int,
    ) -> None:
        self._one = one
        self._every = every
        self._enough = enough
        self._group: _Group[T] | None = None
        self._answer: Mapping[str, T] = {}
        self._answer_s = float("-inf")

    async def get(self, symbol: str) -> T:
        """The symbol's part of an answer that is at most a second old. Raises `VenueError`; `BadReply` when it has no part."""
        while True:
            if trio.current_time() - self._answer_s < _GOOD_FOR_S:
                return self._pick(self._answer, symbol)
            group = self._group
            if group is None:
                group = await self._lead()
            else:
                group.members += 1
                await group.done.wait()
            if group.alone:
                return await self._one(symbol)
            if group.error is not None:
                raise group.error
            if group.answer is not None:
                return self._pick(group.answer, symbol)

    async def _lead(self) -> _Group[T]:
        group = self._group = _Group()
        try:
            await trio.sleep(_GATHER_S)
            if group.members < self._enough:
                group.alone = True
            else:
                group.answer = self._answer = await self._every()
                self._answer_s = trio.current_time()
        except VenueError as error:
            group.error = error
        finally:
            self._group = None
            group.done.set()
        return group

    def _pick(self, answer: Mapping[str, T], symbol: str) -> T:
        if symbol not in answer:
            raise WireError(symbol, "a row in the list of all symbols", "none")
        return answer[symbol]
