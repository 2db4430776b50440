"""Choosing how a progressive order is worked, by what earlier ones taught."""

from itertools import islice

import trio

from actors.execution.desk import ExecutionSettings
from actors.execution.working import Working
from engine.analytics import FillModel, Ground, Rules, choose, observations
from engine.analytics.fill_model import bp
from engine.model import ExecutionRequest, ExecutionStyle, Instrument, Pace, Plan, PlanState

ENDED = tuple(state for state in PlanState if state.terminal)
PLANS_PER_TURN = 32


def rules_of(settings: ExecutionSettings) -> Rules:
    """The fixed parameters of an account, and when it leaves them."""
    return Rules(
        distance_ticks=settings.distance_ticks,
        step_s=settings.step_s,
        learn_from=settings.learn_from,
        explore=settings.explore,
    )


class Learning(Working):
    """The model is taught by every plan that is over: those of the store at the start, then each as it ends. It is kept
    nowhere: the plans are."""

    async def _begin_learning(self) -> None:
        self._model = FillModel(self._settings.forget_after_days)
        newest: list[Plan] = []
        for plan in islice(self._desk.store.plans_in(ENDED, reverse=True), self._settings.history_plans):
            newest.append(plan)
            await self._breathe(len(newest))
        for number, plan in enumerate(reversed(newest)):
            self._over(plan)
            await self._breathe(number)

    async def _breathe(self, count: int) -> None:
        """Others have the loop in between."""
        if count % PLANS_PER_TURN == 0:
            await trio.lowlevel.checkpoint()

    def _over(self, plan: Plan) -> None:
        for seen in observations(plan):
            self._model.learn(seen)

    def _pace(self, request: ExecutionRequest, instrument: Instrument) -> Pace | None:
        """The parameters a progressive order is worked with, None for any other."""
        if request.style is not ExecutionStyle.PROGRESSIVE:
            return None
        choice = choose(
            self._model,
            instrument.instrument_id,
            self._ground(instrument),
            request.pacing,
            rules_of(self._settings),
            at_ms=self._now_ms(),
            roll=self.ctx.entropy.random(),
            pick=self.ctx.entropy.random(),
        )
        return choice.pace

    def _ground(self, instrument: Instrument) -> Ground | None:
        quote, _ = self._quote(instrument.instrument_id)
        if quote is None:
            return None
        mid = quote.mid
        return Ground(
            half_spread_bp=bp(quote.ask - mid, mid),
            tick_bp=bp(instrument.tick_at(mid), mid),
            maker_bp=float(instrument.maker_fee) * 10_000,
            taker_bp=float(instrument.taker_fee) * 10_000,
        )
