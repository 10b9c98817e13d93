"""Files of data are data: bombs, lies and queer formats are one sentence, before memory is taken."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from vi import data
from vi.errors import ConfigError

pytestmark = pytest.mark.usefixtures("nothing_leaves")


def npy(shape="(40, 2)", kind="'<f4'", content=b"", version=b"\x01\x00"):
    """An .npy file that claims this shape and type."""
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(header)) + header + content


GOOD = npy(content=bytes(320))


def archive(content=GOOD, name="x_train.npy", method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        opened.writestr(name, content)
    return file.getvalue()


def marked(place, value):
    """An archive with another number in the heads of its file, at this place of the head that stands before it."""
    content = bytearray(archive())
    directory = content.find(b"PK\1\2")
    for start in (place, directory + 2 + place):
        content[start : start + 2] = struct.pack("<H", value)
    return bytes(content)


def large(claimed):
    """An archive of this many zeros, as far as its heads say."""
    content = archive(npy(f"({claimed // 64}, 64)", "'|u1'"), method=zipfile.ZIP_DEFLATED)
    directory = content.find(b"PK\1\2")
    more = struct.pack("<HHQ", 1, 8, claimed)  # ZIP64: the size has eight bytes
    head = bytearray(content[directory : directory + 46 + len("x_train.npy")])
    head[24:28], head[30:32] = b"\xff" * 4, struct.pack("<H", len(more))
    end = bytearray(content[content.find(b"PK\5\6") :])
    end[12:16] = struct.pack("<I", len(head) + len(more))
    return content[:directory] + bytes(head) + more + bytes(end)


LZMA = bytearray(archive(np.random.default_rng(0).bytes(500), method=zipfile.ZIP_LZMA))
LZMA[80:120] = b"\xff" * 40
READ = "array x_train cannot be read: "
ARCHIVES = {
    "a bomb of 1 TB": (large(2**40), f"{READ}it takes 1,024.0 GB of memory, and "),
    "an array longer than its file": (archive(npy("(10000, 2)")), f"{READ}it claims 80,000 bytes, and the file holds"),
    "no array": (archive(b"text"), READ),
    "objects": (archive(npy(kind="'|O'")), f"{READ}Object arrays cannot be loaded"),
    "a size of 400 digits": (archive(npy(f"({'9' * 400}, 2)")), f"{READ}it claims 79,999"),
    "a size that is true": (archive(npy("(True, 2)")), f"{READ}its shape (True, 2) is none"),
    "data without features": (archive(npy("(1000000000000, 0)")), "but must be [N, *event], each above 0"),
    "elements without bytes": (archive(npy("(1000000000000, 3)", "'|V0'")), "must be of real numbers"),
    "elements of 4 GB": (archive(npy("(3,)", "('<f4', (1000000000,))")), READ),
    "a deep head": (archive(npy("(" * 3000 + ")" * 3000)), READ),
    "a head of minus signs": (archive(npy("-" * 9000 + "1")), READ),
    "a version to come": (archive(npy(version=b"\x09\x00")), READ),
    "a torn compression": (bytes(LZMA), READ),
    "a password": (marked(6, 1), READ),
    "an unknown compression": (marked(8, 99), READ),
    "a zip of a version to come": (marked(4, 99), "cannot be read as an .npz file"),
    "an array before the archive": (GOOD + archive(), None),
    "pickled objects before the archive": (b"\x80\x04" + archive(), None),
    "an empty file": (b"", "cannot be read as an .npz file"),
}
"""The content of an archive, and the sentence; None if it is read as the archive that it is, and as nothing else."""
TABLES = {
    "short rows": (",".join(map(str, range(9, 9_000))) + "\n" + "1\n" * 3_000_000, "it takes 201"),
    "names with colours": ("\x1b[31ma,b\nx,2\n", "column '\\x1b[31ma' holds 'x'"),
    "bytes": (b"\xff\xfe\n1\n", "cannot be read as a table"),
    "nothing": ("", "cannot be read as a table: No columns to parse"),
    "an open quote": ('a,b\n"1,2\n', "own.csv"),
    "a number of 400 digits": (f"a,b\n{'9' * 400},2\n", "own.csv"),
    "one long row": ("a,b\n1,2\n" + "1," * 10_000 + "\n", "cannot be read as a table: Error tokenizing data"),
    "no rows": ("a,b\n", "column 'a' holds None, which is no number"),
}


def assert_refused(call, sentence):
    with pytest.raises(ConfigError) as error:
        call()
    text = str(error.value)
    assert sentence in text
    assert text.isprintable()
    assert len(text) < 700


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_is_read_or_is_one_sentence(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, sentence = ARCHIVES[case]
    (tmp_path / "own.npz").write_bytes(content)
    if sentence is None:
        assert data.arrays("own.npz").event_shape == (2,)
    else:
        assert_refused(lambda: data.arrays("own.npz"), sentence)


def test_an_array_file_of_1_tb_of_holes_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.npy").write_bytes(npy(f"({2**34}, 64)", "'|u1'"))
    os.truncate("own.npy", 2**40 + 128)
    assert_refused(lambda: data.arrays("own.npy"), "(it takes 1,024.0 GB of memory, and ")


@pytest.mark.parametrize("head", [b"", b"\x93NUMPY", b"\x80\x04.", npy("-" * 9000 + "1"), npy("(" * 3000 + ")" * 3000)])
def test_a_damaged_array_file_is_one_sentence(head, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.npy").write_bytes(head)
    assert_refused(lambda: data.arrays("own.npy"), "path=own.npy: cannot be read as an .npy file of numbers (")


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_one_sentence(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, sentence = TABLES[case]
    (tmp_path / "own.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(lambda: data.arrays("own.csv"), sentence)


def test_names_in_a_file_are_shown_as_text(tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("x_train.npy", GOOD)
        for i in range(1000):
            archive.writestr(f"\x1b[31m{i}\n.npy", b"")
    data.arrays(tmp_path / "own.npz")
    (tmp_path / "own.csv").write_text("a,b\n" + '"\x1b[31mx",2\n' * 20)
    caplog.set_level("INFO")
    assert data.arrays(tmp_path / "own.csv", label="a").train.y is not None
    assert_refused(lambda: data.arrays(tmp_path / "own.csv", label="c"), "has no such column")
    assert "and 990 others are not read" in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_an_archive_is_closed_after_it_is_read(tmp_path):
    (tmp_path / "own.npz").write_bytes(archive())
    held = data.arrays(tmp_path / "own.npz")
    here = {os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")}
    assert str(tmp_path / "own.npz") not in here
    assert held.event_shape == (2,)
