"""The notifier: stored before it is sent, sent until it is taken, never a flood, an emergency never late."""

import io
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from actors._digest import cut_bytes, messages_of
from actors._outbox import OutboxSettings
from actors._webhook import DeliveryFailed, Webhook, WebhookSettings, filled
from actors.messages import Notify
from actors.notifier import NotifierDesk, NotifierSettings, TestChannels, notifier_spec
from actors.recorder import InlineHost, Recorder
from engine.kernel import ChildSpec, Entropy, SupervisorSpec, TrioClock, open_system
from engine.model import Notice, Severity
from engine.net import HttpReply
from engine.settings import Secret
from engine.store import Store
from tests.support.kernel import EPOCH_MS
from tests.support.stores import MAP_SIZE
from tests.support.webhooks import Robot

BODY = {"text": "{severity} {kind} x{count}: {text}"}


def told(number, *, severity=Severity.ERROR, kind="order.unknown", at_ms=EPOCH_MS, text=None):
    return Notice(
        notice_id=f"n{number}",
        at_ms=at_ms,
        severity=severity,
        kind=kind,
        text=text or f"number {number}",
        order_id="a-1",
    )


def settings_for(url="http://robot.test/key", *, webhook=None, **changes):
    return NotifierSettings(
        webhooks={"robot": WebhookSettings(url=Secret(url), body=BODY, **(webhook or {}))}, **changes
    )


class Rig:
    def __init__(self, system, store):
        self.system = system
        self.store = store
        self.ref = system.address("root/notifier")

    def tell(self, *notices):
        for notice in notices:
            self.ref.tell(Notify(notice))

    def stored(self):
        return dict(self.store.table("notices").iterate())


@asynccontextmanager
async def notifying(path, robot, settings=None, *, recorder=True, transport=True):
    """A notifier on trio's clock with a real store."""
    clock = TrioClock(EPOCH_MS)
    with Store.open(path / "store", clock=clock, entropy=Entropy(1), map_size=MAP_SIZE) as store:
        async with open_system(clock, Entropy(1)) as system:
            recorder_ref = system.address("root/recorder" if recorder else "root/nobody")
            desk = NotifierDesk(
                "tester", store, recorder_ref, settings or settings_for(), robot.transport() if transport else None
            )
            recorder_spec = ChildSpec("recorder", lambda: Recorder(store, host=InlineHost))
            await system.start(SupervisorSpec("root", children=(recorder_spec, notifier_spec(desk))))
            yield Rig(system, store)


async def test_what_matters_is_stored_before_it_is_sent_and_marked_when_it_is_taken(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot) as rig:
        seen_at_send = []
        answer = robot.answer
        robot.answer = lambda: seen_at_send.append(rig.stored()["n1"].delivered_to) or answer()
        rig.tell(told(1), told(2, severity=Severity.WARNING, kind="w"), told(3, severity=Severity.INFO))
        await trio.sleep(5)
        assert seen_at_send[0] == ()
        stored = rig.stored()
        assert {key: notice.delivered_to for key, notice in stored.items()} == {"n1": ("robot",), "n2": ("robot",)}
        assert robot.texts == ["error order.unknown x1: number 1", "warning w x1: number 2"]


async def test_a_failing_channel_is_tried_again_until_it_takes_the_message(tmp_path, autojump_clock):
    robot = Robot()
    failures = [
        HttpReply(500, {}, b""),
        HttpReply(302, {}, b""),
        HttpReply(200, {}, b'{"errcode":45009,"errmsg":"busy"}'),
        None,
    ]
    robot.answer = lambda: failures.pop(0) if failures else HttpReply(200, {}, b'{"errcode":0,"errmsg":"ok"}')
    async with notifying(tmp_path, robot) as rig:
        rig.tell(told(1))
        await trio.sleep(60)
        assert robot.asked == 5
        assert robot.texts == ["error order.unknown x1: number 1"]
        assert rig.stored()["n1"].delivered_to == ("robot",)


async def test_attempts_are_bounded_and_come_back_later_from_the_store(tmp_path, autojump_clock):
    robot = Robot()
    robot.answer = lambda: None
    outbox = OutboxSettings(attempts=3, retry_min_s=1, retry_max_s=2)
    async with notifying(tmp_path, robot, settings_for(outbox=outbox, retry_later_s=600)) as rig:
        rig.tell(told(1))
        await trio.sleep(300)
        assert robot.asked == 3
        robot.answer = Robot().answer
        await trio.sleep(400)
        assert robot.texts == ["error order.unknown x1: number 1"]
        await trio.sleep(2000)
        assert robot.asked == 4


async def test_what_was_not_delivered_is_sent_after_a_restart_and_only_that(tmp_path, autojump_clock):
    robot = Robot()
    robot.answer = lambda: None
    async with notifying(tmp_path, robot) as rig:
        rig.tell(told(1), told(2, severity=Severity.WARNING))
        await trio.sleep(0.5)
    again = Robot()
    async with notifying(tmp_path, again) as rig:
        await trio.sleep(30)
        assert again.texts == ["error order.unknown x1: number 1"]
    third = Robot()
    async with notifying(tmp_path, third):
        await trio.sleep(30)
        assert third.told == []


async def test_what_is_too_old_is_not_sent_after_a_restart(tmp_path, autojump_clock):
    robot = Robot()
    robot.answer = lambda: None
    async with notifying(tmp_path, robot) as rig:
        rig.tell(told(1, at_ms=EPOCH_MS - 90_000_000))
        await trio.sleep(1)
    again = Robot()
    async with notifying(tmp_path, again):
        await trio.sleep(30)
        assert again.told == []


async def test_a_notice_told_at_the_very_end_is_stored(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot) as rig:
        rig.tell(told(1))
        await trio.testing.wait_all_tasks_blocked()
    async with notifying(tmp_path, Robot()) as rig:
        assert "n1" in rig.stored()


async def test_a_burst_keeps_to_the_rate_and_the_emergency_does_not_wait(tmp_path, autojump_clock):
    """A hundred partial fills, and in the middle of them the one message that matters."""
    robot = Robot()
    async with notifying(tmp_path, robot) as rig:
        start_s = trio.current_time()
        for number in range(100):
            rig.tell(told(number, kind=f"kind.{number}"))
            await trio.sleep(0.5)
            if number == 50:
                emergency_s = trio.current_time()
                rig.tell(told(1000, severity=Severity.EMERGENCY, kind="margin.call", text="act now"))
        await trio.sleep(300)
        times = [at for at, _ in robot.told]
        for at in times:
            assert sum(at <= other < at + 60 for other in times) <= 20
        urgent = [at for at, body in robot.told if "margin.call" in body["text"]]
        assert len(urgent) == 1
        assert urgent[0] - emergency_s < 0.1
        assert times[0] - start_s <= 1.1
        assert all(notice.delivered_to == ("robot",) for notice in rig.stored().values())


async def test_a_channel_that_is_down_does_not_hold_an_emergency_behind_its_queue(tmp_path, autojump_clock):
    robot = Robot()
    robot.answer = lambda: None
    async with notifying(tmp_path, robot, settings_for(outbox=OutboxSettings(retry_min_s=60, retry_max_s=60))) as rig:
        rig.tell(told(1))
        await trio.sleep(10)
        robot.answer = Robot().answer
        rig.tell(told(2, severity=Severity.EMERGENCY))
        await trio.sleep(1)
        assert robot.texts == ["emergency order.unknown x1: number 2"]


async def test_notices_of_one_kind_become_one_message(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot) as rig:
        rig.tell(*(told(number) for number in range(30)))
        await trio.sleep(5)
        assert robot.texts == ["error order.unknown x30: 30 times, the last: number 29"]


async def test_memory_is_bounded_and_what_did_not_fit_comes_from_the_store(tmp_path, autojump_clock):
    robot = Robot()
    robot.answer = lambda: None
    outbox = OutboxSettings(max_waiting=10, attempts=2, retry_min_s=60, retry_max_s=60)
    async with notifying(tmp_path, robot, settings_for(outbox=outbox, retry_later_s=200)) as rig:
        for number in range(100):
            rig.tell(told(number))
            await trio.sleep(0.1)
        robot.answer = Robot().answer
        await trio.sleep(5000)
        assert all(notice.delivered_to == ("robot",) for notice in rig.stored().values())
        assert len(rig.stored()) == 100


async def test_the_same_notice_told_twice_is_one(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot) as rig:
        rig.tell(told(1), told(1))
        await trio.sleep(5)
        rig.tell(told(1))
        await trio.sleep(5)
        assert rig.stored()["n1"].delivered_to == ("robot",)
        assert len(robot.told) == 1


async def test_a_store_that_does_not_answer_does_not_keep_the_news_from_people(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot, recorder=False) as rig:
        rig.tell(told(1, severity=Severity.EMERGENCY, text="the store is gone"))
        await trio.sleep(10)
        assert robot.texts == ["emergency order.unknown x1: the store is gone"]


async def test_below_the_channels_severity_nothing_is_sent(tmp_path, autojump_clock):
    robot = Robot()
    async with notifying(tmp_path, robot, settings_for(webhook={"min_severity": Severity.EMERGENCY})) as rig:
        rig.tell(told(1))
        await trio.sleep(10)
        assert robot.told == []
        assert rig.stored()["n1"].delivered_to == ()


async def test_a_webhook_on_loopback_gets_the_template_and_its_url_appears_nowhere(tmp_path):
    robot, log = Robot(), io.StringIO()
    sink = logger.add(log, level=0)
    try:
        async with robot.on_loopback() as url:
            outbox = OutboxSettings(coalesce_s=0.01, retry_min_s=0.01, retry_max_s=0.01, attempts=3)
            async with notifying(tmp_path, robot, settings_for(url, outbox=outbox), transport=False) as rig:
                rig.tell(told(1, text='a "quoted"\ntext'))
                with trio.fail_after(30):
                    while "robot" not in rig.stored().get("n1", told(1)).delivered_to:
                        await trio.sleep(0.01)
                replies = [HttpReply(404, {}, b""), HttpReply(200, {}, b'{"errcode":93000,"errmsg":"bad key"}'), None]
                for reply in replies:
                    robot.answer = lambda reply=reply: reply
                    log_channel, result = await rig.ref.call(TestChannels(), timeout_s=30)
                    assert log_channel.ok
                    assert not result.ok
                    assert result.error.startswith("robot: ")
                    assert "sekret" not in result.error
        assert robot.texts == ['error order.unknown x1: a "quoted"\ntext']
    finally:
        logger.remove(sink)
    assert "number" in log.getvalue() or "quoted" in log.getvalue()
    assert "sekret" not in log.getvalue()


async def test_a_robot_that_cannot_be_reached_is_a_failure_without_its_url():
    webhook = Webhook("robot", WebhookSettings(url=Secret("http://127.0.0.1:9/sekret?key=sekret")), "node")
    [message] = messages_of([told(1)], 1)
    with pytest.raises(DeliveryFailed) as caught:
        await webhook.send(message)
    await webhook.close()
    assert "sekret" not in str(caught.value)
    assert "sekret" not in repr(webhook._settings)


def test_a_template_with_an_unknown_field_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean \{severity\}"):
        WebhookSettings(url=Secret("http://x"), body={"a": [{"b": "{severty}"}]})


def test_a_webhook_needs_an_http_url_and_does_not_repeat_it():
    with pytest.raises(ValueError, match=r"webhooks\.w\.url") as caught:
        Webhook("w", WebhookSettings(url=Secret("ftp://sekret")), "node")
    assert "sekret" not in str(caught.value)


def test_a_template_is_filled_everywhere_and_values_are_not_templates():
    template = {"a": ["{text}", 1, {"b": "{node}:{kind}"}], "c": True}
    values = {"text": "{node}", "node": "n", "kind": "k"}
    assert filled(template, values) == {"a": ["{node}", 1, {"b": "n:k"}], "c": True}


@given(st.text(max_size=200), st.integers(min_value=64, max_value=300))
def test_text_is_cut_by_bytes_between_characters(text, limit):
    cut = cut_bytes(text, limit)
    assert len(cut.encode()) <= limit
    if len(text.encode()) <= limit:
        assert cut == text
    else:
        assert text.startswith(cut.removesuffix("…"))


notices = st.lists(
    st.builds(
        lambda number, severity, kind: told(number, severity=severity, kind=kind),
        st.integers(0, 10_000),
        st.sampled_from(list(Severity)),
        st.sampled_from(["a", "b", "c", "d", "e"]),
    ),
    min_size=1,
    max_size=40,
)


@given(notices, st.integers(-2, 10))
def test_messages_are_few_and_leave_no_notice_out(some, room):
    messages = messages_of(some, room)
    assert len(messages) <= max(room, 1)
    carried = [notice for message in messages for notice in message.notices]
    assert sorted(map(msgspec.json.encode, carried)) == sorted(map(msgspec.json.encode, some))
    ranks = [list(Severity).index(message.severity) for message in messages]
    assert ranks == sorted(ranks, reverse=True)
