"""A request that is given up while its body leaves."""

import gc
import warnings

import pytest
import trio

from engine.net import HttpClient, ReplyLost
from tests.support.ws_server import serving


async def test_a_send_that_is_cut_off_leaves_no_generator_behind() -> None:
    async def deaf(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(deaf) as place:
        client = HttpClient(f"http://{place}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(ReplyLost):
                await client.request("POST", "/", timeout_s=1.5, body=bytes(16 << 20))  # more than any buffer takes
            gc.collect()
            await trio.lowlevel.checkpoint()
        await client.close()
    assert [str(warning.message) for warning in caught] == []
