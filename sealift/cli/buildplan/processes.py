"""Processes beside web, as a Procfile or sealift.toml names them: names and command lines. Pure."""

import re
import shlex

_SHELL = re.compile(r"[$`|&;<>()*?~#\\\n]")
_LIST = re.compile(r"[|&;()\n]")  # lines with several commands, of which `exec` would apply to the first
_BUILTINS = ("cd", "exec", "export", ".", "source")

WEB = "web"  # how the instances with routes are called beside processes
MAX_PROCESSES = 10
NAME_RULE = "1 to 20 of a-z, 0-9 and -, beginning with a letter and not ending with -"
_NAME = re.compile("(?=.{1,20}$)[a-z]([a-z0-9-]*[a-z0-9])?")


def process_name_problem(name: str) -> str:
    """Why a process can't be called so, by the server's rule; "" if it can."""
    if name == WEB:
        return "web is the app itself, with its routes: its settings are those of [run]"
    return "" if _NAME.fullmatch(name) else f"a name is {NAME_RULE}"


def command_words(line: str) -> tuple[str, ...]:
    """The line as an array; with a shell only if it needs one."""
    try:
        found = shlex.split(line)
    except ValueError:
        return ("sh", "-c", line)
    if found and not _SHELL.search(line) and "=" not in found[0]:
        return tuple(found)
    is_one = bool(found) and not _LIST.search(line) and "=" not in found[0] and found[0] not in _BUILTINS
    return ("sh", "-c", f"exec {line}" if is_one else line)
