"""A value that is used and never shown.

A configuration names a secret by where it is kept, so that the file can be read by anyone:

    env:NAME        the environment variable NAME
    file:PATH       a file of ours that nobody else may read (mode 0600 or 0400); a relative path starts at the configuration
    systemd:NAME    a credential systemd passes to the service (`LoadCredential=NAME:…`), in $CREDENTIALS_DIRECTORY

Any other text is the secret itself. That is refused in the files of a live profile, see `check`.

A secret can be read again from its place, so that it can be replaced while the program runs. Of the places only a file changes
under a process: its environment is its own copy, and systemd hands credentials over when it starts the service (unless told to
refresh them on reload).
"""

import hmac
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, final

HIDDEN = "***"
LIMIT_BYTES = 64 * 1024


class SecretUnavailable(Exception):
    """The place a secret is kept at does not hand it out. Who keeps the secrets must act; the text names the place only."""


@final
class Secret:
    """Text that shows as `***` wherever it is printed, formatted, encoded or logged. `reveal()` is the only way to it."""

    __slots__ = ("__value", "_again", "_reference")

    def __init__(self, value: str, reference: str = HIDDEN, *, again: "Callable[[], Secret] | None" = None) -> None:
        if not value.strip():
            raise SecretUnavailable("expected a secret, got an empty text")
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
            raise SecretUnavailable("expected a secret of UTF-8 text, got one with NUL or other bytes in it")
        self.__value = value
        self._reference = reference
        self._again = again

    def reveal(self) -> str:
        """The secret itself: for the one call that needs it, not for keeping."""
        return self.__value

    @property
    def reference(self) -> str:
        """Where the secret is kept, as the configuration names it, or `***` where the configuration held it."""
        return self._reference

    def again(self) -> "Secret":
        """What its place holds now; itself where it has no place. Raises SecretUnavailable."""
        return self if self._again is None else self._again()

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, _spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return hash(self.__value)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: name where it is kept, and read it there again")


def is_reference(text: str) -> bool:
    """Whether the text says where the secret is kept instead of being it."""
    return text.startswith(("env:", "file:", "systemd:"))


def resolve(text: str, env: Mapping[str, str], base: Path) -> Secret:
    """The secret a configuration value stands for. Raises SecretUnavailable."""
    kind, _, name = text.partition(":")
    if not is_reference(text):
        return Secret(text)
    if not name:
        raise SecretUnavailable(f"expected a name after {kind}:, got nothing")
    if kind == "env":
        value = _variable(name, env)
    elif kind == "file":
        value = _private_file(base / name)
    else:
        value = _credential(name, env)
    kept_at = base.absolute()
    return Secret(value, text, again=lambda: resolve(text, env, kept_at))


def _variable(name: str, env: Mapping[str, str]) -> str:
    if not env.get(name, "").strip():
        raise SecretUnavailable(f"expected the environment variable {name} to hold the secret, it is not set or empty")
    return env[name]


def _credential(name: str, env: Mapping[str, str]) -> str:
    """systemd's directory is private to the service by itself, so modes are not looked at."""
    directory = env.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise SecretUnavailable(f"expected systemd to pass the credential {name}, but CREDENTIALS_DIRECTORY is not set")
    if name != os.path.basename(name) or name in (".", ".."):  # noqa: PTH119 - Path.name would drop a trailing slash
        raise SecretUnavailable(f"expected the plain name of a credential, got {name!r}")
    return _read(Path(directory) / name, private=False)


def _private_file(path: Path) -> str:
    return _read(path, private=True)


def _read(path: Path, *, private: bool) -> str:
    """The text of one bounded regular file. What is checked is the open file, so nobody can swap it in between."""
    try:
        # Not blocking, so that a pipe put in its place cannot hold us up.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecretUnavailable(f"expected a readable file {path}, got: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise SecretUnavailable(f"expected {path} to be a regular file, it is something else")
        if private:
            _refuse_if_shared(path, status)
        content = os.read(fd, LIMIT_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > LIMIT_BYTES:
        raise SecretUnavailable(f"expected at most {LIMIT_BYTES} bytes in {path}, got more")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"expected UTF-8 text in {path}, got other bytes") from None


def _refuse_if_shared(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode not in (0o600, 0o400):
        raise SecretUnavailable(f"expected {path} to have mode 0600, it has {mode:04o}; mend it with: chmod 600 {path}")
    if status.st_uid != os.geteuid():
        raise SecretUnavailable(f"expected {path} to belong to user {os.geteuid()}, it belongs to user {status.st_uid}")
