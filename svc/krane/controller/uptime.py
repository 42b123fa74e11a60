"""When an instance without a port counts as healthy: it has stayed up for some seconds. Pure."""

from svc.krane.controller.probes import ProbeResult

HEALTHY_AFTER_S = 5.0  # a worker that can't reach what it needs ends sooner


def result(up_s: float, needed_s: float) -> ProbeResult:
    """What an uptime of `up_s` seconds says, in the place of a probe."""
    if up_s >= needed_s:
        return ProbeResult(is_ok=True, text=f"it has stayed up for {needed_s:.0f} s")
    return ProbeResult(is_ok=False, text=f"it has not been up for {needed_s:.0f} s yet")


def left_s(up_s: float, needed_s: float) -> float:
    """Seconds until it counts as healthy; 0: it does."""
    return max(0.0, needed_s - up_s)
