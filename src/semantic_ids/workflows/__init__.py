"""One use case, one function: arrays and options in, a result out.

Nodes, benchmarks, trials and notebooks call the same ones. Nothing here knows Kedro or files of a
configuration; importing this room is cheap.
"""
