"""An order queue with its recorder, its session and an adversarial venue, on one mock clock and a real store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.messages import Notify, Reconcile, SyncSoon
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings
from actors.recorder import InlineHost, Recorder
from actors.session import Session, SessionSettings
from actors.triggers import Triggers, TriggersDesk, TriggerSettings
from engine.kernel import (
    Actor,
    Backoff,
    ChildSpec,
    Entropy,
    Intensity,
    Message,
    Ref,
    SupervisorSpec,
    System,
    TrioClock,
    on,
    open_system,
)
from engine.model import Notice, Order, OrderState, ProofRules, VenueState, split_instrument
from engine.store import Store
from tests.support.adversary import AdversarialVenue, Behaviour

ACCOUNT = "sim:main"
EPOCH_MS = 1_700_000_000_000
PROOF = ProofRules(margin_s=6.0, repeat_s=60.0)


class Ear(Actor):
    """Notes what it is told."""

    def __init__(self, heard: list[Message]) -> None:
        super().__init__()
        self._heard = heard

    @on(Message)
    def hear(self, message: Message) -> None:
        self._heard.append(message)


def patient(name: str, factory: Callable[[], Actor]) -> ChildSpec:
    """A child that may be killed as often as a test likes."""
    often = Intensity(max_restarts=1000, period_s=10_000.0)
    return ChildSpec(name, factory, intensity=often, backoff=Backoff(min_s=0.05, max_s=0.5))


class OneVenue:
    """A venue whose only part is its REST client."""

    name = "sim"

    def __init__(self, rest: AdversarialVenue) -> None:
        self._rest = rest

    def public(self) -> AdversarialVenue:
        return self._rest

    def rest(self, account: str) -> AdversarialVenue:
        return self._rest


class Rig:
    """What a test holds."""

    def __init__(
        self,
        system: System,
        store: Store,
        venue: AdversarialVenue,
        orders: Ref,
        heard: list[Message],
        state: VenueState,
    ) -> None:
        self.system = system
        self.store = store
        self.venue = venue
        self.orders = orders
        self.heard = heard
        self.state = state

    async def sync(self) -> None:
        """The account's pass, as the account actor makes it."""
        asked_at_ms = self.system.clock.wall_ms()
        self.venue.pass_time()
        live = tuple(self.venue.report(p) for p in self.venue.truth if p.state is OrderState.OPEN)
        await self.orders.call(Reconcile(live, self.venue.fills(), asked_at_ms, listening=True), timeout_s=10)

    def order(self, order_id: str) -> Order:
        found: Order | None = self.store.table("orders").get(order_id)
        assert found is not None, f"{order_id} is not in the store"
        return found

    def stored_orders(self) -> list[Order]:
        return [order for _, order in self.store.table("orders").iterate()]

    def notices(self) -> list[Notice]:
        return [message.notice for message in self.heard if isinstance(message, Notify)]

    async def until_over(self, deadline_s: float) -> None:
        """Wait until no order of ours is undecided: over, or resting at the venue."""
        undecided = {OrderState.WAITING, OrderState.SUBMITTING, OrderState.UNKNOWN}
        with trio.fail_after(deadline_s):
            while any(order.state in undecided for order in self.stored_orders()):
                await trio.sleep(1.0)
                await self.sync()


@asynccontextmanager
async def order_rig(
    path: Path,
    *,
    seed: int,
    behaviour: Behaviour,
    settings: OrdersSettings | None = None,
    account: Callable[[System, Store], Actor] | None = None,
    execution: Callable[[System, Store, VenueState], Actor] | None = None,
    **desk_changes: Any,
) -> AsyncIterator[Rig]:
    """A running queue whose gate opened after one pass, unless an actor made by `account` sees to that."""
    entropy = Entropy(seed)
    clock = TrioClock(EPOCH_MS)
    async with open_system(clock, entropy) as system:
        with Store.open(path, clock=clock, entropy=entropy) as store:
            state = VenueState("sim")
            venue = AdversarialVenue(entropy.fork("venue"), behaviour, ACCOUNT, PROOF, clock.wall_ms)
            heard: list[Message] = []
            desk = OrdersDesk(
                account=ACCOUNT,
                venue=state,
                store=store,
                numbers=OrderNumbers(store.node_part, store.last_order_number()),
                settings=settings or OrdersSettings(),
                proof=PROOF,
                session=system.address("root/session"),
                recorder=system.address("root/recorder"),
                notifier=system.address("root/notifier"),
                account_sync=system.address("root/account"),
                triggers=system.address("root/triggers"),
                execution=system.address("root/execution"),
                owner_of=desk_changes.pop("owner_of", lambda _strategy: None),
                ways=venue,
                **desk_changes,
            )
            told: list[Message] = []
            watching = TriggersDesk(
                account=ACCOUNT,
                store=store,
                settings=TriggerSettings(),
                orders=system.address("root/orders"),
                account_sync=system.address("root/account"),
                notifier=system.address("root/notifier"),
                market=lambda name: state.markets.get(split_instrument(name, "sim")[1]),
                feeds=lambda _name: (),
            )
            children = (
                ChildSpec("recorder", lambda: Recorder(store, host=InlineHost), exit_code=74),
                ChildSpec("notifier", partial(Ear, heard)),
                patient("account", partial(account, system, store) if account else partial(Ear, [])),
                patient("session", lambda: Session(OneVenue(venue), [ACCOUNT], state, SessionSettings(), ())),
                patient("orders", partial(Orders, desk)),
                patient("triggers", partial(Triggers, watching)),
                patient("execution", partial(execution, system, store, state) if execution else partial(Ear, told)),
            )
            await system.start(SupervisorSpec("root", children=children))
            rig = Rig(system, store, venue, system.address("root/orders"), heard, state)
            while state.now_ms(clock.monotonic_s()) is None or not state.instruments:
                await trio.sleep(0.1)
            if account is None:
                await rig.sync()
            yield rig
            await system.stop()


__all__ = ["ACCOUNT", "EPOCH_MS", "PROOF", "Ear", "Rig", "SyncSoon", "order_rig"]
