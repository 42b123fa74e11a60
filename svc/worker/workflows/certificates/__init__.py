"""Workflow `Certificate`: one order at an ACME server, in short steps; what waits for long is a due time in its row.

Steps write failures to the order's row themselves, with the server's words. The journal gets outcomes only.
"""
