"""What accepting an order costs its caller: from the request to "it is on disk", through the order queue, the recorder
and its thread.

The queue is the real one; its account is never reconciled, so nothing is sent and only acceptance is measured. The raw
append writes as many bytes as the order's journal entry takes and takes turns with it.
"""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.messages import Accepted, SubmitOrder, SyncSoon
from actors.node import spare_the_living
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings
from actors.recorder import Recorder
from engine.kernel import Actor, ChildSpec, Entropy, Ref, SupervisorSpec, SystemClock, on, open_system
from engine.model import Instrument, InstrumentKind, OrderLimits, OrderRequest, ProofRules, Side, VenueState
from engine.store import Store
from scripts.benches.store import RawFile, against_raw, row

ORDERS = 800
CALLERS, EACH = 512, 40
ENTRY_BYTES = 600
REQUEST = OrderRequest(
    instrument="deribit:PERP", side=Side.BUY, amount=Decimal(10), price=Decimal("50000.5"), good_for_s=600.0
)
PERPETUAL = Instrument(
    instrument_id="deribit:PERP",
    venue="deribit",
    symbol="PERP",
    kind=InstrumentKind.PERPETUAL,
    base="BTC",
    quote="USD",
    settlement="BTC",
    inverse=True,
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    min_amount=Decimal(10),
    contract_size=Decimal(10),
)


class Account(Actor):
    """In place of the account: there is no venue to be in step with."""

    @on(SyncSoon)
    def sync_soon(self, message: SyncSoon) -> None:
        """Nothing is missing."""


@asynccontextmanager
async def queue(directory: Path) -> AsyncIterator[Ref]:
    """An order queue over a new store."""
    clock, entropy = SystemClock(), Entropy(1)
    venue = VenueState("deribit")
    venue.instruments["PERP"] = PERPETUAL
    with Store.open(directory / "store", clock=clock, entropy=entropy) as store:
        async with open_system(clock, entropy) as system:
            desk = OrdersDesk(
                account="deribit:main",
                venue=venue,
                store=store,
                numbers=OrderNumbers(store.node_part, 0),
                settings=OrdersSettings(limits=OrderLimits(max_waiting=10**6, max_live_orders=10**6), tick_s=3600.0),
                proof=ProofRules(margin_s=6.0, repeat_s=60.0),
                session=system.address("root/session"),
                recorder=system.address("root/recorder"),
                notifier=system.address("root/notifier"),
                account_sync=system.address("root/account"),
                triggers=system.address("root/triggers"),
                execution=system.address("root/execution"),
                owner_of=lambda _strategy: None,
            )
            children = (
                ChildSpec("recorder", partial(Recorder, store), exit_code=74),
                ChildSpec("account", Account),
                ChildSpec("orders", partial(Orders, desk)),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield system.address("root/orders")


async def place(orders: Ref, times: int) -> list[float]:
    """Seconds each of `times` orders took to be accepted, one after the other."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        answer = await orders.call(SubmitOrder(REQUEST), timeout_s=60.0)
        samples.append(time.perf_counter() - start)
        if not isinstance(answer, Accepted):
            raise AssertionError(f"the bench's order was refused: {answer}")
    return samples


async def measure(directory: Path) -> list[dict[str, Any]]:
    raw = RawFile(directory / "raw", ENTRY_BYTES)
    samples = []
    async with queue(directory) as orders:
        spare_the_living()  # as the resident process does
        for _ in range(ORDERS):
            samples += await place(orders, 1)
            raw.append()
        rows = against_raw("order accepted", samples, raw, 3.5)
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(place, orders, EACH)
        rate = CALLERS * EACH / (time.perf_counter() - start)
        rows.append(row(f"orders accepted, {CALLERS} callers at once", rate, "1/s", ">= 20000", rate >= 20_000))
    return rows


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="bench-orders-") as directory:
        return trio.run(measure, Path(directory))
