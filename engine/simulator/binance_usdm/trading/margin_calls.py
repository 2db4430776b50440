"""The warning that an account's margin runs out, before it is liquidated."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.trading.holder import ASSET, Holder
from engine.simulator.binance_usdm.trading.rows import MONEY, written
from engine.simulator.margin import position_margin, unrealised, view
from engine.simulator.market import Market
from engine.simulator.orders import ZERO

__all__ = ["margin_call"]

WARN_AT = Decimal("0.8")  # of the equity is needed as maintenance margin


def margin_call(
    holder: Holder, desks: Mapping[str, Desk], markets: Mapping[str, Market], now_ms: int
) -> dict[str, Any] | None:
    """The event, once each time the line is crossed."""
    held = {name: position for name, position in holder.account.positions.items() if position.size}
    if not held:
        holder.is_warned = False
        return None
    standing = view(holder.account, ASSET, markets)
    is_short = standing.maintenance_margin > WARN_AT * standing.equity
    was_warned, holder.is_warned = holder.is_warned, is_short
    if was_warned or not is_short:
        return None
    rows = []
    for name, position in held.items():
        symbol, _, leg = name.partition("#")
        desk = desks[symbol]
        maintenance = position_margin(desk.market, position.size, ZERO, ZERO).maintenance
        rows.append(
            {
                "s": symbol,
                "ps": leg or "BOTH",
                "pa": written(position.size, desk.amount_decimals),
                "mt": "ISOLATED" if symbol in holder.isolated else "CROSSED",
                "iw": "0",
                "mp": written(desk.market.mark, MONEY),
                "up": written(unrealised(desk.market, position), MONEY),
                "mm": written(maintenance, MONEY),
            }
        )
    return {
        "e": "MARGIN_CALL",
        "E": now_ms,
        "cw": written(standing.balance + standing.session_realised, MONEY),
        "p": rows,
    }
