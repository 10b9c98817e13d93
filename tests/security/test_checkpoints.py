"""A checkpoint's index is somebody else's claim: what lies outside its files never reaches TensorFlow.

TensorFlow believes the length of a text, and the process ends. So each case must be an error before it.
"""

import contextlib
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

from vi.training import bundle, checkpoints

pytestmark = pytest.mark.usefixtures("nothing_leaves")
KEPT = Path(__file__).parents[1] / "data" / "old_run" / "checkpoints" / "step_000000048"
GRAPH, VALUE, LAST = "_CHECKPOINTABLE_OBJECT_GRAPH", "v/0/.ATTRIBUTES/VARIABLE_VALUE", "v/1/.ATTRIBUTES/VARIABLE_VALUE"
REFUSED = (OSError, ValueError, LookupError, tf.errors.OpError)


def number(value):
    """A number of variable length."""
    low = bytes([value & 127 | (128 if value > 127 else 0)])
    return low + number(value >> 7) if value > 127 else low


def checksum(content):
    """The masked CRC-32C of TensorFlow's files."""
    remainder = 2**32 - 1
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    remainder ^= 2**32 - 1
    return struct.pack("<I", ((remainder >> 15 | remainder << 17) + 0xA282EAD8) % 2**32)


def block(items, starts=(0,), kind=0, content=None):
    if content is None:
        content = b"".join(number(0) + number(len(k)) + number(len(v)) + k + v for k, v in items)
        content += struct.pack(f"<{len(starts)}I", *starts) + struct.pack("<I", len(starts))
    return content + bytes([kind]) + checksum(content + bytes([kind]))


def table(items, **options):
    """The content of an index with these keys and values."""
    data, other = block(items, **options), block([])
    of_keys = block([(b"z", number(0) + number(len(data) - 5))])
    footer = number(len(data)) + number(len(other) - 5) + number(len(data + other)) + number(len(of_keys) - 5)
    return data + other + of_keys + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


class Claims:
    """A small checkpoint whose index is written anew from its entries; `options` are of `block`."""

    def __init__(self, folder):
        checkpoints.write(folder, {"v": [tf.Variable(np.arange(6, dtype=np.float32)), tf.Variable(1.0)]})
        self.folder, self.options = folder, {}
        self.index, self.data = folder / "variables.index", folder / "variables.data-00000-of-00001"
        (_, header), *entries = bundle._entries(self.index.read_bytes())
        self.header = tensor_bundle_pb2.BundleHeaderProto.FromString(header)
        self.entries = {key.decode(): tensor_bundle_pb2.BundleEntryProto.FromString(value) for key, value in entries}

    def write(self):
        items = [(b"", self.header.SerializeToString())]
        items += [(key.encode(), entry.SerializeToString()) for key, entry in self.entries.items()]
        self.index.write_bytes(table(items, **self.options))

    def claim(self, key=VALUE, shape=None, **values):
        """Changes an entry."""
        for name, value in values.items():
            setattr(self.entries[key], name, value)
        if shape is not None:
            self.entries[key].shape.CopyFrom(tf.TensorShape(None).as_proto())
            self.entries[key].shape.unknown_rank = False
            for size in shape:
                self.entries[key].shape.dim.add(size=size)

    def long_text(self, length, size):
        """A text of a claimed length at the end of the data."""
        start = self.data.stat().st_size
        with self.data.open("ab") as file:
            file.write(number(length) + checksum(struct.pack("<Q", length)) + b"x" * 100)
        self.claim(GRAPH, offset=start, size=len(number(length)) + 4 + size)


def replaced(claims, name):
    """Other files in place of the index."""
    claims.write()
    if name == "variables":
        claims.index.rename(claims.folder / "variables")
    else:
        (claims.folder / "variables").mkdir()
        (claims.folder / "variables" / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\n')
    return ...


CASES = {
    "a text of 2^45 bytes": lambda c: c.long_text(2**45, 2**45),
    "a text longer than its index says": lambda c: c.long_text(2**45, 100),
    "a text of 4 GB of zeros": lambda c: (
        c.long_text(2**32 - 10, 2**32 - 10),
        os.truncate(c.data, c.data.stat().st_size + 2**32),
    ),
    "many texts": lambda c: c.claim(GRAPH, shape=[2**36]),
    "a graph of numbers": lambda c: c.claim(GRAPH, shape=[2**40], dtype=1, size=2**42),
    "a variable of text": lambda c: c.claim(dtype=7),
    "a variable of objects": lambda c: c.claim(dtype=21),
    "a variable of handles": lambda c: c.claim(dtype=20),
    "no type": lambda c: c.claim(dtype=0),
    "an unknown type": lambda c: c.claim(dtype=99),
    "a reference": lambda c: c.claim(dtype=101),
    "another type": lambda c: c.claim(dtype=2),
    "another shape": lambda c: c.claim(shape=[2**31]),
    "a negative shape": lambda c: c.claim(shape=[-6]),
    "an endless shape": lambda c: c.claim(LAST, shape=[2**40, 2**40]),
    "no shape": lambda c: setattr(c.entries[VALUE].shape, "unknown_rank", True),
    "an offset outside": lambda c: c.claim(offset=2**60),
    "a negative offset": lambda c: c.claim(offset=-8),
    "a size outside": lambda c: c.claim(size=2**60),
    "another file": lambda c: c.claim(shard_id=7),
    "slices": lambda c: c.entries[VALUE].slices.add().extent.add(start=0, length=2**40),
    "many files": lambda c: setattr(c.header, "num_shards", 2**31 - 1),
    "another order of bytes": lambda c: setattr(c.header, "endianness", 1),
    "no order of keys": lambda c: setattr(c, "entries", dict(reversed(c.entries.items()))),
    "a hidden place to begin": lambda c: c.options.update(starts=(0, 5)),
    "no place to begin": lambda c: c.options.update(starts=(2**31,)),
    "a compressed block": lambda c: c.options.update(kind=1, content=number(2**32 - 1) + b"\0" * 50),
    "a block of nothing": lambda c: c.options.update(content=struct.pack("<I", 2**32 - 1)),
    "a header of nothing": lambda c: setattr(c.header, "num_shards", 0),
    "an index of zeros": lambda c: (c.write(), os.truncate(c.index, 2**40)) and ...,
    "an empty index": lambda c: (c.write(), c.index.write_bytes(b"")) and ...,
    "no index": lambda c: (c.write(), c.index.unlink()) and ...,
    "the first format": lambda c: replaced(c, "variables"),
    "a folder that names a checkpoint elsewhere": lambda c: replaced(c, str(KEPT / "variables")),
    "a folder that names a server": lambda c: replaced(c, "gs://bucket/x"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_index_claims_outside_its_files_is_an_error(case, tmp_path):
    claims = Claims(tmp_path)
    if CASES[case](claims) is not ...:
        claims.write()
    variables = [tf.Variable(tf.zeros(6)), tf.Variable(0.0)]
    with pytest.raises(REFUSED):
        checkpoints.read(tmp_path, {"v": variables})
    assert not variables[0].numpy().any()  # nothing was changed


def test_an_index_that_claims_nothing_else_is_read(tmp_path):
    Claims(tmp_path).write()
    variables = [tf.Variable(tf.zeros(6)), tf.Variable(0.0)]
    checkpoints.read(tmp_path, {"v": variables})
    assert variables[0].numpy().tolist() == [0, 1, 2, 3, 4, 5]


def test_random_damage_to_an_index_never_ends_the_process(tmp_path):
    folder = Path(shutil.copytree(KEPT, tmp_path / "kept"))
    index, random = (folder / "variables.index").read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(index)
        for place in random.integers(len(index), size=3):
            changed[place] = random.integers(256)
        (folder / "variables.index").write_bytes(changed)
        with contextlib.suppress(*REFUSED):
            checkpoints.read(folder, {})
