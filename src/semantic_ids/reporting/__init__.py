"""Reporting: metrics and training as pictures."""
