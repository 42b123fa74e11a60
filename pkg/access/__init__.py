"""Access figures: what the ingress answered for deployments, counted in steps of a minute and of an hour.

`figures` are values that add up, `latency` the histogram in them. krane counts and reports them, `pkg.telemetry` keeps
them, the api reads them. Nothing here does I/O.
"""

from pkg.access.figures import HOUR_S, KEPT_MS, MINUTE_S, NO_ANSWERS, STEPS_S, AccessFigures, Answers

__all__ = ["HOUR_S", "KEPT_MS", "MINUTE_S", "NO_ANSWERS", "STEPS_S", "AccessFigures", "Answers"]
