"""Where the recorder's blocking work on the store happens: in a thread of its own, or inline under a mock clock."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import msgspec
import pykka
import trio

from engine.store import Store

T = TypeVar("T")


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job: its value, or what it raised."""

    value: Any = None
    error: Exception | None = None


Done = Callable[[Outcome], None]


def outcome_of(job: Callable[[Store], Any], store: Store) -> Outcome:
    """Run a job. Whatever goes wrong with the store is for the loop to act on."""
    try:
        return Outcome(job(store))
    except Exception as error:  # noqa: BLE001 - carried to the loop, where it ends the actor
        return Outcome(error=error)


class Host(Protocol):
    """Where blocking work on the store happens. Jobs run one after the other in the order they were submitted."""

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        """Run `job`, then `done` on the loop. `done` must not raise."""

    async def aside(self, job: Callable[[Store], T]) -> T:
        """The value of a job that only reads the store, without holding the others up."""

    def close(self) -> None:
        """Take no more jobs."""


class InlineHost:
    """On the loop itself, for runs under a mock clock."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        done(outcome_of(job, self._store))

    async def aside(self, job: Callable[[Store], T]) -> T:
        await trio.lowlevel.checkpoint()
        return job(self._store)

    def close(self) -> None:
        """Nothing to let go of."""


class Job(msgspec.Struct, frozen=True):
    """For the store's thread. A callback costs the loop two turns less than awaiting a reply would."""

    run: Callable[[Store], Any]
    done: Done


class StoreThread(pykka.ThreadingActor):
    """The one thread that writes."""

    use_daemon_thread = True  # killed in a commit is as good as any other crash; holding up an exit is not

    def __init__(self, store: Store, token: trio.lowlevel.TrioToken) -> None:
        super().__init__()
        self._store = store
        self._token = token

    def on_receive(self, message: Job) -> None:
        outcome = outcome_of(message.run, self._store)
        with suppress(trio.RunFinishedError):  # nobody is left to be told
            self._token.run_sync_soon(message.done, outcome)
