"""Which hostnames a deployment gets. Pure: the same arguments give the same hostnames, always.

    live         <project>                          production only; moved by deploys, promotes and rollbacks
    environment  <project>-env-<environment>        the same, in every environment
    branch       <project>[-env-<environment>]-git-<branch>     moved by the next deployment of the branch
    commit       <project>-commit-<7 of the sha>-x<hash>        never moves
    deployment   <project>-dep-<deployment id>                  never moves

A workspace other than the default one adds `-ws-<workspace>`. Labels are at most 63 octets of a-z 0-9 -.

No two different things share a hostname. A plain form is used only where it can be read back in one way: no part
altered or cut, no marker word (env, git, commit, dep, ws) where it would mislead. Everything else ends in `-x` and 60
bits of a hash over the whole structured tuple, a form that no plain label has.

`hostnames_for` makes them, `label_of` and `is_generated` recognise them, `parse_hostname` checks one from outside and
raises InvalidArgument.
"""

from pkg.hostnames.names import Hostname, HostnameKind, Sticky, hostnames_for
from pkg.hostnames.parse import (
    MAX_HOSTNAME_OCTETS,
    is_address,
    is_generated,
    is_hostname,
    is_reserved,
    label_of,
    parse_hostname,
)

__all__ = [
    "MAX_HOSTNAME_OCTETS",
    "Hostname",
    "HostnameKind",
    "Sticky",
    "hostnames_for",
    "is_address",
    "is_generated",
    "is_hostname",
    "is_reserved",
    "label_of",
    "parse_hostname",
]
