"""Kill anything: no order is lost or doubled, the tree heals, and what cannot heal takes nothing with it."""

import itertools
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from actors._jsonrpc import RpcError
from actors.node import AccountSection, DeribitSection, NodeSettings
from actors.session import SessionSettings
from actors.simulator import SimulatorSettings
from actors.strategies import CustomStrategy
from actors.stream import StreamSettings
from engine.kernel import Entropy, EventKind, State
from engine.model import TERMINAL, OrderState, ProofRules
from engine.simulator import DeribitSettings as WireSettings
from engine.simulator.wire.deribit.credits import CreditLimits, Pool
from engine.store import verify
from engine.venues.deribit import DeribitSettings
from tests.support.live_node import ORDERS, SYMBOLS, SYNC, LiveNode, live_node, section, settings, simulator, with_maker
from tests.support.programs import ROOT, client_of, environment

RECORDER = "root/recorder"
KILLS_EACH = 4  # a child may restart five times a minute
FORGIVING = msgspec.structs.replace(ORDERS, proof=ProofRules(margin_s=0.5, repeat_s=0.2, forgets=True))
GIVEN_UP = (EventKind.EXHAUSTED, EventKind.PARKED, EventKind.ESCALATED)


def victims(live: LiveNode, kind: str) -> list[str]:
    spared = ("root", RECORDER)
    return [node.path for node in live.node.system.tree().walk() if node.kind == kind and node.path not in spared]


def kill_if_up(live: LiveNode, path: str) -> bool:
    up = live.node.system.tree().find(path).state is State.RUNNING
    return up and live.node.system.kill(path)


async def kill_one_after_the_other(live: LiveNode, chance: Entropy) -> Counter[str]:
    """Each actor once, waiting for the tree to heal before the next."""
    paths = victims(live, "actor")
    chance.shuffle(paths)
    for path in paths:
        await live.until(partial(kill_if_up, live, path))
        await live.until(lambda path=path: path in crashed(live))
        await live.until(live.running)
    return Counter(paths)


def crashed(live: LiveNode) -> set[str]:
    return {event.path for event in live.events if event.kind is EventKind.CRASHED}


async def kill_at_random(live: LiveNode, chance: Entropy, count: int, killed: Counter[str]) -> None:
    """Whatever is up, at any moment, with others perhaps still down."""
    left = count
    while left:
        path = chance.choice([path for path in victims(live, "actor") if killed[path] < KILLS_EACH])
        if kill_if_up(live, path):
            killed[path] += 1
            left -= 1
        await trio.sleep(chance.uniform(0.0, 0.6))


async def check_all_is_well(live: LiveNode) -> None:
    """Every actor is up, feeds stream, the admin socket answers, an order goes all the way."""
    await live.until_live()
    async with client_of(live.node.parts.directory) as client:
        assert (await client.call("status", {}, timeout_s=5))["feeds"]["live"] == len(SYMBOLS)
    with trio.fail_after(20):
        for number in itertools.count():  # one that would meet the market maker's own order is refused by the venue
            order_id = await live.place(f"after all that {number}")
            if (await live.until_state(order_id, *TERMINAL)).state is OrderState.FILLED:
                break


async def test_any_actor_may_be_killed_at_any_time(tmp_path: Path) -> None:
    seed = 11
    chance = Entropy(seed)
    async with simulator(seed) as sim, live_node(tmp_path, with_maker(settings(sim))) as live:
        await live.until_live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(live.trade, pause_s=0.08))
            killed = await kill_one_after_the_other(live, chance)
            await kill_at_random(live, chance, 22, killed)
            for path in victims(live, "supervisor"):
                await live.until(partial(live.node.system.kill, path))
                await live.until(live.running)
            nursery.cancel_scope.cancel()
        await check_all_is_well(live)
        await live.wind_up()
        assert live.judge(sim) == {}
        assert len(live.told) > 20
        assert live.node.parts.store.counters()["fills"] > 10
        assert not [event for event in live.events if event.kind in GIVEN_UP]
        assert crashed(live) >= set(killed)
    assert verify(tmp_path / "store").ok


# ── what fails for ever ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_killed_again_and_again_parks_and_takes_nothing_with_it(tmp_path: Path) -> None:
    """One of each kind, all at once: a service, a strategy, a feed, an account's whole subtree."""
    doomed = (
        "root/services/notifier",
        "root/strategies/maker",
        "root/venues/other/parts/trading:main",
        "root/venues/other/parts/feeds",
    )
    async with simulator() as sim:
        venues = {"deribit": section(sim), "other": section(sim)}
        async with live_node(tmp_path, with_maker(settings(sim, venues=venues))) as live:
            await live.until_live()

            def parked() -> bool:
                for path in doomed:
                    kill_if_up(live, path)
                return all(live.node.system.tree().find(path).state is State.PARKED for path in doomed)

            await live.until(parked, 30.0)
            filled = await live.place("meanwhile")
            await live.until_state(filled, OrderState.FILLED)
            states = {node.path: node.state for node in live.node.system.tree().walk()}
            well = {path for path, state in states.items() if state is State.RUNNING}
            assert well >= {path for path in states if path.startswith("root/venues/deribit") or path == RECORDER}
            assert {"root/services/admin", "root/venues/other/session"} <= well
            async with client_of(tmp_path) as client:
                status = await client.call("status", {}, timeout_s=5)
                assert status["orders"]["filled"] >= 1
            parked_events = {event.path for event in live.events if event.kind is EventKind.PARKED}
            journalled = {entry.actor for entry in live.node.parts.store.journal() if entry.kind == "actor.parked"}
            assert parked_events == journalled == set(doomed)


async def test_a_strategy_that_fails_in_every_handler_or_at_its_start_parks_alone(tmp_path: Path) -> None:
    broken = {name: CustomStrategy(path=f"tests.support.strategies:{name}") for name in ("Broken", "Stillborn")}
    async with simulator() as sim, live_node(tmp_path, with_maker(settings(sim, strategies=broken))) as live:
        tree = live.node.system.tree
        assert tree().find("root/strategies/Stillborn").state is State.PARKED  # the start waited for its tries
        await live.until(lambda: tree().find("root/strategies/Broken").state is State.PARKED)
        assert "ValueError: a bug at the start" in tree().find("root/strategies/Stillborn").last_error
        filled = await live.place("meanwhile")
        await live.until_state(filled, OrderState.FILLED)
        others = [node for node in tree().walk() if node.path.rpartition("/")[2] not in broken]
        assert all(node.state is State.RUNNING for node in others)
        assert sum(node.restarts for node in others) == 0
        await live.wind_up()
        assert live.judge(sim) == {}


async def test_a_venue_that_is_not_there_keeps_nobody_from_starting(tmp_path: Path) -> None:
    """Nobody listens at its port; it is waited for without a restart, and its orders wait with a reason."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    nowhere = DeribitSettings(ws_url=f"ws://127.0.0.1:{port}/ws/api/v2", http_url=f"http://127.0.0.1:{port}/api/v2")
    async with simulator() as sim:
        venues = {"deribit": section(sim), "dead": section(sim, connection=nowhere)}
        before_s = trio.current_time()
        async with live_node(tmp_path, settings(sim, venues=venues)) as live:
            assert trio.current_time() - before_s < 5.0
            await live.until(lambda: live.status().feeds.live == len(SYMBOLS))
            await live.until_state(await live.place("meanwhile"), OrderState.FILLED)
            async with client_of(tmp_path) as client:
                status = await client.call("status", {}, timeout_s=5)
                assert status["feeds"] == {"live": len(SYMBOLS), "polling": 0, "stale": len(SYMBOLS)}
                order = {"instrument": "dead:BTC-PERPETUAL", "side": "buy", "amount": "10", "price": "50000"}
                with pytest.raises(RpcError) as refused:
                    await client.call("order.submit", order, timeout_s=5)
                assert refused.value.data.code == "INSTRUMENT_UNKNOWN"
            assert live.node.parts.venues["dead"].state.problem
            assert live.running()
            assert sum(node.restarts for node in live.node.system.tree().walk()) == 0


async def test_more_orders_than_the_venue_takes_wait_and_none_becomes_unknown(tmp_path: Path) -> None:
    slow = CreditLimits(trading=Pool(1, 8, 8))
    async with simulator(settings=WireSettings(credits=slow)) as sim:
        venue = sim.deribit
        pace = DeribitSettings(ws_url=venue.ws_url, http_url=venue.http_url, orders_per_s=8, orders_burst=8)
        async with live_node(tmp_path, settings(sim, venues={"deribit": section(sim, connection=pace)})) as live:
            await live.until_live()
            for number in range(24):
                await live.place(f"one of many {number}", share="0.95")
            store = live.node.parts.store
            await live.until(lambda: store.counters()["open"] == 24)
            await live.wind_up()
            assert not [entry for entry in store.journal() if entry.kind == "order.unknown"]
            assert live.judge(sim) == {}


# ── what the process does not survive ──────────────────────────────────────────────────────────────────────────────────

DOOMED = """
import os, sys
from pathlib import Path
import trio
from tests.support.live_node import live_node, settings_at

async def main():
    directory, *place = sys.argv[1:]
    async with live_node(Path(directory), settings_at(*place)) as live:
        await live.until_live()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live.trade)
            await live.until(lambda: live.status().fills >= 3)
            live.node.system.kill("root/recorder")
            code = await live.node.wait()
            nursery.cancel_scope.cancel()
        print(*(f"{key}={order_id}" for key, order_id in live.told.items()), flush=True)
    return code

sys.exit(trio.run(main))
"""


async def test_the_end_of_the_recorder_ends_the_process_and_the_next_start_goes_on(tmp_path: Path) -> None:
    async with simulator() as sim:
        venue = sim.deribit
        place = (venue.ws_url, venue.http_url, venue.client_id, venue.client_secret)
        with trio.fail_after(60.0):
            done = await trio.run_process(
                [sys.executable, "-c", DOOMED, str(tmp_path), *place],
                cwd=ROOT,
                env=environment(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        assert done.returncode == 74, done.stderr.decode()[-2000:]
        assert b"exit 74 requested" in done.stderr
        async with live_node(tmp_path, settings(sim)) as live:
            live.told = dict(pair.split("=") for pair in done.stdout.decode().split())
            assert len(live.told) >= 3
            await live.until_live()
            await live.until_state(await live.place("after all that"), OrderState.FILLED)
            await live.wind_up()
            assert live.judge(sim) == {}
    assert verify(tmp_path / "store").ok


async def test_a_simulated_venue_that_dies_comes_back_and_trading_goes_on(tmp_path: Path) -> None:
    """It forgets everything when it does: what it forgot is ended, and does not keep its instrument closed."""
    simulated = DeribitSection(
        simulated=True,
        symbols=SYMBOLS,
        session=SessionSettings(retry_min_s=0.1, retry_max_s=0.5),
        stream=StreamSettings(retry_min_s=0.1, retry_max_s=0.5),
        accounts={"main": AccountSection(orders=FORGIVING, sync=SYNC)},
    )
    base = NodeSettings(default_venue="deribit", simulator=SimulatorSettings(), venues={"deribit": simulated})
    async with live_node(tmp_path, base) as live:
        await live.until_live()
        resting = await live.place("resting", share="0.95")
        await live.until_state(resting, OrderState.OPEN)
        await live.until(partial(live.node.system.kill, "root/services/simulator"))
        await live.until_state(resting, OrderState.EXPIRED)
        await live.until_live()
        await live.until_state(await live.place("after all that"), OrderState.FILLED)
