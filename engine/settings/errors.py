"""What is wrong with a configuration, said so that the reader can mend it."""

from collections.abc import Iterable, Sequence

import msgspec

from engine.settings.paths import KeyPath, dotted


class Problem(msgspec.Struct, frozen=True):
    """One mistake: where it stands, which key, what is wrong and what would be right."""

    path: KeyPath
    text: str
    where: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, dotted(self.path), self.text) if part)


class SettingsError(Exception):
    """The configuration cannot be used. Carries every problem found, not only the first; none of them shows a secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def of(cls, text: str, where: str = "") -> "SettingsError":
        """An error about a file or a name as a whole."""
        return cls([Problem(path=(), text=text, where=where)])
