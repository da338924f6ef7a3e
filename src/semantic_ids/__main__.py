"""The packaged project: `semantic-ids`, or `python -m semantic_ids`, does what `kedro run` does.

`encode`, `decode` and `info` need neither Kedro nor torch.
"""

from __future__ import annotations

import sys
from typing import Any

from semantic_ids.runtime.commands import NAMES
from semantic_ids.runtime.commands import main as run_command


def main(*args: Any, **options: Any) -> Any:
    """Run `encode`, `decode` or `info`, or else a pipeline, with the arguments of the command line.

    Called from an interactive Python, return what Kedro returns.
    """
    given = list(args[0]) if args else sys.argv[1:]
    if given and given[0] in NAMES:
        return run_command(given)
    from kedro.framework.project import configure_project

    configure_project("semantic_ids")
    from semantic_ids.cli import run

    return run(
        *args,
        **{"prog_name": "semantic-ids", "standalone_mode": not hasattr(sys, "ps1"), **options},
    )


if __name__ == "__main__":
    main()
