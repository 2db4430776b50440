"""HTTP over streams that a function opens: the network in memory. One connection a request, HTTP/1.1 by h11."""

import h11
import httpx
import trio

from engine.net.dial import Dialer, Endpoint

_READ_BYTES = 65_536


class DialedTransport(httpx.AsyncBaseTransport):
    """Every request over a stream of its own; the caller owns the deadline."""

    def __init__(self, dial: Dialer) -> None:
        self._dial = dial

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        url = request.url
        try:
            stream = await self._dial(Endpoint(url.host, url.port or (443 if url.scheme == "https" else 80)))
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        await request.extensions["trace"]("dialed.send_request_headers.started", {})
        try:
            return await _exchange(stream, request, body)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.ReadError("connection lost") from error
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        finally:
            await trio.aclose_forcefully(stream)


async def _exchange(stream: trio.abc.Stream, request: httpx.Request, body: bytes) -> httpx.Response:
    connection = h11.Connection(h11.CLIENT)
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    events = (head, h11.Data(data=body), h11.EndOfMessage())
    await stream.send_all(b"".join(connection.send(event) or b"" for event in events))
    response = h11.Response(status_code=200, headers=[])
    parts: list[bytes] = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            content = httpx.ByteStream(b"".join(parts))
            return httpx.Response(response.status_code, headers=list(response.headers), stream=content)
        elif isinstance(event, h11.ConnectionClosed):
            raise httpx.RemoteProtocolError("closed without an answer")
