"""Stores for tests: a clock that is set, an entropy that is seeded, orders and fills that differ only where it matters."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from engine.kernel import Entropy
from engine.model import Fill, Notice, Order, OrderRequest, OrderState, Severity, Side, new_order
from engine.store import Commit, Put, Store

EPOCH_MS = 1_760_000_000_000
MAP_SIZE = 1 << 28
REQUEST = OrderRequest(instrument="deribit:BTC-PERPETUAL", side=Side.BUY, amount=Decimal(10), price=Decimal("50000.5"))


class SetClock:
    """Wall time that moves one millisecond per look, or where a test puts it."""

    def __init__(self, now_ms: int = EPOCH_MS) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        self.now_ms += 1
        return self.now_ms


def open_store(path: Path, *, clock: SetClock | None = None, seed: int = 1, **options: Any) -> Store:
    """A writer with a small map."""
    return Store.open(path, clock=clock or SetClock(), entropy=Entropy(seed), **{"map_size": MAP_SIZE, **options})


def open_reader(path: Path, **options: Any) -> Store:
    return Store.open(path, read_only=True, **{"map_size": MAP_SIZE, **options})


def order(number: int, state: OrderState = OrderState.WAITING, *, at_ms: int = EPOCH_MS, **changes: Any) -> Order:
    made = new_order(REQUEST, order_id=f"testnode-{number}", account="deribit:main", now_ms=at_ms)
    return msgspec.structs.replace(made, state=state, **changes)


def fill(number: int, of: Order, *, at_ms: int = EPOCH_MS) -> Fill:
    return Fill(
        account=of.account,
        instrument=of.instrument,
        trade_id=f"t{number}",
        order_id=of.order_id,
        client_order_id=of.client_order_id,
        venue_order_id="v1",
        side=of.side,
        price=Decimal(50000),
        amount=Decimal(1),
        filled_at_ms=at_ms,
    )


def notice(number: int, *, at_ms: int = EPOCH_MS) -> Notice:
    return Notice(notice_id=f"n{number}", at_ms=at_ms, severity=Severity.INFO, kind="test", text="something")


def put(made: Order, kind: str = "order.saved") -> Commit:
    return Commit(kind, (Put("orders", made.order_id, made),), actor="root/test")


def put_fill(made: Fill) -> Commit:
    return Commit("order.filled", (Put("fills", made.key, made),))


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of a closed store's directory, to be spoiled."""
    target = path.with_name(path.name + "-copy")
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(path, target)
    yield target
