"""One schedule of the accounts drill carried out: a venue, a node, and all that happens to the account they both speak of."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors._jsonrpc import RpcError
from engine.kernel import Entropy
from engine.store import verify
from scripts.drills._accounts_deeds import OF_OURS, OF_THEIRS, Deeds
from scripts.drills._accounts_ground import GROUNDS, Truth
from scripts.drills._accounts_judge import Begun, differences, records, statement, telling
from scripts.drills._accounts_node import DEAF_AFTER_S, Life, NodeProcess, Sabotage
from scripts.drills._accounts_plan import MINUTES_AWAY, MONEY, Act, Burst, Cover, Schedule
from scripts.drills._accounts_portfolio import NAME, OutsideStory, outside
from scripts.drills._accounts_story import Story
from scripts.drills._accounts_venue import Venues
from scripts.drills._accounts_view import View, view_of
from scripts.drills._finding import Finding

__all__ = ["World"]

SYNCED_S = 20.0
SETTLED_S = 8.0  # an order that is not open any more is looked for after the pass
HASTY_S = 1.0  # for a design that must fail: what it has not told does not come late
TOLD_S = 0.3  # what a stream has to tell has come by then
DEAF_S = DEAF_AFTER_S + TOLD_S  # and what it has not told by then, it will not tell
CONFIRMED_S = 1.1  # between two passes that see the same
LOOK_S = 0.05
MOST_ROUNDS = 4
MINUTE_MS = 60_000
#: After these the node asks at once: an order of its own ended and lacks a fill, money moved, keys are new. What it comes upon then
#: is too young for it to say that the stream does not tell it.
ASKS_EARLY = (Act.CANCEL, Act.PART_FILL_CANCEL, Act.HAND_CANCEL_OURS, Act.NEW_KEYS, Act.FUNDING, *MONEY)


class World:
    """Carries out a schedule; `findings` are of the first burst after which something was wrong."""

    def __init__(self, plan: Schedule, directory: Path, sabotage: Sabotage | None = None) -> None:
        self.plan = plan
        self.ground = GROUNDS[plan.ground]
        self.syncs = 0
        self._settled_s = SETTLED_S if sabotage is None else HASTY_S
        self.done: list[Burst] = []
        self._chance = Entropy(plan.seed).fork("world")
        self._venues = Venues(plan.seed, self.ground)
        life = Life(
            directory=directory,
            ground=plan.ground,
            place=self._venues.place,
            seed=plan.seed,
            outside=plan.outside,
            sabotage=sabotage,
        )
        self.node = NodeProcess(life)
        self.story = Story()
        self._deeds = Deeds(self.ground, self._venues, self.node, self.story, self._chance.fork("deeds"))
        self._ahead_ms = 0
        self._quietly = False
        self._seen = OutsideStory()
        self._begun = Begun({}, frozenset())

    def close(self) -> None:
        self.node.close()
        self._venues.close()

    def run(self) -> list[Finding]:
        """What was wrong, after the first burst after which anything was."""
        for act in self.plan.before:
            self._deeds.do(act, reachable=False)
        self.story.begin(self._venues.truth())
        self.node.start()
        self._sync()
        self._look_from_outside()
        self._begun = self._begin()
        self.story.moved.clear()  # what was moved before is in what the account began with
        findings = self._judged()
        for burst in self.plan.bursts:
            if findings:
                break
            self.done.append(burst)
            findings = self._burst(burst)
        return findings or self._ended()

    def _ended(self) -> list[Finding]:
        """After the node was told to stop, in order, and its store was examined."""
        if not self.node.stop():
            return [Finding("crashed", "the node did not end in order when it was told to")]
        return self._examined()

    def _examined(self) -> list[Finding]:
        report = verify(self.node.store)
        return [] if report.ok else [Finding("unverified", str(report.problems[:3]))]

    # ── one burst ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _burst(self, burst: Burst) -> list[Finding]:
        self._prepare(burst)
        self.story.tell(Cover.NONE, self._venues.truth())
        findings: list[Finding] = []
        with self._covered(burst):
            for act in burst.acts:
                self._pass_time(burst)
                self._deeds.do(act, reachable=burst.cover in (Cover.NONE, Cover.LOST, Cover.HIDDEN))
            time.sleep(DEAF_S if burst.cover in (Cover.LOST, Cover.HIDDEN) else TOLD_S)
            quietly = self._quietly or any(act in ASKS_EARLY for act in burst.acts)
            self.story.tell(burst.cover, self._venues.truth(), quietly=quietly)
            if burst.cover is Cover.HIDDEN:
                self._look_at_what_is_hidden()
                findings = self._judged(whole=False)
        if burst.cover is Cover.HIDDEN:
            self.story.unhide()
        self._sync()
        self._look_from_outside()
        return findings or self._judged()

    def _look_at_what_is_hidden(self) -> None:
        """Two passes, and two more whenever the market has filled something meanwhile."""
        rounds, goes_on = 0, True
        while goes_on and rounds < MOST_ROUNDS:
            rounds += 1
            self._sync()
            time.sleep(CONFIRMED_S)
            self._sync()
            truth = self._venues.truth()
            goes_on = self.story.tell(Cover.HIDDEN, truth)
        view = self._view()
        self.story.infer(truth, view.known_fills, view.node_part, rounds)

    def _prepare(self, burst: Burst) -> None:
        """Orders that rest, as many as the acts need."""
        self._venues.look()
        for act in burst.acts:
            if act in OF_OURS:
                self._deeds.place()
            elif act in OF_THEIRS:
                self._deeds.place_by_hand()
        if any(act in OF_OURS or act in OF_THEIRS for act in burst.acts):
            time.sleep(TOLD_S)

    @contextmanager
    def _covered(self, burst: Burst) -> Iterator[None]:
        cover, self._quietly = burst.cover, False
        if cover is Cover.KILL:
            self.node.kill()
            yield
            self.node.start()
        elif cover in MINUTES_AWAY:
            self._cut()
            yield
            self._venues.lift()
        else:
            if cover is not Cover.NONE:
                time.sleep(DEAF_S)
                self._venues.strike("lose_fills")
            if cover is Cover.HIDDEN:
                self._venues.strike("hide_fills")
            yield
            self._venues.lift()

    def _cut(self) -> None:
        """The venue is out of reach: it closes every socket and lets nobody in, or it falls silent, which takes the node longer to
        notice than the drill waits.
        """
        self._quietly = self._chance.random() < 0.5
        if not self._quietly:
            self._venues.strike("http_status", status=503)
            self._venues.strike("drop", reset=True)
        else:
            self._venues.strike("half_open")

    def _pass_time(self, burst: Burst) -> None:
        """The minutes of an absence lie before and between what happens in it."""
        minutes = MINUTES_AWAY.get(burst.cover, 0)
        if minutes:
            self._ahead_ms += minutes * MINUTE_MS // len(burst.acts) + 1000
            self._venues.set_clock(self._ahead_ms)
            self.node.set_clock(self._ahead_ms)

    def _sync(self) -> None:
        """One whole pass, as people ask for it. While the node is getting up one may fail, and is asked for again."""
        deadline_s = time.monotonic() + SYNCED_S
        while True:
            self.syncs += 1
            (report,) = self.node.ask("account.sync", account=self.ground.account)["items"]
            if not report["error"]:
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no whole pass within {SYNCED_S} s: {report['error']}")
            time.sleep(LOOK_S)

    def _look_from_outside(self) -> None:
        """The same through ccxt, where the schedule has a portfolio."""
        if not self.plan.outside:
            return
        deadline_s = time.monotonic() + SYNCED_S
        while True:
            try:
                self.node.ask("portfolio.sync", name=NAME)
            except RpcError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(LOOK_S)
            else:
                self._seen.seen(self._venues.truth(), self.story.moved.total())
                return

    # ── the judge ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _judged(self, *, whole: bool = True) -> list[Finding]:
        """What is wrong and stays wrong without another pass. `whole`: seen from outside, too."""
        deadline_s = time.monotonic() + self._settled_s
        while True:
            truth = self._venues.truth()
            if self.story.tell(Cover.NONE if whole else Cover.HIDDEN, truth) and whole:  # the market goes on
                self._sync()
                self._look_from_outside()
                continue
            found = self._look(truth, whole=whole)
            if not found or time.monotonic() > deadline_s:
                return found
            time.sleep(2 * LOOK_S)

    def _look(self, truth: Truth, *, whole: bool) -> list[Finding]:
        view, story = self._view(), self.story
        story.seen(truth)
        found = differences(view, truth, self.ground, hidden=story.untold(truth, view.known_fills))
        found += records(view)
        if self.plan.outside and whole:
            found += outside(view.outside, truth, self.ground, self._seen)
        found += statement(view, truth, self.ground, self._begun, story.flows(self.ground))
        return [*found, *telling(view, story.expected(truth, view.node_part), story.about(truth, self.ground))]

    def _view(self) -> View:
        return view_of(self.node.store, self.ground.account)

    def _begin(self) -> Begun:
        view = self._view()
        return Begun(self._venues.truth().balances, frozenset(flow.key for flow in view.flows))
