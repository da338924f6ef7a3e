"""Residual quantisation on tensors: k-means, beam search, refinement, balance.

It knows nothing of items or files.
"""
