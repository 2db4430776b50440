"""Methods that show what positions are made of, and book what a person knows of them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from actors.admin._desk import Accounts, Desk, Limit, Method, Text
from actors.admin._look import DEFAULT_LIMIT, Listing
from engine.model import PositionSide, RecordType

Record = dict[str, Any]
Moment = datetime | int


class Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of positions, newest first; `cursor` is the `next` of the page before."""

    account: Text = ""
    instrument: Text = ""
    start_time: Moment | None = None
    end_time: Moment | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Text = ""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures of those changes, in periods of `period_s`."""

    account: Text = ""
    instrument: Text = ""
    start_time: Moment | None = None
    end_time: Moment | None = None
    period_s: float = 86_400.0


class Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is held, as a person knows it; `note` says why. The same `request_key` again books nothing."""

    instrument: Text
    note: Text
    amount: Decimal
    price: Decimal | None = None
    type: RecordType = RecordType.ADJUSTMENT
    account: Text = ""
    side: PositionSide = PositionSide.NET
    request_key: Text = ""


async def current(desk: Desk, params: Accounts) -> Listing[Record]:
    return Listing(await desk.trading.get_current_positions(params.account), more=False)


async def records(desk: Desk, params: Records) -> Record:
    page = await desk.trading.get_position_records(
        params.account,
        params.instrument,
        params.start_time,
        params.end_time,
        include_history=True,
        limit=params.limit,
        cursor=params.cursor,
    )
    return {"records": page["records"], "next": page["next"]}


async def statistics(desk: Desk, params: Figures) -> Record:
    return await desk.trading.calculate_position_statistics(
        params.account,
        instrument_name=params.instrument,
        start_time=params.start_time,
        end_time=params.end_time,
        period_s=params.period_s,
    )


async def state(desk: Desk, params: Stated) -> Listing[Record]:
    said = {
        "instrument_name": params.instrument,
        "account_id": params.account,
        "avg_price": params.price,
        "request_key": params.request_key,
    }
    booked = await desk.trading.record_position_change(
        said, type=params.type, amount=params.amount, side=params.side, note=params.note
    )
    return Listing(booked, more=False)


METHODS = {
    "position.current": Method(Accounts, current),
    "position.records": Method(Records, records),
    "position.statistics": Method(Figures, statistics),
    "position.state": Method(Stated, state),
}
