"""What the network of a region's instances is called: on the engine, and as a device of the machine.

Pure, so that the supervisor, which filters packets of the bridge, and krane, which makes it, agree without
asking each other. Does not fail.
"""

from pkg.networks.names import bridge_device, engine_network

__all__ = ["bridge_device", "engine_network"]
