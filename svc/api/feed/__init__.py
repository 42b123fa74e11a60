"""The desired-state feed to krane.

`producers` renders each kind of change, `reader` reads the database in whole transactions, `stream` sends. A new kind
is a `ChangeKind` in pkg.desired.capabilities, a `Producer` here and a `Kind` in svc.krane.controller.kinds, each with
one line in its registry.
"""
