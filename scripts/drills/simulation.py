"""A whole node, its venue and its store in one `trio.run`, all from one seed: what took an hour takes seconds, and a
failing seed is one line to replay.

Each seed is some tens of minutes of trading by two makers and a customer, while the venue does everything wrong that
the simulator can do, within the margins the node's proof is set to; actors are killed, the whole process dies and
starts again on the same store while the venue lives on, and the wall clock jumps. Then the weather clears, time
passes, and the node is compared with what is really so at the venue.

`lost` orders somebody was told of, or the venue holds, that the store does not know · `doubled` orders held twice, or
two for one key · `diverged` orders stated otherwise than at the venue · `fills` missing, invented or twice ·
`holdings` positions and balances that differ · `feeds` that do not stream, or whose book is not the venue's ·
`unhealthy` actors that are down, gates that are closed, messages that do not add up, memory that grew, a journal that
does not replay · `crashed` actors that ended though nobody killed them · `controls` what a design that believes the
first denial doubled: it must.
"""

import hashlib
import multiprocessing
import shutil
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import trio
from loguru import logger

from actors.messages import GetOrdersStatus, OrdersStatus, SyncNow
from actors.node import Node
from actors.status import gate, status
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy, EventKind, MailboxFull, State, TrioClock
from engine.model import CancelState, GateState, Order, OrderState, ProofRules, order_id_of
from engine.simulator import DeribitSettings as WireSettings
from engine.simulator import Simulator, faults, open_simulator
from engine.simulator.orders import Side
from engine.simulator.wire.faultplan import FaultPlan
from engine.store import JournalEntry, Store, verify
from scripts.drills._simulation_world import SYMBOLS, Customer, Life, Machine
from tests.support.kernel import run_mocked

COUNT = 200
EPOCH_MS = 1_790_000_000_000
MINUTES = (12.0, 36.0)  # of virtual time with faults
SETTLE_S = 900.0
LOOK_S = 1.0
BOOK_LOOKS = 600  # at moments that drift against the venue's 100 ms, so that one falls between two changes
CENT = Decimal("0.00000001")
MAX_REMEMBERED = 3000
OF_THE_ACCOUNT = ("_said", "_day_pnl")  # an order queue keeps these whatever lives
WORKERS = 2
CREDULOUS = ProofRules(margin_s=-10.0, repeat_s=0.0, passes=1)  # a design that must fail: it believes the first denial
CONTROLS = [1, 2]
CONTROL_MINUTES = 4.0
FATAL = (  # what that design cannot stand; the protocol has to stand it, too
    faults.LoseReply(method="private/buy", probability=0.5, close=True),
    faults.HideOrders(hide_ms=3000),
    faults.Silence(channel="user."),
)
SEED_TIMEOUT_S = 600.0
KINDS = ("lost", "doubled", "diverged", "fills", "holdings", "feeds", "unhealthy", "crashed")
FORK = multiprocessing.get_context("fork")


class Result(msgspec.Struct):
    """What one seed came to. `journal` is the digest of every entry's kind, time, actor, note and payload."""

    seed: int
    minutes: float = 0.0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: dict[str, list[str]] = {}
    journal: str = ""

    @property
    def ok(self) -> bool:
        return not any(self.wrong.values())


# ── one seed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def simulate(
    seed: int,
    minutes: float | None = None,
    *,
    proof: ProofRules | None = None,
    keep: Callable[[JournalEntry], None] | None = None,
) -> Result:
    """Run one seed from its first to its last virtual second. `keep` is given every entry of the journal."""
    shm = Path("/dev/shm")  # noqa: S108 - a mapped file that needs no disk, and is removed below
    directory = Path(tempfile.mkdtemp(prefix="sim-", dir=shm if shm.is_dir() else None))
    result = Result(seed)
    try:
        run_mocked(_simulate, result, directory, minutes, proof, schedule_seed=seed)
        digest = hashlib.blake2b(digest_size=16)
        with Store.open(directory / "store", read_only=True) as store:
            for entry in store.journal():
                digest.update(msgspec.msgpack.encode(_told(entry)))
                if keep is not None:
                    keep(entry)
        result.journal = digest.hexdigest()
        report = verify(directory / "store")
        if not report.ok:
            result.wrong.setdefault("unhealthy", []).append(f"verify: {report}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return result


def _told(entry: JournalEntry) -> tuple[Any, ...]:
    return entry.seq, entry.at_ms, entry.actor, entry.kind, entry.note, entry.changes


async def _simulate(result: Result, directory: Path, minutes: float | None, proof: ProofRules | None) -> None:
    chance = Entropy(result.seed)
    result.minutes = chance.uniform(*MINUTES) if minutes is None else minutes
    async with open_simulator(
        TrioClock(EPOCH_MS), chance.fork("venue"), deribit=None, control=None, settings=WireSettings()
    ) as sim:
        machine = Machine(result.seed, directory, sim, TrioClock(EPOCH_MS), proof)
        for fault in FATAL if proof is not None else ():
            sim.faults.add(fault)
        drill = Drill(machine, chance.fork("drill"), result)
        await drill.run()


class Drill:
    """One seed under way."""

    def __init__(self, machine: Machine, chance: Entropy, result: Result) -> None:
        self._machine = machine
        self._chance = chance
        self._result = result
        self._killed: Counter[str] = Counter()
        self.customer = Customer(machine, chance.fork("customer"))

    async def run(self) -> None:
        ends_s = trio.current_time() + 60.0 * self._result.minutes
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._weather, ends_s)
            nursery.start_soon(self._kill)
            nursery.start_soon(self._jump)
            nursery.start_soon(self.customer.trade, self._chance.uniform(0.8, 4.0))
            while trio.current_time() < ends_s:
                await self._one_life(min(self._chance.uniform(5.0, 240.0), ends_s - trio.current_time()))
            nursery.cancel_scope.cancel()
        self._machine.sim.faults.lift_all()
        async with self._machine.life() as life:
            await self._judge(life)
        self._sum_up()

    async def _one_life(self, seconds: float) -> None:
        """Until somebody pulls the plug; now and then it is stopped in order instead."""
        async with self._machine.life() as life:
            await trio.sleep(seconds)
            if self._chance.random() < 0.85:
                await life.plug.pull()
                life.node.abandon()
                self._result.counts["crashes"] += 1
        await trio.sleep(self._chance.choice((0.0, 0.5, 3.0, 30.0)))

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _weather(self, ends_s: float) -> None:
        chance = self._chance.fork("weather")
        while True:
            left_s = ends_s - trio.current_time()
            plan = FaultPlan.random(
                chance,
                duration_s=min(left_s, chance.uniform(30.0, 300.0)),
                mean_gap_s=chance.choice((1.0, 3.0, 8.0)),
                max_length_s=chance.choice((2.0, 6.0, 25.0)),
            )
            await plan.run(self._machine.sim.faults)
            self._result.counts["faults"] += len(plan.steps)
            await trio.sleep(chance.uniform(0.0, 40.0))

    async def _kill(self) -> None:
        """Random actors, one at a time, seldom enough that nobody has to be given up."""
        chance = self._chance.fork("kills")
        while True:
            await trio.sleep(chance.uniform(14.0, 90.0))
            victims = self._machine.victims()
            node = self._machine.node
            if victims and node is not None and node.system.kill(chance.choice(victims)):
                self._result.counts["kills"] += 1

    async def _jump(self) -> None:
        chance = self._chance.fork("jumps")
        while True:
            await trio.sleep(chance.uniform(60.0, 900.0))
            self._machine.clock.jump(chance.choice((1.0, -1.0)) * chance.choice((0.4, 7.0, 300.0, 7200.0)))
            self._result.counts["jumps"] += 1

    # ── what must be so afterwards ────────────────────────────────────────────────────────────────────────────────────

    async def _judge(self, life: Life) -> None:
        node = life.node
        for name in node.parts.strategies:
            await node.system.stop_child(f"root/strategies/{name}")
        wrong = {"unsettled": ["not looked at yet"]}
        with trio.move_on_after(SETTLE_S):
            while any(wrong.values()):
                await trio.sleep(LOOK_S)
                wrong = await self._compare(node)
        self._note(wrong)
        self._note({"feeds": [fault for symbol in SYMBOLS for fault in await _book_differs(node, self._sim, symbol)]})
        self._note({"unhealthy": await _unhealthy(node)})
        self._result.counts["dead letters"] += node.system.dead_letters.count
        for letter in node.system.dead_letters.recent:
            self._result.counts[f"dead {type(letter.message).__name__}"] += 1

    @property
    def _sim(self) -> Simulator:
        return self._machine.sim

    async def _compare(self, node: Node) -> dict[str, list[str]]:
        """What is wrong at this moment; what is merely under way is as well."""
        undecided = [f"{order.order_id} is {order.state}" for order in node.parts.store.live_orders() if _moving(order)]
        down = [f"{place.path} is {place.state}" for place in node.system.tree().walk() if place.state != State.RUNNING]
        if undecided or down:
            return {"unsettled": undecided, "unhealthy": down}
        feeds = status(node.parts).feeds
        if feeds.live != len(SYMBOLS):
            return {"feeds": [str(feeds)]}
        if not await _synced(node):
            return {"unsettled": ["no pass succeeds"]}
        return Judge(node.parts.store, self._sim.truth(), self.customer.told).wrong()

    def _note(self, wrong: dict[str, list[str]]) -> None:
        for kind, found in wrong.items():
            if found:
                self._result.wrong.setdefault(kind, []).extend(found)

    def _sum_up(self) -> None:
        counts = self._result.counts
        counts["lives"] = self._machine.lives
        counts["told"] = len(self.customer.told)
        counts.update({f"answer {word}": count for word, count in self.customer.answers.items()})
        counts.update({f"fault {kind}": count for kind, count in self._sim.faults.struck.items()})
        for event in self._machine.events:
            if event.kind is EventKind.CRASHED and "on purpose" not in event.reason:
                self._note({"crashed": [f"{event.path}: {event.reason}"]})
            elif event.kind in (EventKind.PARKED, EventKind.ESCALATED, EventKind.EXIT_REQUESTED):
                self._note({"crashed": [f"{event.path} {event.kind}: {event.reason}"]})


class Judge:
    """The store against what is really so at the venue."""

    def __init__(self, store: Store, truth: dict[str, Any], told: dict[str, str]) -> None:
        self._store = store
        self._truth = truth
        self._told = told
        self._orders: dict[str, Order] = {order.order_id: order for _, order in store.table("orders").iterate()}
        self._held: dict[str, list[dict[str, Any]]] = {}
        spent = {held["trigger_order_id"] for held in truth["orders"].values()}
        for held in truth["orders"].values():
            mine = held["label"].startswith(f"{store.node_part}-") and held["state"] != "rejected"
            if mine and held["order_id"] not in spent:  # a spent trigger carries on as the order it became
                self._held.setdefault(order_id_of(held["label"]) or held["label"], []).append(held)

    def wrong(self) -> dict[str, list[str]]:
        keys = Counter(order.request_key for order in self._orders.values() if order.request_key)
        return {
            "lost": sorted((set(self._told.values()) | set(self._held)) - set(self._orders)),
            "doubled": [order_id for order_id, same in self._held.items() if len(same) > 1]
            + [key for key, count in keys.items() if count > 1],
            "diverged": [
                f"{order_id} {order.state} {order.filled_amount}/{order.amount} {held}"
                for order_id, order in self._orders.items()
                if not self._same(order, held := self._held.get(order_id, []))
            ],
            "fills": list(self._fills()),
            "holdings": list(self._holdings()),
        }

    def _same(self, order: Order, held: list[dict[str, Any]]) -> bool:
        if not held:
            return order.state in (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)
        theirs = held[0]
        state = "open" if theirs["state"] == "untriggered" else theirs["state"]
        alike = len(held) == 1 and state == order.state and theirs["filled_amount"] == order.filled_amount
        if order.state is OrderState.OPEN:
            alike = alike and theirs["amount"] == order.amount
            alike = alike and (order.price is None or theirs["price"] == order.price)
        return alike and order.executed_amount == order.filled_amount

    def _fills(self) -> Iterator[str]:
        ours = {fill.trade_id: fill for _, fill in self._store.table("fills").iterate()}
        theirs = {fill["trade_id"]: fill for fill in self._truth["fills"]}
        executed: Counter[str] = Counter()
        for trade_id in sorted(ours.keys() | theirs.keys()):
            if trade_id not in ours or trade_id not in theirs:
                yield f"{trade_id}: {'invented' if trade_id in ours else 'missing'}"
                continue
            fill, true = ours[trade_id], theirs[trade_id]
            said = (fill.amount, fill.price, fill.side, fill.client_order_id, fill.fee)
            if said != (true["amount"], true["price"], true["direction"], true["label"], true["fee"]):
                yield f"{trade_id}: {fill} {true}"
            executed[fill.order_id] += fill.amount
        for order_id, order in self._orders.items():
            if order.executed_amount != executed[order_id]:
                yield f"{order_id}: executed {order.executed_amount}, its fills are {executed[order_id]}"

    def _holdings(self) -> Iterator[str]:
        rows = self._store.table("positions").iterate()
        ours = {row.instrument.partition(":")[2]: row.amount for _, row in rows if row.amount}
        if ours != self._truth["positions"]:
            yield f"positions {ours} {self._truth['positions']}"
        money = {row.currency: row.balance for _, row in self._store.table("balances").iterate()}
        for currency, amount in self._truth["balances"].items():
            if abs(money.get(currency, Decimal(0)) - amount) > CENT:
                yield f"{currency} {money.get(currency)} {amount}"


def _moving(order: Order) -> bool:
    return order.state is not OrderState.OPEN or order.cancel is not CancelState.NONE or order.amend is not None


async def _synced(node: Node) -> bool:
    try:
        return all(
            [
                (await account.account.call(SyncNow(holdings_only=True), timeout_s=60.0)).whole
                for account in node.parts.accounts()
            ]
        )
    except (ActorDown, CallFailed, CallTimeout, MailboxFull):
        return False


async def _book_differs(node: Node, sim: Simulator, symbol: str) -> list[str]:
    """Level by level, at some moment between two changes; empty when equal."""
    market = node.parts.market(f"deribit:{symbol}")
    true = sim.deribit.venue.exchange.markets[symbol].book
    ours: Any = None
    theirs: Any = None
    for _ in range(BOOK_LOOKS):
        await trio.sleep(0.0137)
        if market is not None and market.book.ready:
            ours = (market.book.bids(), market.book.asks())
            theirs = tuple(
                tuple((float(price), float(amount)) for price, amount in true.depth(side, 100_000))
                for side in (Side.BUY, Side.SELL)
            )
            if ours == theirs:
                return []
    return [f"{symbol}: {ours and set(ours[0]) ^ set(theirs[0])} {ours and set(ours[1]) ^ set(theirs[1])}"]


async def _unhealthy(node: Node) -> list[str]:
    """Everything that should be at rest and is not. Reading the tree checks that messages are conserved."""
    found = []
    if gate(node.parts) is not GateState.ACTIVE:
        found.append("the gate is closed")
    for account in node.parts.accounts():
        queue: OrdersStatus = await account.orders.call(GetOrdersStatus(), timeout_s=5.0)
        if not queue.synced or queue.closed_instruments or queue.waiting or queue.submitting or queue.unknown:
            found.append(f"{queue}")
    for place in node.system.tree().walk():
        if place.mailbox is not None and place.mailbox.waiting > 100:
            found.append(f"{place.path}: {place.mailbox.waiting} messages wait")
        slot = node.system._nodes[place.path]
        life = getattr(slot, "current", None)
        if life is not None:
            found += list(_grown(place.path, life.actor, sum(1 for _ in node.parts.store.live_orders())))
    return found


def _grown(path: str, actor: Any, live: int) -> Iterator[str]:
    """Maps of an actor that hold more than what lives."""
    for name, value in vars(actor).items():
        if isinstance(value, dict | list | set) and not isinstance(value, Counter):
            limit = live if path.endswith("/orders") and name not in OF_THE_ACCOUNT else MAX_REMEMBERED
            if len(value) > limit:
                found = f"{path}.{name} holds {len(value)}, more than {limit}"
                yield found


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def simulated(seed: int, minutes: float | None = None, proof: ProofRules | None = None) -> Result:
    """One seed, whatever happens: an exception is a finding."""
    try:
        return simulate(seed, minutes, proof=proof)
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the drill
        trace = "".join(traceback.format_exception(error))
        return Result(seed, wrong={"unhealthy": [trace[-4000:]]})


def work(seed: int, minutes: float | None, proof: ProofRules | None, results: Connection) -> None:
    """A process of its own for each seed: what it leaves behind in memory is no part of the next one."""
    logger.remove()
    results.send(simulated(seed, minutes, proof))


def outcomes(seeds: list[int], minutes: float | None = None, proof: ProofRules | None = None) -> Iterator[Result]:
    """The results in order, some at a time. A process that ended without one is a finding as well."""
    under_way: deque[tuple[int, Connection, Any]] = deque()
    waiting = deque(seeds)
    while waiting or under_way:
        while waiting and len(under_way) < WORKERS:
            ours, theirs = FORK.Pipe(duplex=False)
            process = FORK.Process(target=work, args=(waiting[0], minutes, proof, theirs))
            process.start()
            theirs.close()
            under_way.append((waiting.popleft(), ours, process))
        seed, ours, process = under_way.popleft()
        yield _outcome(seed, ours, process)


def _outcome(seed: int, ours: Connection, process: Any) -> Result:
    try:
        if ours.poll(SEED_TIMEOUT_S):
            return ours.recv()
        found = f"no result within {SEED_TIMEOUT_S} s"
    except EOFError:
        process.join(5.0)
        found = f"the process ended with exit code {process.exitcode}"
    finally:
        process.join(5.0)
        process.kill()
        ours.close()
    return Result(seed, wrong={"unhealthy": [found]})


def run(count: int, seed: int) -> dict[str, Any]:
    """`count` seeds from `seed` on, and a few of a design that must fail."""
    total: Counter[str] = Counter()
    failed = []
    for result in outcomes(list(range(seed, seed + count))):
        total["seeds"] += 1
        total["minutes"] += round(result.minutes)
        total.update(result.counts)
        if not result.ok:
            failed.append(result.seed)
            total.update({kind: len(found) for kind, found in result.wrong.items()})
            print(f"seed {result.seed}:", *(f"\n  {kind}: {found[:4]}" for kind, found in result.wrong.items()))
    controls = sum(len(result.wrong.get("doubled", [])) for result in outcomes(CONTROLS, CONTROL_MINUTES, CREDULOUS))
    return {
        **{kind: total[kind] for kind in ("seeds", "minutes", "lives", "crashes", "kills", "jumps", "faults", "told")},
        **{kind: total[kind] for kind in (*KINDS, "unsettled")},
        "detail": {kind: total[kind] for kind in sorted(total) if " " in kind},
        "controls": controls,
        "replay": [f"--count 1 --seed {at_seed}" for at_seed in failed],
        "ok": not failed and controls > 0,
    }


__all__ = ["COUNT", "Result", "run", "simulate"]
