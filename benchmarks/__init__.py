"""Side-by-side measurements against peers.

The same data, the same split, the same de-duplication, one run. `make bench`.
"""
