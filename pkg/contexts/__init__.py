"""The check of an uploaded build context, before any builder sees it.

`check.ContextChecker` reads a stored tar.gz once, as a stream, and refuses with `ContextRejected` (codes `context.*`)
what is too big, unpacks to too much, reaches outside, or is no context at all. `archive` holds the rules for one
archive, `tar` reads tar headers and never holds more than one of them.
"""

from pkg.contexts.archive import ContextReport, Limits
from pkg.contexts.check import ContextChecker
from pkg.contexts.errors import ContextRejected

__all__ = ["ContextChecker", "ContextRejected", "ContextReport", "Limits"]
