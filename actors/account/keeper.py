"""What an account decides gets to disk, and people hear what they must."""

from actors._ledger import Ledger
from actors.account.desk import AccountDesk
from actors.messages import Notify
from engine.kernel import Actor
from engine.model import Notice, Severity
from engine.store import Change, Commit


class Keeper(Actor):
    """Disk and notices."""

    mailbox_capacity = 10_000

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._ledger = Ledger(desk.recorder)

    def _write(self, kind: str, *changes: Change) -> None:
        self._ledger.write(Commit(kind, changes, actor=self.ctx.path), _nothing)

    def _notify(self, severity: Severity, kind: str, text: str) -> None:
        notice = Notice(
            notice_id=self.ctx.entropy.token(12),
            at_ms=self.ctx.clock.wall_ms(),
            severity=severity,
            kind=kind,
            text=text,
            actor=self.ctx.path,
        )
        self._desk.notifier.tell(Notify(notice))


def _nothing(_seq: int) -> None:
    pass
