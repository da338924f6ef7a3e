"""Mutated files, mutated configuration and random command lines, and what comes of them."""
