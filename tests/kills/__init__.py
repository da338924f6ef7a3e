"""Runs that are killed at a random moment, and what they leave."""
