"""What `${name:…}` means in our configuration, beside Kedro's own resolvers."""

from __future__ import annotations

import os
from pathlib import Path

from kedro.utils import find_kedro_project

from semantic_ids.app.packaged import is_packaged

NO_LABELS = "none"


def project_root(start: Path | None = None) -> str:
    """Return the folder of the project that a path lies in, the working directory if None.

    Where there is no project (a packaged run, a configuration that is kept elsewhere), the working
    directory. A wheel may be installed below a project, in its `.venv`, and is no part of it.
    """
    found = find_kedro_project(start.resolve()) if start and not is_packaged(start) else None
    return (found or find_kedro_project(Path.cwd()) or Path.cwd()).as_posix()


def labels_of(items: str, embeddings: str, sample_embeddings: str, sample_items: str) -> str:
    """Return the labels file of the embeddings, or their histories.

    The sample's for the sample, and never the sample's for anything else.
    """
    if items != "auto":
        return items
    return sample_items if embeddings == sample_embeddings else NO_LABELS


def environment(name: str, otherwise: str) -> str:
    """Return the value of an environment variable, or another where it is not set or empty."""
    return os.environ.get(name) or otherwise


RESOLVERS = {"labels_of": labels_of, "histories_of": labels_of, "environment": environment}
"""Those that do not depend on where the configuration lies: see `config_loader`."""
