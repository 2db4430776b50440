"""The simulator as a program: `python -m engine.simulator.program`."""

import argparse
import os
import sys
from collections.abc import Sequence

from engine.simulator.serving import UsageError, add_simulator_arguments, run_simulator, simulator_options

__all__ = ["main"]

WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve as the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="simulate", description="A simulated venue on loopback.")
    add_simulator_arguments(parser)
    try:
        options = simulator_options(parser.parse_args(arguments), os.environ)
    except UsageError as error:
        sys.stderr.write(f"simulate: {error}\n")
        return WRONG_USAGE
    return run_simulator(options)


if __name__ == "__main__":
    raise SystemExit(main())
