"""Differences with the venue that the queue comes upon: on disk with what made them, told once.

What was so before the node looked after an account for the first time is no difference: an account has a past, of which nobody
wants to hear trade by trade.
"""

from collections.abc import Iterable

import msgspec

from actors._discrepancies import notice_of, put_of
from actors.messages import Notify
from actors.orders.desk import OrdersDesk
from actors.orders.keeper import Keeper
from engine.model import Discrepancy, Notice
from engine.store import Change, Put

MAX_FOUND = 4096  # far more than commits are under way


class Found(msgspec.Struct, frozen=True):
    """New differences: what the commit must have, and whom people hear of it from when that is durable."""

    changes: tuple[Change, ...] = ()
    notices: tuple[Notice, ...] = ()


class Differing(Keeper):
    """What was told stays in mind until it is surely on disk."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._discrepancies: dict[str, Discrepancy] = {}  # those told last, of which some are not on disk yet
        self._begun_ms = 0  # when this store began to look after the account

    def _recover_begin(self) -> None:
        key = f"begun:{self._desk.account}"
        begun_ms: int | None = self._desk.store.meta(key, int)
        if begun_ms is None:
            begun_ms = self._now_ms()
            self._ledger.write(self._commit("account.begun", (Put("meta", key, begun_ms),)), lambda _seq: None)
        self._begun_ms = begun_ms

    def _told_before(self, discrepancy_id: str) -> Discrepancy | None:
        """As it was told, or settled, last."""
        known: Discrepancy | None = self._discrepancies.get(discrepancy_id)
        return known or self._desk.store.table("discrepancies").get(discrepancy_id)

    def _found_now(self, discrepancies: Iterable[Discrepancy]) -> Found:
        """Those that were not told before."""
        changes: list[Change] = []
        notices = []
        for one in discrepancies:
            if self._told_before(one.discrepancy_id) is None:
                self._keep_in_mind(one)
                notice = notice_of(one, actor=self.ctx.path)
                notices.append(notice)
                changes += [put_of(one), Put("notices", notice.notice_id, notice)]
        return Found(tuple(changes), tuple(notices))

    def _keep_in_mind(self, discrepancy: Discrepancy) -> None:
        self._discrepancies.pop(discrepancy.discrepancy_id, None)
        self._discrepancies[discrepancy.discrepancy_id] = discrepancy
        if len(self._discrepancies) > MAX_FOUND:
            del self._discrepancies[next(iter(self._discrepancies))]

    def _tell_found(self, found: Found) -> None:
        for notice in found.notices:
            self._desk.notifier.tell(Notify(notice))
