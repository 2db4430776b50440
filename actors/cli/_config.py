"""`config check | show | schema | init`, and how a command finds its settings."""

import os
from pathlib import Path

from actors._sections import NodeSettings, Unusable, check_usable
from actors.cli._exits import CommandFailed, Exit
from actors.cli._output import say, say_json
from actors.cli._remote import Options, ask
from actors.strategies import StrategyUnknown
from engine.settings import SettingsError, as_toml, load, profile_text, schema_json, show

DEFAULT_PROFILE = "demo"


def load_settings(options: Options) -> NodeSettings:
    """The settings of the file or profile that was named, else of the demo. Raises CommandFailed with every mistake found."""
    source = Path(options.config) if options.config else options.profile or DEFAULT_PROFILE
    try:
        settings = load(source, NodeSettings, os.environ)
        check_usable(settings)
        return settings
    except (Unusable, StrategyUnknown) as error:
        raise CommandFailed(Exit.USAGE, f"{source}: {error}", {"code": "CONFIG", "problems": [str(error)]}) from error
    except SettingsError as error:
        problems = [str(problem) for problem in error.problems]
        raise CommandFailed(Exit.USAGE, str(error), {"code": "CONFIG", "problems": problems}) from error


def check(options: Options) -> int:
    load_settings(options)
    source = options.config or options.profile or DEFAULT_PROFILE
    if options.json:
        say_json({"ok": True, "source": source})
    else:
        say(f"{source}: ok")
    return Exit.DONE


def show_settings(options: Options) -> int:
    """Of the file or profile that was named, else of the running node. Secrets never show."""
    if options.config or options.profile:
        tree = show(load_settings(options))
    else:
        try:
            tree = ask(options, lambda client: client.call("config.show", timeout_s=10))
        except CommandFailed as error:
            hint = "; name a file with --config, or a profile with --profile" if error.code == Exit.NO_NODE else ""
            raise CommandFailed(error.code, error.text + hint, error.details) from error
    if options.json:
        say_json(tree)
    else:
        say(as_toml(tree))
    return Exit.DONE


def schema(_: Options) -> int:
    say(schema_json(NodeSettings))
    return Exit.DONE


def init(options: Options) -> int:
    """Write a shipped profile, with its comments, to a file of one's own. Never over another file."""
    target = Path(options.file)
    try:
        text = profile_text(options.profile or DEFAULT_PROFILE)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except SettingsError as error:
        raise CommandFailed(Exit.USAGE, str(error)) from error
    except FileExistsError as error:
        raise CommandFailed(Exit.REFUSED, f"{target}: exists already; name another file") from error
    except OSError as error:
        raise CommandFailed(Exit.REFUSED, f"{target}: {error.strerror}") from error
    if options.json:
        say_json({"written": str(target)})
    else:
        say(f"written: {target}; run it with: tradenode run --config {target}")
    return Exit.DONE
