"""What was typed of an order, as the parameters of the methods."""

import argparse
from functools import partial
from typing import Any

from actors.cli._exits import CommandFailed, Exit
from actors.cli._remote import Options, given
from actors.cli._values import pair

_FORM = {  # parameter → the option's name where that differs
    "order_type": "",
    "price": "",
    "trigger_price": "",
    "trigger_by": "",
    "time_in_force": "",
    "post_only": "",
    "reduce_only": "",
    "account_id": "account",
    "strategy": "",
    "request_key": "",
    "good_for": "",
    "execute_immediately": "now",
    "priority": "",
    "delay": "",
    "expiration": "expires",
    "auto_cancel_timeout": "auto_cancel",
    "conditions": "when",
    "partial_fill_handling": "partial",
    "error_handling": "on_error",
}


def form(options: Options) -> dict[str, Any]:
    """The parameters of an order that were given, by the names of `submit_advanced_order`."""
    found: dict[str, Any] = {
        "instrument_name": options.instrument,
        "direction": options.side,
        "amount": options.amount,
    }
    for name, option in _FORM.items():
        value = getattr(options, option or name, None)
        if value not in (None, False, ""):
            found[name] = value
    if getattr(options, "trail", None):
        more = {"by": options.trail_by, "activation_price": options.activate}
        found["trail"] = options.trail | {name: value for name, value in more.items() if value is not None}
    if getattr(options, "kept_here", False):
        found["native"] = False
    if getattr(options, "metadata", None):
        found["metadata"] = dict(options.metadata)
    if getattr(options, "style", None):
        found["execution"] = _style(options.style)
    return found


def _style(words: list[str]) -> dict[str, Any]:
    """`STYLE KEY=VALUE …`."""
    try:
        return {"style": words[0], **dict(pair(word) for word in words[1:])}
    except argparse.ArgumentTypeError as error:
        raise CommandFailed(Exit.USAGE, f"--style: {error}") from error


def bracket(options: Options) -> dict[str, Any]:
    return form(options) | given(options, "take_profit", "stop_loss")


def oco(options: Options) -> dict[str, Any]:
    """Two orders of one side and amount: one takes a profit, one stops a loss."""
    shared = form(options)
    profit = shared | {"order_type": "limit", "price": options.take_profit}
    stop = shared | {"order_type": "stop_market", "trigger_price": options.stop_loss}
    native = not options.kept_here
    return {"kind": "oco", "exits": [profit, stop], "cancels_at": options.cancels_at, "native": native}


def oto(options: Options) -> dict[str, Any]:
    """An entry, and one order of the other side that its fills release."""
    entry = form(options)
    shared = {name: entry[name] for name in ("instrument_name", "amount", "account_id", "strategy") if name in entry}
    how = (
        {"order_type": "limit", "price": options.then_price}
        if options.then_stop is None
        else {"order_type": "stop_market", "trigger_price": options.then_stop}
    )
    other = "sell" if options.side == "buy" else "buy"
    exit_ = shared | how | {"direction": other, "reduce_only": True}
    native = not options.kept_here
    return {"kind": "oto", "entry": entry, "exits": [exit_], "releases_at": options.releases_at, "native": native}


def history(options: Options) -> dict[str, Any]:
    own = ("limit", "cursor", "period_s")
    names = (
        "status",
        "direction",
        "strategy",
        "plan",
        "group",
        "start_time",
        "end_time",
        *filter(partial(hasattr, options), own),
    )
    named = {"instrument_name": options.instrument, "account_id": options.account}
    return given(options, *names) | {name: value for name, value in named.items() if value}


def account(options: Options) -> dict[str, Any]:
    return {"account_id": options.account}
