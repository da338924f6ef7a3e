"""A matplotlib figure as a PNG file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NoReturn

from kedro.io import DatasetError
from kedro_datasets._typing import ImagePreview

from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120


class FigureDataset(ArtifactDataset["Figure", None]):
    """Written only; the same figure gives the same bytes."""

    def load(self) -> NoReturn:
        """Refuse: a figure is made from the metrics, not read back."""
        raise DatasetError(
            f"{self._filepath} is a picture; load 'metrics' or 'evaluation' for the numbers"
        )

    def save(self, data: Figure) -> None:
        """Draw the figure into the file."""
        with atomic_file(self._filepath) as temporary:
            data.savefig(temporary, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})

    def preview(self) -> ImagePreview:
        """Return the picture in base64."""
        return ImagePreview(base64.b64encode(self.found().read_bytes()).decode())
