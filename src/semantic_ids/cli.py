"""Where Kedro looks for this project's commands."""

from __future__ import annotations

from semantic_ids.app.command_line import cli, run

__all__ = ["cli", "run"]
