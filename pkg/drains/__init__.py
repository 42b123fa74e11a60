"""Drains: while one exists, new work is recorded and not started, so that running work can finish.

Several may exist at once, each with a reason, a client and an id; ending one leaves the others. Statements are
transactions' parts: they raise nothing of their own.
"""

from pkg.drains.model import Drain, DrainReason

__all__ = ["Drain", "DrainReason"]
