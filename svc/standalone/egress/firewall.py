"""Applies the rules of a scope on this machine, checks whether they are still there, and removes them.

All of a table changes in one transaction, and the bridge family's new chain is in force before the old one goes:
while rules are applied again, nothing is open that was closed, and no answer is lost. Found again by the scope's tag
alone, so that what an earlier version of this code has applied is replaced, too.
"""

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from svc.standalone import command
from svc.standalone.egress import rules
from svc.standalone.egress.policy import Policy, Scope
from svc.standalone.errors import StartupError

PROGRAMS = ("iptables-restore", "iptables-save", "ebtables", "ebtables-save")
TABLES = ("mangle", "filter", "nat")
COMMAND_TIMEOUT_S = 10.0
# A user's PATH may lack them.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOCK_WAIT_S = "5"  # iptables-legacy has one lock for the machine


@dataclass(frozen=True)
class Applied:
    """What stands now.

    Attributes:
        lines: all rules of ours as the programs print them, to be compared with later.
        problems: what the kernel refused, with what it means; empty when everything holds.
    """

    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()


def missing_programs() -> list[str]:
    """Which programs are not there."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def apply(scope: Scope, policy: Policy) -> Applied:
    """Bring the rules about. Idempotent; takes tens of milliseconds.

    Raises:
        StartupError: a program is missing or refuses; what was there before is unchanged in that table.
    """
    # First the frames between containers, then what closes, then what opens.
    problems = _apply_frames(scope)
    _restore("iptables", scope, rules.ipv4(scope, policy))
    if scope.bridges and (refused := _apply_ipv6(scope)):
        problems.append(refused)
    return Applied(_lines(scope.tag, _saved_now()), tuple(problems))


async def lines(tag: str) -> tuple[str, ...]:
    """The rules that stand, as `Applied.lines`. Does not block the loop.

    Raises:
        OSError: a program is missing, fails or hangs.
    """
    return _lines(tag, [await _output(argv) for argv in _SAVES])


def remove(tag: str) -> None:
    """Take away every rule and chain of a tag. Idempotent; nothing happens where the programs are missing.

    Raises:
        StartupError: a program refuses.
    """
    for family in ("iptables", "ip6tables"):
        if _find(f"{family}-save") is None:
            continue
        try:
            present, chains = _present(family, tag)
            if text := rules.removal(present, chains):
                _run([f"{family}-restore", "--noflush", "--wait", _LOCK_WAIT_S], text)
        except StartupError:
            if family == "iptables":
                raise
    if _find("ebtables"):
        for chain in _frame_chains(tag):
            _drop_frame_chain(chain)


_SAVES = (
    *(["iptables-save", "-t", table] for table in TABLES),
    ["ip6tables-save", "-t", "mangle"],
    ["ebtables-save"],
)


def _lines(tag: str, saved: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for text in saved for line in text.splitlines() if _is_ours(tag, line))


def _is_ours(tag: str, line: str) -> bool:
    """Whether a saved line is of our chains, jumps to one, or has our comment. Others may name the same devices."""
    words = [word.strip('"') for word in line.split()]
    if not words or words[0].startswith("#"):
        return False
    named = {words[0].removeprefix(":"), *words[1:2], *words[-1:]} & set(_chains(tag))
    return bool(named) or ("--comment", tag) in itertools.pairwise(words)


def _chains(tag: str) -> tuple[str, ...]:
    return (f"{tag}-in", f"{tag}-fwd", *_frame_chains(tag))


def _frame_chains(tag: str) -> tuple[str, str]:
    return (f"{tag}-0", f"{tag}-1")


def _saved_now() -> list[str]:
    return [_run(argv) if _find(argv[0]) or not _may_be_missing(argv[0]) else "" for argv in _SAVES]


def _restore(family: str, scope: Scope, tables: Sequence[rules.Table]) -> None:
    present, _ = _present(family, scope.tag)
    # Of a version that had more tables.
    gone = {table: found for table, found in present.items() if table not in {one.name for one in tables}}
    text = rules.restore(tables, present) + rules.removal(gone, {})
    _run([f"{family}-restore", "--noflush", "--wait", _LOCK_WAIT_S], text)


def _present(family: str, tag: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """By table: our rules in built-in chains, and our own chains."""
    found: dict[str, list[str]] = {}
    chains: dict[str, list[str]] = {}
    for table in TABLES if family == "iptables" else ("mangle",):
        for line in _lines(tag, [_run([f"{family}-save", "-t", table])]):
            words = line.split()
            if line.startswith(":"):
                chains.setdefault(table, []).append(words[0].removeprefix(":"))
            elif words[1] not in _chains(tag):
                found.setdefault(table, []).append(line)
    return found, chains


def _apply_ipv6(scope: Scope) -> str:
    """Close IPv6 by device; the message if that can't be done."""
    try:
        _restore("ip6tables", scope, rules.ipv6(scope))
    except StartupError as error:
        return f"IPv6 between containers and this machine is not closed by packet rules: {error}"
    return ""


def _apply_frames(scope: Scope) -> list[str]:
    """Fill the chain that is not in use, let FORWARD jump to it, then drop the other one."""
    old, new = _frame_chains(scope.tag)
    if _has_frame_chain(new):
        old, new = new, old
    _drop_frame_chain(new)
    wanted = rules.frames(scope)
    _run(["ebtables", "-N", new, "-P", "RETURN"])
    refused: dict[str, str] = {}
    for rule in (*wanted.by_bridge, *wanted.by_mac, *wanted.by_address):
        try:
            _run(["ebtables", "-A", new, *rule.split()])
        except StartupError as error:
            refused[rule] = str(error)
    _run(["ebtables", "-I", "FORWARD", "-j", new])
    _drop_frame_chain(old)
    # Addresses cover IPv4 and its ARP whatever the engine; the device covers every frame of the bridges that are known.
    if (scope.pools and not refused.keys() & set(wanted.by_address)) or (
        wanted.by_bridge and not refused.keys() & set(wanted.by_bridge)
    ):
        return []
    if not wanted.by_address and not wanted.by_bridge:
        return []
    return [f"containers on one bridge may reach each other: {next(iter(refused.values()), 'no rule was applied')}"]


def _has_frame_chain(chain: str) -> bool:
    return any(line.split()[0] == f":{chain}" for line in _run(["ebtables-save"]).splitlines() if line.strip())


def _drop_frame_chain(chain: str) -> None:
    """Idempotent: each of the three fails when there is nothing left to do."""
    for words in (["-D", "FORWARD", "-j", chain], ["-F", chain], ["-X", chain]):
        with contextlib.suppress(StartupError):
            _run(["ebtables", *words])


def _find(program: str) -> str | None:
    return shutil.which(program, path=PATH)


def _run(argv: Sequence[str], text: str | None = None) -> str:
    program = _find(argv[0])
    if program is None:
        raise StartupError(f"the program {argv[0]} is missing: run `make setup`.")
    try:
        done = subprocess.run(
            [program, *argv[1:]], input=text, check=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        raise StartupError(f"`{' '.join(argv)}` failed: {error.stderr.strip()}.") from error
    except subprocess.TimeoutExpired as error:
        raise StartupError(
            f"`{' '.join(argv)}` did not end within {COMMAND_TIMEOUT_S:.0f} s: another program holds the lock of the "
            f"packet rules (/run/xtables.lock)."
        ) from error
    return done.stdout


async def _output(argv: Sequence[str]) -> str:
    program = _find(argv[0])
    if program is None and not _may_be_missing(argv[0]):
        raise FileNotFoundError(f"the program {argv[0]} is missing")
    return await command.output([program, *argv[1:]], COMMAND_TIMEOUT_S) if program else ""


def _may_be_missing(program: str) -> bool:
    return program.startswith("ip6")  # a kernel without IPv6 needs no rules for it
