"""Figure 1: `sealift deploy` of a one-line change, compared with docker build and run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.apps import App
from tests.bench.figure import Figure, table
from tests.bench.polling import until_answers
from tests.bench.raw import RawDocker
from tests.bench.rounds import interleaved
from tests.bench.timeline import PHASES, Timeline
from tests.harness.stack import Stack

MARK_MS = 600.0
AIM_RATIO = 1.1


@dataclass(frozen=True)
class DeployReport:
    """The figures of one app, and the breakdown of the time."""

    app: str
    figures: Sequence[Figure]
    timelines: Sequence[Timeline]

    def phases(self) -> dict[str, float]:
        """Median milliseconds of each phase."""
        each = [timeline.phases() for timeline in self.timelines]
        return {name: median(one[name] for one in each) for name in PHASES}

    def build_steps(self) -> dict[str, float]:
        """Median milliseconds of each build step, from BuildKit."""
        names = self.timelines[-1].build_steps
        return {name: median(t.build_steps.get(name, 0.0) for t in self.timelines) for name in names}

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return {
            "phases_ms": self.phases(),
            "build_steps_ms": self.build_steps(),
            "samples": [timeline.phases() for timeline in self.timelines],
        }


def measure(stack: Stack, raw: RawDocker, app: App, rounds: int) -> DeployReport:
    """Deploy the app both ways alternately, each time with a new change."""
    project = f"bench-{app.name}"
    stack.sealift("projects", "create", project)

    def by_sealift(number: int) -> Timeline:
        body = f"sealift {number}"
        app.edit(app.directory, body)
        timeline = deploy(stack, app, project)
        until_answers("127.0.0.1", stack.ingress_port, timeline.result["url"].partition("//")[2], body)
        timeline.ended()
        return timeline

    def by_hand(number: int) -> tuple[float, float]:
        body = f"hand {number}"
        app.edit(app.directory, body)
        return raw.deploy(app.directory, body, app.build_args)

    pairs = interleaved(rounds, by_sealift, by_hand, warm_up=2)
    timelines, by_hands = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    samples, baseline = [one.total_ms for one in timelines], [total for _, total in by_hands]
    builds = [one.phases()["building"] for one in timelines]
    return DeployReport(
        app.name,
        (
            Figure(f"deploy a change, {app.name} app, over docker build + run", "difference", samples, "ms", baseline,
                   mark=MARK_MS),
            Figure(f"  the same as a ratio, {app.name} app", "ratio", samples, "ms", baseline, aim=AIM_RATIO),
            Figure(f"  its building step, {app.name} app, over docker build", "ratio", builds, "ms",
                   [built for built, _ in by_hands]),
        ),
        timelines,
    )  # fmt: skip


def deploy(stack: Stack, app: App, project: str) -> Timeline:
    """One deploy with the CLI, with the time of each event."""
    arguments = [word for name, value in app.build_args.items() for word in ("--build-arg", f"{name}={value}")]
    timeline = Timeline()
    process = stack.start_cli("deploy", str(app.directory), "--project", project, "--json", *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    timeline.read(process.stdout)
    code = process.wait()
    timeline.ended()
    stderr = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    if code != 0:
        raise RuntimeError(f"sealift deploy ended with {code}: {timeline.result} {stderr}")
    return timeline


def breakdown(reports: Sequence[DeployReport]) -> str:
    """The breakdown of the time by phase, in median milliseconds."""
    phases = [report.phases() for report in reports]
    rows = [[name, *(f"{one[name]:.0f}" for one in phases)] for name in PHASES]
    rows.append(["total", *(f"{median(t.total_ms for t in report.timelines):.0f}" for report in reports)])
    return table(["sealift deploy, ms", *(report.app for report in reports)], rows)
