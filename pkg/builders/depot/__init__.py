"""The `depot` backend: rented machines, one for each build, in a project at Depot for each project here.

It needs `[registry]`, to which each image is pushed, and `[depot]`. What it calls is in `pkg.depot`.
"""
