"""One WebSocket of public data, shared by many feeds.

The stream does not parse: it asks the adapter whose a frame is and puts the raw bytes into that feed's mailbox,
together with the other frames that came in the same read. Losing the connection is a state, not a failure: it tells its
feeds, waits and opens another one, for ever and without using a restart. Whether the data of *one* symbol is old is that
feed's business. A feed that cannot keep up loses its own frames and is told so; nobody else notices.

Where the venue lets a connection live for a time only, the next one is made before: it subscribes to everything, and
when it brings what the old one brings the old one is closed. Meanwhile feeds hear both, and their adapters pass over what
they know. Nobody is told, for nothing changed. A replacement that fails leaves the old connection alone.

A connection is named by the moment it was made (`since_s`, monotonic), so nothing from an earlier one can be taken for
the present one.
"""

from actors.stream.actor import Stream, StreamPlan
from actors.stream.link import StreamSettings
from actors.stream.messages import (
    ChannelRefused,
    Frames,
    FramesLost,
    Pulse,
    Resnapshot,
    Resubscribe,
    StreamChanged,
)

__all__ = [
    "ChannelRefused",
    "Frames",
    "FramesLost",
    "Pulse",
    "Resnapshot",
    "Resubscribe",
    "Stream",
    "StreamChanged",
    "StreamPlan",
    "StreamSettings",
]
