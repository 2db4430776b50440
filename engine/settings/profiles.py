"""The shipped profiles: where they lie in a checkout and in an installation."""

import difflib
import sysconfig
from pathlib import Path

from engine.settings.errors import SettingsError

_CHECKOUT = Path(__file__).resolve().parents[2]


def directory() -> Path:
    """The checkout's own profiles, or those the wheel brought. Raises SettingsError when neither is there."""
    places = [Path(sysconfig.get_path("data", scheme)) for scheme in _schemes()]
    candidates = [place / "share" / "tradenode" / "config" for place in places]
    if (
        _CHECKOUT / "pyproject.toml"
    ).is_file():  # otherwise we are installed, and a folder `config` there is a stranger's
        candidates.insert(0, _CHECKOUT / "config")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    looked = ", ".join(map(str, candidates))
    raise SettingsError.of(f"expected the shipped profiles in one of: {looked}; found none; install tradenode again")


def _schemes() -> tuple[str, str]:
    return sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")


def profiles() -> tuple[str, ...]:
    """The names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in directory().glob("*.toml")))


def profile_path(name: str) -> Path:
    """Where a shipped profile lies. Raises SettingsError with the names there are."""
    names = profiles()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SettingsError.of(f"expected a profile, one of: {', '.join(names)}; got {name!r}{hint}")
    return directory() / f"{name}.toml"


def profile_text(name: str) -> str:
    """A shipped profile as it is written, with its comments: what `config init` starts a file of one's own from."""
    return profile_path(name).read_text(encoding="utf-8")
