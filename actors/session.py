"""The session of one venue: every request to it, its clock, its instruments.

One client per account and one for public data, each with its own line: a flood of polls for market data does not hold up an order. A line
has places; questions leave some of them to what is urgent. History, for which nobody waits, has places of its own: it may lie there for
minutes until the venue's budget allows it, and nobody else's turn comes later for that. What the
venue or the network does wrong is a value (`Answered.error`), never a crash: a venue may be away for a day and no restart is used up.
Whoever asks for something is always answered, and truthfully: a request that was begun and came to no end is `OutcomeUnknown`, also when
the session itself ends under it; one that had not begun is `NotSent`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, TypeVar, cast

import msgspec
import trio

from actors.messages import Answered, KeyRefused, VenueCall, VenueReachable
from engine.kernel import Actor, Backoff, ChildSpec, MailboxFull, OnExhausted, Ref, Reply, on
from engine.model import Instrument, VenueState
from engine.net import one_errand
from engine.venues.base import (
    BadReply,
    MarketVenue,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    PublicRest,
    RateLimited,
    Unavailable,
    Venue,
    VenueError,
)

R = TypeVar("R")
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_CLOCK_SAMPLES = 3
_CLOSE_S = 0.5  # a stopped actor has a second to be gone


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a venue is spoken to. The limits hold for each account, and once for public data."""

    concurrent: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16  # requests in progress
    waiting: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2000  # requests that wait for their turn
    history_concurrent: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8  # of history in progress, beside the others
    history_waiting: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 20_000
    check_every_s: Seconds = 60.0  # how often the venue's clock is read
    check_timeout_s: Seconds = 10.0
    instruments_every_s: Seconds = 3600.0
    retry_min_s: Seconds = 0.5  # between attempts to reach a venue that is away
    retry_max_s: Seconds = 30.0


class _Queue:
    """Some places, and how many have one or want one."""

    __slots__ = ("most", "pending", "places")

    def __init__(self, places: int, most: int) -> None:
        self.places = trio.CapacityLimiter(places)
        self.most = most
        self.pending = 0


class _Line:
    """One client, who may use it at once, and how many do or want to."""

    __slots__ = ("history", "others", "questions", "rest")

    def __init__(self, rest: PublicRest, settings: SessionSettings) -> None:
        concurrent = settings.concurrent
        self.rest = rest
        self.others = _Queue(concurrent, settings.waiting)
        self.questions = trio.CapacityLimiter(concurrent - concurrent // 4)  # the others are kept for what is urgent
        self.history = _Queue(settings.history_concurrent, settings.history_waiting)

    def queue_of(self, call: VenueCall) -> _Queue:
        return self.history if call.history else self.others

    @asynccontextmanager
    async def turn(self, call: VenueCall) -> AsyncIterator[None]:
        """One of the places. Questions nobody answers must not keep an order or a cancel waiting."""
        async with AsyncExitStack() as taken:
            if not call.urgent and not call.history:
                await taken.enter_async_context(self.questions)
            await taken.enter_async_context(self.queue_of(call).places)
            yield


class Session(Actor):
    """Owns the clients of one venue and writes its `VenueState`."""

    mailbox_capacity = 10_000  # a thousand feeds ask at once when the venue is reached
    max_tasks = 2_000_000  # `SessionSettings` has the limits

    def __init__(
        self,
        venue: MarketVenue,
        accounts: Sequence[str],
        state: VenueState,
        settings: SessionSettings,
        announce: Sequence[Ref],
        keeper: Ref | None = None,
    ) -> None:
        super().__init__()
        self._keeper = keeper
        self._venue = venue
        self._accounts = accounts
        self._state = state
        self._settings = settings
        self._announce = announce
        self._backoff = Backoff(min_s=settings.retry_min_s, max_s=settings.retry_max_s, jitter=0.5)
        self._lines: dict[str, _Line] = {}
        self._doubt = trio.Event()  # a request failed as if the venue were away: look at once
        self._loaded_s = float("-inf")

    async def on_start(self) -> None:
        self.spawn(self._close_clients_at_the_end)
        for account in ("", *self._accounts):
            rest = cast("Venue", self._venue).rest(account) if account else self._venue.public()
            self._lines[account] = _Line(rest, self._settings)
        self.spawn(self._keep_in_touch)

    async def _close_clients_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(_CLOSE_S, shield=True):
                async with trio.open_nursery() as nursery:
                    for line in self._lines.values():
                        nursery.start_soon(line.rest.close)

    # ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @on(VenueCall)
    def answer(self, call: VenueCall) -> Answered[object] | None:
        line = self._lines.get(call.account)
        if line is None:
            return Answered(
                error=NotSent(f"{call.what}: expected an account of {sorted(self._lines)}, got {call.account!r}")
            )
        queue = line.queue_of(call)
        if queue.pending >= queue.most:
            return Answered(error=NotSent(f"{call.what}: {queue.pending} requests wait for {self._state.name} already"))
        queue.pending += 1
        self.spawn(self._carry_out, call, line, self.defer_reply(), name=call.what)
        return None

    async def _carry_out(self, call: VenueCall, line: _Line, reply: Reply[Answered[object]]) -> None:
        begun = False
        try:
            with trio.move_on_after(call.deadline_s):
                async with line.turn(call):
                    if not reply.done:  # whoever gave up meanwhile does not want it done behind his back
                        begun = True
                        self._state.rest_calls += not call.account
                        with one_errand(urgent=call.urgent):
                            reply.send(Answered(value=await call.do(line.rest)))
        except VenueError as error:
            self._note(call, error)
            reply.send(Answered(error=error))
        finally:  # at the deadline, and when the session ends; the first word sent is the one that counts
            line.queue_of(call).pending -= 1
            reply.send(Answered(error=_unanswered(call, begun=begun)))

    def _note(self, call: VenueCall, error: VenueError) -> None:
        if isinstance(error, NotSent | OutcomeUnknown | Unavailable):
            self._doubt.set()
        elif isinstance(error, NotAuthorised) and self._keeper is not None and call.account:
            self._keeper.tell(KeyRefused(call.account, str(error)))

    # ── the venue itself ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_in_touch(self) -> None:
        """Read clock and instruments for ever, sooner after a failure; the only writer of `VenueState.problem`."""
        failures = 0
        while True:
            try:
                await self._check()
            except VenueError as error:
                failures += 1
                self._out_of_reach(error)
                await trio.sleep(self._retry_s(error, failures))
            else:
                failures = 0
                self._in_reach()
                await self._wait_for_next_check()

    async def _check(self) -> None:
        rest = self._lines[""].rest
        await self._read_clock(rest)
        if self.ctx.clock.monotonic_s() - self._loaded_s >= self._settings.instruments_every_s:
            listed = _by_symbol(await self._bounded("instruments", rest.instruments))
            self._state.instruments = _gone(self._state.instruments) | listed
            self._loaded_s = self.ctx.clock.monotonic_s()

    async def _read_clock(self, rest: PublicRest) -> None:
        """Of a few readings the one with the shortest round trip counts; the venue read its clock half a round trip ago."""
        best_s = float("inf")
        for _ in range(_CLOCK_SAMPLES):
            asked_s = self.ctx.clock.monotonic_s()
            venue_ms = await self._bounded("server time", rest.server_time_ms)
            now_s = self.ctx.clock.monotonic_s()
            if now_s - asked_s < best_s:
                best_s = now_s - asked_s
                best = (venue_ms, asked_s + best_s / 2)
        self._state.set_time(*best)

    async def _bounded(self, what: str, ask: Callable[[], Awaitable[R]]) -> R:
        with trio.move_on_after(self._settings.check_timeout_s):
            return await ask()
        raise OutcomeUnknown(f"{what}: no answer within {self._settings.check_timeout_s} s")

    def _retry_s(self, error: VenueError, failures: int) -> float:
        asked_for_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
        return max(asked_for_s, self._backoff.delay_s(failures, self.ctx.entropy))

    async def _wait_for_next_check(self) -> None:
        await trio.sleep(self._settings.retry_min_s)
        with trio.move_on_after(self._settings.check_every_s):
            await self._doubt.wait()
        self._doubt = trio.Event()

    def _out_of_reach(self, error: VenueError) -> None:
        problem = f"{type(error).__name__}: {error}"
        if problem != self._state.problem:
            self.log.warning("{} is out of reach: {}", self._state.name, problem)
        self._state.problem = problem

    def _in_reach(self) -> None:
        if not self._state.problem:
            return
        self._state.problem = ""
        self.log.info("{} is in reach, {} instruments", self._state.name, len(self._state.instruments))
        for ref in self._announce:
            try:
                ref.tell(VenueReachable(self._state.name))
            except MailboxFull as error:  # it looks at VenueState by itself
                self.log.warning("not told that {} is in reach: {}", self._state.name, error)


def _unanswered(call: VenueCall, *, begun: bool) -> VenueError:
    if begun:
        return OutcomeUnknown(f"{call.what}: no answer within {call.deadline_s} s")
    return NotSent(f"{call.what}: not sent within {call.deadline_s} s")


def _by_symbol(instruments: Sequence[Instrument]) -> dict[str, Instrument]:
    if not instruments:
        raise BadReply("instruments: expected at least one, got none")
    return {instrument.symbol: instrument for instrument in instruments}


def _gone(instruments: Mapping[str, Instrument]) -> dict[str, Instrument]:
    """For those missing in a new listing: nothing new may be placed there, but what lives there can still be cancelled."""
    return {symbol: msgspec.structs.replace(known, active=False) for symbol, known in instruments.items()}


def session_spec(
    venue: MarketVenue,
    *,
    accounts: Sequence[str] = (),
    state: VenueState,
    settings: SessionSettings,
    announce: Sequence[Ref],
    keeper: Ref | None = None,
) -> ChildSpec:
    """The session's place; `announce` are told `VenueReachable`, and `keeper` which credentials the venue does not accept.

    `accounts` are the names `Venue.rest` and `VenueCall.account` use: whoever names some brings a `Venue`.
    """
    return ChildSpec(
        "session", lambda: Session(venue, accounts, state, settings, announce, keeper), on_exhausted=OnExhausted.PARK
    )
