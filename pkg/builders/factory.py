"""Every builder that can be configured. A new one joins by one line here: its section in the union."""

from typing import TypeAlias

from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.depot.config import DepotBuilderConfig
from pkg.builders.docker.config import DockerConfig

# The key `backend` chooses among them; the first one is the default.
AnyBuilderConfig: TypeAlias = DockerConfig | BuildkitConfig | DepotBuilderConfig
