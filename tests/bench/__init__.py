"""Measures the project's figures with real parts: `make bench`.

`Figure` holds the samples of one figure; each module here measures some. Two ways of doing one thing are measured in
turn (A B, B A, ...), and their difference or ratio is taken pair by pair, so that a machine whose speed drifts moves
both. Nothing is asserted: the table says what was found and whether the aims are met.
"""
