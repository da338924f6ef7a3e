"""Tokenizers as estimators: `fit`, `transform`, and what users hold vectors in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint, hashes_of
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.progress import Progress
from semantic_ids.tokenizers import rq_kmeans
from semantic_ids.tokenizers.format import read_config
from semantic_ids.tokenizers.registry import tokenizer_class
from semantic_ids.tokenizers.rq_vae import model
from semantic_ids.workflows.configurable import Configurable
from semantic_ids.workflows.fitting import held_out
from semantic_ids.workflows.graphs import tokenizer_graphs, write_graphs
from semantic_ids.workflows.inputs import as_codes, as_vectors, hash_order, in_order, items_of

if TYPE_CHECKING:
    from semantic_ids.identifiers import Strategy


class Estimator(Configurable):
    """What the two kinds have in common as estimators."""

    def fit(  # type: ignore[override]
        self,
        x: Any,
        y: Any = None,
        *,
        item_ids: Any = None,
        checkpoints: str | Path | None = None,
    ) -> Self:
        """Fit on vectors, with the refinement for unique IDs that the pipeline has.

        Args:
            x: n vectors: an array or memory map (n, D), a torch tensor, a column of lists, what
                `read_items` returns, or the path of a parquet file with the columns `ItemID` and
                `embedding`.
            y: Ignored; scikit-learn passes it.
            item_ids: n ids. With them the items are taken in the order of their hash, as the
                pipeline takes them, and the result is that of the pipeline, whatever the order of
                `x`; without them in the order of `x`.
            checkpoints: Folder where an RQVAE keeps its state while it trains: the same call goes
                on from there if it was stopped.

        Raises:
            BadInput: Vectors or ids that cannot be taken, fewer items than codes, and what
                `tokenizers.fit_tokenizer` refuses.
        """
        vectors, ids = items_of(x, item_ids)
        vectors = in_order(vectors, None if ids is None else hash_order(ids, len(vectors)))
        super().fit(
            vectors,
            monitor_rows=self._watched(vectors),
            assign=self._wanted.assign,
            checkpoints=None if checkpoints is None else self._kept(vectors, checkpoints),
        )
        fitted_on = fingerprint(hashes_of(vectors[: self.fitted_rows]))
        self.provenance = Provenance("tokenizer", {}, {"fitted_on": fitted_on}, self.content)
        return self

    def encode(self, x: Any, progress: Progress | None = None) -> np.ndarray:
        """Return the codes of vectors: (m, D) → (m, L) int32, one vector (D,) → (L,)."""
        vectors = as_vectors(x)
        if vectors.ndim == 1:
            return super().encode(vectors[None], progress)[0]
        return super().encode(vectors, progress)

    def decode(self, codes: Any) -> np.ndarray:
        """Return the vectors that codes or their prefixes stand for.

        (m, p) → (m, D) float32, one (p,) → (D,), with p ≤ L.
        """
        codes = as_codes(codes)
        if codes.ndim == 1:
            return super().decode(codes[None])[0]
        return super().decode(codes)

    def save(self, directory: str | Path, *, onnx: bool = False) -> None:
        """Write the folder that `load_tokenizer` reads; a tokenizer that is there is replaced.

        Args:
            directory: The folder, new, empty, or of an older tokenizer.
            onnx: Write `encoder.onnx` and `decoder.onnx` beside, which run without torch. Needs
                the extra `onnx`.

        Raises:
            BadInput: It is not fitted, the folder holds other files, it cannot be written, or
                graphs are wanted and the packages that write them are not installed.

        Examples:
            >>> import numpy as np, onnxruntime, tempfile
            >>> from semantic_ids import RQKMeans
            >>> x = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
            >>> tokenizer = RQKMeans(codebook_sizes=(4, 8, 16), device="cpu").fit(x)
            >>> folder = f"{tempfile.mkdtemp()}/my_tokenizer"
            >>> tokenizer.save(folder, onnx=True)
            >>> encoder = onnxruntime.InferenceSession(f"{folder}/encoder.onnx")
            >>> (codes,) = encoder.run(["codes"], {"vectors": x})
            >>> bool((codes == tokenizer.encode(x)).all())
            True
        """
        self._require_fitted()
        graphs = tokenizer_graphs(self) if onnx else {}
        super().save(directory)
        write_graphs(directory, graphs)

    def transform(self, x: Any) -> np.ndarray:
        """Do what `encode` does, under scikit-learn's name."""
        return self.encode(x)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """Do what `decode` does, under scikit-learn's name."""
        return self.decode(codes)

    def fit_transform(self, x: Any, y: Any = None, **given: Any) -> np.ndarray:
        """Fit, and return the codes of the same vectors."""
        return self.fit(x, y, **given).encode(x)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of `transform`: `code_1` for the first level."""
        levels = range(1, len(self.codebook_sizes) + 1)
        return np.array([f"code_{level}" for level in levels], dtype=object)

    def _watched(self, vectors: np.ndarray) -> np.ndarray | None:
        """Return the rows that a training in epochs watches."""
        return None

    def _kept(self, vectors: np.ndarray, folder: str | Path) -> Checkpoints:
        """Return where a training in epochs keeps its state."""
        raise BadInput(
            f"{str(folder)!r}",
            where="checkpoints",
            expected="none: only an RQVAE trains in epochs",
        )

    @classmethod
    def _from_config(cls, config: dict[str, Any], device: str) -> Self:
        return cls(
            tuple(config["codebook_sizes"]),
            random_state=config["seed"],
            device=device,
            preprocess=config["preprocess"],
            **config["options"],
        )


class RQKMeans(Estimator, rq_kmeans.RQKMeans):
    """Residual k-means: level l clusters what levels 1 … l−1 left over; then all are refined.

    Args:
        codebook_sizes: Size of each level's codebook.
        random_state: Seed of everything random, a whole number.
        device: `auto`, `cpu` or `cuda`.
        preprocess: What happens to vectors first: a mapping of `normalize`, `center`, `scale`,
            `dimensions` and `whiten`.
        strategy: How IDs will be made unique. With `reassign` the codebooks are refined for it, as
            in the pipeline; with `suffix` or `none` they are not.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        **options: Every option of the group `tokenizer.rq_kmeans`, by its name there.

    Raises:
        BadInput: An option is not known, or its value is refused.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQKMeans
        >>> x = np.random.default_rng(0).normal(size=(1000, 8)).astype("float32")
        >>> tokenizer = RQKMeans(codebook_sizes=(8, 8, 32), random_state=42, device="cpu").fit(x)
        >>> codes = tokenizer.encode(x)
        >>> codes.shape, codes.dtype
        ((1000, 3), dtype('int32'))
        >>> tokenizer.encode(x[0]).tolist() == codes[0].tolist()  # one vector, one row of codes
        True
        >>> tokenizer.decode(codes[:, :2]).shape  # what the first two codes say
        (1000, 8)
        >>> tokenizer.get_params()["beam_size"]
        5
        >>> RQKMeans(codebook_size=(8, 8))
        Traceback (most recent call last):
        ...
        semantic_ids.errors.BadInput: RQKMeans: unknown option 'codebook_size'; the nearest is \
'codebook_sizes'; expected one of codebook_sizes, random_state, ...
    """


class RQVAE(Estimator, model.RQVAE):
    """An autoencoder around a residual quantiser (Rajput et al., arXiv:2305.05065).

    Args:
        codebook_sizes: Size of each level's codebook.
        random_state: Seed of everything random, a whole number.
        device: `auto`, `cpu` or `cuda`.
        preprocess: What happens to vectors first: a mapping of `normalize`, `center`, `scale`,
            `dimensions` and `whiten`.
        strategy: How IDs will be made unique. With `reassign` the training ends with epochs for it,
            as in the pipeline; with `suffix` or `none` it does not.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        validation_share: Share of the items that are watched while all are fitted on, chosen by
            the hashes of their vectors as the pipeline `sample` chooses them.
        **options: Every group of `tokenizer.rq_vae`, by its name there, as a mapping:
            `schedule={"epochs": 20}`; `set_params` takes `schedule__epochs=20`.

    Raises:
        BadInput: An option is not known, or its value is refused.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQVAE
        >>> x = np.random.default_rng(0).normal(size=(500, 8)).astype("float32")
        >>> tokenizer = RQVAE(codebook_sizes=(4, 8, 32), device="cpu").fit(x)
        >>> tokenizer.transform(x).shape
        (500, 3)
    """

    def __init__(
        self,
        codebook_sizes: Sequence[int] = (256, 256, 256),
        *,
        random_state: int = 42,
        device: str = "auto",
        preprocess: Any = None,
        strategy: Strategy = "reassign",
        candidates: int = 8,
        validation_share: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(
            codebook_sizes,
            random_state=random_state,
            device=device,
            preprocess=preprocess,
            strategy=strategy,
            candidates=candidates,
            **options,
        )
        if not 0 <= validation_share < 1:
            raise BadInput(
                f"{validation_share!r}",
                where="validation_share",
                expected="at least 0 and below 1",
            )
        self._given["validation_share"] = validation_share

    def _watched(self, vectors: np.ndarray) -> np.ndarray | None:
        return np.flatnonzero(held_out(hashes_of(vectors), self._given["validation_share"]))

    def _kept(self, vectors: np.ndarray, folder: str | Path) -> Checkpoints:
        used = ("strategy", "candidates", "validation_share")
        made_from = {**self.config, **{name: self._given[name] for name in used}, "dim": None}
        del made_from["fitted_rows"]
        return Checkpoints(folder, {**made_from, "vectors": fingerprint(hashes_of(vectors))})


CLASSES: dict[str, type[Estimator]] = {cls.kind: cls for cls in (RQKMeans, RQVAE)}


def load_tokenizer(directory: str | Path, device: str = "cpu") -> Estimator:
    """Load a tokenizer from the folder it was saved in, by `save` or by a pipeline.

    Args:
        directory: The folder.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Raises:
        BadInput: The folder or one of its files is missing, cannot be read, or is of another
            format.

    Examples:
        >>> import numpy as np, tempfile
        >>> from semantic_ids import RQKMeans, load_tokenizer
        >>> x = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
        >>> folder = f"{tempfile.mkdtemp()}/my_tokenizer"
        >>> RQKMeans(codebook_sizes=(4, 8, 16), device="cpu").fit(x).save(folder)
        >>> load_tokenizer(folder)
        RQKMeans(codebook_sizes=(4, 8, 16), device='cpu')
        >>> load_tokenizer(folder).encode(x[:5]).shape
        (5, 3)
    """
    config = read_config(directory)
    kind = tokenizer_class(config.get("kind", "")).kind
    return CLASSES[kind].load(directory, config, device)
