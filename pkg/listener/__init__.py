"""Taking connections of an HTTP listener with bounds on what strangers may hold: see `Listener`."""

from pkg.listener.descriptors import raise_descriptor_limit
from pkg.listener.listener import Limits, Listener

__all__ = ["Limits", "Listener", "raise_descriptor_limit"]
