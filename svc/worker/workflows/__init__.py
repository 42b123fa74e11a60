"""The workflows and virtual objects, one folder each.

A workflow's `workflow.py` is its list of named steps and its handlers; `record.py` reads and writes its row; the other
files hold its steps, in the order in which they run. An object's `service.py` holds its handlers. Steps of deploys and
switches alike are here: `instances`, `routes`, `standby`. `waiting` and `compensation` are how workflows wait and end.
"""
