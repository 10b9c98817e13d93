"""NumPy's files, .npz and .npy: the size that a header claims is checked before memory is taken."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from vi.files import require_memory

DAMAGES = (
    *(OSError, ValueError, TypeError, EOFError, OverflowError, MemoryError, RuntimeError, IndexError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""The errors of NumPy and of Python's zip files on reading a damaged array."""
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an .npz file. An array is read on access, and the file is open only then.

    Raises:
        one of `DAMAGES`: the file is no archive, or an array is damaged or does not fit into memory.
    """

    def __init__(self, file: Path):
        self.file = file
        with zipfile.ZipFile(file) as archive:
            self.members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}

    def __getitem__(self, name: str) -> np.ndarray:
        member = self.members[name]
        with zipfile.ZipFile(self.file) as archive:
            return _read(lambda: archive.open(member), member.file_size)

    def __contains__(self, name: object) -> bool:
        return name in self.members  # a Mapping would read the array

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def read_npy(file: Path) -> np.ndarray:
    """The array of an .npy file; raises one of `DAMAGES` if it is damaged or does not fit into memory."""
    return _read(lambda: file.open("rb"), file.stat().st_size)


def _read(opened: Callable[[], IO[bytes]], length: int) -> np.ndarray:
    with opened() as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise OSError(f"its format has the version {version}, not one of {list(HEADERS)}")
        shape, _, dtype = HEADERS[version](stream)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise OSError(f"its shape {shape} is none")
        if (claimed := math.prod(shape) * dtype.itemsize) > length and not dtype.hasobject:
            raise OSError(f"it claims {claimed:,} bytes, and the file holds {length:,}")
        require_memory(claimed)
    with opened() as stream:
        return npy.read_array(stream, allow_pickle=False)
