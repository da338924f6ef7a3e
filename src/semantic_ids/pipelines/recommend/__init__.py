"""Pipeline `recommend`."""
