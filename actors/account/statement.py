"""What changed the account's money, by the venue's own statement.

Every line is stored once. Lines of money from outside are told to people; money that leaves and was not allowed to is a
difference like any other.

Nothing of this holds up orders: a statement that cannot be read is read at the next pass. There is one exception. Before a balance
that moved by more than trading soon does is told to those who judge the day's result, the statement is asked whether money came
or went, because a withdrawal is no loss that should stop anybody.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial

import msgspec
import trio

from actors._discrepancies import discrepancy_id
from actors.account.asking import Asker, PassFailed
from actors.account.desk import AccountDesk
from actors.messages import SetGate
from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    Discrepancy,
    DiscrepancyKind,
    GateState,
    Position,
    Reckoning,
    Severity,
    SyncMode,
    plain,
    with_lines,
)
from engine.store import Change, Put
from engine.venues.base import FlowPage, VenueError, VenueRest

MAX_FLOW_PAGES = 200
STATEMENT_TIMEOUT_S = 30.0  # some venues sell a page a second
YOUNG_MS = 1000  # a line stamped so shortly before a pass may still be on its way into the balance
AHEAD_MS = 5000  # how far ahead of the venue's clock ours may run
HASTE_S = 5.0
LARGE = Decimal("0.01")  # of what was there


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored between two looks: how far the statement was read, and by currency what the balance has to be.

    `begun_ms`: the venue's time of the first look; a currency that was not there then began with nothing.
    """

    begun_ms: int
    read_ms: int
    reckonings: dict[str, Reckoning]


class Statement(Asker):
    """See the file's page."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._standing: Standing | None = None
        self._unsaved_lines: set[str] = set()
        self._young: list[CashFlow] = []  # lines of the present look about as young as its balances
        self._young_from_ms = 0
        self._moved: dict[str, Decimal] = {}  # what was found of money from outside since the last report, by currency
        self._wrong: dict[str, Decimal] = {}  # what was told as a difference since then, by currency
        self._seen: dict[str, Decimal] = {}  # balances at the last pass, by currency
        self._from_outside: set[str] = set()  # currencies of which the present look found such lines
        self._wanted = trio.Event()  # a pass
        self._reading = trio.Lock()

    def _recall_statement(self) -> None:
        self._standing = self._desk.store.meta(self._standing_key, Standing)
        self._see(self._balances.values())

    @property
    def _standing_key(self) -> str:
        return f"statement:{self._desk.account}"

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read_statement(self, venue_ms: int, asked_s: float) -> str:
        """Take all lines there are by now, and say what that makes of the day; why it failed, or nothing. The venue's time was
        `venue_ms` when it was `asked_s` here.
        """
        doubted, self._from_outside = set(self._doubts), set()
        try:
            await self._read_pages(venue_ms, asked_s)
        except (VenueError, PassFailed) as error:
            return self._unreadable(error)
        finally:
            self._settle_doubts(doubted)
        return ""

    def _settle_doubts(self, doubted: set[str]) -> None:
        """What moved a balance is known, but not yet whether the balance that is known has it."""
        for currency in doubted - self._from_outside:
            self._doubts.pop(currency, None)
        self._doubt(self._from_outside)
        if doubted or self._from_outside:
            self._tell_holdings()

    async def _read_in_haste(self, moved: set[str], venue_ms: int, asked_s: float) -> None:
        """A pass waits for it, and not for long."""
        self._doubt(moved)
        with trio.move_on_after(HASTE_S):
            async with self._reading:
                await self._read_statement(venue_ms, asked_s)

    def _heard_holdings(self, positions: list[Position], balances: list[Balance]) -> None:
        news = self._large_moves(balances) - self._doubts.keys()
        if news:
            self._doubt(news)
            self._wanted.set()
        super()._heard_holdings(positions, balances)

    def _see(self, balances: Iterable[Balance]) -> None:
        self._seen = {balance.currency: balance.balance for balance in balances}

    def _large_moves(self, balances: Iterable[Balance]) -> set[str]:
        """Currencies that moved since the last pass by more than trading soon does."""
        seen = self._seen
        known = [balance for balance in balances if balance.currency in seen and balance.balance.is_finite()]
        return {
            balance.currency
            for balance in known
            if abs(balance.balance - seen[balance.currency]) > LARGE * abs(seen[balance.currency])
        }

    def _unreadable(self, error: Exception) -> str:
        self.log.warning("balances are not checked: {}: {}", type(error).__name__, error)
        return f"{type(error).__name__}: {error}"

    async def _read_pages(self, venue_ms: int, asked_s: float) -> None:
        self._young, self._young_from_ms = [], venue_ms - YOUNG_MS
        since_ms, before = self._statement_since_ms(venue_ms), set[str]()
        for _ in range(MAX_FLOW_PAGES):
            until_ms = venue_ms + int((self.ctx.clock.monotonic_s() - asked_s) * 1000) + AHEAD_MS
            ask = partial(_lines_between, since_ms=since_ms, until_ms=until_ms)
            page: FlowPage = await self._ask("statement", ask, STATEMENT_TIMEOUT_S)
            keys = {line.key for line in page.flows}
            if not page.complete and keys <= before:
                raise PassFailed(f"statement since {since_ms}: a full page brought nothing new")
            before = keys
            since_ms = since_ms if page.complete else page.flows[-1].at_ms
            await self._take_lines(page.flows, since_ms)
            if page.complete:
                return
        raise PassFailed(
            f"statement since {since_ms}: more than {MAX_FLOW_PAGES} pages, the rest comes with the next pass"
        )

    def _statement_since_ms(self, venue_ms: int) -> int:
        if self._standing is None:
            return venue_ms - int(self._settings.first_lookback_s * 1000)
        return self._standing.read_ms - int(self._settings.overlap_s * 1000)

    async def _take_lines(self, lines: Sequence[CashFlow], read_ms: int) -> None:
        """Store what is new of them, with what it means for each balance, and with what people must hear of it."""
        lines = [line for line in lines if self._sane(line)]
        self._young += [line for line in lines if line.at_ms >= self._young_from_ms]
        stored = self._desk.store.table("cash_flows")
        fresh = [line for line in lines if line.key not in self._unsaved_lines and stored.get(line.key) is None]
        if not fresh:
            return
        changes: list[Change] = [Put("cash_flows", line.key, line) for line in fresh]
        standing, found = self._standing, list[Discrepancy]()
        outside = [line for line in fresh if standing and line.kind.external and line.at_ms >= standing.begun_ms]
        if not self._settings.allow_withdrawals:
            found = [self._left(line) for line in outside if line.amount < ZERO]
            await self._halt_for(found)
        if standing is not None:
            self._standing = self._with_lines(standing, fresh, max(read_ms, standing.read_ms))
            changes.append(Put("meta", self._standing_key, self._standing))
        self._unsaved_lines.update(line.key for line in fresh)
        self._tell("account.statement", found, *changes)
        self._ledger.after(partial(self._unsaved_lines.difference_update, {line.key for line in fresh}))
        for line in outside:
            self._came_or_went(line)
        self._count_in_day(outside)
        self._from_outside.update(line.currency for line in outside)

    def _with_lines(self, standing: Standing, lines: Iterable[CashFlow], read_ms: int) -> Standing:
        reckonings = dict(standing.reckonings)
        for currency in {line.currency for line in lines}:
            before = reckonings.get(currency) or Reckoning(expected=ZERO, begun_ms=standing.begun_ms)
            new = [line for line in lines if line.currency == currency]
            reckonings[currency] = with_lines(before, new, young_from_ms=self._young_from_ms)
        return msgspec.structs.replace(standing, reckonings=reckonings, read_ms=read_ms)

    # ── money from outside ────────────────────────────────────────────────────────────────────────────────────────────

    def _came_or_went(self, line: CashFlow) -> None:
        currency = line.currency
        self._moved[currency] = self._moved.get(currency, ZERO) + line.amount
        if line.amount < ZERO and not self._settings.allow_withdrawals:
            self._wrong[currency] = self._wrong.get(currency, ZERO) + line.amount
            return
        text = f"{self._desk.account}: {line.kind} of {plain(line.amount)} {currency}"
        self._ledger.after(partial(self._notify, Severity.INFO, f"account.{line.kind}", text))

    def _left(self, line: CashFlow) -> Discrepancy:
        return Discrepancy(
            discrepancy_id=discrepancy_id(line.account, DiscrepancyKind.WITHDRAWAL, line.currency, line.flow_id),
            account=line.account,
            kind=DiscrepancyKind.WITHDRAWAL,
            subject=line.currency,
            expected="no withdrawal",
            got=f"{line.kind} of {plain(line.amount)}",
            action=self._consequence,
            review=True,
            found_at_ms=self._now_ms(),
        )

    @property
    def _consequence(self) -> str:
        return "orders are halted until somebody resumes" if self._settings.mode is SyncMode.HALT else ""

    async def _halt_for(self, found: Sequence[Discrepancy]) -> None:
        """The gate is shut before the difference is on disk: told once, it would not shut it again."""
        news = [one for one in found if self._is_news(one)]
        if news and self._settings.mode is SyncMode.HALT:
            reason = "; ".join(f"{one.kind} {one.subject}: {one.got}" for one in news)
            await self._hand_over(SetGate(GateState.HALTED, f"{self._desk.account} is out of step: {reason}"))


async def _lines_between(rest: VenueRest, *, since_ms: int, until_ms: int) -> FlowPage:
    return await rest.cash_flows(since_ms, until_ms)
