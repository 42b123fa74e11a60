"""What time takes: the one home of cleaning up. Every part is idempotent, and none depends on another.

`sweep` runs all of them every few minutes: `late` (the safety net under the delayed messages that stop deployments),
`contexts` (archives), `images`, `records` (rows and logs whose time is over). docs/operating.md says how long what is
kept.
"""
