"""Everything a condition can look at, and how long it has been unreadable."""

from decimal import Decimal

import msgspec

from actors.messages import Holdings
from actors.triggers.desk import TriggersDesk
from actors.triggers.markets import Markets
from engine.kernel import Clock, Ref
from engine.model import ZERO, Figure, Position
from engine.model.conditions.check import DAILY, TIME, Number
from engine.model.conditions.figures import MarketFigure

_CUSTOM = "custom."
_PNL = "pnl."
_OF_ACCOUNT = ("position", _PNL)


class Look(msgspec.Struct, frozen=True):
    """What there is to see of a figure; `problem` says why there is nothing."""

    value: Number | None
    age_s: float | None = None
    stale: bool = False
    problem: str = ""


class Trouble:
    """Looks at a figure at which there was nothing to read: in all, in a row, and whether people were told."""

    __slots__ = ("errors", "in_a_row", "told")

    def __init__(self) -> None:
        self.errors = 0
        self.in_a_row = 0
        self.told = False


class FigureBook:
    """See `engine.model.watch.Figures`. Ages are on the monotonic clock."""

    def __init__(self, desk: TriggersDesk, watcher: Ref, clock: Clock) -> None:
        self.markets = Markets(desk, watcher)
        self._desk = desk
        self._now_s = clock.monotonic_s
        self._now_ms = clock.wall_ms
        self._read_of: dict[Figure, MarketFigure] = {}
        self._custom: dict[str, tuple[Decimal, float]] = {}
        self._account: dict[Figure, int] = {}  # figures of the account that are looked at
        self._holdings: Holdings | None = None
        self._in_step_s = float("-inf")  # when the account was last known to be in step with the venue
        self._trouble: dict[Figure, Trouble] = {}

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, figure: Figure) -> Number | None:
        """The fresh value, None when there is none to be relied on."""
        market = self._read_of.get(figure)
        if market is not None:
            return market.fresh_value(self._now_s())
        look = self.look(figure)
        return None if look.stale or look.problem else look.value

    def look(self, figure: Figure) -> Look:
        """All there is to say of it."""
        if figure == TIME:
            return Look(self._now_ms())
        if figure.name.startswith(_CUSTOM):
            return self._look_at_custom(figure)
        if figure.name.startswith(_OF_ACCOUNT):
            return self._look_at_account(figure)
        market = self._read_of.get(figure)
        if market is None:
            return Look(None, problem=f"nobody follows {figure.instrument}")
        return _look_at_market(market, figure, self._now_s())

    def begin(self, figure: Figure) -> None:
        self._trouble[figure] = Trouble()
        if figure.name.startswith(_OF_ACCOUNT):
            self._account[figure] = 1
        elif figure.instrument:
            market = self.markets.begin(figure)
            if market is not None:
                self._read_of[figure] = market

    def end(self, figure: Figure) -> None:
        del self._trouble[figure]
        if figure.name.startswith(_OF_ACCOUNT):
            del self._account[figure]
        elif figure.instrument:
            self.markets.end(figure)
            self._read_of.pop(figure, None)

    def renew(self) -> None:
        """Take up markets that are followed by now."""
        self._read_of.update(self.markets.renew())

    # ── what somebody publishes ───────────────────────────────────────────────────────────────────────────────────────

    def publish(self, name: str, value: Decimal) -> Figure | None:
        """Keep a figure's newest value; None when there is no room for another one."""
        if name not in self._custom and len(self._custom) >= self._desk.settings.custom_figures:
            return None
        self._custom[name] = value, self._now_s()
        return Figure("", _CUSTOM + name)

    def _look_at_custom(self, figure: Figure) -> Look:
        name = figure.name.removeprefix(_CUSTOM)
        if name not in self._custom:
            return Look(None, problem=f"nobody has published {name}")
        value, at_s = self._custom[name]
        if not value.is_finite():
            return Look(None, problem=f"{name} is {value}, no number")
        age_s = self._now_s() - at_s
        return Look(value, age_s, age_s > self._desk.settings.custom_age_s)

    # ── the account's ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def of_account(self) -> tuple[Figure, ...]:
        """Figures of the account that are looked at."""
        return tuple(self._account)

    def hold(self, holdings: Holdings, *, in_step: bool) -> None:
        """What the account holds; `in_step`: its private stream is up and the last pass was whole, so it is true now."""
        self._holdings = holdings
        if in_step:
            self._in_step_s = self._now_s()

    def out_of_step(self) -> None:
        """What the account holds may have changed unheard."""
        self._in_step_s = float("-inf")

    def _look_at_account(self, figure: Figure) -> Look:
        if self._holdings is None:
            return Look(None, problem="what the account holds is not known yet")
        if figure.name.startswith(_PNL + DAILY):
            value, problem = _daily(self._holdings.day_pnl, figure.name.removeprefix(_PNL + DAILY).removeprefix("."))
        else:
            rows = [row for row in self._holdings.positions if row.instrument == figure.instrument]
            value, problem = sum((_of_position(row, figure.name) for row in rows), ZERO), ""
        age_s = self._now_s() - self._in_step_s
        known_s = None if age_s == float("inf") else age_s
        return Look(value, known_s, age_s > 3 * self._desk.settings.evaluation_interval_s, problem)

    # ── trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def errors(self, figure: Figure) -> int:
        """Looks at which there was nothing to read, since somebody looks at it."""
        trouble = self._trouble.get(figure)
        return 0 if trouble is None else trouble.errors

    def count(self, figure: Figure) -> tuple[str, Trouble] | None:
        """Look whether it can be read at all: what is wrong and since when, None when all is well. Stale is not wrong."""
        trouble = self._trouble[figure]
        problem = self.look(figure).problem
        if not problem:
            trouble.in_a_row = 0
            trouble.told = False
            return None
        trouble.errors += 1
        trouble.in_a_row += 1
        return problem, trouble

    def tell_again(self, figure: Figure) -> None:
        """Somebody new looks at it: people are told of its trouble once more."""
        self._trouble[figure].told = False


def _look_at_market(market: MarketFigure, figure: Figure, now_s: float) -> Look:
    value, age_s, stale = market.value(), market.age_s(now_s), market.stale(now_s)
    if value is None:
        return Look(None, age_s, stale, f"{figure} is not told")
    if not -float("inf") < value < float("inf"):
        return Look(None, age_s, stale, f"{figure} is {value}, no number")
    return Look(value, age_s, stale)


def _daily(day_pnl: dict[str, Decimal], currency: str) -> tuple[Decimal | None, str]:
    if currency:
        return day_pnl.get(currency), "" if currency in day_pnl else f"no result of the day is known in {currency}"
    if len(day_pnl) != 1:
        return (
            None,
            f"the day has results in {', '.join(sorted(day_pnl)) or 'no currency'}: expected just one, or one named",
        )
    return next(iter(day_pnl.values())), ""


def _of_position(row: Position, name: str) -> Decimal:
    match name:
        case "position":
            return row.amount
        case "pnl.unrealised":
            return row.unrealised_pnl
        case "pnl.realised":
            return row.realised_pnl
        case _:
            return row.unrealised_pnl + row.realised_pnl
