"""`make bench`: measures the figures, prints a table and a breakdown, writes bench-results.json."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import (
    app_logs,
    clusters,
    crowds,
    deploys,
    domains,
    hostile,
    ingress,
    logs,
    machine,
    memory,
    solves,
    starts,
    switches,
    uploads,
)
from tests.bench.apps import busybox_app, python_app
from tests.bench.figure import HEADER, Figure, table
from tests.bench.raw import RawDocker
from tests.harness.stack import ROOT, Stack

WHAT = (
    "help",
    "memory",
    "solve",
    "crowd",
    "logs",
    "app-logs",
    "deploy",
    "rollback",
    "upload",
    "ingress",
    "domain",
    "hostile",
    "kubernetes",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures the selected figures."""
    given = _arguments(argv)
    engine_socket = os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock")
    results: dict[str, Any] = {"machine": machine.facts(engine_socket), "load_before": machine.load()}
    scratch = Path(tempfile.mkdtemp(prefix="sealift-bench-"))
    figures: list[Figure] = []
    details: list[str] = []
    try:
        if "help" in given.only:
            _say("sealift --help ...")
            figures += starts.measure(given.rounds * 2 if given.quick else max(15, given.rounds * 2))
        if "memory" in given.only:
            # first, and on a separate stack, as after `make demo`
            _say("memory ...")
            with Stack(engine_socket) as stack:
                used = memory.measure(stack, scratch, 5 if given.quick else 60)
            figures += used.figures
            details.append(used.text())
            results["memory"] = used.as_json()
        if "solve" in given.only:
            _say("solves ...")
            figures += solves.measure(engine_socket, scratch, given.rounds)
        if "crowd" in given.only:
            _say(f"{crowds.BUILDS} builds at once ...")
            figures += crowds.measure(engine_socket, scratch)
        if "logs" in given.only:
            _say(f"{logs.LINES:,} log lines ...")
            figures += logs.measure(scratch, 1 if given.quick else 3)
        if "app-logs" in given.only:
            _say(f"{app_logs.LINES:,} lines of a running app, {app_logs.FOLLOWERS} followers ...")
            figures += app_logs.measure(engine_socket, scratch, 1 if given.quick else 3)
        if {"deploy", "rollback", "upload"} & set(given.only):
            with Stack(engine_socket) as stack:
                _on_a_stack(given, engine_socket, stack, scratch, figures, details, results)
        if "ingress" in given.only:
            _say("the ingress under load, and its certificates ...")
            figures += ingress.measure(given.rounds, quick=given.quick)
        if "domain" in given.only:
            _say("domains, until they answer by HTTPS ...")
            figures += domains.measure(engine_socket, scratch, given.rounds)
        if "kubernetes" in given.only:
            _say("1,000 StatefulSets ...")
            figures += clusters.measure(given.quick)
        if "hostile" in given.only:
            _say("a live app beside hostile builds ...")
            window_s, rounds = (15, 1) if given.quick else (60, min(3, given.rounds))
            with Stack("", toml=hostile.toml(window_s)) as stack:
                beside = hostile.measure(stack, scratch, rounds, window_s)
            figures += beside.figures
            details.append(beside.text())
            results["hostile"] = beside.as_json()
    finally:
        # also figures measured before a failure
        shutil.rmtree(scratch, ignore_errors=True)
        results["load_after"] = machine.load()
        results["figures"] = [figure.as_json() for figure in figures]
        _show(results, figures, details)
        given.out.write_text(json.dumps(results, indent=1) + "\n")
        _say(f"\nraw samples: {given.out}")


def _on_a_stack(
    given: argparse.Namespace,
    engine_socket: str,
    stack: Stack,
    scratch: Path,
    figures: list[Figure],
    details: list[str],
    results: dict[str, Any],
) -> None:
    if "deploy" in given.only:
        apps = [busybox_app(scratch)]
        if base := os.environ.get("SEALIFT_TEST_BASE_IMAGE"):
            apps.append(python_app(scratch, base))
        else:
            _say("no SEALIFT_TEST_BASE_IMAGE: the deploy of a Python app is left out")
        raw = RawDocker(engine_socket, scratch)
        results["raw"] = raw.way
        reports = []
        try:
            for app in apps:
                _say(f"deploys, {app.name} app, against {raw.way} ...")
                reports.append(deploys.measure(stack, raw, app, given.rounds))
        finally:
            raw.close()
        figures += [figure for report in reports for figure in report.figures]
        details.append(deploys.breakdown(reports))
        results["deploys"] = {report.app: report.as_json() for report in reports}
    if "rollback" in given.only:
        _say("rollbacks ...")
        switched = switches.measure(stack, scratch, given.rounds)
        figures += switched.figures
        details.append(switched.text())
        results["switches"] = switched.as_json()
    if "upload" in given.only:
        _say("uploads ...")
        figures += uploads.measure(stack, scratch, 2 if given.quick else max(3, given.rounds // 2))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description="Measures the project's figures.")
    parser.add_argument("--rounds", type=int, default=10, help="counted rounds of each comparison (default 10)")
    parser.add_argument("--quick", action="store_true", help="3 rounds, and no minute of rest before memory is read")
    parser.add_argument("--only", nargs="+", choices=WHAT, default=list(WHAT), help="measure only these")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results.json", help="where the results go")
    given = parser.parse_args(argv)
    if given.quick:
        given.rounds = 3
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    return given


def _show(results: dict[str, Any], figures: Sequence[Figure], details: Sequence[str]) -> None:
    facts = results["machine"]
    before, after = results["load_before"], results["load_after"]
    print(
        f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_mib']} MiB, {facts['system']}, "
        f"Linux {facts['kernel']}, engine {facts['engine']}, Python {facts['python']}; "
        f"load {before:.1f} before, {after:.1f} after; {facts['commit']}, {facts['date']}"
    )
    if "raw" in results:
        print(f"docker build: {results['raw']}")
    print()
    print(table(HEADER, [figure.row() for figure in figures]))
    for detail in details:
        print(f"\n{detail}")
    sys.stdout.flush()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
