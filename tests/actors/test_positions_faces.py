"""Positions from the command line and over the admin socket."""

import json
from decimal import Decimal

import msgspec
import pytest
import trio

from actors.admin._positions import Stated
from actors.cli import main
from actors.cli._parser import build
from actors.cli._positions import STATE
from engine.model import Fill, OpenBook, PositionBook, Side
from engine.store import Commit, Put
from tests.support.faces import faces, position
from tests.support.stores import EPOCH_MS

D = Decimal
HELD = position("10")


def booked():
    """Two fills, the second one sold part of the first."""
    book = OpenBook(PositionBook(account=HELD.account, instrument=HELD.instrument, inverse=True, currency="BTC"))
    changes = []
    for number, side, amount, price in ((1, Side.BUY, 30, 50_000), (2, Side.SELL, 20, 40_000)):
        fill = Fill(
            account=HELD.account,
            instrument=HELD.instrument,
            trade_id=f"t{number}",
            order_id="",
            client_order_id="",
            venue_order_id="",
            side=side,
            price=D(price),
            amount=D(amount),
            filled_at_ms=EPOCH_MS + number * 60_000,
        )
        records = book.take_fill(fill, now_ms=EPOCH_MS)
        changes += [Put("position_records", (row.position_key, row.at_ms, row.record_id), row) for row in records]
    return Commit("x", (*changes, Put("position_books", book.book.key, book.book), Put("positions", HELD.key, HELD)))


async def tradenode(rig, *arguments):
    return await trio.to_thread.run_sync(main, ["--dir", str(rig.parts.directory), *arguments])


@pytest.fixture
def said(capsys):
    return lambda: tuple(capsys.readouterr())


async def test_positions_are_still_what_the_venue_says(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.record(booked())
        assert await tradenode(rig, "positions", "--json") == 0
        assert [row["amount"] for row in json.loads(said()[0])] == ["10"]


async def test_books_show_what_the_fills_make_beside_the_venue(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.record(booked())
        assert await tradenode(rig, "positions", "books") == 0
        out, _ = said()
        assert "-0.0001" in out
        assert "at the venue" in out
        assert await tradenode(rig, "positions", "books", "--account", "nobody") == 1


async def test_records_come_in_pages(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.record(booked())
        assert await tradenode(rig, "positions", "records", "--limit", "1", "--json") == 0
        page = json.loads(said()[0])
        assert [row["trade_id"] for row in page["records"]] == ["t2"]
        assert await tradenode(rig, "positions", "records", "--cursor", page["next"]) == 0
        out, err = said()
        assert ("t1" in out, "t2" in out, err) == (True, False, "")
        assert await tradenode(rig, "positions", "records", "--limit", "1") == 0
        assert "there are more" in said()[1]
        assert await tradenode(rig, "positions", "records", "--from", "yesterday") == 2


async def test_statistics_are_shown_by_account_instrument_direction_and_day(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.record(booked())
        assert await tradenode(rig, "positions", "statistics") == 0
        out, _ = said()
        for part in ("all", f"account {HELD.account}", f"instrument {HELD.instrument}", "direction long", "from 2025-"):
            assert part in out
        assert await tradenode(rig, "positions", "statistics", "--json") == 0
        assert json.loads(said()[0])["realised_pnl"] == {"BTC": "-0.0001"}


async def test_the_methods_take_what_they_document_and_name_what_is_wrong(tmp_path):
    async with faces(tmp_path) as rig:
        await rig.record(booked())
        async with rig.client() as client:
            found = await client.call("position.records", {"start_time": EPOCH_MS + 90_000}, timeout_s=5)
            assert [row["trade_id"] for row in found["records"]] == ["t2"]
            (now,) = (await client.call("position.current", timeout_s=5))["items"]
            assert (now["amount"], now["direction"]) == ("10", "long")
            with pytest.raises(Exception, match="note"):
                await client.call(
                    "position.state", {"instrument": HELD.instrument, "amount": "1", "note": " "}, timeout_s=5
                )


def test_what_is_typed_is_what_the_method_takes():
    typed = ["positions", "state", "BTC-PERPETUAL", "-20", "--price", "50000.5", "--side", "short", "--note", "moved"]
    options = build(typed).parse_args([*typed, "--correction", "--request-key", "k"])
    stated = msgspec.convert(STATE.params(options), Stated)
    assert (stated.instrument, stated.amount, stated.price) == ("BTC-PERPETUAL", D(-20), D("50000.5"))
    assert (stated.side, stated.type, stated.note, stated.request_key) == ("short", "correction", "moved", "k")
