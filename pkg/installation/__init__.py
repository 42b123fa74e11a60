"""The installation: its id, for labels, and its epoch, for cursors. Made at the first start."""

from pkg.installation.model import Installation
from pkg.installation.queries import ensure, find_id, get, renew_epoch

__all__ = ["Installation", "ensure", "find_id", "get", "renew_epoch"]
