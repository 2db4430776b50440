"""The admin socket: the command core of a node. See `actor`."""

from actors.admin._desk import NodeControl
from actors.admin._health import VenueHealth
from actors.admin.actor import METHODS, NAMES, SOCKET, Admin, AdminSettings, admin_spec

__all__ = ["METHODS", "NAMES", "SOCKET", "Admin", "AdminSettings", "NodeControl", "VenueHealth", "admin_spec"]
