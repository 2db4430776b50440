"""Orders over the admin socket and from the command line: the public functions' own parameters, records and errors."""

import json
import random
from decimal import Decimal

import msgspec
import pytest
import trio

from actors._jsonrpc import RpcError
from actors.admin.actor import METHODS
from actors.cli import main
from actors.messages import (
    AmendOrder,
    CancelOrder,
    PublishFigure,
    ResolveOrder,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Verdict,
)
from actors.routing import RouteSettings
from engine.model import LinkKind, OrderState, OrderType, Priority, Severity, Side, Trail, TriggerBy
from engine.store import Commit, Put
from tests.support.faces import ACCOUNT, INSTRUMENT, faces
from tests.support.stores import fill, notice, put_fill

T = 10.0
PLAIN = {"instrument_name": "X-PERPETUAL", "amount": 5, "direction": "buy", "price": 60}


async def tradenode(rig, *arguments):
    """Run a command beside the loop the node runs on."""
    return await trio.to_thread.run_sync(main, ["--dir", str(rig.parts.directory), *arguments])


@pytest.fixture
def said(capsys):
    """What was printed since the last look: (stdout, stderr)."""
    return lambda: tuple(capsys.readouterr())


async def refusal(client, method, params=None):
    with pytest.raises(RpcError) as caught:
        await client.call(method, params, timeout_s=T)
    return caught.value


async def test_an_order_is_placed_by_the_public_names_and_answered_with_its_record(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        params = PLAIN | {"amount": "0.1", "priority": "low", "conditions": ["mark>=65000"], "metadata": {"why": "x"}}
        record = await client.call("order.submit_advanced", params, timeout_s=T)
        assert (record["order_id"], record["account_id"], record["status"]) == ("testnode-1", ACCOUNT, "untriggered")
        assert (record["amount"], record["price"], record["avg_price"]) == ("0.1", "60", "0")
        assert record["created_at"].endswith("Z")
        assert record["conditions"][0]["operator"] == ">="
        [asked] = rig.asked
        assert (asked.request.instrument, asked.request.priority) == (INSTRUMENT, Priority.LOW)
        assert asked.request.metadata == {"why": "x"}


@pytest.mark.parametrize(
    ("changes", "number", "code", "field"),
    [
        ({"amount": "101"}, -32000, "AMOUNT_LIMIT", "amount"),
        ({"amount": "NaN"}, -32602, "invalid_params", "amount"),
        ({"direction": "up"}, -32602, "invalid_params", "direction"),
        ({"conditions": ["nonsense"]}, -32602, "invalid_params", "conditions[0]"),
        ({"instrument_name": "mars:X"}, -32000, "VENUE_UNKNOWN", "instrument_name"),
        ({"account_id": "other"}, -32000, "ACCOUNT_UNKNOWN", "account_id"),
        ({"execute_immediately": True, "delay": 5}, -32602, "invalid_params", "delay"),
    ],
)
async def test_a_bad_order_is_refused_with_code_and_field(tmp_path, changes, number, code, field):
    async with faces(tmp_path) as rig, rig.client() as client:
        error = await refusal(client, "order.submit_advanced", PLAIN | changes)
        assert (error.number, error.data.code, error.data.field) == (number, code, field)
        assert error.data.expected
        assert error.data.got


async def test_a_conditional_order_needs_a_condition(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        assert (await refusal(client, "order.create_conditional", PLAIN)).data.field == "conditions"
        params = PLAIN | {"conditions": ["mark>=65000"], "expiration": 60}
        record = await client.call("order.create_conditional", params, timeout_s=T)
        assert (record["status"], bool(record["expires_at"])) == ("untriggered", True)


async def test_a_trailing_stop_only_reduces_unless_it_is_said_otherwise(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        params = {"instrument_name": "X-PERPETUAL", "amount": 5, "direction": "sell", "percent": "2", "by": "last"}
        record = await client.call("order.trailing_stop", params, timeout_s=T)
        assert (record["trail"]["percent"], record["reduce_only"], record["order_type"]) == ("2", True, "market")
        await client.call("order.trailing_stop", params | {"reduce_only": False}, timeout_s=T)
        first, second = (message.request for message in rig.asked)
        assert first.trail == Trail(by=TriggerBy.LAST, percent=Decimal(2))
        assert not second.reduce_only


async def test_a_bracket_is_one_request_with_its_exits_on_the_other_side(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        made = await client.call("order.bracket", PLAIN | {"take_profit": 70, "stop_loss": 50}, timeout_s=T)
        assert (made["group"], made["native"], len(made["orders"])) == ("testnode-1", False, 3)
        [asked] = rig.asked
        assert isinstance(asked, SubmitLinked)
        assert asked.kind is LinkKind.OTOCO
        assert [leg.side for leg in asked.exits] == [Side.SELL, Side.SELL]
        error = await refusal(client, "order.bracket", PLAIN | {"take_profit": 70})
        assert error.data.field == "stop_loss"


async def test_a_batch_says_of_every_order_what_became_of_it(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        orders = [PLAIN, PLAIN | {"amount": 101}, PLAIN | {"amount": "x"}, PLAIN | {"instrument_name": "mars:X"}]
        answer = (await client.call("order.batch", {"orders": orders}, timeout_s=T))["items"]
        assert [row["ok"] for row in answer] == [True, False, False, False]
        assert [row["error"]["code"] for row in answer[1:]] == ["AMOUNT_LIMIT", "BAD_REQUEST", "VENUE_UNKNOWN"]
        assert answer[2]["error"]["field"] == "orders[2].amount"
        [asked] = rig.asked
        assert isinstance(asked, SubmitBatch)
        assert len(asked.requests) == 2
        assert (await refusal(client, "order.batch", {"orders": []})).data.field == "orders"


async def test_an_order_that_waits_for_a_person_is_listed_and_decided_about(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(7, state=OrderState.UNKNOWN, review="looked for in vain")
        await rig.store_orders(8, state=OrderState.OPEN)
        [waiting] = (await client.call("order.review", timeout_s=T))["items"]
        assert (waiting["order_id"], waiting["status"], waiting["review"]) == (
            "testnode-7",
            "review",
            "looked for in vain",
        )
        params = {"order_id": "testnode-7", "verdict": "close", "note": "not there"}
        assert (await client.call("order.resolve", params, timeout_s=T))["order_id"] == "testnode-7"
        assert rig.asked == [ResolveOrder("testnode-7", Verdict.CLOSE, "not there")]
        assert (await refusal(client, "order.resolve", params | {"verdict": "burn"})).data.field == "verdict"
        assert (
            await refusal(client, "order.resolve", params | {"order_id": "testnode-9"})
        ).data.code == "ORDER_UNKNOWN"


async def test_a_figure_reaches_the_watchers_of_every_account(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        assert await client.call("figure", {"name": "mood", "value": "0.5"}, timeout_s=T) == {"accounts": [ACCOUNT]}
        with trio.fail_after(T):
            while not rig.asked:
                await trio.sleep(0.01)
        assert rig.asked == [PublishFigure("mood", Decimal("0.5"))]
        assert (await refusal(client, "figure", {"name": "", "value": 1})).data.field == "name"


async def test_the_history_is_paged_and_filtered(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(1, 2, 3, 4, state=OrderState.FILLED, filled_amount=Decimal(10))
        await rig.store_orders(5, state=OrderState.OPEN)
        done = next(iter(rig.parts.store.orders_in([OrderState.FILLED])))
        await rig.record(put_fill(fill(1, done)))
        first = await client.call("order.history", {"status": "filled", "limit": 3}, timeout_s=T)
        assert [row["order_id"] for row in first["orders"]] == ["testnode-4", "testnode-3", "testnode-2"]
        rest = await client.call("order.history", {"status": ["filled"], "cursor": first["next"]}, timeout_s=T)
        assert [(row["order_id"], bool(row["executed_at"])) for row in rest["orders"]] == [("testnode-1", True)]
        assert rest["next"] == ""
        since = {"start_time": "2099-01-01T00:00:00Z"}
        assert (await client.call("order.history", since, timeout_s=T))["orders"] == []
        assert (await refusal(client, "order.history", {"status": "lost"})).data.field == "status"


async def test_an_order_is_shown_whoever_watches_its_conditions_is_down(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        await client.call("order.submit_advanced", PLAIN | {"conditions": ["mark>=65000"]}, timeout_s=T)
        await rig.parts.system.stop_child("root/triggers")
        seen = await client.call("order.monitor", {"order_id": "testnode-1"}, timeout_s=T)
        assert (seen["waits_for"], seen["order"]["status"]) == (["its conditions"], "untriggered")
        assert seen["conditions"]["problem"]
        assert (await refusal(client, "order.conditions", {"order_id": "testnode-1"})).number == -32002
        await rig.store_orders(2, state=OrderState.OPEN)
        error = await refusal(client, "order.conditions", {"order_id": "testnode-2"})
        assert error.data.code == "NOT_CONDITIONAL"


async def test_the_queues_are_counted_together_and_each(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        queue = await client.call("order.queue", timeout_s=T)
        assert (queue["queue_length"], queue["queue_by_priority"]) == (3, {"high": 1, "normal": 2})
        assert (queue["success_rate"], queue["avg_processing_time"]) == (0.5, 1.0)
        assert list(queue["accounts"]) == [ACCOUNT]
        assert (await refusal(client, "order.queue", {"account_id": "other"})).data.code == "ACCOUNT_UNKNOWN"


async def test_metrics_have_the_documented_names_and_ask_nobody(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        nothing = await client.call("order.metrics", timeout_s=T)
        assert nothing == {
            "orders_processed": 0,
            "orders_failed": 0,
            "avg_processing_time": 0.0,
            "queue_length": 0,
            "retry_count": 0,
            "success_rate": 0.0,
            "notification_success_rate": None,
        }
        await rig.parts.system.stop_child("root/orders")
        await rig.store_orders(1, 2)
        figures = next(rig.parts.accounts()).figures
        for seconds in (1.0, 2.0):
            figures.record_order_processed(seconds)
        figures.record_order_failed()
        errors = [msgspec.structs.replace(notice(n), severity=Severity.ERROR) for n in (1, 2)]
        errors[0] = msgspec.structs.replace(errors[0], delivered_to=("phone",))
        await rig.record(*(Commit("test", (Put("notices", one.notice_id, one),)) for one in (*errors, notice(3))))
        metrics = await client.call("order.metrics", timeout_s=T)
        assert (metrics["orders_processed"], metrics["orders_failed"], metrics["queue_length"]) == (2, 1, 2)
        assert (metrics["avg_processing_time"], metrics["success_rate"]) == (1.5, 2 / 3)
        assert metrics["notification_success_rate"] == 0.5
        assert (await client.call("status", timeout_s=T))["metrics"] == metrics


# ── the command line ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_everything_an_order_may_have_can_be_typed(tmp_path, said):
    async with faces(tmp_path) as rig:
        typed = [
            *[
                "order",
                "submit",
                "X-PERPETUAL",
                "sell",
                "0.1",
                "--type",
                "limit",
                "--price",
                "50000.50",
                "--reduce-only",
                "--priority",
                "high",
            ],
            *[
                "--delay",
                "5",
                "--expires",
                "60",
                "--auto-cancel",
                "30",
                "--partial",
                "cancel_remaining",
                "--on-error",
                "manual",
            ],
            *["--metadata", "why=test", "--metadata", "n=1", "--strategy", "hand", "--account", "main", "--when"],
            "mark >= 65000 | funding < 0",
            "--when",
            "figure.mood crosses_above 3",
        ]
        assert await tradenode(rig, *typed) == 0
        assert said()[0] == "accepted: testnode-1 (untriggered)\n"
        [asked] = rig.asked
        request = asked.request
        assert (str(request.amount), str(request.price), request.priority) == ("0.1", "50000.50", "high")
        assert (request.delay_s, request.expires_after_s, request.auto_cancel_s) == (5, 60, 30)
        assert (request.partial_fill, request.on_error) == ("cancel_remaining", "manual")
        assert (request.metadata, request.strategy, request.account) == ({"why": "test", "n": "1"}, "hand", "main")
        assert (len(request.any_of), len(request.conditions)) == (1, 1)


async def test_stops_that_trail_and_sets_of_orders_can_be_typed(tmp_path, said):
    async with faces(tmp_path) as rig:
        for typed in (
            "order submit X-PERPETUAL sell 5 --type market --trail 2% --trail-by last --activate 70 --reduce-only",
            "order bracket X-PERPETUAL buy 5 --price 60 --take-profit 70 --stop-loss 50",
            "order bracket X-PERPETUAL buy 5 --type market --take-profit 70 --trail 25 --metadata a=b",
            "order oco X-PERPETUAL sell 5 --take-profit 70 --stop-loss 50 --reduce-only",
            "order oto X-PERPETUAL sell 5 --price 70 --then-stop 80",
        ):
            assert (typed, await tradenode(rig, *typed.split())) == (typed, 0)
            assert "testnode-1" in said()[0]
        trailing, bracket, follower, oco, oto = rig.asked
        assert isinstance(trailing, SubmitOrder)
        assert trailing.request.trail == Trail(by=TriggerBy.LAST, percent=Decimal(2), activation_price=Decimal(70))
        assert [leg.order_type for leg in bracket.exits] == [OrderType.LIMIT, OrderType.STOP_MARKET]
        assert (follower.entry.order_type, follower.exits[1].trail.distance) == (OrderType.MARKET, 25)
        assert (oco.kind, oco.entry, [leg.side for leg in oco.exits]) == (LinkKind.OCO, None, [Side.SELL] * 2)
        assert (oto.kind, oto.entry.side, oto.exits[0].side) == (LinkKind.OTO, Side.SELL, Side.BUY)


@pytest.mark.parametrize("as_lines", [True, False])
async def test_a_file_of_orders_is_placed_and_a_refused_one_is_a_failure(tmp_path, said, as_lines):
    orders = [PLAIN, PLAIN | {"amount": 101}]
    file = tmp_path / "orders.json"
    file.write_text("\n".join(map(json.dumps, orders)) if as_lines else json.dumps(orders))
    async with faces(tmp_path / "node") as rig:
        assert await tradenode(rig, "order", "batch", str(file)) == 1
        assert "AMOUNT_LIMIT: amount" in said()[0]
        file.write_text(json.dumps([PLAIN]))
        assert await tradenode(rig, "order", "batch", str(file), "--json") == 0
        assert json.loads(said()[0])[0]["order"]["order_id"] == "testnode-1"


async def test_wrong_values_are_two_whoever_finds_them(tmp_path, said):
    (tmp_path / "bad.json").write_text("[{")
    async with faces(tmp_path / "node") as rig:
        for wrong, word in (
            (["order", "submit", "X-PERPETUAL", "buy", "1", "--price", "5", "--when", "mark~5"], "conditions[0]"),
            (["order", "submit", "X-PERPETUAL", "buy", "1", "--price", "5", "--now", "--delay", "5"], "delay"),
            (["order", "submit", "X-PERPETUAL", "buy", "1", "--price", "5", "--style", "twap", "fast"], "KEY=VALUE"),
            (["order", "history", "--status", "lost"], "status"),
            (["order", "history", "--from", "yesterday"], "start_time"),
            (["order", "batch", str(tmp_path / "bad.json")], "JSON"),
            (["order", "batch", str(tmp_path / "none.json")], "none.json"),
        ):
            assert (wrong, await tradenode(rig, *wrong)) == (wrong, 2)
            assert word in said()[1]
        for wrong in (
            "order submit X buy 1 --trail much",
            "order submit X buy 1 --metadata why",
            "order submit X buy 1 --priority urgent",
            "order bracket X buy 1 --price 5",
            "order oto X buy 1 --price 5 --then-price 6 --then-stop 4",
            "order resolve testnode-1 burn",
        ):
            with pytest.raises(SystemExit) as caught:
                await tradenode(rig, *wrong.split())
            assert (wrong, caught.value.code) == (wrong, 2)


async def test_orders_are_changed_looked_for_and_decided_about(tmp_path, said):
    async with faces(tmp_path) as rig:
        await rig.store_orders(7, state=OrderState.OPEN)
        for command in (
            "order cancel testnode-7 --reason enough",
            "order amend testnode-7 --price 5",
            "order resolve testnode-7 ask --note look",
            "order review",
            "order history --status open --status filled --limit 1 --side buy",
            "order stats --instrument X-PERPETUAL --period 60 --from 2020-01-01T00:00:00Z",
            "order monitor testnode-7",
            "order queue",
            "figure mood 0.5",
        ):
            assert (command, await tradenode(rig, *command.split())) == (command, 0)
            assert said()[0].strip()
        assert rig.asked[:3] == [
            CancelOrder("testnode-7", "enough"),
            AmendOrder("testnode-7", None, Decimal(5)),
            ResolveOrder("testnode-7", Verdict.ASK, "look"),
        ]


async def test_the_orders_view_says_what_each_waits_for(tmp_path, said):
    async with faces(tmp_path) as rig:
        async with rig.client() as client:
            waiting = PLAIN | {"conditions": ["mark>=65000"], "priority": "high", "delay": 5}
            await client.call("order.submit_advanced", waiting, timeout_s=T)
        assert await tradenode(rig, "orders") == 0
        head, row = said()[0].splitlines()
        assert "waits for" in head
        assert "conditions, 20" in row
        assert "(high)" in row


async def test_a_route_is_looked_at_and_an_unknown_one_is_refused(tmp_path, said):
    async with faces(tmp_path) as rig:
        rig.parts.routes["coin"] = RouteSettings(instruments=(INSTRUMENT,))
        for command, word in (
            ("order route coin buy 0.1", "ROUTE_UNHEALTHY"),
            ("order route coin buy 0.1 --place --key k", "ROUTE_"),
            ("order route other buy 0.1", "ROUTE_UNKNOWN"),
        ):
            assert (command, await tradenode(rig, *command.split())) == (command, 1)
            assert word in said()[1]


async def test_a_plan_nobody_knows_is_refused(tmp_path, said):
    async with faces(tmp_path) as rig:
        for command in ("plan show nobody", "plan cancel nobody"):
            assert (command, await tradenode(rig, *command.split())) == (command, 1)
            assert "PLAN_NOT_FOUND" in said()[1]


async def test_the_report_of_executions_is_told_from_the_store_and_over_the_socket(tmp_path, said):
    async with faces(tmp_path) as rig, rig.client() as client:
        report = await client.call("execution.report", timeout_s=60)
        assert (report["finding"], report["plans"]) == ("too little data", 0)
    assert await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), "execution", "report"]) == 0
    assert "too little data" in said()[0]


ODD = (
    *(
        None,
        True,
        0,
        -1,
        5,
        0.1,
        1e300,
        "",
        "5",
        "NaN",
        "1e400",
        "buy",
        "limit",
        "a\x00b",
        "x" * 5000,
        "venue:X-PERPETUAL",
    ),
    *(
        "mark>=5",
        "testnode-1",
        [],
        [[]],
        [None],
        ["mark>=5"],
        [{"type": "mark"}],
        {},
        {"style": "twap"},
        {"a": {"b": []}},
    ),
    *(
        {"distance": 5},
        [{"instrument_name": "X-PERPETUAL", "amount": 1, "direction": "buy", "price": 5}],
        "2026-01-01T00:00:00Z",
    ),
)
SANE = PLAIN | {
    "order_id": "testnode-1",
    "kind": "oto",
    "entry": PLAIN,
    "exits": [PLAIN],
    "orders": [PLAIN],
    "take_profit": 70,
}
NAMED = [name for name in METHODS if name.startswith(("order.", "plan.", "figure"))]


async def test_nothing_that_can_be_sent_is_an_internal_error(tmp_path):
    draw = random.Random(7)
    errors = []
    async with faces(tmp_path) as rig, rig.client() as client:
        await rig.store_orders(1, state=OrderState.OPEN)
        for _ in range(600):
            name = draw.choice(NAMED)
            fields = METHODS[name].params.__struct_fields__
            params = {field: SANE[field] for field in fields if field in SANE}
            params |= {field: draw.choice(ODD) for field in draw.sample(fields, min(len(fields), draw.randint(0, 3)))}
            try:
                await client.call(name, params, timeout_s=T)
            except RpcError as error:
                errors.append((name, params, error.number, error.message, error.data.code))
    assert [error for error in errors if error[2] == -32603] == []
    assert [error for error in errors if not error[4]] == []
    assert 100 < len(errors) < 600, "some of it is right and some is wrong"
