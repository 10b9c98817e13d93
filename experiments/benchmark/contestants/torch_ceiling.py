"""The machine's float32 matrix product by PyTorch."""

from __future__ import annotations

import os
from typing import Any

import torch


class Product:
    """Products of two square matrices, a few in a round."""

    def __init__(self, options: dict[str, Any]):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.size, self.times = (8192, 50) if options["device"] == "gpu" else (2048, 8)
        device = "cuda" if options["device"] == "gpu" else "cpu"
        self.a, self.b = (torch.randn(self.size, self.size, device=device) for _ in range(2))

    def facts(self) -> dict[str, Any]:
        """The versions alone."""
        return {"versions": {"torch": torch.__version__}}

    def round(self) -> dict[str, float]:
        """The number of floating-point operations."""
        out = torch.empty_like(self.b)
        for _ in range(self.times):
            torch.matmul(self.a, self.b, out=out)
        out[0, 0].item()
        return {"operations": 2.0 * self.size**3 * self.times}
