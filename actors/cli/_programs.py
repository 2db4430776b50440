"""`run` and `simulate`: the programs themselves, in the foreground."""

import os
from pathlib import Path

from actors.cli._config import DEFAULT_PROFILE, load_settings
from actors.cli._exits import CommandFailed, Exit
from actors.cli._remote import Options
from actors.node import run_node
from engine.simulator import UsageError, run_simulator, simulator_options


def run(options: Options) -> int:
    """The node, until it is stopped or its time is over."""
    settings = load_settings(options)
    if options.replay and not Path(options.replay).is_file():
        raise CommandFailed(Exit.USAGE, f"--replay: expected a file of recorded bars, got {options.replay}")
    return run_node(
        settings,
        directory=Path(options.dir),
        profile="" if options.config else options.profile or DEFAULT_PROFILE,
        for_s=options.for_s,
        seed=options.seed,
        replay=options.replay or None,
        as_json=options.json,
    )


def simulate(options: Options) -> int:
    """A simulated venue; its first line says where it listens and whom it lets in."""
    try:
        return run_simulator(simulator_options(options, os.environ))
    except UsageError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
