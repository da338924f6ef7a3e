"""What `${name:…}` means in our configuration, beside Kedro's own resolvers."""

from __future__ import annotations

from pathlib import Path

from kedro.utils import find_kedro_project

NO_LABELS = "none"


def project_root() -> str:
    """Return the project's folder, from anywhere below it.

    Where there is no project (a packaged run), the working directory.
    """
    return (find_kedro_project(Path.cwd()) or Path.cwd()).as_posix()


def labels_of(items: str, embeddings: str, sample_embeddings: str, sample_items: str) -> str:
    """Return the labels file of the embeddings.

    The sample's for the sample, and never the sample's for anything else.
    """
    if items != "auto":
        return items
    return sample_items if embeddings == sample_embeddings else NO_LABELS


RESOLVERS = {"project_root": project_root, "labels_of": labels_of}
