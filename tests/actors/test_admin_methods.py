"""What the methods of the admin socket answer."""

from decimal import Decimal

import msgspec
import pytest

from actors._jsonrpc import RpcError
from actors.admin import NAMES
from actors.messages import AmendOrder, CancelAll, CancelOrder, SetGate, SubmitOrder
from engine.model import GateState, OrderState, OrderType, Side
from engine.store import Commit, Put
from tests.support.faces import ACCOUNT, INSTRUMENT, faces, position
from tests.support.stores import fill, notice, order

T = 10.0


async def refusal(client, method, params=None):
    with pytest.raises(RpcError) as caught:
        await client.call(method, params, timeout_s=T)
    return caught.value


async def test_status_has_exactly_the_documented_keys(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(1, 2, state=OrderState.OPEN)
        await rig.store_orders(3, state=OrderState.UNKNOWN)
        await rig.store_orders(4, state=OrderState.FILLED)
        await rig.record(Commit("position.changed", (Put("positions", position("5").key, position("5")),)))
        status = await client.call("status", timeout_s=T)
        assert status.pop("uptime_s") >= 0
        assert status.pop("actors") == 8
        assert status.pop("metrics").pop("notification_success_rate") is None
        assert status == {
            "node": "tester",
            "profile": "demo",
            "mode": "test",
            "gate": "active",
            "restarts": 0,
            "feeds": {"live": 1, "polling": 0, "stale": 0},
            "history": {"loaded": 0, "wanted": 1},
            "orders": {"open": 2, "unknown": 1, "accepted": 4, "filled": 1, "rejected": 0},
            "fills": 0,
            "positions": 1,
            "dead_letters": 0,
            "discrepancies": 0,
        }


async def test_a_feed_is_stale_before_it_is_polling_before_it_is_live(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        rig.market.modes[""] = "polling"
        assert (await client.call("status", timeout_s=T))["feeds"] == {"live": 0, "polling": 1, "stale": 0}
        rig.market.fresh[next(iter(rig.market.fresh))].updated_s = float("-inf")
        assert (await client.call("status", timeout_s=T))["feeds"] == {"live": 0, "polling": 0, "stale": 1}


async def test_orders_are_listed_newest_first_and_live_ones_unless_all_are_wanted(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(1, 3, state=OrderState.OPEN)
        await rig.store_orders(2, state=OrderState.FILLED)

        async def listed(**params):
            answer = await client.call("orders", params, timeout_s=T)
            return [row["order_id"].rpartition("-")[2] for row in answer["items"]], answer["more"]

        assert await listed() == (["3", "1"], False)
        assert await listed(all=True) == (["3", "2", "1"], False)
        assert await listed(all=True, limit=2) == (["3", "2"], True)
        assert await listed(state="filled") == (["2"], False)
        assert await listed(all=True, instrument="X-PERPETUAL", account="main") == (["3", "2", "1"], False)
        assert await listed(all=True, instrument="Y") == ([], False)
        assert await listed(all=True, strategy="none") == ([], False)


async def test_an_order_is_shown_with_its_fills_and_fills_are_listed_newest_first(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(1, state=OrderState.OPEN)
        made = order(1)
        fills = [fill(number, made, at_ms=number) for number in (1, 2)]
        await rig.record(*(Commit("order.filled", (Put("fills", one.key, one),)) for one in fills))
        shown = await client.call("order.show", {"order_id": "testnode-1"}, timeout_s=T)
        assert shown["order"]["state"] == "open"
        assert shown["order"]["price"] == "50000.5"
        assert [row["trade_id"] for row in shown["fills"]] == ["t1", "t2"]
        assert [row["trade_id"] for row in (await client.call("fills", timeout_s=T))["items"]] == ["t2", "t1"]
        of_order = await client.call("fills", {"order_id": "testnode-1", "limit": 1}, timeout_s=T)
        assert ([row["trade_id"] for row in of_order["items"]], of_order["more"]) == (["t1"], True)
        assert (await refusal(client, "order.show", {"order_id": "testnode-9"})).data.code == "ORDER_UNKNOWN"


async def test_positions_without_size_are_hidden_unless_wanted(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        held = [position("0"), position("7", "sim:Y")]
        await rig.record(*(Commit("position.changed", (Put("positions", one.key, one),)) for one in held))
        assert [row["amount"] for row in (await client.call("positions", timeout_s=T))["items"]] == ["7"]
        assert len((await client.call("positions", {"all": True}, timeout_s=T))["items"]) == 2


async def test_notices_are_listed_from_a_severity_up(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.record(Commit("notice.raised", (Put("notices", "n1", notice(1)),)))
        assert [row["notice_id"] for row in (await client.call("notices", timeout_s=T))["items"]] == ["n1"]
        assert (await client.call("notices", {"severity": "error"}, timeout_s=T))["items"] == []


async def test_a_market_carries_source_age_and_staleness_of_every_class(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        seen = await client.call("market.get", {"instrument": "X-PERPETUAL", "depth": 1}, timeout_s=T)
        assert seen["book"]["bids"] == [[99.0, 5.0]]
        assert seen["ticker"]["mark"] == 100.0
        assert seen["bars"]["1m"][0]["close"] == 1.5
        assert seen["summary"]["classes"]["book"]["source"] == "stream"
        assert not seen["summary"]["classes"]["book"]["stale"]
        assert (await refusal(client, "market.get", {"instrument": "Y"})).data.expected.endswith(INSTRUMENT)


async def test_an_order_goes_to_the_venues_account_with_every_figure_exact(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        params = {"instrument": "X-PERPETUAL", "side": "buy", "amount": "0.1", "price": 50000.5}
        assert await client.call("order.submit", params, timeout_s=T) == {"order_id": "testnode-1"}
        [asked] = rig.asked
        assert isinstance(asked, SubmitOrder)
        assert asked.request.instrument == INSTRUMENT
        assert (asked.request.amount, asked.request.price) == (Decimal("0.1"), Decimal("50000.5"))


@pytest.mark.parametrize(
    ("changes", "number", "code", "field"),
    [
        ({"amount": "101"}, -32000, "AMOUNT_LIMIT", "amount"),
        ({"amount": "NaN"}, -32602, "invalid_params", "amount"),
        ({"amount": "1e400"}, -32602, "invalid_params", "amount"),
        ({"amount": "-1"}, -32602, "invalid_params", "amount"),
        ({"price": None}, -32602, "invalid_params", "price"),
        ({"side": "up"}, -32602, "invalid_params", "side"),
        ({"sidee": "buy"}, -32602, "invalid_params", "sidee"),
        ({"instrument": "mars:X"}, -32000, "VENUE_UNKNOWN", "instrument"),
        ({"account": "other"}, -32000, "ACCOUNT_UNKNOWN", "account"),
    ],
)
async def test_a_bad_order_is_refused_with_code_and_field(tmp_path, changes, number, code, field):
    async with faces(tmp_path) as rig, rig.client() as client:
        params = {"instrument": "X-PERPETUAL", "side": "buy", "amount": "1", "price": "5"} | changes
        error = await refusal(client, "order.submit", params)
        assert (error.number, error.data.code, error.data.field) == (number, code, field)
        assert error.data.expected
        assert error.data.got


async def test_cancel_and_amend_find_the_account_of_the_order(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(7, state=OrderState.OPEN)
        await client.call("order.cancel", {"order_id": "testnode-7"}, timeout_s=T)
        await client.call("order.amend", {"order_id": "testnode-7", "price": "5"}, timeout_s=T)
        assert rig.asked == [CancelOrder("testnode-7", "by hand"), AmendOrder("testnode-7", None, Decimal(5))]
        assert (await refusal(client, "order.amend", {"order_id": "testnode-7"})).data.field == "amount"
        assert (await refusal(client, "order.cancel", {"order_id": "../x"})).data.field == "order_id"


async def test_pause_and_resume_move_the_stored_gate(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        for method, params, gate in (
            ("pause", {}, "halted"),
            ("pause", {"reducing": True}, "reducing"),
            ("resume", {}, "active"),
        ):
            assert await client.call(method, params, timeout_s=T) == {"gates": {ACCOUNT: gate}}
            assert (await client.call("status", timeout_s=T))["gate"] == gate


async def test_cancel_all_closes_the_gate_first_unless_it_is_selective(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        assert await client.call("cancel-all", timeout_s=T) == {"cancelled": {ACCOUNT: 3}}
        assert [type(message) for message in rig.asked] == [SetGate, CancelAll]
        rig.asked.clear()
        await client.call("cancel-all", {"instrument": "X-PERPETUAL"}, timeout_s=T)
        [asked] = rig.asked
        assert isinstance(asked, CancelAll)
        assert asked.instrument == INSTRUMENT


async def test_flatten_waits_for_the_cancels_and_closes_what_is_held_reduce_only(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        rig.live.extend([2, 1])
        rig.positions.extend([position("30"), position("-20"), position("0"), position("500")])
        answer = (await client.call("flatten", timeout_s=T))["accounts"][ACCOUNT]
        denial = f"{INSTRUMENT}: AMOUNT_LIMIT: amount: expected at most 100, got 500"
        assert answer == {
            "cancelled": 3,
            "left": 0,
            "synced": True,
            "orders": ["testnode-1", "testnode-1"],
            "denied": [denial],
        }
        assert rig.live == []
        gate, cancel, *closing = rig.asked
        assert isinstance(gate, SetGate)
        assert gate.state is GateState.REDUCING
        assert isinstance(cancel, CancelAll)
        requests = [message.request for message in closing]
        assert [(r.side, r.amount) for r in requests] == [(Side.SELL, 30), (Side.BUY, 20), (Side.SELL, 500)]
        assert all(r.reduce_only and r.order_type is OrderType.MARKET for r in requests)


async def test_a_panic_rung_that_did_not_reach_an_account_is_an_error(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.parts.system.stop_child("root/orders")
        error = await refusal(client, "pause")
        assert error.number == -32002
        assert ACCOUNT in error.message
        assert error.data.code == "incomplete"


async def test_stop_is_passed_to_the_node(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        assert await client.call("stop", {"cancel": True}, timeout_s=T) == {"stopping": True}
        assert rig.stops == [True]


async def test_a_strategy_is_stopped_and_started_by_name(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:

        async def state():
            return {row["name"]: row["state"] for row in (await client.call("strategy.list", timeout_s=T))["items"]}

        assert await state() == {"napper": "running"}
        assert (await refusal(client, "strategy.start", {"name": "napper"})).data.code == "STRATEGY_RUNS"
        await client.call("strategy.stop", {"name": "napper"}, timeout_s=T)
        assert await state() == {"napper": "stopped"}
        await client.call("strategy.start", {"name": "napper"}, timeout_s=T)
        assert await state() == {"napper": "running"}
        assert (await refusal(client, "strategy.stop", {"name": "nobody"})).data.code == "STRATEGY_UNKNOWN"


async def test_config_show_hides_secrets(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        shown = await client.call("config.show", timeout_s=T)
        assert shown["name"] == "tester"
        assert "do-not-show" not in msgspec.json.encode(shown).decode()


async def test_notify_test_reports_every_channel(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        answer = await client.call("notify.test", timeout_s=T)
        assert answer["items"] == [{"channel": "log", "ok": True, "error": ""}]


async def test_verify_and_backup_work_while_the_node_writes(tmp_path):
    async with faces(tmp_path / "node") as rig, rig.client() as client:
        await rig.store_orders(1, 2)
        report = await client.call("verify", timeout_s=60)
        assert report["ok"]
        assert report["rows"]["orders"] == 2
        copy = tmp_path / "copy"
        await client.call("backup", {"dest": str(copy)}, timeout_s=60)
        assert (copy / "data.mdb").is_file()
        assert (await refusal(client, "backup", {"dest": "relative"})).data.field == "dest"


async def test_an_unknown_method_names_those_that_sound_like_it(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        error = await refusal(client, "order.submti")
        assert error.number == -32601
        assert "order.submit" in error.data.expected


async def test_every_method_refuses_unknown_fields(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        for name in NAMES:
            error = await refusal(client, name, {"no_such_field": 1})
            assert (name, error.number, error.data.field) == (name, -32602, "no_such_field")
