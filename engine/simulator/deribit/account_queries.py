"""Queries about what the account has: positions, margins, summaries."""

from typing import Any

from engine.simulator.accounts import Account
from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.params import CURRENCY, amount, flag, integer, required
from engine.simulator.deribit.public_market import KIND, NAME
from engine.simulator.deribit.render import position_json
from engine.simulator.margin import position_margin
from engine.simulator.orders import ZERO

READ = "trade:read"
ACCOUNT = "account:read"
LIMITS = {
    "limits_per_currency": False,
    "non_matching_engine": {"burst": 100, "rate": 20},
    "matching_engine": {
        "trading": {"total": {"burst": 20, "rate": 5}},
        "spot": {"burst": 20, "rate": 5},
        "cancel_all": {"burst": 20, "rate": 5},
        "maximum_quotes": {"burst": 20, "rate": 5},
        "maximum_mass_quotes": {"burst": 5, "rate": 1},
        "guaranteed_mass_quotes": {"burst": 2, "rate": 2},
    },
}


@method("private/get_positions", takes(currency=CURRENCY, kind=KIND, subaccount_id=integer()), scope=READ)
def get_positions(call: Call) -> Any:
    """Markets the account has traded or has orders in; flat ones are listed with size 0."""
    account = call.account
    touched = account.positions.keys() | account.exposures.keys()
    return [
        position_json(account, market, call.venue.exchange.markets)
        for market in call.markets()
        if market.instrument.name in touched
    ]


@method("private/get_position", takes(instrument_name=NAME), scope=READ)
def get_position(call: Call) -> Any:
    return position_json(call.account, call.market, call.venue.exchange.markets)


@method(
    "private/get_account_summary",
    takes(currency=required(CURRENCY), subaccount_id=integer(), extended=flag()),
    scope=ACCOUNT,
)
def get_account_summary(call: Call) -> Any:
    summary = call.venue.summary(call.account, call["currency"]) | {"limits": LIMITS}
    return summary | _identity(call) if call["extended"] else summary


@method("private/get_account_summaries", takes(subaccount_id=integer(), extended=flag()), scope=ACCOUNT)
def get_account_summaries(call: Call) -> Any:
    account = call.account
    summaries = [call.venue.summary(account, currency) | {"limits": LIMITS} for currency in account.wallets]
    return {"summaries": summaries} | (_identity(call) if call["extended"] else {})


def _identity(call: Call) -> Any:
    account = call.account
    return {
        "id": call.venue.user_id(account),
        "type": "main",
        "username": account.name,
        "system_name": account.name,
        "email": f"{account.name}@example.invalid",
        "mmp_enabled": False,
        "self_trading_reject_mode": account.self_trading.value,
        "self_trading_extended_to_subaccounts": False,
        "creation_timestamp": call.venue.opened_ms,
        "interuser_transfers_enabled": False,
        "referrer_id": None,
        "login_enabled": True,
        "security_keys_enabled": False,
        "fees": [],
    }


@method(
    "private/get_margins", takes(instrument_name=NAME, amount=required(amount()), price=required(amount())), scope=READ
)
def get_margins(call: Call) -> Any:
    """What an order of this size would need on either side. The price bounds are the band's."""
    market = call.market
    buy = position_margin(market, ZERO, call["amount"], ZERO).orders
    sell = position_margin(market, ZERO, ZERO, call["amount"]).orders
    money = market.instrument.money
    return {
        "buy": money(buy),
        "sell": money(sell),
        "min_price": market.min_price,
        "max_price": market.max_price,
    }


@method("private/get_subaccounts", takes(with_portfolio=flag()), scope=ACCOUNT)
def get_subaccounts(call: Call) -> Any:
    identity = _identity(call)
    row = {name: identity[name] for name in ("id", "type", "username", "system_name", "email", "login_enabled")}
    row |= {"is_password": True, "receive_notifications": False, "security_keys_enabled": False}
    if call["with_portfolio"]:
        row["portfolio"] = _portfolio(call, call.account)
    return [row]


def _portfolio(call: Call, account: Account) -> Any:
    return {currency.lower(): call.venue.summary(account, currency) for currency in account.wallets}


@method("private/get_user_locks", scope=ACCOUNT)
def get_user_locks(call: Call) -> Any:
    return [{"currency": currency, "locked": False, "message": ""} for currency in call.account.wallets]
