from __future__ import annotations

import json
from typing import get_type_hints

import numpy as np
import pyarrow as pa

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.export.mappings import Mappings
from semantic_ids.pipelines.export.nodes import export


def test_export_pairs_ids_with_codes():
    ids = Codes(
        pa.array(["x", "y"]),
        np.array([[1, 2, 0], [1, 2, 1]], dtype=np.int32),
        (4, 4, 2),
        2,
        Provenance("semantic_ids"),
    )
    made = export(ids)
    assert json.loads("".join(made.lines())) == {"x": [1, 2, 0], "y": [1, 2, 1]}
    assert made.provenance == Provenance(
        "semantic_id_mappings", {"semantic_ids": ids.provenance.fingerprint}
    )


def test_types_of_the_node_resolve():
    assert get_type_hints(export) == {"semantic_ids": Codes, "return": Mappings}
