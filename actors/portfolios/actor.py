"""One portfolio: kept in step with its exchange, at the start, on a timer and whenever somebody asks.

A pass looks at the exchange (`asking`), decides what that means (`judging`), stores all of it in one commit, and then tells and
answers. There is one pass at a time; who asks during one is answered by the next. A difference in money is looked at a second
time before it counts, and counts if it is the same then, because the exchange goes on trading between two questions. A pass
that fails changes nothing.

Expected trouble is a state: no answer is asked again after growing pauses, and people hear of it when it lasts. Keys that are
refused, a market nobody supports: nothing is asked again until the keys change where they are kept, or somebody asks. Each
portfolio is an actor of its own, so that none stops another.
"""

from collections.abc import Sequence

import msgspec
import trio

from actors.messages import Notify, notice_by
from actors.portfolios.asking import Asker, Look
from actors.portfolios.desk import PortfolioDesk
from actors.portfolios.judging import Judgement, judge
from actors.portfolios.memory import Memory
from actors.portfolios.messages import (
    FollowOrder,
    GetPortfolio,
    PortfolioSynced,
    PortfolioView,
    SyncDue,
    SyncPortfolio,
)
from actors.portfolios.trouble import Trouble
from actors.recorder import Record
from engine.kernel import Actor, Backoff, Reply, on
from engine.model import (
    ZERO,
    ModelError,
    Portfolio,
    PortfolioOrder,
    Severity,
    SyncReport,
    SyncResult,
    unacknowledged,
)
from engine.store import Change, Commit, Put
from engine.venues.ccxt import (
    CredentialError,
    ImproperlyConfigured,
    MarketCredential,
    OperationalException,
    TransientExchangeError,
)

COMMIT_TIMEOUT_S = 30.0
MAX_LOOKS = 5  # for two in a row that show the same difference
MAX_WAITING = 1000


class PortfolioKeeper(Actor):
    """See the module's page."""

    mailbox_capacity = 1000

    def __init__(self, desk: PortfolioDesk) -> None:
        super().__init__()
        self._desk = desk
        self._settings = desk.settings
        self._memory: Memory
        self._backoff = Backoff(
            min_s=self._settings.sync_retry_s, max_s=max(self._settings.sync_retry_s, self._settings.retry_max_s)
        )
        self._waiting: list[tuple[Reply[PortfolioSynced], bool]] = []
        self._wanted = trio.Event()
        self._writing = trio.Lock()
        self._trouble = Trouble(desk.name, self._tell)
        self._report: SyncReport | None = None

    async def on_start(self) -> None:
        """Remember what is stored. Nothing here waits for the exchange."""
        await self._desk.recorder.call(Record(()), timeout_s=COMMIT_TIMEOUT_S)
        self._memory = Memory(self._desk.name, self._desk.store)
        self.spawn(self._keep_in_step, name="sync")
        self._wanted.set()
        self.every(self._settings.sync_every_s, SyncDue())

    async def on_stop(self) -> None:
        """Let go of the connections; whoever else uses these keys opens its own."""
        credential = self._in_use()
        if credential is not None:
            self._desk.providers.release(credential)

    # ── what is asked of it ───────────────────────────────────────────────────────────────────────────────────────────

    @on(SyncDue)
    def sync_due(self, _message: SyncDue) -> None:
        self._wanted.set()

    @on(SyncPortfolio)
    def sync_portfolio(self, message: SyncPortfolio) -> None:
        reply = self.defer_reply()
        if len(self._waiting) >= MAX_WAITING:
            busy = TransientExchangeError(self._settings.market, f"{MAX_WAITING} others ask already", asked=False)
            reply.send(self._failure(self._now_ms(), busy))
            return
        self._waiting.append((reply, message.accept))
        self._wanted.set()

    @on(GetPortfolio)
    def get_portfolio(self, _message: GetPortfolio) -> PortfolioView:
        memory = self._memory
        return PortfolioView(
            name=self._desk.name,
            market=self._settings.market,
            trading_symbol=self._settings.trading_symbol,
            mode=self._settings.mode,
            backtest=self._settings.backtest,
            portfolio=memory.portfolio,
            positions=tuple(sorted(memory.positions.values(), key=lambda row: row.key)),
            open_orders=tuple(sorted(memory.live.values(), key=lambda order: (order.created_at_ms, order.key))),
            report=self._report,
            trouble=str(self._trouble),
            waits_for_keys=self._trouble.of_keys,
        )

    @on(FollowOrder)
    def follow_order(self, message: FollowOrder) -> None:
        reply = self.defer_reply()
        try:
            message.order.check()
        except ModelError as error:
            reply.fail(error)
        else:
            self.spawn(self._follow, message.order, reply, name="follow")

    async def _follow(self, order: PortfolioOrder, reply: Reply[PortfolioOrder]) -> None:
        """What it wants and the exchange does not hold yet is not available any more, from this commit on."""
        async with self._writing:
            order = msgspec.structs.replace(order, portfolio_id=self._desk.name)
            known = self._memory.order(order.key)
            given_up = known is not None and not known.acknowledged and order.state.terminal
            if known is None or given_up:
                changes: list[Change] = [Put("portfolio_orders", order.key, order)]
                row = self._reserved(known, order)
                if row is not None:
                    changes.append(Put("portfolios", row.identifier, row))
                await self._commit("portfolio.follow", changes)
                known = order
        reply.send(known)

    def _reserved(self, before: PortfolioOrder | None, after: PortfolioOrder) -> Portfolio | None:
        """The portfolio with what the order takes off, or gives back; None where that changes nothing."""
        portfolio = self._memory.portfolio
        if portfolio is None or not portfolio.initialized:
            return None
        wanted = unacknowledged([] if after.state.terminal else [after], portfolio.trading_symbol)
        wanted -= unacknowledged([] if before is None else [before], portfolio.trading_symbol)
        left = portfolio.unallocated - wanted
        return msgspec.structs.replace(portfolio, unallocated=left, updated_at_ms=self._now_ms()) if wanted else None

    # ── passes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep_in_step(self) -> None:
        """One pass at a time, whenever one is wanted."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            waiting, self._waiting = self._waiting, []
            if self._is_hopeless() and not waiting:
                continue
            synced = await self._step(accept=any(accept for _, accept in waiting))
            for reply, _ in waiting:
                reply.send(synced)
            if self._trouble.failures:
                await self._pause()

    async def _pause(self) -> None:
        """Until it is worth asking again, or somebody does."""
        with trio.move_on_after(self._backoff.delay_s(self._trouble.failures, self.ctx.entropy)):
            while not self._waiting:
                await self._wanted.wait()
                if not self._waiting:
                    self._wanted = trio.Event()
        self._wanted.set()

    def _is_hopeless(self) -> bool:
        """Whether the last trouble stays until a person acts; new keys where they are kept are such an act."""
        return self._trouble.hopeless and not (self._trouble.of_keys and self._keys_changed())

    def _keys_changed(self) -> bool:
        try:
            return self._desk.read_credential() != self._in_use()
        except CredentialError:
            return False

    def _in_use(self) -> MarketCredential | None:
        return self._desk.credentials.get(self._settings.market, self._desk.name)

    async def _step(self, *, accept: bool) -> PortfolioSynced:
        """One pass, on disk and told."""
        started_ms = self._now_ms()
        try:
            async with self._writing:
                backtest = self._settings.backtest
                synced = await (self._backtest(started_ms) if backtest else self._pass(started_ms, accept=accept))
        except OperationalException as error:
            self.log.warning("not in step: {}: {}", type(error).__name__, error)
            self._trouble.failed(error)
            failure = self._failure(started_ms, error)
            self._report = failure.report
            return failure
        self._trouble.passed(synced.error)
        return synced

    def _failure(self, started_ms: int, error: OperationalException) -> PortfolioSynced:
        text = f"{type(error).__name__}: {error}"
        report = SyncReport(account=self._desk.name, started_at_ms=started_ms, ended_at_ms=self._now_ms(), error=text)
        return PortfolioSynced(report, error=error)

    async def _pass(self, started_ms: int, *, accept: bool) -> PortfolioSynced:
        portfolio = self._portfolio()
        provider = await self._desk.providers.best(self._settings.market)
        asker = Asker(provider, self._credential(), portfolio, self._memory, self._settings, self.ctx.clock)
        look, judgement = await self._sure_look(asker, portfolio, accept)
        await self._commit("portfolio.synced", judgement.changes)
        for notice in judgement.notices:
            self._desk.notifier.tell(Notify(notice))
        return self._answer(started_ms, look, judgement)

    async def _sure_look(self, asker: Asker, portfolio: Portfolio, accept: bool) -> tuple[Look, Judgement]:
        """One that shows no difference in money, or the second in a row that shows the same. Raises `TransientExchangeError`."""
        before: Judgement | None = None
        for _ in range(MAX_LOOKS):
            look = await asker.look()
            now = judge(self._memory, portfolio, look, self._settings, accept=accept, actor=self.ctx.path)
            if now.sure or (before is not None and before.difference == now.difference):
                return look, now
            before = now
            await self.ctx.clock.sleep(self._settings.confirm_after_s)
        raise TransientExchangeError(
            self._settings.market, f"money moved on between the questions of each of {MAX_LOOKS} looks"
        )

    def _answer(self, started_ms: int, look: Look, judgement: Judgement) -> PortfolioSynced:
        result = judgement.allocation.result
        self._report = SyncReport(
            account=self._desk.name,
            started_at_ms=started_ms,
            ended_at_ms=self._now_ms(),
            results=(result,),
            discrepancies=judgement.discrepancies,
        )
        return PortfolioSynced(
            self._report,
            result=result,
            orders=(*self._memory.live.values(), *(order for order in look.orders if order.state.terminal)),
            error=judgement.error,
            orders_error=look.orders_error,
        )

    async def _backtest(self, started_ms: int) -> PortfolioSynced:
        """No exchange is asked: the portfolio has what it is said to begin with."""
        portfolio = self._portfolio()
        if not portfolio.initialized:
            money = self._settings.initial_balance or ZERO
            portfolio = msgspec.structs.replace(portfolio, unallocated=money, net_size=money, initialized=True)
            await self._commit("portfolio.backtest", (Put("portfolios", portfolio.identifier, portfolio),))
        result = SyncResult(
            market=portfolio.market,
            currency=portfolio.trading_symbol,
            broker_available=portfolio.unallocated,
            previous_unallocated=portfolio.unallocated,
            new_unallocated=portfolio.unallocated,
        )
        self._report = SyncReport(
            account=self._desk.name, started_at_ms=started_ms, ended_at_ms=self._now_ms(), results=(result,)
        )
        return PortfolioSynced(self._report, result=result, orders=tuple(self._memory.live.values()))

    def _portfolio(self) -> Portfolio:
        """The one on disk, or one that was not looked at yet. Raises `ImproperlyConfigured` when it is another one's."""
        wanted = (self._settings.market, self._settings.trading_symbol)
        known, now_ms = self._memory.portfolio, self._now_ms()
        if known is None:
            return Portfolio(
                identifier=self._desk.name,
                market=self._settings.market,
                trading_symbol=self._settings.trading_symbol,
                initial_balance=self._settings.initial_balance,
                created_at_ms=now_ms,
                updated_at_ms=now_ms,
            )
        if (known.market, known.trading_symbol) != wanted:
            kept = f"{known.market} and {known.trading_symbol}"
            raise ImproperlyConfigured(
                self._settings.market,
                f"portfolios.{self._desk.name}: expected {kept}, which are stored under this name, got"
                f" {' and '.join(wanted)}; give the new one a name of its own",
            )
        return known

    def _credential(self) -> MarketCredential:
        """As it is kept now, so that new keys are used from the next pass on. Raises `CredentialError`."""
        credentials, name = self._desk.credentials, self._desk.name
        try:
            credentials.add(self._desk.read_credential(), name)
        except CredentialError as error:
            if self._in_use() is None:
                raise
            self.log.warning("the keys cannot be read again, those in use are kept: {}", error)
        credential = self._in_use()
        assert credential is not None, "it was added"
        return credential

    async def _commit(self, kind: str, changes: Sequence[Change]) -> None:
        if changes:
            commit = Commit(kind, tuple(changes), note=self._desk.name, actor=self.ctx.path)
            await self._desk.recorder.call(Record((commit,)), timeout_s=COMMIT_TIMEOUT_S)
            self._memory.took(changes)

    def _tell(self, severity: Severity, kind: str, text: str) -> None:
        self._desk.notifier.tell(Notify(notice_by(self.ctx, severity, kind, text)))

    def _now_ms(self) -> int:
        return self.ctx.clock.wall_ms()
