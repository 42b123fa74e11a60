"""The workflows and objects, one folder each.

`service.py` declares the handlers to Restate, `run.py` reads as the list of named steps, every step has a file of its
own. What several share lies here: waiting, compensations, instances, applied routes, retiring.
"""
