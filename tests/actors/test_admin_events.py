"""Subscriptions: nothing journalled is missed or repeated, nothing is queued without end."""

import msgspec
import pytest
import trio

from actors._jsonrpc import RpcError
from actors.admin import AdminSettings
from actors.admin._journal_pump import JournalPump
from actors.recorder import StoreUsage
from engine.model import DataClass, OrderState
from engine.store import Commit, Delete, Put
from engine.venues.base import Applied
from tests.support.faces import ACCOUNT, INSTRUMENT, faces, position
from tests.support.kernel import eventually
from tests.support.stores import fill, notice, order

T = 10.0


async def subscribe(client, *topics, **params):
    return await client.call("subscribe", {"topics": topics, **params}, timeout_s=T)


async def events(client, count):
    return [await client.next_event(timeout_s=T) for _ in range(count)]


async def silence(client):
    with pytest.raises(trio.TooSlowError):
        await client.next_event(timeout_s=0.2)


async def test_each_changed_row_is_an_event_of_its_topic_with_the_journals_number(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        made, held, told = order(1, state=OrderState.OPEN), position("3"), notice(1)
        done = fill(1, made)
        topics = ("order", "fill", "position", "balance", "gate", "notice", "actor")
        subscribed = await subscribe(client, *topics)
        [seq] = await rig.record(
            Commit(
                "order.filled",
                (
                    Put("orders", made.order_id, made),
                    Put("fills", done.key, done),
                    Put("positions", held.key, held),
                    Put("notices", told.notice_id, told),
                ),
            )
        )
        assert subscribed == {"subscription": "s1", "seq": seq - 1}
        got = await events(client, 4)
        assert [(event.topic, event.seq, event.subscription) for event in got] == [
            ("order", seq, "s1"),
            ("fill", seq, "s1"),
            ("position", seq, "s1"),
            ("notice", seq, "s1"),
        ]
        assert got[0].data["state"] == "open"
        assert got[2].data["amount"] == "3"
        await rig.record(Commit("position.gone", (Delete("positions", held.key),)))
        await client.call("pause", timeout_s=T)
        await rig.record(Commit("actor.parked", note="root/x is down", actor="root/x"))
        gone, gate, actor = await events(client, 3)
        assert gone.data == {"deleted": held.key}
        assert (gate.topic, gate.data["account"], gate.data["gate"]["state"]) == ("gate", ACCOUNT, "halted")
        assert actor.data == {"kind": "actor.parked", "actor": "root/x", "note": "root/x is down"}


async def test_topics_not_asked_for_do_not_come(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "fill")
        await rig.store_orders(1)
        await silence(client)


async def test_replay_then_live_is_every_entry_once_and_in_order(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(*range(1, 301))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.store_orders, *range(301, 501))
            subscribed = await subscribe(client, "order", from_seq=1)
            for number in range(501, 601):
                await rig.store_orders(number)
        got = await events(client, 600)
        assert subscribed["seq"] >= 300
        seqs = [event.seq for event in got]
        assert seqs == sorted(set(seqs))
        assert sorted(int(event.data["order_id"].rpartition("-")[2]) for event in got) == list(range(1, 601))
        await silence(client)


async def test_a_client_that_was_away_gets_exactly_what_it_missed(tmp_path):
    async with faces(tmp_path) as rig:
        async with rig.client() as client:
            seen = (await subscribe(client, "order"))["seq"]
            await rig.store_orders(1, 2)
            seen = (await events(client, 2))[-1].seq
        await rig.store_orders(3, 4)
        async with rig.client() as client:
            await subscribe(client, "order", from_seq=seen + 1)
            assert [event.data["order_id"] for event in await events(client, 2)] == ["testnode-3", "testnode-4"]
            await silence(client)


async def test_a_replay_of_what_is_not_there_is_refused(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        with pytest.raises(RpcError) as caught:
            await subscribe(client, "order", from_seq=1000)
        assert caught.value.data.code == "SEQ_GONE"


async def test_a_subscriber_that_falls_behind_is_told_where_to_go_on_and_let_go(tmp_path):
    settings = AdminSettings(max_lag=2000, write_deadline_s=60)
    async with faces(tmp_path, admin=settings) as rig, rig.client() as lazy, rig.client() as keen:
        await subscribe(lazy, "order")
        await subscribe(keen, "order")
        await trio.sleep(0.05)
        got = []
        for first in range(1, 6001, 500):
            await rig.store_orders(*range(first, first + 500))
            got += await events(keen, 500)
        assert len(got) == 6000
        events_of_lazy = []
        while True:
            event = await lazy.next_event(timeout_s=T)
            if event.topic == "lagged":
                break
            events_of_lazy.append(event.seq)
        assert len(events_of_lazy) < 6000
        assert event.data["from_seq"] == events_of_lazy[-1] + 1
        await rig.store_orders(7000)
        await silence(lazy)
        await subscribe(lazy, "order", from_seq=event.data["from_seq"])
        assert (await lazy.next_event(timeout_s=T)).seq == event.data["from_seq"]


async def test_after_unsubscribing_nothing_comes(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        name = (await subscribe(client, "order"))["subscription"]
        await client.call("unsubscribe", {"subscription": name}, timeout_s=T)
        await rig.store_orders(1)
        await silence(client)
        with pytest.raises(RpcError) as caught:
            await client.call("unsubscribe", {"subscription": name}, timeout_s=T)
        assert caught.value.data.code == "SUBSCRIPTION_UNKNOWN"


async def test_subscriptions_of_a_connection_are_limited_and_topics_checked(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        for params in ({"topics": []}, {"topics": ["nothing"]}, {"topics": ["order"], "from_seq": -1}):
            with pytest.raises(RpcError) as caught:
                await client.call("subscribe", params, timeout_s=T)
            assert caught.value.number == -32602
        for _ in range(16):
            await subscribe(client, "order")
        with pytest.raises(RpcError) as caught:
            await subscribe(client, "order")
        assert caught.value.data.code == "TOO_MANY"


async def test_events_go_on_after_the_admin_and_the_feed_were_restarted(tmp_path):
    async with faces(tmp_path) as rig:
        rig.parts.system.kill("root/admin")
        await eventually(lambda: rig.parts.system.tree().find("root/admin").incarnation == 2)
        await eventually(lambda: rig.parts.system.tree().find("root/admin").state.value == "running")
        async with rig.client() as client:
            await subscribe(client, "order")
            await rig.store_orders(1)
            assert (await client.next_event(timeout_s=T)).data["order_id"] == "testnode-1"


async def test_a_store_that_fills_up_is_news_to_people(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "notice")
        usage = msgspec.structs.replace(rig.parts.store.usage(), used_bytes=80, capacity_bytes=100)
        rig.parts.system.address("root/admin").tell(StoreUsage(usage, alarm=True, gate_closed=True))
        event = await client.next_event(timeout_s=T)
        assert (event.data["kind"], event.data["severity"]) == ("store.usage", "emergency")
        assert "80%" in event.data["text"]


async def test_market_topics_carry_the_state_of_now(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "book", "trade", "bar", "mark", instruments=["X-PERPETUAL"])
        await trio.sleep(0.05)
        assert await rig.move(Applied.BOOK | Applied.TRADES | Applied.BARS | Applied.TICKER) == 1
        book, mark, trade, bar = await events(client, 4)
        assert (book.topic, book.seq, book.data["bids"][0]) == ("book", None, [99.0, 5.0])
        assert mark.data["mark"] == 100.0
        assert [row["trade_seq"] for row in trade.data["trades"]] == [1]
        assert (bar.data["instrument"], bar.data["interval"], bar.data["close"]) == (INSTRUMENT, "1m", 1.5)


async def test_a_burst_of_books_is_one_event_and_trades_are_all_there(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "book", "trade")
        await trio.sleep(0.05)
        await rig.move(Applied.TRADES)
        assert (await client.next_event(timeout_s=T)).data["trades"][0]["trade_seq"] == 1
        for seq in range(2, 52):
            rig.market.trades.add(time_ms=seq, price=100.0 + seq, amount=1.0, taker_side=-1, trade_seq=seq)
            await rig.move(Applied.BOOK | Applied.TRADES)
        got = [await client.next_event(timeout_s=T)]
        while sum(len(e.data["trades"]) for e in got if e.topic == "trade") < 50:
            got += await events(client, 1)
        trades = [row for event in got if event.topic == "trade" for row in event.data["trades"]]
        assert [row["trade_seq"] for row in trades] == list(range(2, 52))
        assert {row["side"] for row in trades} == {"sell"}
        assert sum(event.topic == "book" for event in got) < 10
        assert all(event.data["missed"] == 0 for event in got if event.topic == "trade")


async def test_a_bar_that_did_not_change_is_not_sent_again(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "bar")
        await trio.sleep(0.05)
        await rig.move(Applied.BARS)
        await client.next_event(timeout_s=T)
        await rig.move(Applied.BARS)
        await silence(client)
        rig.market.bars["1m"].upsert((60_000.0, 1.0, 3.0, 0.5, 2.5, 12.0, 100.0, 7.0, 6.0, 50.0))
        rig.market.bars["1m"].upsert((120_000.0, 2.5, 3.0, 2.5, 2.6, 1.0, 3.0, 2.0, 1.0, 1.5))
        await rig.move(Applied.BARS)
        closed, opened = await events(client, 2)
        assert (closed.data["open_ms"], closed.data["close"]) == (60_000, 2.5)
        assert opened.data["open_ms"] == 120_000


async def test_a_feed_is_told_what_is_wanted_and_when_nobody_is_left(tmp_path):
    async with faces(tmp_path) as rig:
        async with rig.client() as client:
            await subscribe(client, "book")
            await trio.sleep(0.05)
            assert await rig.move(Applied.TRADES) == 0
            assert await rig.move(Applied.BOOK) == 1
        await trio.sleep(0.05)
        assert await rig.move(Applied.BOOK) == 0


async def test_a_feed_that_becomes_stale_is_an_event(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await subscribe(client, "feed")
        await client.call("status", timeout_s=T)  # the subscription has begun
        rig.market.fresh[DataClass.BOOK].updated_s = float("-inf")
        event = await client.next_event(timeout_s=T)
        assert (event.topic, event.data["classes"]["book"]["stale"]) == ("feed", True)


async def test_market_topics_of_an_instrument_nobody_follows_are_refused(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        with pytest.raises(RpcError) as caught:
            await subscribe(client, "book", instruments=["sim:NOTHING"])
        assert caught.value.data.field == "instruments"


async def test_a_subscriber_whose_next_entry_left_the_journal_is_told_what_is_left(tmp_path):
    """Retention may be faster than a replay; a hole must never pass for the whole."""
    async with faces(tmp_path) as rig:
        await rig.store_orders(*range(1, 6))
        lines = []
        store = Pruned(rig.parts.store, first_seq=4)

        async def put(line):
            lines.append(msgspec.json.decode(line)["params"])

        with trio.fail_after(T):
            await JournalPump("s1", frozenset({"order"}), store, put, next_seq=2, max_lag=10).run()
        assert [(event["topic"], event["data"]["from_seq"]) for event in lines] == [("lagged", 2)]
        assert lines[0]["data"]["first_seq"] == 4


class Pruned:
    """A store whose older entries are gone."""

    def __init__(self, store, first_seq):
        self._store = store
        self.first_seq = first_seq

    @property
    def last_seq(self):
        return self._store.last_seq

    def journal(self, from_seq, limit):
        return self._store.journal(max(from_seq, self.first_seq), limit)
