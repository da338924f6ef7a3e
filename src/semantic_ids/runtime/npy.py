""".npy files, a block of rows at a time, so that a pipe and a file of any size are read alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.runtime.blocks import Block
from semantic_ids.runtime.checks import numbered
from semantic_ids.runtime.session import BLOCK_ROWS

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpyRows:
    """The rows of an array of shape (n, D), from a file or a pipe.

    Args:
        file: Open for reading bytes, at the beginning of the array.
        name: What errors call it.

    Raises:
        BadInput: It is no .npy array of two axes with numbers in the order of C.
    """

    def __init__(self, file: IO[bytes] | Any, name: str) -> None:
        self.file, self.name = file, name
        try:
            version = np.lib.format.read_magic(file)
            shape, fortran, self.dtype = _HEADERS[version](file)
        except (KeyError, ValueError) as error:
            raise self._refused(f"no .npy file that can be read ({error})") from error
        if self.dtype.kind not in "iuf":
            raise self._refused(f"an array of {self.dtype}")
        if len(shape) != 2:
            raise self._refused(f"an array of shape {shape}")
        if fortran and min(shape) > 1:
            raise self._refused("an array in the order of Fortran")
        self.shape: tuple[int, int] = shape

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Block]:
        """Yield up to 1,024 rows at a time, in the machine's byte order.

        Raises:
            BadInput: There are fewer or more bytes than the header says.
        """
        n, width = self.shape
        size = width * self.dtype.itemsize
        for start in range(0, n, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, n - start)
            data = self.file.read(rows * size)
            if len(data) < rows * size:
                raise BadInput(
                    f"it ends after {start + len(data) // max(1, size)} of {n} rows",
                    where=self.name,
                    expected="as many rows as its header says",
                    do="copy or write it again",
                )
            block = np.frombuffer(data, dtype=self.dtype).reshape(rows, width)
            yield Block(block.astype(self.dtype.newbyteorder("="), copy=False), numbered(start))
        if self.file.read(1):
            raise BadInput(
                f"there are more bytes than its {n} rows",
                where=self.name,
                expected="one array",
                do="write it again",
            )

    def _refused(self, found: str) -> BadInput:
        return BadInput(
            found,
            where=self.name,
            expected="numbers of shape (n, D) in the order of C",
            do="write them with numpy.save(FILE, numpy.ascontiguousarray(x))",
        )


def write_header(file: IO[bytes], shape: tuple[int, int], dtype: np.dtype) -> None:
    """Write what stands before the rows of an array; their bytes in the order of C follow."""
    header = {
        "shape": shape,
        "fortran_order": False,
        "descr": np.lib.format.dtype_to_descr(dtype),
    }
    np.lib.format.write_array_header_1_0(file, header)
