"""The life of the key under which an account's stream is heard."""

from typing import Any

from engine.simulator.binance_usdm.trading.calls import Ask, private

__all__: list[str] = []


@private("POST", "/fapi/v1/listenKey", signed=False)
def open_stream(ask: Ask) -> Any:
    return {"listenKey": ask.side.listen_keys.create(ask.holder, ask.now_ms)}


@private("PUT", "/fapi/v1/listenKey", signed=False)
def keep_stream(ask: Ask) -> Any:
    return {"listenKey": ask.side.listen_keys.extend(ask.holder, ask.now_ms)}


@private("DELETE", "/fapi/v1/listenKey", signed=False)
def close_stream(ask: Ask) -> Any:
    ask.side.listen_keys.close(ask.holder)
    return {}
