"""What a drill found wrong, so that whoever reads it alone understands it."""

from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Finding", "shown"]

LONGEST = 1200
MOST = 40


class Finding(msgspec.Struct, frozen=True):
    """`text` says of what, what was expected and what came."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def shown(found: Iterable[tuple[int, Sequence[Finding]]], each: int) -> list[str]:
    """Lines for a result: of each seed no more than `each`, in all no more than `MOST`, none of them endless."""
    lines = [f"seed {seed}: {finding}" for seed, findings in found for finding in findings[:each]]
    return [line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in lines[:MOST]]
