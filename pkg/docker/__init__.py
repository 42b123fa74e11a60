"""The one client of a Docker engine: connection, labels and errors that builders, krane and the supervisor share.

`Engine` asks and removes over the engine's unix socket, without a thread and without the SDK: the supervisor, which
forks, may load it. What an answer means to users is said by the adapter that asked.
"""

from pkg.docker.engine import Engine
from pkg.docker.errors import EngineError, EngineRefusedError

__all__ = ["Engine", "EngineError", "EngineRefusedError"]
