"""The venue's objects → the model's: orders and fills. Every figure passes the model's own checks."""

import msgspec

from engine.model import (
    ZERO,
    Fill,
    Liquidity,
    OrderReport,
    OrderState,
    Side,
    instrument_id,
    order_id_of,
    positive,
)
from engine.venues.binance_usdm.account_wire import (
    AlgoData,
    AlgoEventData,
    OrderData,
    OrderEventData,
    UserTradeData,
)
from engine.venues.binance_usdm.holdings import HoldingsView, position_side
from engine.venues.binance_usdm.memory import Condition
from engine.venues.decoding import WireError
from engine.venues.figures import checking, not_negative, some

_STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.OPEN,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
_CONDITION_STATES = {
    "NEW": OrderState.OPEN,
    "TRIGGERING": OrderState.OPEN,
    "TRIGGERED": OrderState.OPEN,  # the order it became carries on under the same client id
    "FINISHED": OrderState.OPEN,  # likewise: how that order ended is its own to say
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}
SPENT = frozenset({"TRIGGERING", "TRIGGERED", "FINISHED"})
_WHY = {
    "1": "self-trade prevention",
    "2": "the rest of an immediate-or-cancel order",
    "3": "the rest of an immediate-or-cancel order, by self-trade prevention",
    "4": "knocked out: it would not reduce the position any more",
    "5": "liquidation",
    "6": "its position was closed",
    "7": "delisting",
    "8": "replaced when its stop was triggered",
    "9": "the rest of a market order",
}


class AccountView(HoldingsView):
    """Maps what the venue says about one account."""

    # ── orders ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @checking
    def report(self, data: OrderData) -> OrderReport:
        at_ms = data.updateTime or data.time
        client_id = self._memory.name(data.symbol, data.orderId, data.clientOrderId)
        self._memory.see(data.symbol, at_ms)
        return OrderReport(
            account=self._account,
            instrument=instrument_id(self._venue, data.symbol),
            client_order_id=client_id,
            venue_order_id=str(data.orderId),
            state=_state(_STATES, data.status),
            side=Side(data.side.lower()),
            amount=positive(data.origQty, "origQty"),
            order_type=data.type.lower(),
            price=some(data.price, "price"),
            filled_amount=not_negative(data.executedQty, "executedQty"),
            average_price=some(data.avgPrice, "avgPrice"),
            triggered=self._memory.is_linked(data.symbol, data.orderId),
            updated_at_ms=at_ms,
        )

    @checking
    def heard(self, data: OrderEventData, at_ms: int) -> OrderReport:
        client_id = self._memory.name(data.s, data.i, data.c)
        self._memory.see(data.s, at_ms)
        return OrderReport(
            account=self._account,
            instrument=instrument_id(self._venue, data.s),
            client_order_id=client_id,
            venue_order_id=str(data.i),
            state=_state(_STATES, data.X),
            side=Side(data.S.lower()),
            amount=positive(data.q, "o.q"),
            order_type=data.o.lower(),
            price=some(data.p, "o.p"),
            filled_amount=not_negative(data.z, "o.z"),
            average_price=some(data.ap, "o.ap"),
            triggered=self._memory.is_linked(data.s, data.i),
            reason=_reason(data),
            updated_at_ms=data.T or at_ms,
        )

    @checking
    def condition(self, data: AlgoData) -> OrderReport:
        became = order_id(data.actualOrderId)
        return self._of_condition(
            OrderReport(
                account=self._account,
                instrument=instrument_id(self._venue, data.symbol),
                client_order_id=data.clientAlgoId,
                venue_order_id=str(data.algoId),
                state=_state(_CONDITION_STATES, data.algoStatus),
                side=Side(data.side.lower()),
                amount=positive(data.quantity, "quantity"),
                order_type=data.orderType.lower(),
                price=some(data.price, "price"),
                triggered=data.algoStatus in SPENT,
                updated_at_ms=data.updateTime or data.createTime,
            ),
            data.symbol,
            became,
        )

    @checking
    def condition_heard(self, data: AlgoEventData, at_ms: int) -> OrderReport:
        return self._of_condition(
            OrderReport(
                account=self._account,
                instrument=instrument_id(self._venue, data.s),
                client_order_id=data.caid,
                venue_order_id=str(data.aid),
                state=_state(_CONDITION_STATES, data.X),
                side=Side(data.S.lower()),
                amount=positive(data.q, "o.q"),
                order_type=data.o.lower(),
                price=some(data.p, "o.p"),
                triggered=data.X in SPENT,
                reason=data.rm or "",
                updated_at_ms=at_ms,
            ),
            data.s,
            order_id(data.ai),
        )

    def _of_condition(self, report: OrderReport, symbol: str, became: int | None) -> OrderReport:
        """Keep the memory of conditional orders in step. The order it became has an id of its own, and the spent
        condition must not put the old one back in its place."""
        client_id = report.client_order_id
        self._memory.see(symbol, report.updated_at_ms)
        if became is not None and client_id:
            self._memory.link(symbol, became, client_id)
        elif report.state is OrderState.OPEN:
            self._memory.await_trigger(client_id, Condition(symbol, report.side, report.amount))
        else:
            self._memory.end_condition(client_id)
        known = self._memory.became(client_id)
        if known is not None and report.state is OrderState.OPEN:
            return msgspec.structs.replace(report, venue_order_id=str(known), triggered=True)
        return report

    # ── fills ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    @checking
    def trade(self, data: UserTradeData, client_id: str) -> Fill:
        self._memory.see(data.symbol, data.time)
        fill = Fill(
            account=self._account,
            instrument=instrument_id(self._venue, data.symbol),
            trade_id=str(data.id),
            order_id=order_id_of(client_id) or "",
            client_order_id=client_id,
            venue_order_id=str(data.orderId),
            side=Side(data.side.lower()),
            position_side=position_side(data.positionSide),
            price=data.price,
            amount=data.qty,
            fee=data.commission,
            fee_currency=data.commissionAsset,
            liquidity=Liquidity.MAKER if data.maker else Liquidity.TAKER,
            filled_at_ms=data.time,
        )
        fill.check()
        return fill

    @checking
    def fill_heard(self, data: OrderEventData, at_ms: int) -> Fill:
        client_id = self._memory.name(data.s, data.i, data.c)
        fill = Fill(
            account=self._account,
            instrument=instrument_id(self._venue, data.s),
            trade_id=str(data.t),
            order_id=order_id_of(client_id) or "",
            client_order_id=client_id,
            venue_order_id=str(data.i),
            side=Side(data.S.lower()),
            position_side=position_side(data.ps),
            price=data.L or ZERO,
            amount=data.l,
            fee=data.n or ZERO,
            fee_currency=data.N or "",
            liquidity=Liquidity.MAKER if data.m else Liquidity.TAKER,
            filled_at_ms=data.T or at_ms,
        )
        fill.check()
        return fill


def order_id(said: int | str | None) -> int | None:
    """The order a conditional one became; nothing, zero and "" are none."""
    if isinstance(said, str):
        return int(said) if said.isascii() and said.isdigit() and int(said) else None
    return said or None


def _state(states: dict[str, OrderState], word: str) -> OrderState:
    state = states.get(word)
    if state is None:
        raise WireError("status", f"one of {', '.join(states)}", repr(word[:40]))
    return state


def _reason(data: OrderEventData) -> str:
    code = str(data.er or "")
    why = _WHY.get(code, "" if code in ("", "0") else f"reason {code}")
    return why or ("liquidation or deleveraging" if data.x == "CALCULATED" else "")
