"""The market side of one venue of a node: feeds, streams, sources and the audit, and the way to have more symbols followed."""

from functools import partial

from actors._sections import VenueSection, table_of
from actors.audit import audit_spec
from actors.data.following import MarketTree
from actors.parts import NodeParts, VenueParts
from engine.kernel import ChildSpec, Ref, SupervisorSpec
from engine.model import VenueState
from engine.venues.base import MarketVenue


class Markets:
    """Makes the specs of one venue's market side and fills its `VenueParts`.

    `announce` grows with what has to be told that the venue is in reach; the session reads it each time.
    """

    def __init__(self, venue: MarketVenue, section: VenueSection, node: NodeParts, root: str) -> None:
        self.venue = venue
        self._section = section
        self._node = node
        self.announce: list[Ref] = []
        self.parts = VenueParts(
            venue.name,
            VenueState(venue.name),
            node.system.address(f"{root}/session"),
            policy=table_of(section),
            routes=venue.routes,
            exchange=venue,
            kind=str(section.__struct_config__.tag),
        )
        self._tree = MarketTree(
            venue,
            self.parts.state,
            under=f"{root}/parts",
            address=node.system.address,
            session=self.parts.session,
            rows=self.parts.policy,
            feed=section.feed,
            stream=section.stream,
            source=section.source,
            feeds=self.parts.feeds,
            announce=self.announce,
        )
        self.parts.follow = partial(self._tree.follow, node.system)

    def specs(self) -> tuple[SupervisorSpec | ChildSpec, ...]:
        """Feeds with their streams and the polled sources as one supervisor, and the audit."""
        return (self._tree.spec(self._section.symbols), *self._audits())

    def _audits(self) -> tuple[ChildSpec, ...]:
        parts, settings = self.parts, self._section.audit
        if not settings.on:
            return ()
        return (audit_spec(parts.state, session=parts.session, notifier=self._node.notifier, settings=settings),)
