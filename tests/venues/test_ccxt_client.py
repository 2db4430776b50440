"""One account at one exchange: deadlines, retries, limits, the breaker, and threads that do not come back."""

import pytest
import trio

from engine.net import BreakerState
from engine.venues.ccxt import CredentialError, OperationalException, TransientExchangeError
from tests.support.fake_ccxt import FakeExchange, Queue, Stuck, fake_client

ccxt = pytest.importorskip("ccxt", reason="install the [test] extra")


async def ask(client, method="fetch_balance"):
    return await client.ask(method, lambda exchange: getattr(exchange, method)())


async def ask_often(client):
    for _ in range(3):
        await ask(client)


async def test_a_question_without_an_answer_is_asked_again():
    exchange = FakeExchange(fetch_balance=Queue(ccxt.NetworkError("x"), ccxt.RateLimitExceeded("x"), {"total": {}}))
    assert await ask(fake_client(exchange)) == {"total": {}}
    assert len(exchange.calls) == 3


async def test_it_is_asked_so_many_times_and_no_more():
    exchange = FakeExchange(fetch_balance=ccxt.ExchangeNotAvailable("x"))
    with pytest.raises(TransientExchangeError, match="ExchangeNotAvailable"):
        await ask(fake_client(exchange, attempts=4))
    assert len(exchange.calls) == 4


@pytest.mark.parametrize("error", ["AuthenticationError", "BadRequest", "NotSupported"])
async def test_what_the_exchange_refused_is_not_asked_again_and_opens_no_breaker(error):
    exchange = FakeExchange(fetch_balance=getattr(ccxt, error)("x"))
    client = fake_client(exchange, breaker_failures=1)
    with pytest.raises(OperationalException):
        await ask(client)
    assert len(exchange.calls) == 1
    assert client.breaker is BreakerState.CLOSED


async def test_an_exchange_that_keeps_failing_is_left_alone_then_asked_once():
    exchange = FakeExchange(fetch_balance=ccxt.NetworkError("x"))
    client = fake_client(exchange, attempts=1, breaker_failures=2, breaker_open_s=0.05)
    for _ in range(2):
        with pytest.raises(TransientExchangeError):
            await ask(client)
    with pytest.raises(TransientExchangeError, match="left alone") as refused:
        await ask(client)
    assert not refused.value.asked
    assert len(exchange.calls) == 2
    await trio.sleep(0.06)
    exchange.answers["fetch_balance"] = {"total": {}}
    assert await ask(client) == {"total": {}}
    assert client.breaker is BreakerState.CLOSED


async def test_our_own_window_keeps_questions_back():
    client = fake_client(FakeExchange(), calls=3, window_s=3600, call_timeout_s=0.05)
    await ask(client)
    await ask(client)
    with pytest.raises(TransientExchangeError, match="rate budget") as refused:
        await ask_often(client)
    assert not refused.value.asked
    assert refused.value.retry_after_s > 1


async def test_when_the_exchange_says_when_to_come_back_nobody_asks_before():
    exchange = FakeExchange(fetch_balance=ccxt.RateLimitExceeded("x"))
    exchange.last_response_headers = {"Retry-After": "600"}
    client = fake_client(exchange, call_timeout_s=0.1)
    with pytest.raises(TransientExchangeError) as refused:
        await ask(client)
    assert refused.value.retry_after_s == 600
    with pytest.raises(TransientExchangeError, match="rate budget"):
        await ask(client)
    assert len(exchange.calls) == 1


async def test_a_thread_that_does_not_come_back_is_left_with_its_object_and_counted():
    stuck, made = Stuck("late"), []

    def make():
        made.append(FakeExchange(fetch_balance=stuck if not made else {"total": {}}))
        return made[-1]

    client = fake_client(make, attempts=1, call_timeout_s=0.1)
    with pytest.raises(TransientExchangeError, match=r"no answer within 0\.1 s"):
        await ask(client)
    assert client.abandoned == 1
    assert await ask(client) == {"total": {}}
    assert len(made) == 2
    assert made[0].closed == 0
    stuck.go.set()
    while client.abandoned:
        await trio.sleep(0.001)
    assert made[0].closed == 1
    client.close()
    assert made[1].closed == 1


async def test_with_too_many_left_behind_nothing_is_asked():
    stuck = Stuck()
    client = fake_client(lambda: FakeExchange(fetch_balance=stuck), attempts=1, call_timeout_s=0.05, max_abandoned=2)
    for _ in range(2):
        with pytest.raises(TransientExchangeError, match="no answer"):
            await ask(client)
    with pytest.raises(TransientExchangeError, match="2 questions never came back") as refused:
        await ask(client)
    assert not refused.value.asked
    assert client.breaker is BreakerState.OPEN
    stuck.go.set()


async def test_whoever_asks_no_more_leaves_the_thread_behind():
    stuck = Stuck()
    exchange = FakeExchange(fetch_balance=stuck)
    client = fake_client(exchange)
    with trio.move_on_after(0.05):
        await ask(client)
    assert client.abandoned == 1
    stuck.go.set()
    while client.abandoned:
        await trio.sleep(0.001)
    assert exchange.closed == 1


async def test_one_question_at_a_time_reaches_a_ccxt_object():
    busy, most = 0, 0

    def answer():
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        trio.from_thread.run(trio.sleep, 0.001)
        busy -= 1

    client = fake_client(FakeExchange(fetch_balance=answer))
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask, client)
    assert most == 1


async def test_a_closed_client_asks_nothing():
    exchange = FakeExchange()
    client = fake_client(exchange)
    await ask(client)
    client.close()
    assert exchange.closed == 1
    with pytest.raises(TransientExchangeError, match="replaced"):
        await ask(client)


async def test_a_credential_error_of_making_the_object_is_told_as_it_is():
    def make():
        raise CredentialError("fake", "no password")

    with pytest.raises(CredentialError, match="no password"):
        await ask(fake_client(make))
