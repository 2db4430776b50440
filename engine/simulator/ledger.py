"""The books of the exchange: who owns what after each fill, settlement and default.

Money is conserved: for each currency, balances + session profits + unrealised profits of all accounts + fees +
insurance stays what was deposited, whatever trades; and the sizes of all positions in an instrument sum to zero.

What an account earns is booked in whole units of its currency, so that the lines of its statement add up to its balance
to the last digit; what rounding gives or takes is the insurance's.
"""

from collections import defaultdict
from decimal import ROUND_UP, Decimal

from engine.simulator.accounts import Account, LogEntry, Position, Settlement, Wallet
from engine.simulator.margin import view
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Fill, Order, Trade, instrument_of

__all__ = ["Ledger"]


class Ledger:
    def __init__(self, markets: dict[str, Market]) -> None:
        self.markets = markets
        self.accounts: dict[str, Account] = {}
        self.clients: list[Account] = []  # accounts that are not the house's
        self.fees: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.insurance: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.deposited: defaultdict[str, Decimal] = defaultdict(Decimal)  # less what was withdrawn

    def open(self, account: Account, balances: dict[str, Decimal], at_ms: int) -> None:
        assert account.name not in self.accounts, f"account {account.name!r} exists already"
        self.accounts[account.name] = account
        if not account.house:
            self.clients.append(account)
        for currency, amount in balances.items():
            self.move(account, "deposit", currency, amount, at_ms)

    def move(self, account: Account, kind: str, currency: str, amount: Decimal, at_ms: int) -> None:
        """Let money come from outside, or go there when `amount` is negative: a deposit, withdrawal or transfer."""
        account.wallet(currency).balance += amount
        self.deposited[currency] += amount
        self._log(account, kind, at_ms, currency, change=amount)

    def fill(
        self, market: Market, order: Order, trade: Trade, amount: Decimal, *, maker: bool, taker_fee: bool
    ) -> Fill:
        """Book one side of a trade. The order must already count the fill."""
        account = self.accounts[order.account]
        instrument = market.instrument
        position, wallet = account.position(order.holding), account.wallet(instrument.settlement)
        funding = self._pay_funding(market, account, position)
        held = abs(position.size)
        exact = position.trade(instrument, order.side.signed(amount), trade.price)
        profit = self._earn(market, wallet, position, exact)
        market.open_interest += (abs(position.size) - held) / 2
        fee = self._charge(market, order, account, trade, amount, taker_fee)
        fill = Fill(
            trade=trade,
            order_id=order.order_id,
            account=account.name,
            side=order.side,
            state=order.state,
            kind=order.kind,
            maker=maker,
            fee=fee,
            fee_currency=instrument.settlement,
            profit=profit,
            label=order.label,
            reduce_only=order.reduce_only,
            post_only=order.post_only,
            is_liquidation=order.is_liquidation,
            leg=order.leg,
        )
        if not account.house:
            account.fills.append(fill)
            self._log_trade(market, account, position, fill, funding)
        return fill

    def _charge(
        self, market: Market, order: Order, account: Account, trade: Trade, amount: Decimal, taker_fee: bool
    ) -> Decimal:
        instrument = market.instrument
        value = instrument.value(amount, trade.price)
        fee = instrument.money(value * (instrument.taker_rate if taker_fee else instrument.maker_rate))
        penalty = instrument.money(value * instrument.liquidation_rate) if order.is_liquidation else ZERO
        account.wallet(instrument.settlement).balance -= fee + penalty
        self.fees[instrument.settlement] += fee
        self.insurance[instrument.settlement] += penalty
        return fee + penalty

    def _pay_funding(self, market: Market, account: Account, position: Position) -> Decimal:
        exact = position.pay_funding(market.cumulative_funding)
        received = self._earn(market, account.wallet(market.instrument.settlement), position, exact)
        position.funding += received - exact
        return received

    def _earn(self, market: Market, wallet: Wallet, position: Position, exact: Decimal) -> Decimal:
        """Book what a position has just realised, as money; how much that is."""
        instrument = market.instrument
        profit = instrument.money(exact)
        position.realised += profit - exact
        wallet.session_profit += profit
        wallet.total_profit += profit
        self.insurance[instrument.settlement] += exact - profit
        return profit

    def fund(self, market: Market, account: Account, at_ms: int) -> list[tuple[str, Decimal]]:
        """Let an account's positions in a market pay the funding that is due: (holding, received) of each."""
        instrument, paid = market.instrument, []
        for holding, position in account.positions.items():
            if instrument_of(holding) != instrument.name:
                continue
            received = self._pay_funding(market, account, position)
            if not position.size:
                continue
            paid.append((holding, received))
            self._log(
                account,
                "funding",
                at_ms,
                instrument.settlement,
                change=received,
                interest=received,
                instrument=instrument.name,
                position=position.size,
                mark=market.mark,
                index=market.index,
            )
        return paid

    def settle(self, market: Market, account: Account, at_ms: int, *, kind: str = "settlement") -> bool:
        """Move one position's session profit into the balance, and close it at the mark when it is a delivery."""
        position = account.positions.get(market.instrument.name)
        if position is None or not (position.size or position.realised):
            return False
        self._pay_funding(market, account, position)
        instrument = market.instrument
        unrealised = position.unrealised(instrument, market.mark)
        wallet = account.wallet(instrument.settlement)
        moved = instrument.money(position.realised + unrealised)
        wallet.session_profit += unrealised - moved
        wallet.total_profit += unrealised
        wallet.balance += moved
        row = Settlement(
            kind=kind,
            at_ms=at_ms,
            instrument=instrument.name,
            position=position.size,
            profit=moved,
            session_profit=instrument.money(position.realised + unrealised),
            funding=instrument.money(position.funding),
            mark=market.mark,
            index=market.index,
        )
        interest, size = position.funding, position.size
        position.realised = position.funding = ZERO
        if kind == "delivery":
            market.open_interest -= abs(size) / 2
            position.size = position.cost = position.entry_cost = ZERO
        else:
            position.cost = instrument.worth(size, market.mark) if size else ZERO
        if not account.house:
            account.settlements.append(row)
            self._log(
                account,
                kind,
                at_ms,
                instrument.settlement,
                change=moved,
                cashflow=moved,
                interest=instrument.money(interest),
                instrument=instrument.name,
                position=position.size,
                mark=market.mark,
                index=market.index,
            )
        return True

    def cover(self, account: Account, currency: str, at_ms: int) -> bool:
        """Let the insurance pay what a liquidated account without positions still owes."""
        wallet = account.wallet(currency)
        owed = (-(wallet.balance + wallet.session_profit)).quantize(self._unit(currency), ROUND_UP)
        if owed <= 0:
            return False
        wallet.balance += owed
        self.insurance[currency] -= owed
        self._log(account, "correction", at_ms, currency, change=owed)
        return True

    def total(self, currency: str) -> Decimal:
        """All money of a currency there is: what was deposited."""
        held = sum((view(account, currency, self.markets).equity for account in self.accounts.values()), ZERO)
        return held + self.fees[currency] + self.insurance[currency]

    def _unit(self, currency: str) -> Decimal:
        """The smallest amount of a currency."""
        contracts = (market.instrument for market in self.markets.values())
        return next(contract.money_step for contract in contracts if contract.settlement == currency)

    def _log_trade(self, market: Market, account: Account, position: Position, fill: Fill, funding: Decimal) -> None:
        instrument, wallet = market.instrument, account.wallet(market.instrument.settlement)
        self._log(
            account,
            "liquidation" if fill.is_liquidation else "trade",
            fill.trade.at_ms,
            instrument.settlement,
            change=-fill.fee,
            cashflow=fill.profit,
            commission=fill.fee,
            interest=funding,
            session_profit=instrument.money(wallet.session_profit),
            instrument=instrument.name,
            position=position.size,
            mark=market.mark,
            index=market.index,
            fill=fill,
        )

    def _log(
        self,
        account: Account,
        kind: str,
        at_ms: int,
        currency: str,
        *,
        change: Decimal,
        cashflow: Decimal = ZERO,
        commission: Decimal = ZERO,
        interest: Decimal = ZERO,
        session_profit: Decimal = ZERO,
        instrument: str | None = None,
        position: Decimal | None = None,
        mark: Decimal | None = None,
        index: Decimal | None = None,
        fill: Fill | None = None,
    ) -> None:
        if account.house:
            return
        account.log_count += 1
        account.log.append(
            LogEntry(
                entry_id=account.log_count,
                kind=kind,
                at_ms=at_ms,
                currency=currency,
                change=change,
                balance=account.wallet(currency).balance,
                cashflow=cashflow,
                commission=commission,
                interest=interest,
                session_profit=session_profit,
                instrument=instrument,
                position=position,
                mark=mark,
                index=index,
                fill=fill,
            )
        )
