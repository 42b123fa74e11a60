"""The servicers, one folder per proto service.

`service` (one class that takes one frozen `…Deps`), `validation` (pure, names the field at fault), `render` (rows to
messages). What several of them need is in `svc.api.requests`.
"""
