"""Who this installation is: an id for labels, an epoch for cursors, the default workspace. Made at first start."""

from pkg.installation.model import Installation
from pkg.installation.queries import ensure, get

__all__ = ["Installation", "ensure", "get"]
