"""The command table as a parser. Commands load their own modules when they run: asking a node must not cost what running one does."""

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from actors.cli import _remote
from actors.cli._credentials import add_credential_commands
from actors.cli._data import SCAN, add_data_commands, add_scan_arguments
from actors.cli._orders import FIGURE, add_order_commands
from actors.cli._plans import add_plan_commands
from actors.cli._portfolios import LIST, add_portfolio_commands
from actors.cli._positions import add_position_commands
from actors.cli._sync import EXTERNAL, add_discrepancy_commands, add_sync_commands
from actors.cli._values import decimal, limit, seconds
from engine.model import OrderState, Severity

Run = Callable[[argparse.Namespace], int]
DESCRIPTION = "A resident trading node. Every command takes --dir and --json."
EPILOG = "exit codes: 0 done, 1 refused or failed, 2 wrong usage or config, 3 no node running, 4 timed out, 70 internal, 74 store"


def later(module: str, function: str) -> Run:
    """A command whose module is loaded when it runs."""

    def run(options: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(f"{__package__}.{module}"), function)(options)
        return code

    return run


class Commands:
    """Adds commands to a parser, each with the options that all have."""

    def __init__(self, parser: argparse.ArgumentParser, *, required: bool = True) -> None:
        """`required` False: the parser's own command runs where none of these is named."""
        self._subparsers = parser.add_subparsers(metavar="COMMAND", required=required)

    def add(self, name: str, help_text: str, run: Run | None = None) -> argparse.ArgumentParser:
        parser = self._subparsers.add_parser(
            name, help=help_text, description=help_text, allow_abbrev=False, formatter_class=argparse.HelpFormatter
        )
        common(parser, argparse.SUPPRESS, argparse.SUPPRESS)
        if run is not None:
            parser.set_defaults(run=run)
        return parser


def common(parser: argparse.ArgumentParser, directory: str, as_json: Any) -> None:
    parser.add_argument("--dir", default=directory, metavar="DIR", help="the node's directory (default: ./var)")
    parser.add_argument("--json", action="store_true", default=as_json, help="print JSON")


def build(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: what a command that was not asked for would load is left out."""
    parser = argparse.ArgumentParser(prog="tradenode", description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False)
    common(parser, "./var", False)
    commands = Commands(parser)
    _programs(commands, simulating="simulate" in arguments)
    _looks(commands)
    _markets(commands)
    _portfolios(commands)
    _order(commands)
    _panic(commands)
    _administer(commands)
    _operate(commands)
    return parser


# ── programs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _programs(commands: Commands, *, simulating: bool) -> None:
    run = commands.add("run", "run the node in the foreground", later("_programs", "run"))
    _source(run)
    run.add_argument("--for", dest="for_s", type=seconds, metavar="SECONDS", help="stop by itself after this time")
    run.add_argument("--seed", type=int, metavar="N", help="draw everything random from this seed")
    run.add_argument("--replay", default="", metavar="FILE", help="let recorded bars drive the simulated markets")
    simulate = commands.add("simulate", "run a simulated venue in the foreground", later("_programs", "simulate"))
    if simulating:
        from engine.simulator import add_simulator_arguments

        add_simulator_arguments(simulate)


def _source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--profile", default="", metavar="NAME", help="a shipped profile (default: demo)")
    source.add_argument("--config", default="", metavar="FILE", help="a configuration file")


# ── look ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _looks(commands: Commands) -> None:
    looks = _remote.LOOKS
    commands.add("status", "the node in one look", looks["status"])
    commands.add("tree", "every actor: state, restarts, mailbox, last error", looks["tree"])
    commands.add("feeds", "market data: source, age and prices of every feed", looks["feeds"])
    for name in ("positions", "balances"):
        parser = commands.add(name, f"{name} as the venue last reported them", looks[name])
        parser.add_argument("--all", action="store_true", help="those that are empty too")
        parser.add_argument("--account", default="", metavar="NAME")
        if name == "positions":
            add_position_commands(Commands(parser, required=False).add)
    fills = commands.add("fills", "executions, newest first", looks["fills"])
    _filters(fills)
    fills.add_argument("--order", dest="order_id", default="", metavar="ORDER_ID", help="those of one order")
    orders = commands.add("orders", "orders that are not over, newest first", looks["orders"])
    orders.add_argument("--all", action="store_true", help="those that are over too")
    orders.add_argument(
        "--external", dest="run", action="store_const", const=EXTERNAL, help="live ones that were placed by nobody here"
    )
    _filters(orders)
    orders.add_argument("--strategy", default="", metavar="NAME")
    orders.add_argument("--state", default="", choices=list(map(str, OrderState)))
    add_sync_commands(commands.add)
    discrepancy = Commands(commands.add("discrepancy", "differences with a venue"))
    add_discrepancy_commands(discrepancy.add)
    notices = commands.add("notices", "what the node told people, newest first", looks["notices"])
    notices.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
    notices.add_argument("--severity", default="", choices=list(map(str, Severity)), help="this and above")


def _markets(commands: Commands) -> None:
    data = Commands(commands.add("data", "market data as the node has it now, with its source and age"))
    add_data_commands(data.add, limit)
    add_scan_arguments(commands.add("scan", "every market at once, from memory, the strongest first", SCAN), limit)


def _portfolios(commands: Commands) -> None:
    commands.add("portfolios", "accounts at other exchanges, as last looked at", LIST)
    portfolio = Commands(commands.add("portfolio", "one account at another exchange"))
    add_portfolio_commands(portfolio.add)


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=limit, metavar="N", help="at most this many (default: 100)")
    parser.add_argument("--instrument", default="", metavar="NAME")
    parser.add_argument("--account", default="", metavar="NAME")


# ── act ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _order(commands: Commands) -> None:
    order = Commands(commands.add("order", "place, show, change and look for orders"))
    add_order_commands(order.add)
    plan = Commands(commands.add("plan", "orders that are worked as many small ones"))
    add_plan_commands(plan.add)
    execution = Commands(commands.add("execution", "how orders were worked"))
    execution.add(
        "report",
        "whether what was learned of earlier executions helps, from the store",
        later("_execution", "execution_report"),
    )
    figure = commands.add("figure", "publish a figure of one's own, which orders can wait for", FIGURE)
    figure.add_argument("name", metavar="NAME")
    figure.add_argument("value", type=decimal, metavar="VALUE")


def _panic(commands: Commands) -> None:
    pause = commands.add("pause", "close the order gate: only cancels pass", _remote.PANIC["pause"])
    pause.add_argument("--reducing", action="store_true", help="let reduce-only orders pass too")
    pause.add_argument("--reason", default="")
    commands.add("resume", "open the order gate", _remote.PANIC["resume"])
    cancel = commands.add("cancel-all", "pause, and cancel every order", _remote.PANIC["cancel-all"])
    cancel.add_argument(
        "--instrument", default="", metavar="NAME", help="only of this instrument; the gate stays as it is"
    )
    cancel.add_argument("--strategy", default="", metavar="NAME", help="only of this strategy; the gate stays as it is")
    cancel.add_argument("--reason", default="")
    flatten = commands.add(
        "flatten", "cancel everything, then close every position at the market", _remote.PANIC["flatten"]
    )
    flatten.add_argument(
        "--timeout",
        type=seconds,
        default=20.0,
        metavar="SECONDS",
        help="how long to wait for the cancels (default: 20)",
    )
    stop = commands.add("stop", "stop the node in order and wait until it is gone", _remote.stop)
    stop.add_argument("--cancel", action="store_true", help="cancel resting orders first")
    stop.add_argument("--timeout", type=seconds, default=60.0, metavar="SECONDS", help="how long to wait (default: 60)")


# ── administer and operate ─────────────────────────────────────────────────────────────────────────────────────────────


def _administer(commands: Commands) -> None:
    credentials = Commands(commands.add("credentials", "the keys of the accounts"))
    add_credential_commands(credentials.add)
    notify = Commands(commands.add("notify", "the notifier"))
    notify.add("test", "send a test message through every channel", _remote.notify_test)
    strategy = Commands(commands.add("strategy", "the strategies"))
    strategy.add("list", "every strategy and its state", _remote.STRATEGY["list"])
    for name in ("stop", "start"):
        parser = strategy.add(name, f"{name} one strategy; nothing else is touched", _remote.STRATEGY[name])
        parser.add_argument("name", metavar="NAME")


def _operate(commands: Commands) -> None:
    config = Commands(commands.add("config", "the configuration"))
    _source(config.add("check", "whether it can be used, with every mistake", later("_config", "check")))
    _source(config.add("show", "as it is in force, without secrets", later("_config", "show_settings")))
    config.add("schema", "the JSON Schema of a configuration file", later("_config", "schema"))
    init = config.add("init", "start a file of your own from a shipped profile", later("_config", "init"))
    init.add_argument("--profile", default="", metavar="NAME")
    init.add_argument("file", nargs="?", default="tradenode.toml", metavar="FILE")
    doctor = commands.add("doctor", "whether a node can run here", later("_doctor", "doctor"))
    _source(doctor)
    doctor.add_argument("--offline", action="store_true", help="ask nobody: neither a venue nor a running node")
    commands.add("verify", "whether the store says what its journal says", later("_upkeep", "verify"))
    backup = commands.add("backup", "copy the store, live or not", later("_upkeep", "backup"))
    backup.add_argument("dest", metavar="DEST", help="a directory that is missing or empty")
    restore = commands.add("restore", "make the store from a backup", later("_upkeep", "restore"))
    restore.add_argument("source", metavar="SOURCE")
