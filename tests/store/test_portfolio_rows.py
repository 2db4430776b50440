"""Rows of portfolios leave when they ended long enough ago, and nothing that is still followed does."""

from decimal import Decimal
from pathlib import Path

import msgspec

from engine.model import OrderState, PortfolioOrder, PortfolioTrade, Side
from engine.store import Commit, Put
from engine.store.verify import examine_store
from tests.support.stores import EPOCH_MS, MAP_SIZE, open_store

LONG_AGO = EPOCH_MS - 1_000_000
ORDER = PortfolioOrder(
    portfolio_id="main",
    external_id="old",
    symbol="BTC/USDT",
    side=Side.BUY,
    order_type="limit",
    amount=Decimal(1),
    price=Decimal(1),
    state=OrderState.FILLED,
    created_at_ms=LONG_AGO,
    updated_at_ms=LONG_AGO,
)
TRADE = PortfolioTrade(
    portfolio_id="main",
    trade_id="old",
    external_id="old",
    symbol="BTC/USDT",
    side=Side.BUY,
    price=Decimal(1),
    amount=Decimal(1),
    at_ms=LONG_AGO,
)


def test_only_what_ended_long_ago_leaves(tmp_path: Path) -> None:
    orders = [
        ORDER,
        msgspec.structs.replace(ORDER, external_id="rests", state=OrderState.OPEN),
        msgspec.structs.replace(ORDER, external_id="new", updated_at_ms=EPOCH_MS),
    ]
    trades = [TRADE, msgspec.structs.replace(TRADE, trade_id="new", at_ms=EPOCH_MS)]
    with open_store(tmp_path / "store") as store:
        rows = [Put("portfolio_orders", row.key, row) for row in orders]
        store.commit([Commit("p", (*rows, *(Put("portfolio_trades", row.key, row) for row in trades)))])
        assert store.expire(EPOCH_MS) == 2
        assert [row.external_id for _, row in store.table("portfolio_orders").iterate()] == ["new", "rests"]
        assert [row.trade_id for _, row in store.table("portfolio_trades").iterate()] == ["new"]
    assert examine_store(tmp_path / "store", map_size=MAP_SIZE).problems == ()
