"""The packaged project: `semantic-ids`, or `python -m semantic_ids`, does what `kedro run` does."""

from __future__ import annotations

import sys
from typing import Any

from kedro.framework.project import configure_project


def main(*args: Any, **options: Any) -> Any:
    """Run a pipeline with the arguments of the command line.

    Called from an interactive Python, return what Kedro returns.
    """
    configure_project("semantic_ids")
    from semantic_ids.cli import run

    return run(
        *args,
        **{"prog_name": "semantic-ids", "standalone_mode": not hasattr(sys, "ps1"), **options},
    )


if __name__ == "__main__":
    main()
