"""What the shell of an instance runs where krane can't reach a command from outside.

Only what every POSIX shell has built in is used, `sleep` where it is there, and `dd` where stdin is sent. To read a
process's environment line by line is enough to find a mark: `read` of dash, busybox and bash drops the NUL characters.
"""

from collections.abc import Sequence

from svc.krane.runtime.execs import END_WITHIN_S, MARK, ExecSpec

SILENCE_S = 45  # of krane, after which a command is ended

# A command that was just begun may not carry its mark yet.
_EACH = f"""
each() {{
  each_found=1
  for each_p in /proc/[0-9]*; do
    [ "${{each_p#/proc/}}" = $$ ] && continue
    while IFS= read -r each_e || [ -n "$each_e" ]; do
      case $each_e in
        *"{MARK}=$id"*) kill -s "$1" "${{each_p#/proc/}}" && each_found=0; break ;;
      esac
      each_e=
    done <"$each_p/environ"
  done 2>/dev/null
  return $each_found
}}
found() {{
  found_n=0
  until each "$1"; do
    found_n=$((found_n+1))
    [ $found_n -lt 10 ] || return 1
    sleep 0.1
  done 2>/dev/null
}}
end() {{
  found HUP || return 0
  sleep {END_WITHIN_S:g} 2>/dev/null
  end_n=0
  while each KILL && [ $end_n -lt 20 ]; do end_n=$((end_n+1)); done
}}
"""
_SIGNAL = f"id=$2{_EACH}found $1\nexit 0\n"
_END = f"id=$1{_EACH}end\nexit 0\n"
# It lives as long as its stdin, which ends with krane's connection. Nodes do not always say that this has ended: so it
# also ends after a silence.
_GUARD = f"""id=$1 silence=$2{_EACH}timer() {{
  (sleep "$silence" && {{ end; kill -s KILL $$; }}) >/dev/null 2>&1 </dev/null &
  timer=$!
}}
stop() {{ kill -s KILL "$timer" 2>/dev/null; }}
timer
echo {MARK}
while IFS=' ' read -r word name; do
  stop
  timer
  case $word in
    signal) found "$name" ;;
    done) stop; exit 0 ;;
    end) break ;;
  esac
done
stop
end
exit 0
"""
# By a shell of its own, which has the mark from its begin: busybox runs many of its commands in the shell's process.
_EXEC = """sh -c 'exec "$@"' sh "$@\""""
_PLAIN = f"""export {MARK}="$1"
[ -z "$2" ] || export TERM="$2"
shift 2
exec {_EXEC}
"""
# The channel of stdin can't say that stdin has ended, only the whole connection can. So each piece comes with its
# length before it, and a length of 0 is the end. `head` of busybox would read more than it is asked for. What the shell
# itself says of a command that a signal ended is dropped.
_FEEDER = """echo $$
while IFS= read -r n && [ "$n" -gt 0 ]; do dd bs="$n" count=1 iflag=fullblock || exit 0; done 2>/dev/null
"""
_FED = f"""id=$1
shift
exec 4>&2 2>/dev/null
sh -c '{_FEEDER}' 4>&- | {{
  IFS= read -r feeder
  (export {MARK}=$id; exec {_EXEC} 2>&4 4>&-)
  code=$?
  kill -s PIPE "$feeder"
  exit $code
}}
"""


def signal_command(exec_id: str, name: str) -> Sequence[str]:
    """Signals what is marked with the id; `name` as "INT"."""
    return ("sh", "-c", _SIGNAL, "sh", name, exec_id)


def end_command(exec_id: str) -> Sequence[str]:
    """Ends what is marked with the id; "": with any."""
    return ("sh", "-c", _END, "sh", exec_id)


def guard_command(exec_id: str, silence_s: float = SILENCE_S) -> Sequence[str]:
    """Prints a line when it has begun; ends what carries the id when its own stdin ends, or is silent for so long.

    It reads lines: "signal NAME", "done" (it ends, and nothing else does), "end", and others, which only end a silence.
    """
    return ("sh", "-c", _GUARD, "sh", exec_id, f"{silence_s:g}")


def marked_command(spec: ExecSpec) -> Sequence[str]:
    """The command, marked; one with stdin and without a terminal reads pieces as `piece` makes them."""
    if spec.stdin and not spec.tty:
        return ("sh", "-c", _FED, "sh", spec.exec_id, *spec.command)
    return ("sh", "-c", _PLAIN, "sh", spec.exec_id, spec.term if spec.tty else "", *spec.command)


def piece(data: bytes) -> bytes:
    """Bytes of stdin for such a command; none: its end."""
    return b"%d\n%b" % (len(data), data)
