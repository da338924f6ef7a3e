"""IDs in production: what language models read of them, and generations that never move an ID."""
