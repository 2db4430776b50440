"""A ccxt object that is played: answers by method, errors of ccxt's own classes, threads that do not come back."""

import threading
from collections.abc import Callable
from typing import Any

from engine.kernel import Clock, Entropy, SystemClock
from engine.venues.ccxt import CcxtPortfolioProvider, CcxtSettings, Client, MarketCredential

KEYS = MarketCredential("fake", "a-key-to-hide", "a-secret-to-hide")


class FakeExchange:
    """`answers` are values, exceptions to raise, or functions of the arguments, by method; a list is used up one by one."""

    id = "fake"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.has = dict.fromkeys(
            (
                "fetchOrder",
                "fetchBalance",
                "fetchPositions",
                "fetchOpenOrders",
                "fetchOrderTrades",
                "fetchMyTrades",
                "fetchDeposits",
                "fetchWithdrawals",
            ),
            True,
        )
        self.markets = {"BTC/USDT": {}, "ETH/USDT": {}}
        self.last_response_headers: dict[str, str] = {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.now_ms = 1_000_000
        self.closed = 0

    def milliseconds(self) -> int:
        return self.now_ms

    def close(self) -> None:
        self.closed += 1

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("fetch_"):
            raise AttributeError(name)

        def method(*args: Any) -> Any:
            self.calls.append((name, args))
            answer = self.answers.get(name, [])
            if isinstance(answer, Queue):
                answer = answer.next()
            if isinstance(answer, Exception):
                raise answer
            return answer(*args) if callable(answer) else answer

        return method


class Queue:
    """Answers used up one by one; the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def next(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Stuck:
    """An answer that does not come until it is let go."""

    def __init__(self, answer: Any = None) -> None:
        self.go = threading.Event()
        self.answer = answer

    def __call__(self, *_args: Any) -> Any:
        assert self.go.wait(30)
        return self.answer


def fake_client(exchange: Any, *, clock: Clock | None = None, **settings: Any) -> Client:
    """A client of the played object; `exchange` may be a function that makes one each time."""
    make = exchange if isinstance(exchange, type(lambda: 0)) else lambda: exchange
    return Client(
        KEYS,
        quick(**settings),
        clock=clock or SystemClock(),
        entropy=Entropy(1),
        make=lambda _market, _credential, _settings: make(),
    )


def fake_provider(exchange: Any, clock: Clock | None = None, **settings: Any) -> CcxtPortfolioProvider:
    class Played(CcxtPortfolioProvider):
        async def supports_market(self, market: str) -> bool:
            return market == "fake"

    return Played(
        clock=clock or SystemClock(),
        entropy=Entropy(1),
        setups={"main": quick(**settings)},
        make=lambda _market, _credential, _settings: exchange,
    )


def quick(**settings: Any) -> CcxtSettings:
    return CcxtSettings(**({"backoff_min_s": 0.001, "backoff_max_s": 0.01, "call_timeout_s": 5.0} | settings))
