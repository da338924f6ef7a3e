"""The stages: what runs, in which order. No mathematics."""
