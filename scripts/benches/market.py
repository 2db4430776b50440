"""What market data costs at full size: Binance USD-M frames → stream → feed → the state a strategy reads.

Every side is a process of its own and is served by the same player: ours with the real adapters and actors, ccxt pro, and
NautilusTrader with its Binance client and data engine. The figures are each process's CPU time per message, kernel and
all its threads included, after a warm-up. Then the same path at 10, 200 and 1,000 symbols, twice: as fast as the frames can
be read, beside a loop without actors, as ten symbols fit into a cache and a thousand do not; and at the pace of a busy day,
thirty messages a second and symbol, which is what following more symbols really costs. Last, what it is like to hold 200
symbols at that pace: memory, share of the CPU, how long the loop stands still, and a scan. `scripts/bench market`.
"""

import json
import subprocess
import sys
import time
from typing import Any

import msgspec

from scripts._runner import ROOT
from scripts.benches._binance import Mix, player

BUDGET_US = 6.0
TIMES_FASTER = 5.0
FLAT = 1.3
RSS_MB = 120.0
SCAN_MS = 50.0
ROUNDS = 3
SYMBOLS = 200
MESSAGES = 40_000
PEER_MESSAGES = 10_000  # enough: each takes ten times as long
BUSY_RATE = 6000.0
BUSY_S = 10
SIZES = (10, SYMBOLS, 1000)
DEADLINE_S = 150.0
PEERS = ("ccxt.pro", "NautilusTrader")
LOOP = "loop without actors"


def rows() -> list[dict[str, Any]]:
    """The path with its peers, the path by size, the whole state held."""
    flood = _flood()
    return [_mix_row(flood[SYMBOLS][0]), _trades_row(), *_size_rows(flood), *_hold_rows()]


# ── beside the peers ───────────────────────────────────────────────────────────────────────────────────────────────────


def _mix_row(us: float) -> dict[str, Any]:
    peers, notes = _peers("")
    return {
        "name": "market.socket_to_state",
        "value": round(us, 2),
        "unit": "µs CPU/message",
        "budget": f"<= {BUDGET_US}",
        "ok": us <= BUDGET_US,
        "peers": peers,
        "ratio": _ratio(us, peers),
        "note": notes,
    }


def _trades_row() -> dict[str, Any]:
    mix = _mix(SYMBOLS, MESSAGES, "aggTrade")
    us = min(_run("_ours", "speed", mix)["us"] for _ in range(ROUNDS))
    peers, notes = _peers("aggTrade")
    ratio = _ratio(us, peers)
    return {
        "name": "market.trades",
        "value": round(us, 2),
        "unit": "µs CPU/message",
        "budget": f">= {TIMES_FASTER} x each peer",
        "ok": ratio is not None and ratio >= TIMES_FASTER,
        "peers": peers,
        "ratio": ratio,
        "note": notes,
    }


def _ratio(us: float, peers: dict[str, float]) -> float | None:
    """Against the best peer that is there."""
    return round(min(peers.values()) / us, 2) if peers else None


def _peers(only: str) -> tuple[dict[str, float], str]:
    """CPU µs a message of each that is installed; what to say of the others."""
    answers = {name: _run("_peers", name, _mix(SYMBOLS, PEER_MESSAGES, only)) for name in PEERS}
    found = {name: round(answer["us"], 2) for name, answer in answers.items() if "us" in answer}
    return found, "; ".join(answer["note"] for answer in answers.values() if "note" in answer)


# ── by size ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _size_rows(flood: dict[int, tuple[float, float]]) -> list[dict[str, Any]]:
    """The same mix over few and many symbols; flat means that what a message costs does not rise with the others."""
    paced = {symbols: _paced(symbols) for symbols in SIZES}
    ours = {symbols: us for symbols, (us, _) in flood.items()}
    loop = {symbols: us for symbols, (_, us) in flood.items()}
    return [
        *({**_size_row("flood", symbols, ours), **_beside(ours, loop, symbols)} for symbols in SIZES),
        *(_size_row("paced", symbols, paced) for symbols in SIZES),
    ]


def _size_row(way: str, symbols: int, us: dict[int, float]) -> dict[str, Any]:
    growth = _growth(us, symbols)
    return {
        "name": f"market.{way}_at_{symbols}_symbols",
        "value": round(us[symbols], 2),
        "unit": "µs CPU/message",
        "budget": f"<= {FLAT} x {SIZES[0]} symbols",
        "ok": growth <= FLAT,
        "ratio": round(growth, 2),
    }


def _beside(ours: dict[int, float], loop: dict[int, float], symbols: int) -> dict[str, Any]:
    return {
        "peers": {LOOP: round(loop[symbols], 2)},
        "note": f"the loop costs {_growth(loop, symbols):.2f} x what it does with {SIZES[0]}, "
        f"ours {ours[symbols] / loop[symbols]:.2f} x the loop",
    }


def _growth(us: dict[int, float], symbols: int) -> float:
    return us[symbols] / us[SIZES[0]]


def _flood() -> dict[int, tuple[float, float]]:
    """Ours and the loop's, best of a few rounds over all sizes: the machine is another one from minute to minute."""
    mixes = {symbols: _mix(symbols, max(MESSAGES, 80 * symbols)) for symbols in SIZES}
    rounds = [
        {
            symbols: (_run("_ours", "speed", mix)["us"], _run("_loop", "loop", mix)["us"])
            for symbols, mix in mixes.items()
        }
        for _ in range(ROUNDS)
    ]
    return {
        symbols: (min(one[symbols][0] for one in rounds), min(one[symbols][1] for one in rounds)) for symbols in SIZES
    }


def _paced(symbols: int) -> float:
    """At the pace of a busy day, waking up for a few messages at a time included."""
    rate = BUSY_RATE / SYMBOLS * symbols
    return float(_run("_ours", "speed", _mix(symbols, int(rate * BUSY_S), "", rate))["us"])


# ── all of it held ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _hold_rows() -> list[dict[str, Any]]:
    found = _run("_ours", "hold", _mix(SYMBOLS, int(BUSY_RATE * BUSY_S * 5 / 4), "", BUSY_RATE))
    size = f"{SYMBOLS} symbols x 4 intervals x 500 bars, books, trades"
    return [
        {
            "name": "market.memory",
            "value": round(found["rss_mb"], 1),
            "unit": "MB resident",
            "budget": f"<= {RSS_MB:.0f}",
            "ok": found["rss_mb"] <= RSS_MB,
            "note": f"{size}, with their actors in a process that has all of a node imported",
        },
        {
            "name": "market.cpu_share",
            "value": round(100 * found["cpu_share"], 1),
            "unit": "% of a core",
            "ok": True,
            "note": f"at {found['rate']:,.0f} messages/s: {found['us']:.1f} µs each, with waking up for a few at a time",
        },
        {
            "name": "market.loop_stall",
            "value": round(found["own_max_ms"], 2),
            "unit": "ms",
            "ok": True,
            "note": f"longest own work while a timer was due; p99.9 {found['own_p999_ms']:.2f} ms; with what other "
            f"processes took: p99.9 {found['late_p999_ms']:.2f}, longest {found['late_max_ms']:.2f} ms",
        },
        {
            "name": "market.scan",
            "value": round(found["scan_ms"], 1),
            "unit": "ms",
            "budget": f"<= {SCAN_MS:.0f}",
            "ok": found["scan_ms"] <= SCAN_MS,
            "note": f"{SYMBOLS} symbols x 4 intervals x 300 bars, {found['factors']:.0f} factors, no request",
        },
    ]


# ── processes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mix(symbols: int, messages: int, only: str = "", rate: float = 0.0) -> Mix:
    return Mix(symbols=symbols, messages=messages, now_ms=int(time.time() * 1000), only=only, rate=rate)


def _run(module: str, way: str, mix: Mix) -> dict[str, Any]:
    """One side against a player of its own; what its last line says. A side that fails shows how, and fails the bench."""
    with player(mix) as port:
        command = [sys.executable, "-m", f"scripts.benches.{module}", way, str(port), msgspec.json.encode(mix).decode()]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
