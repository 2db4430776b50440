"""The mailbox alone: conservation, order, conflation's place, and each overflow rule at the limit."""

from collections.abc import Hashable
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Lane, MailboxFull, MailboxOverflow, Message, Overflow
from engine.kernel.exits import Exit, ExitKind
from engine.kernel.mailbox import Mailbox, StopSignal
from engine.kernel.message import policy_of

CAPACITY = 4


class Plain(Message):
    n: int


class Urgent(Message):
    n: int
    lane: ClassVar[Lane] = Lane.CONTROL


class Quote(Message):
    n: int
    symbol: str
    overflow: ClassVar[Overflow] = Overflow.CONFLATE

    def conflation_key(self) -> Hashable:
        return self.symbol


class Trade(Quote):
    """Conflates by the same key as Quote, but is another class."""


class Line(Message):
    n: int
    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST


class Fill(Message):
    n: int
    overflow: ClassVar[Overflow] = Overflow.FAIL


def make_mailbox(capacity: int = CAPACITY) -> Mailbox:
    mailbox = Mailbox("root/x")
    mailbox.open(capacity)
    return mailbox


def put(mailbox: Mailbox, message: Message) -> None:
    mailbox.put(message, policy_of(type(message)))


def take_all(mailbox: Mailbox) -> list[Any]:
    return [take(mailbox) for _ in range(len(mailbox))]


def take(mailbox: Mailbox) -> Any:
    lane = mailbox.control or mailbox.user
    mailbox.handled += 1
    return mailbox.open_item(lane.popleft()).message


class Model:
    """The same rules in the plainest words: two lists of messages."""

    def __init__(self) -> None:
        self.control: list[Any] = []
        self.user: list[Any] = []
        self.outcome = dict.fromkeys(("conflated", "dropped", "refused", "overflowed"), 0)

    def put(self, message: Any) -> None:
        lane = self.control if isinstance(message, Urgent) else self.user
        if isinstance(message, Quote):
            for index, waiting in enumerate(lane):
                if type(waiting) is type(message) and waiting.symbol == message.symbol:
                    lane[index] = message
                    self.outcome["conflated"] += 1
                    return
        if len(lane) < CAPACITY:
            lane.append(message)
        elif isinstance(message, Fill):
            self.outcome["overflowed"] += 1
        elif isinstance(message, Line):
            self.outcome["dropped"] += 1
            oldest = next((waiting for waiting in lane if isinstance(waiting, Line)), None)
            if oldest is not None:
                lane.remove(oldest)
                lane.append(message)
        else:
            self.outcome["refused"] += 1

    def take(self) -> Any:
        return (self.control or self.user).pop(0)


STEPS = st.lists(
    st.one_of(
        st.none(),  # take one
        st.sampled_from([Plain, Urgent, Line, Fill]),
        st.tuples(st.sampled_from([Quote, Trade]), st.sampled_from("AB")),
    ),
    max_size=60,
)


@given(STEPS)
def test_any_sequence_of_puts_and_takes_agrees_with_the_model_and_conserves_every_message(steps: list[Any]) -> None:
    mailbox, model, overflowed = make_mailbox(), Model(), 0
    for n, step in enumerate(steps):
        if step is None:
            if len(mailbox):
                assert take(mailbox) == model.take()
        else:
            message = step[0](n, step[1]) if isinstance(step, tuple) else step(n)
            model.put(message)
            try:
                put(mailbox, message)
            except MailboxOverflow:
                overflowed += 1
            except MailboxFull:
                pass
        counts = mailbox.counters()
        assert counts.conserved
        assert (counts.conflated, counts.dropped, counts.refused, overflowed) == tuple(model.outcome.values())
    assert take_all(mailbox) == model.control + model.user


def test_control_messages_are_taken_before_user_messages_that_came_earlier() -> None:
    mailbox = make_mailbox()
    for message in (Plain(1), Urgent(2), Plain(3), Urgent(4)):
        put(mailbox, message)
    assert [m.n for m in take_all(mailbox)] == [2, 4, 1, 3]


def test_a_conflated_value_is_the_newest_in_the_oldest_place() -> None:
    mailbox = make_mailbox()
    for message in (Quote(1, "A"), Plain(2), Quote(3, "B"), Quote(4, "A")):
        put(mailbox, message)
    assert [m.n for m in take_all(mailbox)] == [4, 2, 3]


def test_a_conflation_key_belongs_to_its_class() -> None:
    mailbox = make_mailbox()
    put(mailbox, Quote(1, "A"))
    put(mailbox, Trade(2, "A"))
    assert [m.n for m in take_all(mailbox)] == [1, 2]


def test_a_taken_key_starts_a_new_place() -> None:
    mailbox = make_mailbox()
    put(mailbox, Quote(1, "A"))
    take(mailbox)
    put(mailbox, Plain(2))
    put(mailbox, Quote(3, "A"))
    assert [m.n for m in take_all(mailbox)] == [2, 3]


def test_a_waiting_value_is_replaced_even_when_the_mailbox_is_full() -> None:
    mailbox = make_mailbox(1)
    put(mailbox, Quote(1, "A"))
    put(mailbox, Quote(2, "A"))
    with pytest.raises(MailboxFull, match="root/x: 1 messages wait"):
        put(mailbox, Quote(3, "B"))
    assert [m.n for m in take_all(mailbox)] == [2]


def test_a_flood_of_droppable_messages_pushes_out_no_command() -> None:
    mailbox = make_mailbox()
    for n in range(3):
        put(mailbox, Plain(n))
    for n in range(10, 20):
        put(mailbox, Line(n))
    assert [m.n for m in take_all(mailbox)] == [0, 1, 2, 19]
    assert mailbox.counters().dropped == 9


def test_a_droppable_message_that_finds_only_commands_is_the_one_dropped() -> None:
    mailbox = make_mailbox(1)
    put(mailbox, Plain(1))
    put(mailbox, Line(2))
    assert [m.n for m in take_all(mailbox)] == [1]
    assert mailbox.counters().dropped == 1


def test_a_full_user_lane_leaves_the_control_lane_open() -> None:
    mailbox = make_mailbox(1)
    put(mailbox, Plain(1))
    put(mailbox, Urgent(2))
    assert [m.n for m in take_all(mailbox)] == [2, 1]


def test_withdrawing_keeps_the_order_of_the_others() -> None:
    mailbox = make_mailbox()
    for message in (Plain(1), Quote(2, "A"), Plain(3), Quote(4, "B")):
        put(mailbox, message)
    taken = [message for message, _ in mailbox.withdraw(lambda item: not isinstance(item, Plain))]
    mailbox.expired += len(taken)
    assert taken == [Quote(2, "A"), Quote(4, "B")]
    assert [m.n for m in take_all(mailbox)] == [1, 3]


def test_a_stop_overtakes_everything() -> None:
    mailbox = make_mailbox(1)
    put(mailbox, Plain(1))
    put(mailbox, Urgent(2))
    stop = StopSignal(Exit(ExitKind.STOPPED, "asked to"))
    mailbox.signal(stop)
    assert take_all(mailbox) == [stop, Urgent(2), Plain(1)]
    assert mailbox.counters().accepted == 3


def test_only_messages_are_accepted() -> None:
    with pytest.raises(TypeError, match=r"engine\.kernel\.Message, got dict"):
        policy_of(dict)
