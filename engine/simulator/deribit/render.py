"""The exchange's state in Deribit's words: plain dicts, money as Decimal, chart figures as float."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.simulator.accounts import Account, LogEntry, Position, Settlement
from engine.simulator.instruments import Instrument
from engine.simulator.links import LinkKind, Seat
from engine.simulator.margin import NO_EXPOSURE, NO_POSITION, WalletView, liquidation_price, position_margin, unrealised
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Family, Fill, Kind, Order, Side, State, Trade

__all__ = [
    "book_rows",
    "fill_json",
    "instrument_json",
    "log_json",
    "order_json",
    "order_type",
    "position_json",
    "quote_json",
    "settlement_json",
    "summary_json",
    "ticker_json",
    "trade_json",
    "tidy",
]

FAR_FUTURE_MS = 32_503_708_800_000
HOUR_MS = 3_600_000
BOOK_ALL = 10_000

Json = dict[str, Any]


def tidy(value: Decimal, places: int = 4) -> Decimal:
    """Cut the tail that a division leaves."""
    return round(value, places)


def order_type(order: Order) -> str:
    """limit and market, or the conditional kinds: stop_limit, take_market, trailing_stop and so on."""
    if order.trigger is None:
        return "market" if order.kind is Kind.MARKET else "limit"
    if order.trigger.family is Family.TRAILING:
        return "trailing_stop"
    return f"{order.trigger.family.value}_{'limit' if order.kind is Kind.LIMIT else 'market'}"


def order_json(order: Order, instrument: Instrument, user_id: int) -> Json:
    row: Json = {
        "order_id": order.order_id,
        "order_state": order.state.value,
        "order_type": order_type(order),
        "time_in_force": order.lifetime.value,
        "instrument_name": order.instrument,
        "direction": order.side.value,
        "amount": order.amount,
        "contracts": order.amount / instrument.contract_size,
        "price": "market_price" if order.price is None else order.price,
        "label": order.label,
        "post_only": order.post_only,
        "reduce_only": order.reduce_only,
        "api": True,
        "web": False,
        "mmp": False,
        "replaced": order.replaced,
        "risk_reducing": False,
        "is_liquidation": order.is_liquidation,
        "creation_timestamp": order.created_ms,
        "last_update_timestamp": order.updated_ms,
        "user_id": user_id,
    }
    if order.trigger is None:
        row["filled_amount"] = order.filled
        row["average_price"] = tidy(instrument.average_price(order.filled, order.cost))
    if order.kind is not Kind.LIMIT:
        row["original_order_type"] = order.kind.value
    if order.post_only:
        row["reject_post_only"] = order.reject_post_only
    if order.display_amount is not None:
        row["display_amount"] = order.display_amount
        row["refresh_amount"] = order.display_amount
    if order.cancel_reason is not None:
        row["cancel_reason"] = order.cancel_reason
    if order.trigger_order_id is not None:
        row["trigger_order_id"] = order.trigger_order_id
        row["triggered"] = True
    if order.trigger is not None:
        _add_trigger(row, order)
    if isinstance(order.seat, Seat):
        _add_links(row, order, order.seat)
    return row


def _add_links(row: Json, order: Order, seat: Seat) -> None:
    row["trigger_fill_condition"] = seat.set.condition.value
    if seat.set.rivals(seat):
        row["oco_ref"] = seat.set.reference
    if seat is seat.set.primary and seat.set.kind is LinkKind.OTOCO:
        row["is_primary_otoco"] = True
    waiting = [other.slot.order_id for other in seat.set.releases(seat) if other.slot is not None]
    if waiting:
        row["oto_order_ids"] = waiting
    if seat.is_secondary:
        row["is_secondary_oto"] = True
        primary = seat.set.primary.order if seat.set.primary is not None else None
        if primary is not None and not order.waits:
            row["primary_order_id"] = primary.order_id


def _add_trigger(row: Json, order: Order) -> None:
    trigger = order.trigger
    assert trigger is not None, "called for conditional orders"
    row["trigger"] = trigger.reference.value
    row["trigger_price"] = trigger.price
    row["triggered"] = order.state in (State.TRIGGERED, State.REJECTED)
    if trigger.offset is not None:
        row["trigger_offset"] = trigger.offset


def trade_json(trade: Trade, instrument: Instrument) -> Json:
    row: Json = {
        "trade_id": trade.trade_id,
        "trade_seq": trade.seq,
        "instrument_name": trade.instrument,
        "timestamp": trade.at_ms,
        "direction": trade.side.value,
        "tick_direction": trade.tick_direction,
        "price": trade.price,
        "mark_price": trade.mark,
        "index_price": trade.index,
        "amount": trade.amount,
        "contracts": trade.amount / instrument.contract_size,
    }
    if trade.liquidation is not None:
        row["liquidation"] = trade.liquidation
    return row


def fill_json(fill: Fill, instrument: Instrument, user_id: int) -> Json:
    row = trade_json(fill.trade, instrument)
    row |= {
        "direction": fill.side.value,
        "order_id": fill.order_id,
        "order_type": "liquidation" if fill.is_liquidation else "market" if fill.kind is Kind.MARKET else "limit",
        "state": fill.state.value,
        "fee": fill.fee,
        "fee_currency": fill.fee_currency,
        "liquidity": "M" if fill.maker else "T",
        "matching_id": None,
        "self_trade": False,
        "reduce_only": fill.reduce_only,
        "post_only": fill.post_only,
        "mmp": False,
        "api": True,
        "risk_reducing": False,
        "profit_loss": fill.profit,
        "user_id": user_id,
    }
    if fill.label:
        row["label"] = fill.label
    return row


def instrument_json(instrument: Instrument, number: int, state: str) -> Json:
    dated = instrument.expires_ms is not None
    return {
        "instrument_name": instrument.name,
        "instrument_id": number,
        "kind": "future",
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "counter_currency": instrument.quote,
        "settlement_currency": instrument.settlement,
        "settlement_period": "month" if dated else "perpetual",
        "instrument_type": "reversed" if instrument.inverse else "linear",
        "future_type": "reversed" if instrument.inverse else "linear",
        "is_active": state == "open",
        "state": state if state == "open" else "delivered",
        "creation_timestamp": instrument.created_ms,
        "expiration_timestamp": instrument.expires_ms if dated else FAR_FUTURE_MS,
        "tick_size": instrument.tick,
        "tick_size_steps": [],
        "contract_size": instrument.contract_size,
        "min_trade_amount": instrument.min_amount,
        "maker_commission": instrument.maker_rate,
        "taker_commission": instrument.taker_rate,
        "max_liquidation_commission": instrument.liquidation_rate,
        "max_leverage": instrument.max_leverage,
        "block_trade_commission": Decimal("0.0003"),
        "block_trade_min_trade_amount": 200_000 if instrument.inverse else 25,
        "block_trade_tick_size": Decimal("0.01"),
        "price_index": instrument.index,
    }


def quote_json(market: Market) -> Json:
    """The best prices; null where a side is empty."""
    bid, ask = market.book.bids.best(), market.book.asks.best()
    return {
        "best_bid_price": bid.price if bid else None,
        "best_bid_amount": bid.visible if bid else ZERO,
        "best_ask_price": ask.price if ask else None,
        "best_ask_amount": ask.visible if ask else ZERO,
    }


def ticker_json(market: Market, now_ms: int) -> Json:
    instrument, day, last = market.instrument, market.tape.day(now_ms), market.tape.last
    row: Json = {
        "timestamp": now_ms,
        "instrument_name": instrument.name,
        "state": market.state,
        "stats": {
            "high": day.high,
            "low": day.low,
            "price_change": round((float(last or market.mark) / day.open - 1) * 100, 4),
            "volume": round(day.volume, 8),
            "volume_usd": round(day.cost, 2),
            "volume_notional": round(day.cost, 2),
        },
        **quote_json(market),
        "last_price": last,
        "mark_price": market.mark,
        "index_price": market.index,
        "settlement_price": market.settlement_price,
        "min_price": market.min_price,
        "max_price": market.max_price,
        "open_interest": market.open_interest,
        "estimated_delivery_price": market.index,
    }
    if market.delivery_price is not None:
        row["delivery_price"] = market.delivery_price
    if market.funding is not None:
        row["current_funding"] = market.funding.rate
        row["funding_8h"] = round(market.funding.interest(now_ms - 8 * HOUR_MS, now_ms), 8)
        row["interest_value"] = market.funding.rate
    return row


def book_rows(market: Market, side: Side, depth: int = BOOK_ALL) -> list[list[Decimal]]:
    return [[price, amount] for price, amount in market.book.depth(side, depth)]


def position_json(account: Account, market: Market, markets: Mapping[str, Market]) -> Json:
    instrument = market.instrument
    position = account.positions.get(instrument.name, NO_POSITION)
    exposure = account.exposures.get(instrument.name, NO_EXPOSURE)
    margin = position_margin(market, position.size, exposure.buys, exposure.sells)
    money = instrument.money
    floating = unrealised(market, position)
    liquidation = liquidation_price(account, market, markets)
    row: Json = {
        "instrument_name": instrument.name,
        "kind": "future",
        "direction": "zero" if not position.size else "buy" if position.size > 0 else "sell",
        "size": position.size,
        "size_currency": tidy(instrument.coins(position.size, market.mark), 8),
        "average_price": tidy(instrument.average_price(position.size, position.entry_cost)),
        "mark_price": market.mark,
        "index_price": market.index,
        "settlement_price": market.settlement_price,
        "delta": tidy(instrument.coins(position.size, market.mark), 8),
        "initial_margin": money(margin.initial),
        "maintenance_margin": money(margin.maintenance),
        "open_orders_margin": money(margin.orders),
        "floating_profit_loss": money(floating),
        "realized_profit_loss": money(position.realised),
        "total_profit_loss": money(_total_profit(market, position)),
        "leverage": instrument.max_leverage,
        "estimated_liquidation_price": None if liquidation is None else tidy(liquidation, 2),
    }
    if instrument.perpetual:
        row["realized_funding"] = money(position.funding)
        row["interest_value"] = market.funding.rate if market.funding is not None else ZERO
    return row


def _total_profit(market: Market, position: Position) -> Decimal:
    """Since the position was opened, whatever was settled meanwhile."""
    if not position.size:
        return ZERO
    return market.instrument.worth(position.size, market.mark) - position.entry_cost


def log_json(entry: LogEntry, username: str, user_id: int) -> Json:
    """A row of the transaction log; trade rows carry the fill."""
    row: Json = {
        "id": entry.entry_id,
        "user_seq": entry.entry_id,
        "user_id": user_id,
        "username": username,
        "timestamp": entry.at_ms,
        "currency": entry.currency,
        "type": entry.kind,
        "change": entry.change,
        "balance": entry.balance,
        "cashflow": entry.cashflow,
        "commission": entry.commission,
        "equity": entry.balance + entry.session_profit,
        "info": {},
    }
    if entry.instrument is not None:
        row |= {
            "instrument_name": entry.instrument,
            "position": entry.position,
            "mark_price": entry.mark,
            "index_price": entry.index,
            "interest_pl": entry.interest,
            "total_interest_pl": entry.interest,
            "session_rpl": entry.session_profit,
        }
    if entry.fill is not None:
        fill = entry.fill
        row |= {
            "side": f"{'open' if not fill.profit else 'close'} {fill.side.value}",
            "amount": fill.trade.amount,
            "price": fill.trade.price,
            "trade_id": fill.trade.trade_id,
            "order_id": fill.order_id,
            "user_role": "maker" if fill.maker else "taker",
            "fee_role": "maker" if fill.maker else "taker",
        }
    return row


def settlement_json(row: Settlement) -> Json:
    return {
        "type": row.kind,
        "timestamp": row.at_ms,
        "instrument_name": row.instrument,
        "position": row.position,
        "profit_loss": row.profit,
        "session_profit_loss": row.session_profit,
        "funding": row.funding,
        "mark_price": row.mark,
        "index_price": row.index,
    }


def summary_json(standing: WalletView, money_places: int, deltas: dict[str, Decimal]) -> Json:
    """One currency of an account, as in get_account_summary and user.portfolio."""

    def money(value: Decimal) -> Decimal:
        return round(value, money_places)

    free = money(standing.available)
    return {
        "currency": standing.currency,
        "balance": money(standing.balance),
        "equity": money(standing.equity),
        "margin_balance": money(standing.equity),
        "available_funds": free,
        "available_withdrawal_funds": max(ZERO, min(free, money(standing.balance))),
        "initial_margin": money(standing.initial_margin),
        "maintenance_margin": money(standing.maintenance_margin),
        "projected_initial_margin": money(standing.initial_margin),
        "projected_maintenance_margin": money(standing.maintenance_margin),
        "total_pl": money(standing.total_profit),
        "session_upl": money(standing.session_unrealised),
        "session_rpl": money(standing.session_realised),
        "futures_pl": money(standing.total_profit),
        "futures_session_upl": money(standing.session_unrealised),
        "futures_session_rpl": money(standing.session_realised),
        "options_value": ZERO,
        "options_pl": ZERO,
        "options_session_upl": ZERO,
        "options_session_rpl": ZERO,
        "options_delta": ZERO,
        "options_gamma": ZERO,
        "options_theta": ZERO,
        "options_vega": ZERO,
        "delta_total": tidy(standing.delta, 8),
        "delta_total_map": {index: tidy(delta, 8) for index, delta in deltas.items()},
        "spot_reserve": ZERO,
        "additional_reserve": ZERO,
        "locked_balance": ZERO,
        "fee_balance": ZERO,
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "estimated_liquidation_ratio": _ratio(standing),
        "estimated_liquidation_ratio_map": {},
    }


def _ratio(standing: WalletView) -> Decimal:
    """How much of the equity maintenance margin takes; 1 means liquidation."""
    if standing.equity <= 0 or not standing.maintenance_margin:
        return ZERO
    return tidy(standing.maintenance_margin / standing.equity, 6)
