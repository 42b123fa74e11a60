"""Who this installation is: an id for labels, an epoch for cursors, the default workspace. Made at first start."""

from pkg.installation.model import Installation
from pkg.installation.queries import ensure, find_id, get, renew_epoch

__all__ = ["Installation", "ensure", "find_id", "get", "renew_epoch"]
