"""The index of a checkpoint, read before TensorFlow reads it: what it claims must lie within its files.

A checkpoint of TensorFlow is a table of keys, `variables.index`, and the values, `variables.data-00000-of-00001`. The
table has the format of LevelDB (its doc/table_format.md). TensorFlow believes the lengths of texts there, and ends the
process if they are wrong.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

from vi.files import MEGABYTE, read_bytes

MAGIC = 0xDB4775248B80FB57
GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
"""The key of the only text in a checkpoint."""


def require_sound(prefix: Path) -> None:
    """Checks the files of a checkpoint.

    Raises:
        OSError, ValueError, LookupError: a file is missing or none that `vi.training.checkpoints.write` has written,
            or a claim is wrong.
    """
    index = read_bytes(prefix.with_name(f"{prefix.name}.index"))
    data = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    if os.path.lexists(prefix):
        raise ValueError(f"{prefix.name} may be another checkpoint, or name one elsewhere")
    length = os.stat(data, follow_symlinks=False).st_size
    try:
        (_, header), *entries = _entries(index)
        _require_whole(tensor_bundle_pb2.BundleHeaderProto.FromString(header))
        for key, value in entries:
            _require_inside(key, tensor_bundle_pb2.BundleEntryProto.FromString(value), data, length)
    except (DecodeError, TypeError) as error:  # TypeError: there is no such dtype
        raise ValueError(str(error)) from None


def _require_whole(header: tensor_bundle_pb2.BundleHeaderProto) -> None:
    if (header.num_shards, header.endianness) != (1, tensor_bundle_pb2.BundleHeaderProto.LITTLE):
        raise ValueError("it has several parts, or another order of bytes")


def _require_inside(key: bytes, entry: tensor_bundle_pb2.BundleEntryProto, data: Path, length: int) -> None:
    """Checks that a value lies within its file, and has the size of its shape and its type."""
    shape = [dimension.size for dimension in entry.shape.dim]
    if entry.shape.unknown_rank or entry.slices or entry.shard_id or not all(size >= 0 for size in shape):
        raise ValueError(f"{key!r:.100} is in parts, or has no shape")
    if not (entry.offset >= 0 and entry.size >= 0 and entry.offset + entry.size <= length):
        raise ValueError(f"{key!r:.100} lies outside its file")
    dtype = tf.as_dtype(entry.dtype if entry.dtype < 100 else 0)  # references have larger numbers
    if key == GRAPH and dtype == tf.string and not shape:
        _require_text(data, entry.offset, entry.size)
    elif not (dtype.is_numeric or dtype.is_bool) or entry.size != math.prod(shape) * dtype.size:
        raise ValueError(f"{key!r:.100} has a wrong size or type")


def _require_text(data: Path, offset: int, size: int) -> None:
    """Checks that the length of a text, which stands before it and its checksum, is the length that the index gives."""
    with data.open("rb") as opened:
        opened.seek(offset)
        length, start = _number(opened.read(10), 0)
    if length != size - start - 4 or size > 16 * MEGABYTE:
        raise ValueError("its graph has another length than its index says")


def _entries(index: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and the values of a table, in the order of the keys."""
    footer = index[-48:]
    if len(footer) < 48 or struct.unpack("<Q", footer[40:])[0] != MAGIC:
        raise ValueError("its index is no table")
    _, position = _number(footer, 0)  # where the table describes itself, which nothing needs
    _, position = _number(footer, position)
    last = None
    for _, handle in _block(index, footer[position:40]):
        for key, value in _block(index, handle):
            if last is not None and key <= last:
                raise ValueError("the keys of its index are in no order")
            yield key, value
            last = key


def _block(index: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and the values of a block. A key gives only the bytes that differ from the key before it.

    The numbers at the end say where a search may begin. They must be the places of keys that are given whole.
    """
    offset, position = _number(handle, 0)
    size, _ = _number(handle, position)
    content = index[offset : offset + size]
    if len(content) != size or size < 4 or index[offset + size] != 0:
        raise ValueError("a block of its index is torn or compressed")
    (count,) = struct.unpack("<I", content[-4:])
    end, position, key, whole = size - 4 - 4 * count, 0, b"", {0}
    if end < 0:
        raise ValueError("a block of its index is torn")
    while position < end:
        start = position
        shared, position = _number(content, position)
        rest, position = _number(content, position)
        length, position = _number(content, position)
        if shared > len(key) or position + rest + length > end:
            raise ValueError("a block of its index is torn")
        key = key[:shared] + content[position : position + rest]
        if not shared:
            whole.add(start)
        yield key, content[position + rest : position + rest + length]
        position += rest + length
    if not whole.issuperset(struct.unpack(f"<{count}I", content[end:-4])):
        raise ValueError("a block of its index has other places to begin than its keys")


def _number(content: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, 7 bits a byte, and the position after it; an IndexError if it is torn."""
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
