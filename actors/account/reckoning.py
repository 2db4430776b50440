"""Whether what is there is what the statement says it has to be (`engine.model.accounts.reckoning`), and the results of a pass.

A balance that is not explained is looked at a second time before anybody hears of it, because trading goes on between two
questions and a line may be listed late.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from actors._discrepancies import discrepancy_id
from actors.account.asking import PassFailed
from actors.account.desk import AccountDesk
from actors.account.statement import YOUNG_MS, Standing, Statement
from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    Discrepancy,
    DiscrepancyKind,
    Reckoning,
    SyncKind,
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
from engine.store import Put
from engine.venues.base import VenueError


class Accountant(Statement):
    """What is not explained is looked at a second time before it is told; then it is the beginning of what comes."""

    def __init__(self, desk: AccountDesk) -> None:
        super().__init__(desk)
        self._unallocated: dict[str, Decimal] = {}  # as of the last pass, by currency

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
