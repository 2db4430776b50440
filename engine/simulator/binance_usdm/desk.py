"""Everything the venue knows about one symbol beside the market itself."""

from collections import deque
from decimal import Decimal

import msgspec

from engine.kernel import Entropy
from engine.simulator.binance_usdm.candles import Candles
from engine.simulator.binance_usdm.contracts import hourly_coins
from engine.simulator.binance_usdm.day import Day
from engine.simulator.binance_usdm.depth import Depth
from engine.simulator.binance_usdm.digits import decimals_of, fixed, units
from engine.simulator.binance_usdm.frames import MarkPriceFrame
from engine.simulator.binance_usdm.funding import FundingTimes
from engine.simulator.binance_usdm.interest import SAMPLE_MS, OpenInterest
from engine.simulator.binance_usdm.intervals import MINUTE_MS
from engine.simulator.binance_usdm.past import Past
from engine.simulator.binance_usdm.prints import AggTrade, Print, Prints
from engine.simulator.binance_usdm.symbols import SymbolSpec, spot_name
from engine.simulator.market import Market
from engine.simulator.orders import Side, Trade

__all__ = ["Desk", "Forced"]

KEEP_FORCED = 100
KEEP_MARKS = 10


class Forced(msgspec.Struct, frozen=True, gc=False):
    """A liquidation order that traded: prices and amounts as they are written."""

    at_ms: int
    side: str
    amount: Decimal
    price: Decimal
    average: Decimal
    last: Decimal
    filled: Decimal
    is_done: bool


class Desk:
    def __init__(self, spec: SymbolSpec, market: Market, *, first_trade_id: int, now_ms: int, entropy: Entropy) -> None:
        self.spec = spec
        self.symbol = spec.symbol
        self.stream_symbol = spec.symbol.lower()
        self.spot_symbol = spot_name(spec)
        self.market = market
        self.price_decimals = decimals_of(spec.tick)
        self.amount_decimals = decimals_of(spec.step)
        self.quote_decimals = self.price_decimals + self.amount_decimals
        coin_steps = 10**self.amount_decimals
        opening = units(market.instrument.snap(market.index, Side.BUY), self.price_decimals)
        past = Past(
            end_ms=now_ms - now_ms % MINUTE_MS,
            price=opening,
            tick=units(spec.tick, self.price_decimals),
            volatility=spec.volatility,
            hourly_steps=hourly_coins(spec) * coin_steps,
            hourly_trades=spec.pace * 3600,
            first_ms=spec.onboard_ms,
            first_id=first_trade_id,
            entropy=entropy.fork("bars"),
        )
        self.candles = Candles(past, price=opening)
        self.day = Day(self.candles)
        self.depth = Depth(self.price_decimals)
        self.prints = Prints(first_trade_id // 2)
        self.funding = FundingTimes(
            market,
            hours=spec.funding_hours,
            premium=spec.premium,
            now_ms=now_ms,
            first_ms=spec.onboard_ms,
            entropy=entropy.fork("funding"),
        )
        self.interest = OpenInterest(
            usual=round(spec.open_interest_usd / spec.price * coin_steps),
            coin_steps=coin_steps,
            price=spec.price,
            volatility=spec.volatility,
            now_ms=now_ms,
            entropy=entropy.fork("interest"),
        )
        self.first_trade_id = first_trade_id
        self.last_print: Print | None = None
        self.marks_told: deque[MarkPriceFrame] = deque(maxlen=KEEP_MARKS)  # as streams brought them last
        self._opened_ms = now_ms
        self._sampled_ms = now_ms - now_ms % SAMPLE_MS
        self.forced: deque[Forced] = deque(maxlen=KEEP_FORCED)

    # -- how numbers are written

    def price(self, count: int) -> str:
        return fixed(count, self.price_decimals)

    def amount(self, count: int) -> str:
        return fixed(count, self.amount_decimals)

    def quote(self, count: int) -> str:
        return fixed(count, self.quote_decimals)

    # -- what happens

    def trade(self, trades: list[Trade]) -> list[AggTrade]:
        """Count the trades of one go, oldest first."""
        rows = []
        for trade in trades:
            row = Print(
                int(trade.trade_id),
                units(trade.price, self.price_decimals),
                units(trade.amount, self.amount_decimals),
                trade.at_ms,
                trade.side is Side.BUY,
            )
            rows.append(row)
            self.candles.add(row.at_ms, row.price, row.amount, row.trade_id, buyer_takes=row.buyer_takes)
            self.interest.trade(row.amount)
        self.last_print = rows[-1]
        return self.prints.add(rows)

    @property
    def last_ms(self) -> int:
        """The time of the last trade."""
        return self._opened_ms if self.last_print is None else self.last_print.at_ms

    def end_minute(self, at_ms: int) -> None:
        """A minute is over, or several are."""
        self.candles.roll(at_ms)
        self.funding.sample()
        mark = float(self.market.mark)
        while at_ms - self._sampled_ms >= SAMPLE_MS:
            self._sampled_ms += SAMPLE_MS
            self.interest.sample(self._sampled_ms, mark)
