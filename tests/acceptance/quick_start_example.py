"""The first program of somebody who only wants market data."""
# ruff: noqa: T201 - it talks to whoever runs it

import trio

from actors.data import get_data_manager


async def main():
    # 1. the data manager, one per process
    dm = get_data_manager()

    # 2. once: load the history, open the streams
    await dm.initialize(
        symbols=["BTCUSDT", "ETHUSDT", "BNBUSDT"],
        intervals=["1h", "4h", "15m", "1d"],
        enable_websocket=True,  # False: everything by REST
    )

    # 3. read, from memory alone

    # bars, live by WebSocket
    klines_1h = await dm.get_klines("BTCUSDT", "1h", limit=300)
    print(f"K线数据: {len(klines_1h)}根")

    # open interest, polled
    oi_data = await dm.get_oi_history("BTCUSDT", "1h", limit=100)
    print(f"OI数据: {len(oi_data)}条")

    # the book, live by WebSocket
    orderbook = await dm.get_orderbook("BTCUSDT", limit=20)
    print(f"订单簿: {len(orderbook['bids'])}档买单, {len(orderbook['asks'])}档卖单")

    # the funding rate
    funding = await dm.get_funding_rate("BTCUSDT")
    print(f"资金费率: {funding['rate']}")

    # the spot price, polled
    spot_price = await dm.get_spot_price("BTCUSDT")
    print(f"现货价格: {spot_price}")

    # trades, by which liquidations can be judged
    liquidations = await dm.get_liquidation_trades("BTCUSDT", limit=500)
    print(f"清算数据: {len(liquidations)}笔")

    # 4. how it goes
    stats = dm.get_stats()
    print("\n统计信息:")
    print(f"  缓存命中率: {stats['cache_hit_rate']}")
    print(f"  REST调用次数: {stats['rest_calls']}")
    print(f"  WebSocket更新次数: {stats['ws_updates']}")

    # 5. end it
    await dm.close()


if __name__ == "__main__":
    trio.run(main)
