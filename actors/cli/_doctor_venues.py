"""Rows about venues: whether they can be reached, how far the clocks are apart, what is left of the request limits.

Each venue is asked for its time twice – the second answer has no connection to open and so reads the clock well – and a stream is opened
and left again. The node itself times its requests by the venues' clocks, so that no order is refused when ours is wrong; but its records,
its days and every certificate go by ours. A warning from half a second; five seconds, after which venues refuse by default what other
programs sign by this clock, are a failure.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import trio

from actors._sections import BinanceUsdmSection, NodeSettings, VenueSection
from actors.cli._doctor_keys import asked, rows
from actors.cli._doctor_node import Running
from actors.cli._doctor_rows import Result, Row
from actors.credentials import HeldKeys, row_of
from engine.kernel import Clock, Entropy, SystemClock
from engine.net import PoolUse, WebSocketLimits, connect
from engine.net.websocket import WebSocketError
from engine.venues.base import Venue, VenueError
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue
from engine.venues.deribit import DeribitSettings, DeribitVenue

ASK_S = 8.0  # for each check; they run side by side
SLOW_S = 2.0
CLOCK_WARN_MS = 500.0
CLOCK_FAIL_MS = 5_000.0
LITTLE_LEFT = 0.2
NOT_ASKED = "not asked: --offline"
SIMULATED = "not asked: simulated, and its venue runs only inside a running node"

Check = Callable[[], Awaitable[list[Row]]]


class Target(msgspec.Struct, frozen=True):
    """A venue to ask, and the pairs to try there. `knows`: what a running node says of its limits; None where none runs."""

    name: str
    venue: Venue
    held: tuple[HeldKeys, ...] = ()
    knows: dict[str, PoolUse] | None = None


# ── without a node ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def of_settings(settings: NodeSettings, offline: bool) -> list[Row]:
    found: list[Row] = []
    targets: list[Target] = []
    for name, section in settings.venues.items():
        held = {f"{name}:{key}": pair for key in section.accounts if (pair := _held(name, key, section)) is not None}
        if section.simulated:
            found.append(Row(f"venue {name}", "ok", SIMULATED))
        elif offline:
            found.append(Row(f"venue {name}", "ok", NOT_ASKED))
            found += [_read(pair) for pair in held.values()]
        else:
            targets.append(Target(name, _venue(name, section.connection, held), tuple(held.values())))
    return found + await _asked(targets)


def _held(venue: str, key: str, section: VenueSection) -> HeldKeys | None:
    account = section.accounts[key]
    pair, places = account.key_pair, account.key_references
    if pair is None:
        return None
    return HeldKeys(f"{venue}:{key}", pair, SystemClock(), references=places, read_again=account.read_key_pair)


def _read(held: HeldKeys) -> Row:
    row = row_of(held)
    return Row(f"credentials {row.account}", "ok", f"{row.key} from {', '.join(row.kept)}; {NOT_ASKED}")


# ── beside a node ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def of_node(running: Running) -> list[Row]:
    """Its addresses are asked for the time as anybody may; what is behind the keys it says itself."""
    targets = []
    for health in running.venues:
        connection: DeribitSettings | BinanceUsdmSettings
        if health.kind == BinanceUsdmSection.__struct_config__.tag:
            connection = BinanceUsdmSettings(http_url=health.http_url, ws_url=health.ws_url)
        else:
            connection = DeribitSettings(http_url=health.http_url, ws_url=health.ws_url)
        targets.append(Target(health.venue, _venue(health.venue, connection, {}), knows=health.budgets))
    troubles = [
        Row(f"node at {health.venue}", "fail", f"it cannot reach the venue: {health.problem}")
        for health in running.venues
        if health.problem
    ]
    return [*troubles, *await _asked(targets), *(row for one in running.credentials for row in rows(one))]


# ── both ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _venue(name: str, connection: DeribitSettings | BinanceUsdmSettings, held: dict[str, HeldKeys]) -> Venue:
    clock, entropy = SystemClock(), Entropy()
    if isinstance(connection, BinanceUsdmSettings):
        return BinanceUsdmVenue(name, connection, clock=clock, entropy=entropy, credentials=held)
    return DeribitVenue(name, connection, clock=clock, entropy=entropy, credentials=held)


async def _asked(targets: list[Target]) -> list[Row]:
    """Every check of every venue at once; rows in the order of the venues, and of the checks there."""
    checks: list[tuple[str, Check]] = []
    for target in targets:
        checks.append((f"rest {target.name}", partial(_requests, target)))
        checks.append((f"stream {target.name}", partial(_stream, target)))
        checks += [(f"credentials {held.account}", partial(asked, target.venue, held)) for held in target.held]
    found: list[list[Row]] = [[] for _ in checks]

    async def one(place: int, name: str, check: Check) -> None:
        found[place] = [Row(name, "fail", f"no answer within {ASK_S:g} s")]
        with trio.move_on_after(ASK_S):
            found[place] = await check()

    async with trio.open_nursery() as nursery:
        for place, (name, check) in enumerate(checks):
            nursery.start_soon(one, place, name, check)
    return [row for rows_ in found for row in rows_]


async def _requests(target: Target) -> list[Row]:
    rest, clock = target.venue.public(), SystemClock()
    try:
        begun_s = clock.monotonic_s()
        await rest.server_time_ms()
        first_s = clock.monotonic_s() - begun_s
        offset_ms, trip_s = await _reading(clock, rest.server_time_ms)
    except VenueError as error:
        return [Row(f"rest {target.name}", "fail", f"{type(error).__name__}: {error}")]
    finally:
        await rest.close()
    result: Result = "warn" if trip_s > SLOW_S else "ok"
    text = f"answers in {trip_s * 1000:.0f} ms, {first_s * 1000:.0f} ms with the connection"
    return [Row(f"rest {target.name}", result, text), _clock(target.name, offset_ms, trip_s), _budget(target)]


async def _reading(clock: Clock, ask: Callable[[], Awaitable[int]]) -> tuple[float, float]:
    """By how much our clock is ahead, in ms, and how long the question took, in s."""
    before_ms, begun_s = clock.wall_ms(), clock.monotonic_s()
    venue_ms = await ask()
    trip_s = clock.monotonic_s() - begun_s
    return before_ms + trip_s * 500 - venue_ms, trip_s


def _clock(name: str, offset_ms: float, trip_s: float) -> Row:
    sure_ms = max(0.0, abs(offset_ms) - trip_s * 500)  # the answer may have been read anywhere in the round trip
    result: Result = "fail" if sure_ms > CLOCK_FAIL_MS else "warn" if sure_ms > CLOCK_WARN_MS else "ok"
    where = "ahead of" if offset_ms > 0 else "behind"
    return Row(f"clock {name}", result, f"{abs(offset_ms):.0f} ms {where} the venue's, read to {trip_s * 500:.0f} ms")


def _budget(target: Target) -> Row:
    """The pool with least of its own left says how it stands. Without a node it is what the venue counted of this address."""
    pools = target.venue.budgets() if target.knows is None else target.knows
    told = {name: pool for name, pool in pools.items() if pool.left < pool.capacity or pool.shut_s > 0}
    name, check = f"budget {target.name}", "" if target.knows is None else " (the node's count)"
    if not told:
        return Row(name, "ok", f"nothing of the request limits is used, or the venue does not say{check}")
    shut = [f"{pool}: shut for {use.shut_s:.0f} s" for pool, use in told.items() if use.shut_s > 0]
    tight, use = min(told.items(), key=lambda item: item[1].left / item[1].capacity)
    text = f"{tight}: {use.capacity - use.left:.0f} of {use.capacity:.0f} used{check}"
    result: Result = "warn" if shut or use.left < LITTLE_LEFT * use.capacity else "ok"
    return Row(name, result, "; ".join([*shut, text]))


async def _stream(target: Target) -> list[Row]:
    """A connection as the node's public streams make it, left as soon as it is open."""
    name, clock = f"stream {target.name}", SystemClock()
    route, classes = next(iter(target.venue.routes.items()))
    url = target.venue.stream(route, classes).url
    begun_s = clock.monotonic_s()
    try:
        async with connect(url, limits=WebSocketLimits(open_timeout_s=ASK_S, close_timeout_s=0.2)):
            took_s = clock.monotonic_s() - begun_s
    except WebSocketError as error:
        return [Row(name, "fail", f"{type(error).__name__}: {error}")]
    return [Row(name, "warn" if took_s > SLOW_S else "ok", f"opens in {took_s * 1000:.0f} ms")]
