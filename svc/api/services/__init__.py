"""The servicers, one folder per proto service; `registry` lists them.

`service` is one class that takes `ApiDeps`. In large rooms the checks of requests (`validation`, pure) and the way from
rows to messages (`render`) have files of their own. What rooms share is in `svc.api.requests`.
"""
