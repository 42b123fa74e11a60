"""Domains of users: hostnames outside the apex domain that lead to what is live in an environment.

`names` reads what a user typed, `rules` says what may be added and when DNS is asked again (both pure), `resolver` and
`check` ask DNS, `queries` holds the rows. A domain is active once DNS has shown that the workspace controls the zone
and that requests come here; its route moves with the environment's others (`pkg.routes.domains`).
"""
