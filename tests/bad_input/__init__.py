"""Every kind of bad input, and the line that a user sees: docs/bad-input.md is made from here."""
