"""Settings: a profile in TOML becomes frozen structs, checked whole, with secrets that never show.

The struct a section decodes into stands beside the component it configures; this package only knows how to load one,
and the one section that is everybody's: how the program logs.
"""

from engine.settings.errors import Problem, SettingsError
from engine.settings.loading import load
from engine.settings.log_settings import LogLevel, LogSettings
from engine.settings.profiles import profile_path, profile_text, profiles
from engine.settings.secret import HIDDEN, Secret, SecretUnavailable
from engine.settings.show import as_toml, schema_json, show

__all__ = [
    "load",
    "SettingsError",
    "Problem",
    "Secret",
    "SecretUnavailable",
    "HIDDEN",
    "show",
    "schema_json",
    "as_toml",
    "profiles",
    "profile_path",
    "profile_text",
    "LogSettings",
    "LogLevel",
]
