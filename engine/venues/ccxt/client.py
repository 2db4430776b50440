"""One account at one exchange, asked in worker threads.

ccxt's own classes block, and are not made for two threads at once. So each client has one of them and asks one question at a
time; what may go wrong is bounded on every side. A question waits for our window of calls, is asked with a deadline, and
again with growing, jittered pauses when there was no answer. An exchange that keeps failing is left alone for a while
(the breaker), so that many portfolios do not hammer what is down.

A thread cannot be stopped. One that is not back by its deadline is left behind with the ccxt object it works on, and
the next question gets a new object. When `max_abandoned` are out, nothing is asked until one of them is back.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import trio

from engine.kernel import Backoff, Clock, Entropy
from engine.net import Breaker, BreakerState, BudgetExceeded, Priority, RateBudget, Window
from engine.venues.ccxt import library
from engine.venues.ccxt.credentials import MarketCredential
from engine.venues.ccxt.errors import OperationalException, TransientExchangeError
from engine.venues.ccxt.settings import CcxtSettings

R = TypeVar("R")

CALLS = "calls"
_MARGIN_S = 0.5


class Client:
    """See the module's page. `make` gives a ccxt object; it is called in the thread, since the first one loads the library."""

    def __init__(
        self,
        credential: MarketCredential,
        settings: CcxtSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        make: Callable[[str, MarketCredential, CcxtSettings], Any] = library.make_exchange,
    ) -> None:
        self.credential = credential
        self.market = credential.market
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._make = make
        self._backoff = Backoff(min_s=settings.backoff_min_s, max_s=max(settings.backoff_min_s, settings.backoff_max_s))
        self._breaker = Breaker(failures=settings.breaker_failures, open_s=settings.breaker_open_s)
        window = Window(settings.calls, settings.window_s, margin_s=min(_MARGIN_S, settings.window_s / 8))
        self._budget = RateBudget({CALLS: window})
        self._unlimited = trio.CapacityLimiter(math.inf)  # the lock and `max_abandoned` are the limit
        self._one_at_a_time = trio.Lock()
        self._job = _Job()
        self._left_behind: list[_Job] = []
        self._closed = False

    @property
    def abandoned(self) -> int:
        """Threads that were left behind and are not back yet."""
        self._left_behind = [job for job in self._left_behind if not job.ended]
        return len(self._left_behind)

    @property
    def breaker(self) -> BreakerState:
        return self._breaker.state

    async def ask(self, what: str, do: Callable[[Any], R]) -> R:
        """What `do` returns of the ccxt object, in a thread. Only for questions: it may be asked more than once.

        Raises `OperationalException`.
        """
        attempt = 1
        while True:
            try:
                return await self._once(what, do)
            except TransientExchangeError as error:
                wait_s = max(self._backoff.delay_s(attempt, self._entropy), error.retry_after_s or 0.0)
                if not error.asked or attempt >= self._settings.attempts or wait_s > self._settings.backoff_max_s * 2:
                    raise
            attempt += 1
            await self._clock.sleep(wait_s)

    def close(self) -> None:
        """Let go of the connections; a thread that works now closes its own when it is back."""
        self._closed = True
        self._job.leave()

    async def _once(self, what: str, do: Callable[[Any], R]) -> R:
        await self._credits(what)
        async with self._one_at_a_time:
            self._pass_breaker(what)
            try:
                answer = await self._in_thread(what, do)
            except TransientExchangeError as error:
                self._breaker.failed(self._clock.monotonic_s())
                if error.retry_after_s is not None:
                    self._budget.drain(CALLS, error.retry_after_s)
                raise
            except OperationalException:
                self._breaker.succeeded()  # it is there, and said no
                raise
            self._breaker.succeeded()
            return answer

    async def _credits(self, what: str) -> None:
        try:
            await self._budget.take(CALLS, 1, Priority.QUERY, self._settings.call_timeout_s)
        except BudgetExceeded as error:
            raise self._kept_back(f"{what}: {error}", error.wait_s) from error

    def _pass_breaker(self, what: str) -> None:
        if self._closed:
            raise self._kept_back(f"{what}: the credential was replaced", None)
        now_s = self._clock.monotonic_s()
        if self.abandoned >= self._settings.max_abandoned:
            while self._breaker.state is not BreakerState.OPEN:
                self._breaker.failed(now_s)
            raise self._kept_back(f"{what}: {self.abandoned} questions never came back", self._breaker.wait_s(now_s))
        if not self._breaker.allow(now_s):
            wait_s = self._breaker.wait_s(now_s)
            raise self._kept_back(f"{what}: it kept failing and is left alone for {wait_s:.0f} s more", wait_s)

    def _kept_back(self, text: str, wait_s: float | None) -> TransientExchangeError:
        return TransientExchangeError(self.market, text, retry_after_s=wait_s, asked=False)

    async def _in_thread(self, what: str, do: Callable[[Any], R]) -> R:
        deadline_s = self._settings.call_timeout_s
        await trio.lowlevel.checkpoint_if_cancelled()  # from here on the thread certainly starts
        job = self._job = _Job(self._job.exchange, ended=False)
        try:
            with trio.fail_after(deadline_s):
                answer: R = await trio.to_thread.run_sync(
                    self._work, job, what, do, abandon_on_cancel=True, limiter=self._unlimited
                )
                return answer
        except trio.TooSlowError:
            raise TransientExchangeError(self.market, f"{what}: no answer within {deadline_s:g} s") from None
        finally:
            if not job.ended:  # too late, or whoever asked is gone
                job.leave()
                self._left_behind.append(job)
                self._job = _Job()

    def _work(self, job: "_Job", what: str, do: Callable[[Any], R]) -> R:
        """In the thread. Whatever ccxt raises becomes an error of ours; its own would carry the request."""
        try:
            if job.exchange is None:
                job.exchange = self._make(self.market, self.credential, self._settings)
            library.prepare(job.exchange)
            return do(job.exchange)
        except OperationalException:
            raise
        except Exception as error:  # noqa: BLE001 - translated, every one of them
            wait_s = None if job.exchange is None else library.retry_after_s(job.exchange)
            raise library.translated(error, self.market, what, self.credential, wait_s) from None
        finally:
            job.end()


class _Job:
    """One question in a thread, and the ccxt object it has to itself.

    The loop leaves, the thread ends. Each first says so and then looks whether the other has: one of them, or both, closes.
    """

    def __init__(self, exchange: Any = None, *, ended: bool = True) -> None:
        self.exchange = exchange
        self.ended = ended
        self._left = False

    def leave(self) -> None:
        self._left = True
        if self.ended:
            self._close()

    def end(self) -> None:
        self.ended = True
        if self._left:
            self._close()

    def _close(self) -> None:
        if self.exchange is not None:
            self.exchange.close()
