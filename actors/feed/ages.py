"""Whether a streaming feed can vouch for its data: age by class, lateness, and what one class proves about another.

*Periodic* classes speak all the time (`silence_s` is not above `age_s`): they are judged by their age, and at half of it
the venue is asked whether there is anything newer. *Event* classes are rightly quiet for longer than they may be old.
What vouches for them is order: on one connection, what comes later proves that nothing came before it. Each message of a
periodic class assures the quiet ones of its route; between two of them, and where a route has no periodic class, the
pulse of the connection does, which is data of any symbol. That is not believed for ever: not when a periodic class is
late, not when trades and bars contradict each other, and after `silence_s` the venue is asked.
"""

from actors.feed.crosscheck import Intervals, bars_lack, trades_lack
from actors.feed.rest import APPLIED, ASKABLE
from actors.feed.seat import FeedSeat
from engine.model import DataClass, Freshness, MarketState, Source, VenueState

PULSE_AGE_S = 3.0  # a connection that brings nothing of any symbol for longer than this vouches for nothing

Fall = tuple[DataClass, str]


class Ages:
    """Of one incarnation. `sworn_by` are the Applied bits of classes whose messages assure all of `assured`."""

    def __init__(self, seat: FeedSeat, began_s: float) -> None:
        self._seat = seat
        self._began_s = began_s
        rows = seat.rows
        self._periodic = sorted(periodic_of(seat))
        self._events = sorted(seat.streamed - periodic_of(seat))
        bits = sum(int(APPLIED[name]) for name in self._periodic)
        self.sworn_by = bits if self._events else 0
        self.assured: list[Freshness] = []
        self._vouched_s = max((rows[name].age_s for name in self._periodic), default=PULSE_AGE_S)
        self._asked_s: dict[DataClass, float] = {}
        self._confirmed_s: dict[DataClass, float] = {}
        self._owed_s: dict[DataClass, float] = {}  # since when the other class proves that this one lacks something
        self._intervals = Intervals()

    def confirmed(self, data_class: DataClass, as_of_s: float) -> None:
        """The venue had nothing newer."""
        self._confirmed_s[data_class] = as_of_s

    def look(self, now_s: float) -> Fall | None:
        """Assure what can be vouched for; the first class that cannot any more, and why."""
        since_s = max(self._seat.up_s, self._began_s)
        for name in self._periodic:
            fresh = self._seat.state.fresh[name]
            age_s = now_s - max(fresh.updated_s, since_s)
            if age_s > fresh.bound_s:
                return name, f"nothing for {age_s:.1f} s, {fresh.bound_s} s allowed"
        return self._look_at_events(now_s, since_s) if self._events else None

    def _look_at_events(self, now_s: float, since_s: float) -> Fall | None:
        heard_s = self._vouched_at(since_s)
        self.assured.clear()
        for name in self._events:
            fresh, row = self._seat.state.fresh[name], self._seat.rows[name]
            quiet_s = now_s - self._known_s(name, since_s)
            if quiet_s > row.silence_s + 2 * row.age_s and self._can_be_confirmed(name):
                return name, f"nothing for {quiet_s:.1f} s, and the venue does not confirm it"
            alone_s = now_s - max(heard_s, self._known_s(name, since_s))
            if alone_s > max(row.age_s, self._vouched_s):
                return name, f"nothing for {alone_s:.1f} s, and nothing vouches for it"
            if quiet_s <= row.silence_s + row.age_s or name not in ASKABLE:
                self._assure(name, fresh, heard_s)
        return self._contradiction(now_s)

    def _assure(self, name: DataClass, fresh: Freshness, heard_s: float) -> None:
        if name is DataClass.BOOK and not self._seat.state.book.ready:
            return
        if fresh.source is Source.NONE:
            if name in ASKABLE:
                return  # nothing is here that could still be the newest
            fresh.source = Source.STREAM
        fresh.assure(heard_s)
        self.assured.append(fresh)

    def _can_be_confirmed(self, name: DataClass) -> bool:
        """Against nothing, nothing can be compared: histories are loaded first."""
        state = self._seat.state
        if name is DataClass.BARS:
            return not state.loaded.isdisjoint(state.bars)
        return name in ASKABLE and (name is not DataClass.TRADES or "trades" in state.loaded)

    def _vouched_at(self, since_s: float) -> float:
        """Up to when silence is vouched for."""
        fresh, rows, pulse_s = self._seat.state.fresh, self._seat.rows, self._seat.pulse.heard_s
        heard_s = pulse_s
        for name in self._periodic:
            if pulse_s - fresh[name].heard_s > rows[name].silence_s:
                heard_s = min(heard_s, fresh[name].heard_s)
        return heard_s if heard_s >= since_s else float("-inf")

    def _known_s(self, name: DataClass, since_s: float) -> float:
        return max(self._seat.state.fresh[name].heard_s, self._confirmed_s.get(name, since_s), since_s)

    # ── contradictions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _contradiction(self, now_s: float) -> Fall | None:
        fresh, rows, state = self._seat.state.fresh, self._seat.rows, self._seat.state
        if DataClass.BARS not in self._events or DataClass.TRADES not in self._events:
            return None
        instrument = self._seat.venue_state.instruments.get(self._seat.symbol)
        for name, lacks, other in (
            (DataClass.BARS, bars_lack, "trades"),
            (DataClass.TRADES, trades_lack, "bars"),
        ):
            bound_s = rows[name].age_s
            if now_s - fresh[name].heard_s <= bound_s or not lacks(state, instrument):
                self._owed_s.pop(name, None)
            elif now_s - self._owed_s.setdefault(name, now_s) > bound_s:
                return name, f"{other} show for {bound_s:.1f} s what is not in them"
        interval = self._intervals.behind(state, now_s, rows[DataClass.BARS].age_s)
        return (DataClass.BARS, f"{interval} stays behind the others") if interval else None

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_ask(self, now_s: float) -> list[DataClass]:
        """Classes the venue should be asked about now."""
        since_s = max(self._seat.up_s, self._began_s)
        return [name for name in (*self._periodic, *self._events) if self._is_due(name, now_s, since_s)]

    def _is_due(self, name: DataClass, now_s: float, since_s: float) -> bool:
        fresh, row = self._seat.state.fresh[name], self._seat.rows[name]
        if name not in ASKABLE or name is DataClass.MARK:  # a mark price comes whether it moves or not
            return False
        if name in self._periodic:
            due = now_s - max(fresh.updated_s, since_s) > min(row.silence_s, fresh.bound_s / 2)
            pause_s = fresh.bound_s / 4
        else:
            known_s = self._known_s(name, since_s)
            alone_s = now_s - max(self._vouched_at(since_s), known_s)
            if not self._can_be_confirmed(name):
                return False
            due = now_s - known_s > row.silence_s or alone_s > max(row.age_s, self._vouched_s) / 2
            pause_s = max(1.0, row.age_s / 2)
        if not due or now_s - self._asked_s.get(name, since_s) <= pause_s:
            return False
        self._asked_s[name] = now_s
        return True


def periodic_of(seat: FeedSeat) -> frozenset[DataClass]:
    """The streamed classes that speak all the time. Liquidations never do, whatever their row says."""
    rows, streamed = seat.rows, seat.streamed & ASKABLE
    return frozenset(name for name in streamed if rows[name].silence_s <= rows[name].age_s)


class Lags:
    """How late messages come by the venue's own stamps, for the quality figures; and whether that is too late to be of use.

    One late stamp proves nothing: what a venue sends first after a subscription is old if the market is quiet. Two in a
    row do.
    """

    def __init__(self, venue: VenueState, streamed: frozenset[DataClass]) -> None:
        self._venue = venue
        self._streamed = sorted(streamed)
        self._seen: dict[DataClass, int] = {}
        self._late: set[DataClass] = set()

    def look(self, state: MarketState) -> Fall | None:
        """The class that comes too late, and how late."""
        for name in self._streamed:
            fresh = state.fresh[name]
            venue_ms = _stamp(state, name)
            if fresh.source is not Source.STREAM or venue_ms in (0, self._seen.get(name)):
                continue
            came_ms = self._venue.now_ms(fresh.heard_s)
            if came_ms is None:
                continue
            first = name not in self._seen
            self._seen[name] = venue_ms
            if not first:
                state.quality[name].lagged(came_ms - venue_ms)
            if (came_ms - venue_ms) / 1000 <= fresh.bound_s or name is DataClass.TRADES:
                self._late.discard(name)
            elif name in self._late:
                return name, f"comes {(came_ms - venue_ms) / 1000:.1f} s late, {fresh.bound_s} s allowed"
            else:
                self._late.add(name)
        return None


def _stamp(state: MarketState, name: DataClass) -> int:
    """The venue's time of the newest message of a class, 0 where it says none."""
    match name:
        case DataClass.BOOK:
            return state.book.venue_ms
        case DataClass.TICKER:
            return state.ticker.venue_ms
        case DataClass.MARK:
            return state.ticker.mark_ms
        case DataClass.TRADES:
            return int(state.trades.last_key or 0)
    return 0
