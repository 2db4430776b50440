"""The HTTP client says what the peer may have done, keeps its deadline and its secrets."""

import logging
import re

import pytest
import trio

from engine.net import (
    FunctionTransport,
    HttpClient,
    HttpLimits,
    HttpReply,
    HttpRequest,
    ReplyLost,
    ReplyTooLarge,
    RequestNotSent,
)
from tests.support.ws_server import refusing, serving, silent

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def _whole_request(stream: trio.SocketStream) -> None:
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and len(body) >= int(length[1] if length else 0):
            return
        more = await stream.receive_some()
        if not more:
            raise trio.BrokenResourceError
        data += more


def _answering(*answers: bytes):  # type: ignore[no-untyped-def]
    async def handler(stream: trio.SocketStream) -> None:
        for answer in answers:
            await _whole_request(stream)
            await stream.send_all(answer)

    return handler


async def test_any_status_is_an_answer() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    async with serving(_answering(answer)) as place:
        client = HttpClient(f"http://{place}/api/v2")
        reply = await client.request("POST", "/x", body=b"{}", timeout_s=1)
        await client.close()
    assert (reply.status, reply.headers["retry-after"], reply.body) == (503, "7", b"busy")


async def test_connections_are_kept_alive() -> None:
    opened = []

    async def handler(stream: trio.SocketStream) -> None:
        opened.append(stream)
        await _answering(OK, OK, OK)(stream)

    async with serving(handler) as place:
        client = HttpClient(f"http://{place}")
        for _ in range(3):
            await client.request("GET", "/", timeout_s=1)
        await client.close()
    assert len(opened) == 1


async def test_a_refused_connection_is_certainly_not_sent() -> None:
    async with refusing() as place:
        client = HttpClient(f"http://{place}")
        with pytest.raises(RequestNotSent):
            await client.request("POST", "/x", body=b"{}", timeout_s=1)
        await client.close()


async def test_a_name_that_does_not_resolve_is_certainly_not_sent() -> None:
    client = HttpClient("http://nowhere.invalid")
    with pytest.raises(RequestNotSent):
        await client.request("POST", "/x", body=b"{}", timeout_s=3)
    await client.close()


async def _not_tls(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(b"this is not TLS at all")


async def test_a_tls_handshake_that_fails_is_certainly_not_sent() -> None:
    async with serving(_not_tls) as place:
        client = HttpClient(f"https://{place}")
        with pytest.raises(RequestNotSent):
            await client.request("POST", "/x", body=b"{}", timeout_s=1)
        await client.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"garbage\r\n\r\n"])
async def test_an_answer_that_breaks_off_is_lost(answer: bytes) -> None:
    async with serving(_answering(answer)) as place:
        client = HttpClient(f"http://{place}")
        with pytest.raises(ReplyLost):
            await client.request("POST", "/x", body=b"{}", timeout_s=1)
        await client.close()


async def test_silence_is_lost_at_the_deadline() -> None:
    async with serving(silent) as place:
        client = HttpClient(f"http://{place}")
        with trio.fail_after(1), pytest.raises(ReplyLost, match=r"0\.1 s"):
            await client.request("POST", "/x", body=b"{}", timeout_s=0.1)
        await client.close()


async def test_waiting_for_a_free_connection_until_the_deadline_is_certainly_not_sent() -> None:
    async with serving(silent) as place:
        client = HttpClient(f"http://{place}", limits=HttpLimits(max_connections=1))
        async with trio.open_nursery() as nursery:

            async def hog() -> None:
                with pytest.raises(ReplyLost):
                    await client.request("GET", "/hog", timeout_s=0.4)

            nursery.start_soon(hog)
            await trio.sleep(0.1)
            with pytest.raises(RequestNotSent):
                await client.request("GET", "/x", timeout_s=0.1)
        await client.close()


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 11\r\n\r\n12345678901", b"Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n"]
)
async def test_a_body_above_the_limit_is_too_large(framing: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + framing
    async with serving(_answering(answer)) as place:
        client = HttpClient(f"http://{place}", limits=HttpLimits(max_body_bytes=10))
        with pytest.raises(ReplyTooLarge):
            await client.request("GET", "/", timeout_s=1)
        await client.close()


async def test_neither_errors_nor_logs_tell_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(_answering(OK, b"")) as place:
        client = HttpClient(f"http://{place}")
        secret = {"headers": {"authorization": "hunter2"}, "query": {"key": "hunter2"}, "body": b"hunter2"}
        await client.request("POST", "/x", timeout_s=1, **secret)  # type: ignore[arg-type]
        with pytest.raises(ReplyLost) as lost:
            await client.request("POST", "/x", timeout_s=0.2, **secret)  # type: ignore[arg-type]
        await client.close()
    assert "hunter2" not in str(lost.value) + caplog.text


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(_answering(OK)) as place:
        client = HttpClient(f"http://{place}")
        assert (await client.request("GET", "/", timeout_s=1)).status == 200
        await client.close()


async def test_a_function_can_stand_in_for_the_network() -> None:
    async def network(request: HttpRequest) -> HttpReply:
        if request.path == "/api/lost?a=1":
            raise ReplyLost("played")
        return HttpReply(201, {"x": "y"}, request.body + request.method.encode())

    client = HttpClient("http://venue/api", transport=FunctionTransport(network))
    reply = await client.request("PUT", "/z", body=b"b", timeout_s=1)
    assert (reply.status, reply.headers["x"], reply.body) == (201, "y", b"bPUT")
    with pytest.raises(ReplyLost):
        await client.request("GET", "/lost", query={"a": "1"}, timeout_s=1)
    await client.close()
