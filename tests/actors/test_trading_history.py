"""The history: the same orders in the same order, whatever the filters, the pages and the changes in between."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from actors.trading import STATUS, AdvancedOrderError, order_record, status_of
from actors.trading import history as rooms
from actors.trading.history import filters_of, page_of, records_of
from actors.trading.statistics import statistics_of
from engine.model import Link, LinkKind, OrderState, Side
from tests.support.stores import EPOCH_MS, fill, open_store, order, put, put_fill

VENUE = "deribit"


def some(count, seed=1):
    """Orders of all states, several in a millisecond."""
    draw = random.Random(seed)
    return [
        order(
            number,
            draw.choice(list(OrderState)),
            at_ms=EPOCH_MS + number // 7,
            strategy=draw.choice("ab"),
            side=draw.choice(list(Side)),
            account=draw.choice(["deribit:main", "deribit:other"]),
            instrument=draw.choice(["deribit:BTC-PERPETUAL", "deribit:ETH-PERPETUAL"]),
        )
        for number in range(1, count + 1)
    ]


async def all_of(store, **filters):
    found, cursor = [], ""
    while True:
        page = await page_of(store, filters_of({**filters, "cursor": cursor}, VENUE))
        found += page.orders
        cursor = page.next
        if not cursor:
            return found


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_pages_hold_every_order_that_passes_once_newest_first(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(rooms, "PER_TURN", 16)
    with open_store(tmp_path / "store") as store:
        made = some(300)
        store.commit([put(one) for one in made])
        newest = made[::-1]
        for filters, wanted in (
            ({}, newest),
            ({"strategy": "a"}, [o for o in newest if o.strategy == "a"]),
            ({"account_id": "main"}, [o for o in newest if o.account == "deribit:main"]),
            ({"direction": "sell"}, [o for o in newest if o.side is Side.SELL]),
            ({"instrument_name": "ETH-PERPETUAL"}, [o for o in newest if o.instrument.endswith("ETH-PERPETUAL")]),
            ({"status": ["filled", "open"]}, [o for o in newest if o.state in ("filled", "open")]),
            (
                {"start_time": EPOCH_MS + 5, "end_time": EPOCH_MS + 20},
                [o for o in newest if EPOCH_MS + 5 <= o.created_at_ms < EPOCH_MS + 20],
            ),
        ):
            assert await all_of(store, limit=limit, **filters) == wanted


async def test_a_page_that_found_too_little_says_where_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "MAX_LOOKED_AT", 100)
    with open_store(tmp_path / "store") as store:
        store.commit([put(one) for one in some(300)] + [put(order(1, OrderState.FILLED, strategy="rare"))])
        first = await page_of(store, filters_of({"strategy": "rare"}, VENUE))
        assert (first.orders, bool(first.next)) == ([], True)
        assert [one.order_id for one in await all_of(store, strategy="rare")] == ["testnode-1"]


async def test_an_order_that_changes_between_two_pages_is_neither_missed_nor_shown_twice(tmp_path):
    with open_store(tmp_path / "store") as store:
        made = some(60)
        store.commit([put(one) for one in made])
        seen, cursor, draw = [], "", random.Random(3)
        while True:
            page = await page_of(store, filters_of({"limit": 7, "cursor": cursor}, VENUE))
            seen += [one.order_id for one in page.orders]
            cursor = page.next
            if not cursor:
                break
            store.commit([put(order(n, draw.choice(list(OrderState)), at_ms=EPOCH_MS + n // 7)) for n in range(1, 61)])
        assert seen == [one.order_id for one in reversed(made)]


async def test_orders_of_a_plan_and_of_a_set_are_found(tmp_path):
    with open_store(tmp_path / "store") as store:
        link = Link(group="g1", kind=LinkKind.OCO)
        store.commit([put(order(1, plan="p1")), put(order(2, link=link)), put(order(3))])
        assert [one.order_id for one in await all_of(store, plan="p1")] == ["testnode-1"]
        assert [one.order_id for one in await all_of(store, group="g1")] == ["testnode-2"]


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"statsu": "open"}, "statsu"),
        ({"limit": 0}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"start_time": datetime(2026, 1, 1)}, "start_time"),  # noqa: DTZ001 - without a zone on purpose
        ({"end_time": -5}, "end_time"),
        ({"direction": "up"}, "direction"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_named(filters, field):
    with pytest.raises(AdvancedOrderError) as caught:
        filters_of(filters, VENUE)
    assert caught.value.field == field


async def test_a_record_has_the_documented_names_with_exact_figures_and_utc_times(tmp_path):
    with open_store(tmp_path / "store") as store:
        made = order(1, OrderState.OPEN, filled_amount=Decimal("1E+0"), average_price=Decimal("50000.10"))
        store.commit(
            [put(made), put_fill(fill(1, made, at_ms=EPOCH_MS + 5)), put_fill(fill(2, made, at_ms=EPOCH_MS + 9))]
        )
        [record] = await records_of(store, [made])
    assert list(record)[:17] == [
        *("id", "order_id", "account_id", "instrument_name", "amount", "direction", "order_type", "price", "status"),
        *("created_at", "updated_at", "executed_at", "filled_amount", "avg_price", "priority", "conditions"),
        "metadata",
    ]
    assert (record["status"], str(record["avg_price"]), str(record["filled_amount"])) == (
        "partially_filled",
        "50000.1",
        "1",
    )
    assert record["executed_at"] == datetime.fromtimestamp((EPOCH_MS + 9) / 1000, UTC)
    assert order_record(order(2))["executed_at"] is None


def test_every_state_has_a_public_name_and_waiting_says_for_what():
    assert {status_of(order(1, state)) for state in OrderState} == set(STATUS.values())
    assert status_of(order(1, review="why")) == "review"
    assert status_of(order(1, OrderState.FILLED, review="why")) == "filled"
    waiting = order(1, link=Link(group="g", kind=LinkKind.OTO, after="testnode-9"))
    assert status_of(waiting) == "untriggered"
    assert status_of(order(1, met_at_ms=5)) == "triggered"


async def test_statistics_count_what_the_venue_took_what_it_never_had_and_how_long_it_took(tmp_path):
    with open_store(tmp_path / "store") as store:
        done = [
            order(n, OrderState.FILLED, attempt=n, opened_at_ms=EPOCH_MS + n * 1000, instrument=f"deribit:{n % 2}")
            for n in (1, 2, 3)
        ]
        never = [order(4, OrderState.REJECTED), order(5, OrderState.EXPIRED), order(6), order(7, OrderState.CANCELLED)]
        store.commit([put(one) for one in done + never])
        figures = await statistics_of(store, filters_of({}, VENUE), 60.0)
        none = await statistics_of(store, filters_of({"strategy": "nobody"}, VENUE), 60.0)
    assert (figures["orders"], figures["orders_processed"], figures["orders_failed"]) == (7, 3, 2)
    assert (figures["success_rate"], figures["avg_processing_time"], figures["retry_count"]) == (3 / 5, 2.0, 3)
    assert figures["by_status"] == {"cancelled": 1, "created": 1, "expired": 1, "filled": 3, "rejected": 1}
    assert figures["by_instrument"]["deribit:1"]["orders_processed"] == 2
    assert [row["orders"] for row in figures["by_period"]] == [7]
    assert figures["complete"]
    assert (none["orders"], none["success_rate"], none["avg_processing_time"]) == (0, 0.0, 0.0)


async def test_statistics_of_more_orders_than_may_be_looked_at_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "MAX_LOOKED_AT", 100)
    with open_store(tmp_path / "store") as store:
        store.commit([put(one) for one in some(300)])
        figures = await statistics_of(store, filters_of({}, VENUE), 60.0)
    assert (figures["orders"], figures["complete"]) == (100, False)
