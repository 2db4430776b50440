"""A bounded mailbox with two lanes.

Where it comes from. An unbounded queue turns a slow reader into a memory leak and then into minutes of latency, and
hides both until it is too late. So there is a limit, and what happens at the limit is a property of the *message
class*, because only the class knows what it is worth: a command is refused while its sender can still react, a quote
is replaced by a newer quote, a log line is dropped and counted, a fill is a reason to stop and resynchronise.

How it works. Each lane is a deque of items. An item is the bare message in the common case, so a tell costs one append
and no allocation; a called message travels in an `Envelope` with its way back; a conflatable message sits in a `Cell`
that stays where it is while newer values are written into it: the newest value keeps the oldest place, so a busy
symbol can neither jump the queue nor be pushed back for ever. The control lane is drained first, always.

Conservation. Every accepted message has exactly one fate: accepted = handled + failed + conflated + dropped + expired +
dead + waiting. Each count is incremented where the thing happens, none is derived from the others, and the equation is
asserted whenever the counts are read. A message is `handled` from the moment it is taken, and moves to `failed` if its
handler raises.

Rejected. *A trio memory channel* (0.2 M messages/s where this does 4 M): it reschedules a task per message, cannot
conflate and has one lane. *One queue with priorities (heapq)*: control messages are rare, and a heap makes the common
case logarithmic. *Conflation by searching the queue*: linear in its length just when the queue is long. *Blocking the
sender when full*: two actors that block on each other never move again; waiting is `call`'s business, with a deadline.
*Dropping the oldest message of any class*: a flood of log lines would push out commands.

What would change our mind: a queue in C with the same rules, or a use that needs more than two lanes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from engine.kernel.errors import MailboxFull, MailboxOverflow
from engine.kernel.exits import Exit
from engine.kernel.message import Message, Overflow, Policy, policy_of
from engine.kernel.reply import Reply

if TYPE_CHECKING:
    from engine.kernel.loop import Loop

DEFAULT_CAPACITY = 1000


class Envelope:
    """A message whose sender waits for a reply."""

    __slots__ = ("message", "reply")

    def __init__(self, message: Message, reply: Reply[Any]) -> None:
        self.message = message
        self.reply = reply


class Cell:
    """The place in line of the newest value of one conflation key."""

    __slots__ = ("key", "message")

    def __init__(self, key: Hashable, message: Message) -> None:
        self.key = key
        self.message = message


class StopSignal:
    """Asks one incarnation to end in order. The only thing in the control lane that is not a Message."""

    __slots__ = ("exit",)

    def __init__(self, exit_: Exit) -> None:
        self.exit = exit_


class Counters(msgspec.Struct, frozen=True):
    """The fates of a mailbox's messages since the slot was made. `refused` ones were never accepted."""

    accepted: int
    handled: int
    failed: int
    conflated: int
    dropped: int
    expired: int
    dead: int
    waiting: int
    refused: int

    @property
    def conserved(self) -> bool:
        """Whether every accepted message has exactly one fate."""
        fates = self.handled + self.failed + self.conflated + self.dropped + self.expired + self.dead + self.waiting
        return self.accepted == fates


class Taken(NamedTuple):
    """A message out of its wrapping, and the way back if somebody waits."""

    message: Message
    reply: Reply[Any] | None


class Mailbox:
    """The two lanes of one slot. Loop thread only.

    `sleeper` is the loop that waits for mail: not None exactly while it is parked, so both lanes are empty and no
    handler runs.
    """

    __slots__ = (
        "accepted", "at_once", "capacity", "conflated", "control", "dead", "dropped", "expired", "failed", "handled", "keys",
        "path", "refused", "room", "sleeper", "user",
    )  # fmt: skip

    def __init__(self, path: str, capacity: int = DEFAULT_CAPACITY) -> None:
        self.path = path
        self.control: deque[Any] = deque()
        self.user: deque[Any] = deque()
        self.keys: dict[Hashable, Cell] = {}
        self.capacity = capacity
        self.room = 0  # the capacity while the address is live
        self.accepted = self.handled = self.failed = self.conflated = 0
        self.at_once = (
            0  # accepted and handled in one step, on the sender's turn; one that fails there counts -1 in `handled`
        )
        self.dropped = self.expired = self.dead = self.refused = 0
        self.sleeper: Loop | None = None

    def __len__(self) -> int:
        return len(self.control) + len(self.user)

    @property
    def closed(self) -> bool:
        """Whether the address is dead: nothing is accepted."""
        return self.room == 0

    def open(self, capacity: int) -> None:
        """Accept up to `capacity` messages in each lane."""
        if capacity < 1:
            raise ValueError(f"{self.path}: mailbox capacity must be at least 1, got {capacity}")
        self.capacity = self.room = capacity

    def put(self, message: Message, policy: Policy) -> None:
        """Accept a told message by its class's rules. Raises MailboxFull, or MailboxOverflow for FAIL."""
        lane = self.control if policy.control else self.user
        if policy.overflow is Overflow.CONFLATE:
            self._conflate(lane, message)
        elif len(lane) < self.room or self._make_room(lane, policy):
            self._append(lane, message)

    def put_call(self, message: Message, policy: Policy, reply: Reply[Any]) -> None:
        """Accept a called message. Raises MailboxFull whatever the class's overflow rule: its sender waits."""
        lane = self.control if policy.control else self.user
        if len(lane) >= self.room:
            raise self._full()
        self._append(lane, Envelope(message, reply))

    def signal(self, signal: StopSignal) -> None:
        """Put a stop before everything else; never refused."""
        self.accepted += 1
        self.control.appendleft(signal)
        self._wake()

    def open_item(self, item: Any) -> Taken:
        """Unwrap an item just taken from a lane."""
        if item.__class__ is Envelope:
            return Taken(item.message, item.reply)
        if item.__class__ is Cell:
            del self.keys[item.key]
            return Taken(item.message, None)
        return Taken(item, None)

    def withdraw(self, doomed: Callable[[Any], bool]) -> Iterator[Taken]:
        """Take out what `doomed` says, in order; the others keep theirs. The caller counts their fate."""
        for lane in (self.control, self.user):
            items = list(lane)
            lane.clear()
            lane.extend(item for item in items if not doomed(item))
            yield from [self.open_item(item) for item in items if doomed(item)]

    def counters(self) -> Counters:
        """The counts as of now; they always add up."""
        counts = Counters(
            accepted=self.accepted + self.at_once, handled=self.handled + self.at_once, failed=self.failed,
            conflated=self.conflated, dropped=self.dropped, expired=self.expired, dead=self.dead, waiting=len(self), refused=self.refused,
        )  # fmt: skip
        assert counts.conserved, f"{self.path}: messages do not add up: {counts}"
        return counts

    def _append(self, lane: deque[Any], item: Any) -> None:
        self.accepted += 1
        lane.append(item)
        self._wake()

    def _wake(self) -> None:
        if self.sleeper is not None:
            self.sleeper.wake()

    def _conflate(self, lane: deque[Any], message: Message) -> None:
        key = (message.__class__, message.conflation_key())
        cell = self.keys.get(key)
        if cell is not None:
            self.accepted += 1
            self.conflated += 1
            cell.message = message
            return
        if len(lane) >= self.room:
            raise self._full()
        self.keys[key] = cell = Cell(key, message)
        self._append(lane, cell)

    def _make_room(self, lane: deque[Any], policy: Policy) -> bool:
        """Whether the newcomer may be appended after all."""
        if policy.overflow is Overflow.FAIL:
            raise MailboxOverflow(f"{self.path}: {self.capacity} messages wait, and this one must not be lost")
        if policy.overflow is Overflow.REJECT:
            raise self._full()
        self.dropped += 1
        if self._drop_oldest(lane):
            return True
        self.accepted += 1  # nothing older can be dropped: the newcomer is the oldest one that can
        return False

    @staticmethod
    def _drop_oldest(lane: deque[Any]) -> bool:
        for index, item in enumerate(lane):
            if isinstance(item, Message) and policy_of(type(item)).overflow is Overflow.DROP_OLDEST:
                del lane[index]
                return True
        return False

    def _full(self) -> MailboxFull:
        self.refused += 1
        return MailboxFull(f"{self.path}: {self.capacity} messages wait, no room for another")
