"""What the network of a region's instances is called: on the engine, and as a device of the machine.

Pure, so that whoever guards the bridge (the supervisor's packet rules) and whoever makes it (krane) agree without
asking each other. Does not fail.
"""

from pkg.networks.names import bridge_device, engine_network

__all__ = ["bridge_device", "engine_network"]
