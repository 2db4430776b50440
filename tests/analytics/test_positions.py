"""What positions made, against tables computed by hand, and by every dimension."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics import PositionStatistics, pnl_of, realised, unrealised
from engine.model import CashFlow, Fill, FlowKind, OpenBook, PositionBook, PositionRecord, Side

D = Decimal


def fill(number: int, amount: object, price: object, *, instrument: str = "x:BTC", at_s: int = 0) -> Fill:
    size = D(str(amount))
    return Fill(
        account="x:main",
        instrument=instrument,
        trade_id=str(number),
        order_id="",
        client_order_id="",
        venue_order_id="",
        side=Side.BUY if size > 0 else Side.SELL,
        price=D(str(price)),
        amount=abs(size),
        fee=D("0.1"),
        fee_currency="USDC",
        filled_at_ms=(at_s or number) * 1000,
    )


def records_of(*fills: Fill, inverse: bool = False) -> list[PositionRecord]:
    book = OpenBook(PositionBook(account="x:main", instrument=fills[0].instrument, inverse=inverse, currency="USDC"))
    return [r for one in fills for r in book.take_fill(one, now_ms=1)]


LINEAR = [(1, 2, 100), (2, 2, 110), (3, -1, 120), (4, -5, 90), (5, 2, 80)]
# 2 at 100 and 2 at 110 are 4 at 105; one sold at 120 makes 15; three at 90 lose 45; the two shorts at 90 bought at 80 make 20
INVERSE = [(1, 10_000, 5000), (2, 10_000, 10_000), (3, -20_000, 8000)]
# long 20,000 USD, worth 2 BTC and 1 BTC when bought; at 8,000 2.5 BTC pay them back


@pytest.mark.parametrize(
    ("trades", "inverse", "made"),
    [(LINEAR, False, "-10"), (INVERSE, True, "0.5"), (LINEAR[:3], False, "15"), (INVERSE[:2], True, "0")],
)
def test_realised_profit_is_what_the_table_says(trades: list[tuple[int, int, int]], inverse: bool, made: str) -> None:
    assert realised((fill(*trade) for trade in trades), inverse=inverse) == D(made)


@pytest.mark.parametrize(
    ("amount", "price", "mark", "inverse", "made"),
    [
        ("2", "100", "110", False, "20"),
        ("-2", "100", "110", False, "-20"),
        ("10000", "5000", "8000", True, "0.75"),
        ("-10000", "5000", "8000", True, "-0.75"),
        ("0", None, None, False, "0"),
    ],
)
def test_unrealised_profit_is_that_of_closing_at_the_mark(
    amount: str, price: str | None, mark: str | None, inverse: bool, made: str
) -> None:
    figure = unrealised(D(amount), price and D(price), mark and D(mark), inverse=inverse)  # type: ignore[arg-type]
    assert figure == D(made)


@pytest.mark.parametrize(("price", "mark", "inverse"), [(None, D(1), False), (D(1), None, False), (D(1), D(1), None)])
def test_what_cannot_be_said_is_none(price: Decimal | None, mark: Decimal | None, inverse: bool | None) -> None:
    assert unrealised(D(1), price, mark, inverse=inverse) is None


def test_fees_and_funding_are_taken_from_the_profit_where_they_are_in_its_currency() -> None:
    book = OpenBook(PositionBook(account="x:main", instrument="x:BTC", inverse=False, currency="USDC"))
    for trade in LINEAR[:3]:
        book.take_fill(fill(*trade), now_ms=1)
    pnl = pnl_of(book.book, D(125), {"USDC": D(-2), "BNB": D(7)})
    assert (pnl.realised, pnl.unrealised, pnl.fees, pnl.funding) == (D(15), D(60), D("0.3"), D(-2))
    assert pnl.net == D("72.7")
    assert pnl_of(book.book, None).net is None


def test_statistics_by_every_dimension() -> None:
    statistics = PositionStatistics(period_ms=2000)
    for record in records_of(*(fill(*trade) for trade in LINEAR)):
        statistics.add(record, False)
    other = [(1, 10_000, 5000), (2, -10_000, 4000)]
    for record in records_of(*(fill(*trade, instrument="x:INV") for trade in other), inverse=True):
        statistics.add(msgspec.structs.replace(record, currency="BTC"), True)
    figures = statistics.figures()
    assert (figures["trades"], figures["won"], figures["lost"], figures["win_rate"]) == (7, 2, 2, 0.5)
    assert figures["realised_pnl"] == {"BTC": D("-0.5"), "USDC": D(-10)}
    assert figures["fees"] == {"USDC": D("0.7")}
    assert figures["by_instrument"]["x:BTC"]["volume"] == D(12)
    assert figures["by_instrument"]["x:INV"]["turnover"] == {"BTC": D("4.5")}
    assert figures["by_direction"]["short"]["realised_pnl"] == {"USDC": D(20)}
    assert figures["by_direction"]["long"]["trades"] == 6
    assert figures["by_account"].keys() == {"x:main"}
    assert figures["by_type"]["execution"]["records"] == 7
    assert [period["start_ms"] for period in figures["by_period"]] == [0, 2000, 4000]
    assert sum(period["trades"] for period in figures["by_period"]) == 7


def test_holding_is_from_the_opening_to_where_it_was_flat_or_turned() -> None:
    statistics = PositionStatistics(period_ms=86_400_000)
    moves = [(1, 2, 100, 10), (2, 1, 100, 20), (3, -5, 100, 40), (4, 2, 100, 45)]
    for record in records_of(*(fill(n, amount, price, at_s=at_s) for n, amount, price, at_s in moves)):
        statistics.add(record, False)
    figures = statistics.figures()
    assert (figures["rounds"], figures["average_holding"]) == (2, (30 + 5) / 2)
    assert figures["by_direction"]["long"]["average_holding"] == 30.0


def test_funding_is_what_the_statement_says() -> None:
    statistics = PositionStatistics(period_ms=1000)
    statistics.add_funding(
        CashFlow(
            account="x:main",
            flow_id="1",
            kind=FlowKind.FUNDING,
            currency="USDC",
            amount=D("-0.5"),
            funding=D("-0.5"),
            instrument="x:BTC",
            at_ms=1500,
        )
    )
    figures = statistics.figures()
    assert figures["funding"] == figures["by_instrument"]["x:BTC"]["funding"] == {"USDC": D("-0.5")}
    assert figures["win_rate"] == 0.0
