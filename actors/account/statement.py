"""What changed the account's money, by the venue's own statement, and whether it explains what is there.

Every line is stored once. Lines of money from outside are told to people; money that leaves and was not allowed to is a
difference like any other. Then each balance is reckoned with (`engine.model.accounts.reckoning`): one that is not explained is
looked at a second time before anybody hears of it, because trading goes on between two questions and a line may be listed late.

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
    SyncKind,
    SyncMode,
    SyncResult,
    admitted,
    agreed,
    begun_with,
    common,
    differences,
    plain,
    reserves,
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


class Accountant(Asker):
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
        self._unallocated: dict[str, Decimal] = {}  # as of the last pass, by currency

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

    # ── reckoning ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _reckon(self, balances: Sequence[Balance], venue_ms: int, asked_s: float) -> str:
        """Compare every balance with the statement; tell what two looks show. Why that was not possible, or nothing."""
        async with self._reading:
            unreadable = await self._read_statement(venue_ms, asked_s)
            return unreadable or await self._look_twice(balances, venue_ms)

    async def _look_twice(self, balances: Sequence[Balance], venue_ms: int) -> str:
        odd = self._compare(balances, venue_ms)
        if not odd:
            return ""
        await self.ctx.clock.sleep(self._settings.confirm_after_s)
        try:
            asked_s = self.ctx.clock.monotonic_s()
            venue_ms = await self._ask("time", lambda rest: rest.server_time_ms())
            balances = await self._ask("balances", lambda rest: rest.balances())
            unreadable = await self._read_statement(venue_ms, asked_s)
            if unreadable:
                return unreadable
            still = self._compare(balances, venue_ms)
            held = {balance.currency: balance.balance for balance in balances}
            for currency in odd.keys() & still.keys():
                both = common(odd[currency], still[currency], self._settings.tolerated(currency))
                if both is not None:
                    await self._admit(currency, both, held.get(currency, ZERO))
        except (VenueError, PassFailed) as error:
            return self._unreadable(error)
        moving = sorted(still.keys() - self._wrong.keys())
        return f"still moving: {', '.join(moving)}" if moving else ""

    def _compare(self, balances: Iterable[Balance], venue_ms: int) -> dict[str, tuple[Decimal, ...]]:
        """By currency what cannot be explained. All that can is the beginning of what comes."""
        held = {balance.currency: balance.balance for balance in balances if balance.balance.is_finite()}
        standing = self._standing
        if standing is None:
            self._begin(held, venue_ms)
            return {}
        reckonings, odd = dict(standing.reckonings), dict[str, tuple[Decimal, ...]]()
        for currency in held.keys() | reckonings.keys():
            reckoning = reckonings.get(currency) or Reckoning(expected=ZERO, begun_ms=standing.begun_ms)
            reckoning = with_lines(reckoning, (), young_from_ms=venue_ms - YOUNG_MS)
            balance = held.get(currency, ZERO)
            right = agreed(reckoning, balance, self._settings.tolerated(currency))
            if right is None:
                odd[currency] = differences(reckoning, balance)
            reckonings[currency] = right or reckoning
        self._stand(reckonings, standing.read_ms if odd else venue_ms)
        self._believe(currency for currency in reckonings if currency not in odd and not reckonings[currency].young)
        return odd

    def _believe(self, explained: Iterable[str]) -> None:
        """These balances have every line in them. Of others the next pass knows more."""
        settled = [self._doubts.pop(currency) for currency in explained if currency in self._doubts]
        if settled:
            self._tell_holdings()
        if self._doubts:
            self._wanted.set()

    def _begin(self, held: dict[str, Decimal], venue_ms: int) -> None:
        """Nothing was known before: what is there is taken as it is."""
        young: dict[str, list[CashFlow]] = {currency: [] for currency in held}
        for line in {line.key: line for line in self._young}.values():
            young.setdefault(line.currency, []).append(line)
        from_ms = self._young_from_ms
        self._standing = Standing(begun_ms=from_ms, read_ms=venue_ms, reckonings={})
        self._stand(
            {name: begun_with(held.get(name, ZERO), lines, young_from_ms=from_ms) for name, lines in young.items()},
            venue_ms,
        )

    def _stand(self, reckonings: dict[str, Reckoning], read_ms: int) -> None:
        """Only what is another reckoning is worth a commit: how far was read is found out again."""
        before = self._standing
        assert before is not None, "a standing begins with the first look"
        self._standing = msgspec.structs.replace(before, reckonings=reckonings, read_ms=read_ms)
        if reckonings != before.reckonings:
            self._write("account.reckoned", Put("meta", self._standing_key, self._standing))

    async def _admit(self, currency: str, difference: Decimal, balance: Decimal) -> None:
        """Say it once and go on from what is there."""
        standing = self._standing
        assert standing is not None, "a difference is one from a reckoning"
        before = standing.reckonings.get(currency) or Reckoning(expected=ZERO, begun_ms=standing.begun_ms)
        one = self._unexplained(currency, difference, balance)
        await self._halt_for([one])
        after = agreed(admitted(before, difference), balance, self._settings.tolerated(currency)) or before
        self._standing = msgspec.structs.replace(standing, reckonings=standing.reckonings | {currency: after})
        self._tell("account.unexplained", [one], Put("meta", self._standing_key, self._standing))
        self._wrong[currency] = self._wrong.get(currency, ZERO) + difference

    def _unexplained(self, currency: str, difference: Decimal, balance: Decimal) -> Discrepancy:
        kind, account = DiscrepancyKind.BALANCE, self._desk.account
        now_ms = self._now_ms()
        return Discrepancy(
            discrepancy_id=discrepancy_id(account, kind, currency, plain(difference), str(now_ms)),
            account=account,
            kind=kind,
            subject=currency,
            expected=plain(balance - difference),
            got=plain(balance),
            action=self._consequence,
            review=True,
            found_at_ms=now_ms,
        )

    # ── results ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _results(self) -> tuple[SyncResult, ...]:
        """By currency, of the balances as they are known now, with what was found since the last results."""
        orders = self._desk.store.live_orders(self._desk.account)
        kept = reserves(orders, self._positions.values(), self._desk.instrument)
        results = tuple(
            self._result(balance, kept.held.get(balance.currency, ZERO), kept.coming.get(balance.currency, ZERO))
            for _, balance in sorted(self._balances.items())
        )
        self._moved, self._wrong = {}, {}
        return results

    def _result(self, balance: Balance, held: Decimal, coming: Decimal) -> SyncResult:
        currency = balance.currency
        moved, wrong = self._moved.get(currency, ZERO), self._wrong.get(currency)
        available = balance.available + held - coming
        before = self._unallocated.get(currency, available)
        self._unallocated[currency] = available
        came_or_went = SyncKind.DEPOSIT if moved > ZERO else SyncKind.WITHDRAWAL
        return SyncResult(
            market=self._desk.account,
            currency=currency,
            kind=came_or_went if moved else SyncKind.NOOP,
            delta=moved,
            broker_available=available,
            previous_unallocated=before,
            new_unallocated=available,
            within_tolerance=wrong is None,
            reserved_for_pending_orders=held,
            difference=ZERO if wrong is None else wrong,
        )


async def _lines_between(rest: VenueRest, *, since_ms: int, until_ms: int) -> FlowPage:
    return await rest.cash_flows(since_ms, until_ms)
