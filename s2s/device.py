"""Which device computes, and in which precision; `training` and `decoding` both ask here."""

import os
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, get_args

import torch

from s2s.errors import S2SError
from s2s.heap import reuse_freed_memory

Precision = Literal["auto", "float32", "bfloat16"]


class Compute(NamedTuple):
    """A device, the type of its matrix products, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which matrix products are computed in the chosen type."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else _processor()
        precision = "bfloat16 autocast" if self.dtype == torch.bfloat16 else "float32"
        return f"{self.device} ({name}), {precision} ({self.reason})"


def choose_compute(device: str = "auto", precision: Precision = "auto") -> Compute:
    """Resolve `auto|cpu|cuda[:N]` and `auto|float32|bfloat16` on this machine."""
    # Batches come in some hundred shapes. oneDNN prepares code for each, a millisecond and some hundred kilobytes a
    # product, and keeps it until it comes again: here for twice as many products as it would by itself.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "2048")
    reuse_freed_memory()
    _settle_functions()
    if precision not in get_args(Precision):
        raise S2SError(f"precision {precision}: there is none of that name; give auto, float32 or bfloat16")
    chosen = _device(device)
    if precision == "float32":
        return Compute(chosen, torch.float32, "as asked")
    native = _native_bfloat16(chosen)
    if precision == "bfloat16":
        return Compute(chosen, torch.bfloat16, "as asked" if native else "as asked; this machine emulates it slowly")
    if native:
        return Compute(chosen, torch.bfloat16, "the machine computes it natively")
    return Compute(chosen, torch.float32, "the machine has no native bfloat16")


def _settle_functions() -> None:
    """Let MKL choose the code of its vector functions while one thread asks.

    It chooses at the first call. Where two threads make that together, one of them computed other roundings, in some 5
    of 100 processes: the first step of a training then differed, and with it every byte of the result.
    """
    for dtype in (torch.float32, torch.float64):
        values = torch.full((64,), 0.5, dtype=dtype)
        for function in (torch.tanh, torch.exp, torch.log, torch.erf, torch.sqrt, torch.sin, torch.cos):
            function(values)


def product_type(like: torch.Tensor) -> torch.dtype:
    """The type in which a matrix product with this tensor is computed here: autocast's, or its own."""
    device = like.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise S2SError(f"--device {name}: not a device; give auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise S2SError(f"--device {name}: not a device that s2s runs on; give auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise S2SError(f"--device {name}: this machine has {count} CUDA devices; give auto or cpu")
    return device


def _native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def _processor() -> str:
    return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
