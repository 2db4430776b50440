"""What single exchanges want to be asked differently. Everything else is asked in ccxt's common way."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.venues.ccxt.errors import TooManyRows

Statement = Callable[[Any, str, int], list[dict[str, Any]]]

#: Exchanges that list orders and trades by currency, one at a time: `code` names it.
BY_CURRENCY: Final = frozenset({"deribit"})

#: Exchanges that look for trades no more than this far behind the beginning of a question.
TRADES_WINDOW_MS: Final[Mapping[str, int]] = dict.fromkeys(
    ("binance", "binancecoinm", "binanceus", "binanceusdm"), 7 * 86_400_000
)

#: Exchanges whose own trades can be asked for by order, by the name of that parameter.
TRADES_BY_ORDER: Final[Mapping[str, str]] = dict.fromkeys(
    ("binance", "binancecoinm", "binanceus", "binanceusdm"), "orderId"
)


def trade_questions(market: str, now_ms: int) -> tuple[dict[str, Any], ...]:
    """What is asked for besides of own trades since a time. Deribit keeps new and old ones apart, and wants an end."""
    if market != "deribit":
        return ({},)
    asked = {"end_timestamp": now_ms + 60_000, "sorting": "asc"}
    return (asked, {**asked, "historical": True})


def order_trade_questions(market: str) -> tuple[dict[str, Any], ...]:
    """The same of the trades of one order."""
    return ({}, {"historical": True}) if market == "deribit" else ({},)


def symbols_of(exchange: Any, line: Mapping[str, Any]) -> Iterator[str]:
    """What a line of the statement is about. ccxt has no common name for it: it is in the exchange's own words, by its own id."""
    told = line.get("info") or {}
    if isinstance(told, Mapping):
        named = next((told[name] for name in ("symbol", "instrument_name", "instId") if told.get(name)), None)
        for market in exchange.markets_by_id.get(named) or ():
            yield market["symbol"]


def params_of(market: str, currency: str) -> dict[str, Any]:
    """What a question about all symbols needs besides."""
    return {"code": currency} if market in BY_CURRENCY else {}


def _deribit_log(exchange: Any, currency: str, since_ms: int) -> list[dict[str, Any]]:
    """Deribit's transaction log, which ccxt has no common name for, as lines of ccxt's ledger."""
    lines: list[dict[str, Any]] = []
    asked = {"currency": exchange.currency_id(currency), "start_timestamp": since_ms, "count": 250}
    asked["end_timestamp"] = exchange.milliseconds() + 60_000
    for _ in range(MAX_PAGES):
        page = exchange.private_get_get_transaction_log(asked)["result"]
        lines += [_deribit_line(row, currency) for row in page["logs"]]
        if page.get("continuation") is None:
            return lines
        asked["continuation"] = page["continuation"]
    raise TooManyRows(exchange.id, f"the transaction log in {currency}: more than {MAX_PAGES} pages")


def _deribit_line(row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    kind = "transaction" if row["type"] in ("deposit", "withdrawal") else row["type"]
    amount = row["change"]
    return {
        "id": str(row["id"]),
        "timestamp": row["timestamp"],
        "type": kind,
        "currency": currency,
        "amount": str(amount).lstrip("-"),
        "direction": "out" if str(amount).startswith("-") else "in",
        "status": "ok",
        "info": row,
    }


MAX_PAGES = 40

#: The statement of exchanges whose `fetchLedger` ccxt lacks.
STATEMENTS: Final[Mapping[str, Statement]] = {"deribit": _deribit_log}
