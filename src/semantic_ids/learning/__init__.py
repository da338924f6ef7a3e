"""The training kit: batches, optimizers, schedules, selection, checkpoints, several processes.

It knows nothing of codebooks.
"""
