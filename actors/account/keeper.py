"""What an account decides gets to disk, and people hear what they must."""

from collections.abc import Callable, Iterable
from functools import partial

import trio

from actors._discrepancies import found, notice_of, put_of
from actors._ledger import Ledger
from actors.account.desk import AccountDesk
from actors.messages import Notify, notice_by
from engine.kernel import Actor
from engine.model import Discrepancy, Notice, Severity
from engine.store import Change, Commit, Put


class Keeper(Actor):
    """Disk, notices, and differences with the venue, each told once."""

    mailbox_capacity = 10_000

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)
        self._telling: set[str] = set()  # ids of differences whose commit is under way

    def _write(self, kind: str, *changes: Change, then: Callable[[], None] | None = None) -> None:
        self._ledger.write(Commit(kind, changes, actor=self.ctx.path), lambda _seq: then() if then else None)

    async def _on_disk(self) -> None:
        """Return when everything written so far is durable."""
        done = trio.Event()
        self._ledger.after(done.set)
        await done.wait()

    def _tell(self, kind: str, differences: Iterable[Discrepancy], *changes: Change) -> None:
        """Write `changes`, and in the same commit those of `differences` that are news."""
        news = [one for one in differences if self._is_news(one)]
        self._telling.update(one.discrepancy_id for one in news)
        notices = [notice_of(one, actor=self.ctx.path) for one in news]
        puts = [put for one, notice in zip(news, notices, strict=True) for put in (put_of(one), _put(notice))]
        if puts or changes:
            self._write(kind, *changes, *puts, then=partial(self._told, notices))

    def _is_news(self, one: Discrepancy) -> bool:
        return one.discrepancy_id not in self._telling and found(self._desk.store, one) is not None

    def _told(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            self._telling.discard(notice.notice_id)
            self._desk.notifier.tell(Notify(notice))

    def _notify(self, severity: Severity, kind: str, text: str) -> None:
        self._desk.notifier.tell(Notify(notice_by(self.ctx, severity, kind, text)))

    def _now_ms(self) -> int:
        return self.ctx.clock.wall_ms()


def _put(notice: Notice) -> Put:
    return Put("notices", notice.notice_id, notice)
