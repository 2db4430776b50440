"""Commits of one actor, in order, and what may happen once each is durable.

An actor that changes stored state does so in two halves: it decides (and remembers) in its handler, and it acts –
replies, sends, tells – only when the recorder has the decision on disk. `Ledger.write` takes both halves. One task
hands everything that gathered while the last group was being written to the recorder as the next group, so a busy actor
pays for one fsync per group and never for one task per order. If a commit fails the process ends; there is no state to
roll back.
"""

from collections.abc import Callable

import trio

from actors.recorder import Record
from engine.kernel import Ref
from engine.store import Commit

Then = Callable[[int], None]  # called with the commit's journal sequence number

MAX_GROUP = 512
COMMIT_TIMEOUT_S = 30.0


class Ledger:
    """Run `Ledger.run` as a task of the actor that writes; a commit that is not answered in time crashes that actor."""

    def __init__(self, recorder: Ref) -> None:
        self._recorder = recorder
        self._waiting: list[tuple[Commit, list[Then]]] = []
        self._wake = trio.Event()

    def write(self, commit: Commit, then: Then) -> None:
        """Commit after everything written before; `then` runs when it is durable."""
        self._waiting.append((commit, [then]))
        self._wake.set()

    def after(self, then: Callable[[], None]) -> None:
        """Run `then` once everything written so far is durable; at once if it is."""
        if not self._waiting:
            then()
            return
        _, thens = self._waiting[-1]
        thens.append(lambda _seq: then())

    async def run(self) -> None:
        """Hand groups to the recorder for as long as the actor lives."""
        while True:
            await self._wake.wait()
            commits = tuple(commit for commit, _ in self._waiting[:MAX_GROUP])
            seqs = await self._recorder.call(Record(commits), timeout_s=COMMIT_TIMEOUT_S)
            done = self._waiting[: len(commits)]
            del self._waiting[: len(commits)]
            if not self._waiting:
                self._wake = trio.Event()
            for (_, thens), seq in zip(done, seqs, strict=True):
                for then in thens:
                    then(seq)
