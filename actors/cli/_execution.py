"""`execution report`: whether what was learned of earlier executions helps, told from the store, whether a node runs or not."""

from actors.cli._exits import Exit
from actors.cli._output import say, say_json
from actors.cli._remote import Options
from actors.cli._upkeep import failed_store, store_path
from actors.execution.reporting import as_text, report
from engine.store import Store, StoreError


def execution_report(options: Options) -> int:
    """A replay of all plans that are over, with an honest verdict."""
    try:
        with Store.open(store_path(options), read_only=True) as store:
            found = report(store)
    except StoreError as error:
        raise failed_store(error) from error
    if options.json:
        say_json(found)
    else:
        say(as_text(found))
    return Exit.DONE
