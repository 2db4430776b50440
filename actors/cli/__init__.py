"""The command line: one program, `tradenode`."""

import os
import sys
import traceback
from collections.abc import Sequence

from actors.cli._exits import CommandFailed, Exit
from actors.cli._output import complain
from actors.cli._parser import build

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Expected failures are a sentence, bugs are a traceback and 70."""
    given = sys.argv[1:] if arguments is None else arguments
    options = build(given).parse_args(given)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except CommandFailed as error:
        _report(error, as_json=options.json)
        return error.code
    except BrokenPipeError:
        # The reader had enough. What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        complain("interrupted")
        return Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last line of defence: shown whole, and told apart by its code
        traceback.print_exc()
        return Exit.INTERNAL
    return code


def _report(error: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        import msgspec

        complain(msgspec.json.encode({"error": {"message": error.text, **error.details}}).decode())
    else:
        complain(f"tradenode: {error.text}")
