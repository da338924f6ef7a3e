"""Side-by-side measurements against peers: the same data, the same split, the same de-duplication, one run. `make bench`."""
