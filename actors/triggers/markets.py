"""The figures of markets that somebody looks at: where they are read, and who tells that they moved."""

from collections.abc import Sequence

from actors.feed.rest import APPLIED
from actors.messages import MarketChanged, WatchMarket
from actors.triggers.desk import TriggersDesk
from engine.kernel import MailboxFull, Ref
from engine.model import Figure
from engine.model.conditions.figures import MarketFigure
from engine.venues.base import Applied


class Markets:
    """Figures by instrument. Feeds are asked for just the changes that are looked at, and for nothing when nobody looks."""

    def __init__(self, desk: TriggersDesk, watcher: Ref) -> None:
        self._desk = desk
        self._watcher = watcher
        self._figures: dict[str, dict[Figure, MarketFigure | None]] = {}  # None: nobody follows that market
        self._asked: dict[str, int] = {}  # what the feeds of an instrument were asked for, as bits
        self._concerned: dict[tuple[str, int], tuple[Figure, ...]] = {}  # by what a message says

    def begin(self, figure: Figure) -> MarketFigure | None:
        """Look at it from now on; None while nobody follows its market."""
        found = self._find(figure)
        self._figures.setdefault(figure.instrument, {})[figure] = found
        self._ask(figure.instrument)
        return found

    def end(self, figure: Figure) -> None:
        figures = self._figures[figure.instrument]
        del figures[figure]
        if not figures:
            del self._figures[figure.instrument]
        self._ask(figure.instrument)

    def renew(self) -> dict[Figure, MarketFigure]:
        """Markets that are followed since somebody looked for them; and ask every feed again, as one of them may be new."""
        found: dict[Figure, MarketFigure] = {}
        for instrument, figures in self._figures.items():
            for figure in [figure for figure, known in figures.items() if known is None]:
                market = figures[figure] = self._find(figure)
                if market is not None:
                    found[figure] = market
            self._ask(instrument, again=True)
        return found

    def concerned(self, message: MarketChanged) -> Sequence[Figure]:
        """What may have moved."""
        key = (message.instrument, message.applied._value_)
        known = self._concerned.get(key)
        if known is None:
            known = self._concerned[key] = self._concerns(*key)
        return known

    def _concerns(self, instrument: str, bits: int) -> tuple[Figure, ...]:
        figures = self._figures.get(instrument, {})
        return tuple(figure for figure, market in figures.items() if bits & _bits(market))

    def _find(self, figure: Figure) -> MarketFigure | None:
        state = self._desk.market(figure.instrument)
        return None if state is None else MarketFigure(state, figure)

    def _ask(self, instrument: str, *, again: bool = False) -> None:
        """Have the feeds tell what is looked at now; nothing when they were asked for that already, unless `again`."""
        wanted = 0
        for market in self._figures.get(instrument, {}).values():
            wanted |= _bits(market)
        self._concerned = {key: known for key, known in self._concerned.items() if key[0] != instrument}
        if wanted == self._asked.get(instrument, 0) and not (again and wanted):
            return
        self._asked[instrument] = wanted
        if not wanted:
            del self._asked[instrument]
        for feed in self._desk.feeds(instrument):
            try:
                feed.tell(WatchMarket(self._watcher, Applied(wanted)))
            except MailboxFull:
                self._asked.pop(instrument, None)  # it is asked again at the next look at everything


def _bits(market: MarketFigure | None) -> int:
    """The changes a figure is told with."""
    if market is None or market.data_class is None:
        return 0
    return int(APPLIED[market.data_class])
