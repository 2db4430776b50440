"""Time, chance, the network and threads are reached through seams only, so that a whole node can run from one seed.

SEAMS is the whole list of exceptions, each with its reason. A line that is no longer used fails the test too.
"""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch

from tests.support.sources import Source, nothing, sources

# A ban covers the name itself and everything below it.
BANNED = {
    "time": "engine.kernel.Clock",
    "datetime.datetime.now": "engine.kernel.Clock",
    "datetime.datetime.utcnow": "engine.kernel.Clock",
    "datetime.datetime.today": "engine.kernel.Clock",
    "datetime.date.today": "engine.kernel.Clock",
    "random": "engine.kernel.Entropy",
    "numpy.random": "engine.kernel.Entropy",
    "secrets": "engine.kernel.Entropy",
    "uuid": "engine.kernel.Entropy",
    "tempfile": "engine.kernel.Entropy",
    "os.urandom": "engine.kernel.Entropy",
    "os.getrandom": "engine.kernel.Entropy",
    "socket": "engine/net",
    "ssl": "engine/net",
    "http": "engine/net",
    "urllib.request": "engine/net",
    "httpx": "engine/net",
    "trio_websocket": "engine/net",
    "websockets": "engine/net",
    "trio.socket": "engine/net",
    "trio.open_tcp_stream": "engine/net",
    "trio.open_tcp_listeners": "engine/net",
    "trio.open_ssl_over_tcp_stream": "engine/net",
    "trio.open_unix_socket": "engine/net",
    "trio.open_ssl_over_tcp_listeners": "engine/net",
    "trio.serve_tcp": "engine/net",
    "trio.serve_ssl_over_tcp": "engine/net",
    "asyncio": "trio",
    "threading": "the kernel's bridge",
    "_thread": "the kernel's bridge",
    "concurrent.futures": "the kernel's bridge",
    "multiprocessing": "a child process of the supervisor",
    "trio.to_thread": "the kernel's bridge",
    "trio.from_thread": "the kernel's bridge",
    "trio.lowlevel.start_thread_soon": "the kernel's bridge",
    "trio.Path": "a plain file: each of these calls is a thread",
    "trio.open_file": "a plain file: each of these calls is a thread",
    "pykka.ThreadingActor": "actors/_store_host.py",
}

# (file, banned name) → why this file may.
SEAMS: dict[tuple[str, str], str] = {
    ("engine/kernel/clock.py", "time"): "it is the clock",
    ("engine/kernel/entropy.py", "random"): "it is the source of chance",
    ("engine/kernel/bridge.py", "threading"): "it is the bridge to actors on threads",
    ("engine/kernel/ref.py", "threading"): "pykka wants the event that says an actor has stopped",
    ("engine/net/*.py", "httpx"): "it is the seam to the network",
    ("engine/net/*.py", "ssl"): "it is the seam to the network",
    ("engine/net/*.py", "trio.open_tcp_stream"): "it is the seam to the network",
    ("engine/net/*.py", "trio_websocket"): "it is the seam to the network",
    ("engine/net/*.py", "websockets"): "it is the seam to the network",
    ("engine/simulator/wire/port.py", "trio.open_tcp_listeners"): "the simulated venue listens on loopback",
    ("engine/simulator/wire/port.py", "trio.socket"): "the simulated venue listens on loopback",
    ("engine/store/verify.py", "tempfile"): "the replay's place, thrown away by a process that nobody replays",
    ("engine/venues/ccxt/*.py", "trio.to_thread"): "ccxt blocks: each question waits in a thread, with a deadline",
    ("engine/venues/*/venue.py", "httpx"): "names the type of the transport that a test puts in the network's place",
    ("actors/embedding.py", "threading"): "a node in a thread of its own is what it gives",
    ("actors/embedding.py", "trio.from_thread"): "the thread around it stops the node through this",
    (
        "actors/_store_host.py",
        "pykka.ThreadingActor",
    ): "it is the one thread that writes; a mock clock uses the inline host",
    ("actors/_unix.py", "socket"): "trio binds a file's name in a thread of its own",
    ("actors/_unix.py", "trio.socket"): "the admin socket is a file on this machine, never the network",
    ("actors/recorder.py", "trio.to_thread"): "long reads of the store must not hold the loop",
    ("actors/simulator.py", "trio.open_tcp_listeners"): "asks for a free port, for the child process to listen on",
}


def test_nothing_is_reached_past_its_seam():
    nothing(
        f"{source.path}:{line}: {name} is reached through {BANNED[name]}"
        for source in sources()
        for name, line in sorted(set(uses(source)))
        if reason(source.path, name) is None
    )


def test_every_exception_is_used():
    used = {(source.path, name) for source in sources() for name, _ in uses(source)}
    nothing(
        f"{seam[0]}: {seam[1]}"
        for seam in SEAMS
        if not any(fnmatch(path, seam[0]) and name == seam[1] for path, name in used)
    )


def test_every_exception_says_why():
    assert all(len(why.split()) >= 3 for why in SEAMS.values())


def test_the_ban_sees_every_spelling():
    text = """
import time
import time as t
import os, numpy as np
from time import monotonic as now
from datetime import datetime, date as day
import datetime as dt
import trio.socket
from trio import to_thread
import urllib.request
def later():
    t.sleep(1); now()
    datetime.now(); day.today(); dt.datetime.utcnow()
    os.urandom(1); np.random.rand()
    trio.open_tcp_stream
    import secrets
allowed = (datetime.fromtimestamp, trio.sleep, trio.current_time, os.getpid, timing.time)
"""
    source = Source("x.py", "x", ast.parse(text))
    assert sorted({name for name, _ in uses(source)}) == [
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "numpy.random",
        "os.urandom",
        "secrets",
        "time",
        "trio.open_tcp_stream",
        "trio.socket",
        "trio.to_thread",
        "urllib.request",
    ]


def reason(path: str, name: str) -> str | None:
    """Why the file may use the name."""
    return next((why for (pattern, banned), why in SEAMS.items() if fnmatch(path, pattern) and banned == name), None)


def uses(source: Source) -> Iterator[tuple[str, int]]:
    """Each use of a banned name in a file: the ban it falls under, and its line."""
    known = dict(bindings(source.tree))
    known.setdefault("trio", "trio")
    for node in ast.walk(source.tree):
        for name in named(node, known):
            ban = next((ban for ban in BANNED if name == ban or name.startswith(f"{ban}.")), None)
            if ban:
                yield ban, node.lineno


def bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What the names bound by imports stand for: `np` → `numpy`, `now` → `time.monotonic`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def named(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """The full names of outside things this node mentions."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        first, _, rest = ast.unparse(node).partition(".")
        if first in known:
            yield f"{known[first]}.{rest}"
