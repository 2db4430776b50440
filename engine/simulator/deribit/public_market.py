"""Public methods about the present: instruments, books, tickers, indexes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.simulator.deribit.listings import INDEXES, MONTHS
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.params import CURRENCY, choice, flag, integer, invalid, required, text
from engine.simulator.deribit.render import book_rows, instrument_json, ticker_json
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.market import Market
from engine.simulator.orders import Side

KIND = choice("future", "option", "spot", "future_combo", "option_combo", "combo", "any")
NAME = required(text())
INDEX = required(choice(*INDEXES))
DEPTH = integer(1, 10_000, default=20)
LONG_NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "USDC": "USD Coin"}


@method("public/get_time")
def get_time(call: Call) -> Any:
    return call.caller.now_ms


@method("public/status")
def status(call: Call) -> Any:
    return {"locked": "true" if call.venue.maintenance else "false", "locked_indices": []}


@method("public/get_instruments", takes(currency=CURRENCY, kind=KIND, expired=flag()))
def get_instruments(call: Call) -> Any:
    """The documentation asks for a currency, but ccxt lists all markets without one and works at the venue."""
    state = "closed" if call["expired"] else "open"
    return [_instrument(call, market) for market in call.markets() if market.state == state]


@method("public/get_instrument", takes(instrument_name=NAME))
def get_instrument(call: Call) -> Any:
    return _instrument(call, call.market)


def _instrument(call: Call, market: Market) -> Any:
    return instrument_json(market.instrument, call.venue.instrument_id(market), market.state)


@method("public/ticker", takes(instrument_name=NAME))
def ticker(call: Call) -> Any:
    return ticker_json(call.market, call.venue.exchange.now_ms)


@method("public/get_order_book", takes(instrument_name=NAME, depth=DEPTH))
def get_order_book(call: Call) -> Any:
    return _order_book(call, call.market)


@method("public/get_order_book_by_instrument_id", takes(instrument_id=required(integer()), depth=DEPTH))
def get_order_book_by_instrument_id(call: Call) -> Any:
    for market in call.venue.exchange.markets.values():
        if call.venue.instrument_id(market) == call["instrument_id"]:
            return _order_book(call, market)
    raise RpcError(13020, "not_found")


def _order_book(call: Call, market: Market) -> Any:
    depth = call["depth"]
    return ticker_json(market, call.venue.exchange.now_ms) | {
        "change_id": market.book.change_id,
        "bids": book_rows(market, Side.BUY, depth),
        "asks": book_rows(market, Side.SELL, depth),
    }


@method("public/get_index_price", takes(index_name=INDEX))
def get_index_price(call: Call) -> Any:
    price = call.venue.index_price(call["index_name"])
    return {"index_price": price, "estimated_delivery_price": price}


@method("public/get_index_price_names", takes(extended=flag()))
def get_index_price_names(call: Call) -> Any:
    if not call["extended"]:
        return list(INDEXES)
    combos = {"future_combo_creation_enabled": False, "option_combo_creation_enabled": False}
    return [{"name": name, **combos} for name in INDEXES]


@method("public/get_contract_size", takes(instrument_name=NAME))
def get_contract_size(call: Call) -> Any:
    return {"contract_size": call.market.instrument.contract_size}


@method("public/get_currencies")
def get_currencies(_call: Call) -> Any:
    return [
        {
            "currency": currency,
            "currency_long": name,
            "coin_type": "ETHER" if currency == "ETH" else "BITCOIN" if currency == "BTC" else "ERC20",
            "decimals": 6 if currency == "USDC" else 8,
            "fee_precision": 6 if currency == "USDC" else 8,
            "min_confirmations": 1,
            "min_withdrawal_fee": Decimal("0.0001"),
            "withdrawal_fee": Decimal("0.0001"),
            "withdrawal_priorities": [],
            "in_cross_collateral_pool": False,
        }
        for currency, name in LONG_NAMES.items()
    ]


@method(
    "public/get_expirations",
    takes(currency=required(text()), kind=required(choice("future", "option", "any")), currency_pair=text()),
)
def get_expirations(call: Call) -> Any:
    currency = str(call["currency"]).upper()
    if currency in ("ANY", "GROUPED"):
        return {name.lower(): _expirations(call, name) for name in LONG_NAMES}
    if currency not in LONG_NAMES and currency not in ("USDT", "EURR"):
        raise invalid("currency")
    return _expirations(call, currency)


def _expirations(call: Call, currency: str) -> dict[str, list[str]]:
    markets = [m for m in call.venue.exchange.markets.values() if m.instrument.settlement == currency]
    names = {_expiry_name(market) for market in markets if market.state == "open"}
    rows = {"future": sorted(names), "option": []}
    return rows if call["kind"] == "any" else {call["kind"]: rows[call["kind"]]}


def _expiry_name(market: Market) -> str:
    if market.instrument.expires_ms is None:
        return "PERPETUAL"
    day = datetime.fromtimestamp(market.instrument.expires_ms / 1000, UTC)
    return f"{day.day}{MONTHS[day.month - 1]}{day.year % 100:02d}"


@method("public/get_book_summary_by_currency", takes(currency=required(CURRENCY), kind=KIND))
def get_book_summary_by_currency(call: Call) -> Any:
    return [_summary(call, market) for market in call.markets() if market.state == "open"]


@method("public/get_book_summary_by_instrument", takes(instrument_name=NAME))
def get_book_summary_by_instrument(call: Call) -> Any:
    return [_summary(call, call.market)]


def _summary(call: Call, market: Market) -> Any:
    row = ticker_json(market, call.venue.exchange.now_ms)
    stats, mid = row["stats"], market.mid
    summary = {
        "instrument_name": market.instrument.name,
        "base_currency": market.instrument.base,
        "quote_currency": market.instrument.quote,
        "high": stats["high"],
        "low": stats["low"],
        "last": row["last_price"],
        "bid_price": row["best_bid_price"],
        "ask_price": row["best_ask_price"],
        "mid_price": mid,
        "mark_price": row["mark_price"],
        "volume": stats["volume"],
        "volume_usd": stats["volume_usd"],
        "volume_notional": stats["volume_notional"],
        "open_interest": row["open_interest"],
        "price_change": stats["price_change"],
        "estimated_delivery_price": row["estimated_delivery_price"],
        "creation_timestamp": call.venue.exchange.now_ms,
    }
    if market.funding is not None:
        summary |= {"current_funding": row["current_funding"], "funding_8h": row["funding_8h"]}
    return summary
