"""The loop that a system's refs belong to, and how long one task may keep it for others' work.

A handler that runs on its sender's turn saves a trip through trio's scheduler, but the scheduler, and with it every
socket and every timer, waits meanwhile. So what one turn may take is limited, for a loop that empties its own mailbox
and for a teller of prompt messages.
"""

from __future__ import annotations

import trio

from engine.kernel.bridge import thread_id

# A turn ends after 1,024 messages or 2 ms, whichever is first; the time is looked at once per batch.
BATCH = 32
BATCHES_PER_TURN = 32
TURN_S = 0.002

_CALLS_PER_TURN = 64
# A teller's turn ends after 256 messages: what one read of a socket brings, one for each symbol, is hardly ever more, and takes a
# few milliseconds at most. The time is for slow handlers only: a busy machine takes the CPU away for longer than that, and then nothing must be woken for it.
PROMPTS_PER_TURN = 256
_PROMPTS_S = 0.02


class Host(trio.abc.Instrument):
    """`thread` is the loop's thread's id, 0 once the system has ended (ids are used again).

    `inline` is set while a handler runs on its sender's turn: what that handler tells is not handled inside it. `prompts`
    is how many more messages may be handled on their tellers' turns before somebody asks `allows_prompts`.

    A teller's turn has no beginning that it would say. But between two looks at the sockets trio runs each task that can
    run once: a turn is over when another task tells, or when trio, which says so to an instrument, has looked.
    """

    __slots__ = ("_batches", "_calls_left", "_teller", "_turn_ends_s", "inline", "prompts", "thread")

    def __init__(self) -> None:
        self.thread = thread_id()
        self.inline = False
        self._calls_left = _CALLS_PER_TURN
        self.prompts = 0
        self._batches = 0
        self._teller: trio.lowlevel.Task | None = None
        self._turn_ends_s = 0.0
        trio.lowlevel.add_instrument(self)

    def close(self) -> None:
        """The system has ended."""
        self.thread = 0
        trio.lowlevel.remove_instrument(self)

    def allows_call(self) -> bool:
        """Whether one more call may be served on its caller's turn; after a no the next one may again."""
        if self._calls_left > 0:
            self._calls_left -= 1
            return True
        self._calls_left = _CALLS_PER_TURN
        return False

    def allows_prompts(self) -> bool:
        """Whether the running task may go on with another batch; after a no it may in its next turn."""
        now_s, teller = trio.current_time(), trio.lowlevel.current_task()
        if teller is not self._teller:
            self._teller = teller
            self._batches = 0
            self._turn_ends_s = now_s + _PROMPTS_S
        if self._batches * BATCH >= PROMPTS_PER_TURN or now_s >= self._turn_ends_s:
            return False
        self._batches += 1
        self.prompts = BATCH
        return True

    def after_io_wait(self, timeout: float) -> None:
        """trio has looked at the sockets: a new turn for everybody."""
        self._teller = None
        self.prompts = 0
