"""The labelled moments at which a crash drill kills the process. Between any two of them nothing may be lost."""

from collections.abc import Callable

__all__ = ["POINTS", "OnPoint"]

BEFORE_COMMIT = "store.before_commit"
AFTER_COMMIT = "store.after_commit"
CREATED_ASIDE = "store.created_aside"
ARCHIVE_WRITTEN = "archive.written"
ARCHIVE_DROPPED = "archive.dropped"
COPY_BUILT = "copy.built"

POINTS = (BEFORE_COMMIT, AFTER_COMMIT, CREATED_ASIDE, ARCHIVE_WRITTEN, ARCHIVE_DROPPED, COPY_BUILT)

OnPoint = Callable[[str], None]


def nowhere(point: str) -> None:
    """What runs at a point when no drill is on."""
