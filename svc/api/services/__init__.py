"""The servicers, one folder per proto service; `registry` lists them.

`service` (one class that takes `ApiDeps`), `validation` (pure, names the field at fault), `render` (rows to
messages). What several of them need is in `svc.api.requests`.
"""
