"""The environments of the peers: one for each requirements file in `peers/`, kept in a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PEERS = Path(__file__).parent / "peers"
PACKAGES = {"keras": "tf_keras"}
"""The package by which a peer is known, where it is not the peer's name."""


def cache() -> Path:
    """The folder of all that the benchmark makes: $VI_BENCH_CACHE, or one in the home folder."""
    return Path(os.environ.get("VI_BENCH_CACHE") or Path.home() / ".cache" / "vi" / "benchmark")


def python_of(peer: str, running: bool) -> Path:
    """The interpreter of a peer. It is made if it is missing, or older than its requirements.

    Args:
        peer: a file of `peers/`, or "vi", which is the running interpreter.
        running: whether the running interpreter serves if it has the peer's package, as on a machine without a network.

    Raises:
        subprocess.CalledProcessError: pip fails.
    """
    if peer == "vi" or (running and find_spec(PACKAGES.get(peer, peer))):
        return Path(sys.executable)
    folder, wanted = cache() / peer, PEERS / f"{peer}.txt"
    python, built = folder / "bin" / "python", folder / "requirements.txt"
    if not built.is_file() or built.read_bytes() != wanted.read_bytes():
        print(f"Building the environment of {peer} in {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
        built.write_bytes(wanted.read_bytes())
    return python


def arrays() -> Path:
    """A folder with the images of MNIST, x_train.npy and x_test.npy, uint8 `[N, 784]`, made if it is missing."""
    folder = cache() / "arrays"
    if not (folder / "x_test.npy").is_file():
        from vi.data.named import mnist

        folder.mkdir(parents=True, exist_ok=True)
        data = mnist(validation="test")
        for name, split in {"x_train": data.train, "x_test": data.test}.items():
            assert split is not None
            np.save(folder / f"{name}.npy", split.x.reshape(len(split), -1))
    return folder
