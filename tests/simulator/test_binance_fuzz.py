"""Whatever is asked of the simulated Binance, the answer is JSON with a status, and the venue lives on."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator.binance_usdm import ApiError, BinanceVenue
from engine.simulator.binance_usdm.endpoint import ENDPOINTS
from tests.support.sim_venue import EPOCH_MS

NAMES = ["symbol", "symbols", "pair", "contractType", "interval", "period", "limit", "fromId", "startTime", "endTime"]
numbers = st.one_of(
    st.integers(-10, 2_000), st.integers(EPOCH_MS - 10**10, EPOCH_MS + 10**10), st.integers(-(2**70), 2**70)
).map(str)
texts = st.sampled_from(
    ["BTCUSDT", "btcusdt", "NOPE", "", "1m", "5m", "1h", "1d", "1M", "PERPETUAL", '["BTCUSDT"]', "[", "nan"]
)
values = st.one_of(numbers, texts, st.text(max_size=8), st.floats().map(str))
queries = st.dictionaries(st.sampled_from(NAMES), values, max_size=5)


@pytest.fixture(scope="module")
def venue():
    return BinanceVenue(start_ms=EPOCH_MS, entropy=Entropy(1), symbols=("BTCUSDT", "ETHUSDT"))


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
@settings(max_examples=60, deadline=None)
@given(query=queries, right=st.booleans())
def test_any_query_is_answered_or_refused(venue, path, query, right):
    if right:
        query = {"symbol": "BTCUSDT", "interval": "1m", "period": "5m"} | query
    try:
        bucket, weight = venue.weight_of(path, query)
        body = venue.get(path, query, EPOCH_MS).body
    except ApiError as error:
        body = {"code": error.code, "msg": error.msg}
        bucket, weight = "weight", 0
    assert bucket in ("weight", "funding", "data", "spot")
    assert weight >= 0
    msgspec.json.decode(body if isinstance(body, bytes) else msgspec.json.encode(body))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=20),
        st.tuples(
            st.sampled_from(["btcusdt", "ethusdt", "!", "", "nope", "btcusdt_perpetual", "BTCUSDT"]),
            st.sampled_from(["", "@", "@@"]),
            st.sampled_from(
                ["depth", "depth20", "depth7", "kline_", "kline_1m", "kline_1M", "markPrice", "aggTrade", "x"]
            ),
            st.sampled_from(["", "@", "@100ms", "@1s", "@3s", "@arr", "@arr@1s", "@-1"]),
        ).map("".join),
    )
)
def test_any_stream_has_a_route_and_can_be_made_or_has_none(venue, stream):
    route = venue.route_of(stream)
    assert route in (None, "public", "market")
    if route is not None:
        venue.activate(stream)
        venue.deactivate(stream)
