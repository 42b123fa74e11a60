"""Names of a region's network."""

import hashlib

# The form of the network: /22, addresses assigned by krane, a named bridge. The first form had neither. Networks of
# another form stay until their last instance has gone.
FORM = 2
_DEVICE_HEX = 12  # with the prefix 15 characters, what IFNAMSIZ of the Linux kernel leaves for a name


def engine_network(base: str) -> str:
    """The network's name on the engine; `base` is `[docker] network` of krane's configuration."""
    return f"{base}-v{FORM}"


def bridge_device(base: str) -> str:
    """The network's bridge device, 15 characters; passed to the engine when it makes the network.

    It differs for every base and form. Two engines on one machine need two bases: they share the machine's devices.
    """
    return f"slt{hashlib.sha256(engine_network(base).encode()).hexdigest()[:_DEVICE_HEX]}"
