"""The judge of a portfolio in the accounts drill, and the story that says what had to be told."""

from collections.abc import Callable
from decimal import Decimal
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from engine.model import (
    Discrepancy,
    DiscrepancyKind,
    FlowKind,
    OrderState,
    Portfolio,
    PortfolioOrder,
    PortfolioPosition,
    PortfolioTrade,
    Side,
)
from scripts.drills import _accounts_world
from scripts.drills._accounts_ground import BINANCE, DERIBIT, TrueFill, TrueOrder, Truth
from scripts.drills._accounts_judge import Begun
from scripts.drills._accounts_plan import Act, Cover, Schedule
from scripts.drills._accounts_portfolio import OutsideStory, outside
from scripts.drills._accounts_story import Story
from scripts.drills._accounts_view import Outside
from scripts.drills._accounts_world import World
from scripts.drills._finding import Finding

D = Decimal
NAME, SYMBOL, PAIR = "outside", "BTCUSDT", "BTC/USDT:USDT"
OURS, THEIRS = "node-1-1", "web_1"


def order(order_id: str, client_id: str, state: OrderState, filled: str) -> TrueOrder:
    return TrueOrder(
        venue_order_id=order_id, client_id=client_id, symbol=SYMBOL, state=state, amount=D(2), filled=D(filled)
    )


def fill(trade_id: str, order_id: str, amount: str = "1") -> TrueFill:
    return TrueFill(
        trade_id=trade_id,
        venue_order_id=order_id,
        symbol=SYMBOL,
        side=Side.BUY,
        price=D(100),
        amount=D(amount),
        fee=D(0),
        at_ms=int(trade_id),
    )


def truth(*fills: TrueFill) -> Truth:
    orders = (order("1", OURS, OrderState.OPEN, "1"), order("2", THEIRS, OrderState.OPEN, "0"))
    position = sum((one.signed for one in fills), D(0))
    return Truth(
        {one.venue_order_id: one for one in orders},
        {one.key: one for one in fills},
        {SYMBOL: position} if position else {},
        {"USDT": D(1000)},
    )


# ── the portfolio ─────────────────────────────────────────────────────────────────────────────────────────────────────

SO = truth(fill("7", "1"))


def followed(order_id: str, filled: str) -> PortfolioOrder:
    return PortfolioOrder(
        portfolio_id=NAME,
        external_id=order_id,
        symbol=PAIR,
        side=Side.BUY,
        order_type="limit",
        amount=D(2),
        price=D(100),
        state=OrderState.OPEN,
        filled_amount=D(filled),
        created_at_ms=1,
        updated_at_ms=1,
    )


def rows() -> Outside:
    told = Discrepancy(
        discrepancy_id="x",
        account=NAME,
        kind=DiscrepancyKind.ORDER_EXTERNAL,
        subject="order 2",
        expected="",
        got="",
        action="",
        found_at_ms=1,
    )
    return Outside(
        Portfolio(
            identifier=NAME,
            market="binanceusdm",
            trading_symbol="USDT",
            unallocated=D(1001),
            initialized=True,
            created_at_ms=1,
            updated_at_ms=1,
        ),
        (
            PortfolioPosition(portfolio_id=NAME, symbol="USDT", amount=D(1001), updated_at_ms=1),
            PortfolioPosition(portfolio_id=NAME, symbol=PAIR, amount=D(1), contract=True, updated_at_ms=1),
        ),
        (followed("1", "1"), followed("2", "0")),
        (
            PortfolioTrade(
                portfolio_id=NAME,
                trade_id="7",
                external_id="1",
                symbol=PAIR,
                side=Side.BUY,
                price=D(100),
                amount=D(1),
                at_ms=7,
            ),
        ),
        (told,),
    )


def seen() -> OutsideStory:
    """The second order is news since the first look."""
    before = truth()
    story = OutsideStory()
    story.seen(replace(before, orders={"1": before.orders["1"]}), 0)
    story.seen(SO, 0)
    return story


def test_rows_of_a_portfolio_that_are_the_exchanges_are_no_finding() -> None:
    assert outside(rows(), SO, BINANCE, seen()) == []


UNTRUTHS: dict[str, Callable[[Outside], Outside]] = {
    "it never began": lambda o: replace(o, portfolio=None),
    "it is halted": lambda o: replace(o, portfolio=replace(o.portfolio, halted=True)),
    "it has other money": lambda o: replace(o, portfolio=replace(o.portfolio, unallocated=D(900))),
    "its balance is another": lambda o: replace(o, positions=(replace(o.positions[0], amount=D(900)), o.positions[1])),
    "a position is another": lambda o: replace(o, positions=(o.positions[0], replace(o.positions[1], amount=D(2)))),
    "a position is not known": lambda o: replace(o, positions=o.positions[:1]),
    "an order is not known": lambda o: replace(o, orders=o.orders[:1]),
    "an order is thought to be over": lambda o: replace(
        o, orders=(replace(o.orders[0], state=OrderState.CANCELLED), o.orders[1])
    ),
    "an order never was": lambda o: replace(o, orders=(*o.orders, followed("9", "0"))),
    "a trade is not known": lambda o: replace(o, trades=()),
    "a trade is another": lambda o: replace(o, trades=(replace(o.trades[0], price=D(1)),)),
    "a trade never was": lambda o: replace(o, trades=(*o.trades, replace(o.trades[0], trade_id="8"))),
    "news was not told": lambda o: replace(o, discrepancies=()),
    "news was told twice": lambda o: replace(o, discrepancies=2 * o.discrepancies),
    "money is told to have moved": lambda o: replace(
        o, discrepancies=(*o.discrepancies, replace(o.discrepancies[0], kind=DiscrepancyKind.BALANCE, subject="USDT"))
    ),
}


@pytest.mark.parametrize("untruth", UNTRUTHS)
def test_every_single_untruth_of_a_portfolio_is_found(untruth: str) -> None:
    findings = outside(UNTRUTHS[untruth](rows()), SO, BINANCE, seen())
    assert {finding.kind for finding in findings} == {"portfolio"}


# ── the story ─────────────────────────────────────────────────────────────────────────────────────────────────────────

K = DiscrepancyKind
MINE, OTHERS = fill("7", "1"), fill("8", "2")


def told_under(cover: Cover, *, quietly: bool = False) -> Story:
    story = Story()
    story.tell(cover, truth(MINE, OTHERS), quietly=quietly)
    return story


def bounds(story: Story, kind: DiscrepancyKind, about: str) -> tuple[int, int]:
    expected = story.expected(truth(MINE, OTHERS), "node")
    return expected.least[kind, about], expected.most[kind, about]


def test_trades_of_others_are_told_and_our_own_are_not() -> None:
    story = told_under(Cover.NONE)
    assert bounds(story, K.FILL_EXTERNAL, OTHERS.key) == (1, 1)
    assert bounds(story, K.FILL_EXTERNAL, MINE.key) == (0, 0)
    assert bounds(story, K.FILL_MISSED, MINE.key) == (0, 0)


def test_a_deaf_stream_is_told_of_and_an_absence_is_not() -> None:
    assert bounds(told_under(Cover.LOST), K.FILL_MISSED, MINE.key) == (1, 1)
    assert bounds(told_under(Cover.KILL), K.FILL_MISSED, MINE.key) == (0, 0)
    assert bounds(told_under(Cover.AWAY), K.FILL_MISSED, MINE.key) == (0, 0)
    assert bounds(told_under(Cover.AWAY, quietly=True), K.FILL_MISSED, MINE.key) == (0, 1)
    assert bounds(told_under(Cover.LOST, quietly=True), K.FILL_MISSED, MINE.key) == (0, 1)


def test_nothing_is_told_of_trades_from_before_the_node_came() -> None:
    story = Story()
    story.begin(truth(MINE, OTHERS))
    assert bounds(story, K.FILL_EXTERNAL, OTHERS.key) == (0, 0)


def test_what_is_hidden_is_inferred_unless_an_order_of_ours_lives_whose_fills_will_come() -> None:
    foreign = Story()
    foreign.tell(Cover.NONE, truth(MINE))
    foreign.tell(Cover.HIDDEN, truth(MINE, OTHERS))
    foreign.infer(truth(MINE, OTHERS), {MINE.key}, "node")
    assert bounds(foreign, K.FILL_INFERRED, SYMBOL) == (1, 1)
    assert bounds(foreign, K.FILL_EXTERNAL, OTHERS.key) == (0, 0)
    foreign.unhide()
    assert bounds(foreign, K.FILL_EXTERNAL, OTHERS.key) == (1, 1)
    ours = told_under(Cover.HIDDEN)
    ours.infer(truth(MINE, OTHERS), (), "node")
    assert bounds(ours, K.FILL_INFERRED, SYMBOL) == (0, 0)


def test_an_order_of_others_has_to_be_told_when_it_was_there_to_be_seen() -> None:
    story = told_under(Cover.NONE)
    assert bounds(story, K.ORDER_EXTERNAL, "2") == (0, 1)
    story.seen(truth())
    assert bounds(story, K.ORDER_EXTERNAL, "2") == (1, 1)
    assert bounds(story, K.ORDER_EXTERNAL, "1") == (0, 0)


def test_money_that_leaves_is_told_each_time_and_has_the_name_its_venue_gives_it() -> None:
    story = told_under(Cover.NONE)
    story.moved[Act.WITHDRAW, "USDT"] = 2
    assert bounds(story, K.WITHDRAWAL, "USDT") == (2, 2)
    assert story.flows(DERIBIT) == {(FlowKind.WITHDRAWAL, "USDT"): 2}
    assert story.flows(BINANCE) == {(FlowKind.TRANSFER_OUT, "USDT"): 2}


def test_rows_that_nobody_has_looked_at_since_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """While fills are hidden the node alone is asked for passes; what the portfolio has is from before."""
    world = World.__new__(World)
    world.plan = Schedule(seed=1, ground=1, before=(), bursts=(), outside=True)
    world.ground, world.story, world._seen, world._begun = BINANCE, Story(), OutsideStory(), Begun({}, frozenset())
    stale = Finding("portfolio", "of before")
    for name in ("differences", "records", "statement", "telling"):
        monkeypatch.setattr(_accounts_world, name, lambda *_args, **_named: [])
    monkeypatch.setattr(_accounts_world, "outside", lambda *_args: [stale])
    view = Mock(known_fills={}, node_part="node")
    monkeypatch.setattr(World, "_view", lambda _self: view)
    assert world._look(truth(), whole=False) == []
    assert world._look(truth(), whole=True) == [stale]
