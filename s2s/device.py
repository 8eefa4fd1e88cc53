"""The device and precision of computation, the settings of the process for it, and its memory."""

import ctypes
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal, NamedTuple, Self, get_args

import torch

from s2s.errors import S2SError

log = logging.getLogger("s2s")

Precision = Literal["auto", "float32", "bfloat16", "int8"]
INT8_ENGINES = ("x86", "onednn")
"""torch's engines of products in int8 that a search uses."""
MALLOPT = {-3: 1 << 30, -1: 1 << 30, -2: 64 << 20}
"""Bytes for M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of glibc's mallopt(3)."""
STATUS = Path("/proc/self/status")
PROCESS = os.getpid()
"""Process that imported this module; another one has been forked from it."""


class Compute(NamedTuple):
    """A device, the type of its matrix products, and the reason of the choice."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which matrix products are computed in the chosen type."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def require_floats(self, what: object) -> Self:
        """This, or S2SError for int8, which only a search for translations computes in."""
        if self.dtype == torch.int8:
            raise S2SError(f"precision int8: {what} has none, only a translation; give float32, bfloat16 or auto")
        return self

    @contextmanager
    def entered(self) -> Iterator[None]:
        """A context in which a GPU is the thread's current one, as streams and graphs need it, whatever its number.

        A forked process computes with one thread; S2SError for a GPU in one.
        """
        _fit_forked_process(self.device)
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            yield

    def __str__(self) -> str:
        name = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        precision = {torch.bfloat16: "bfloat16 autocast", torch.int8: "int8 weights"}.get(self.dtype, "float32")
        return f"{self.device} ({name}), {precision} ({self.reason})"


def choose_compute(device: str = "auto", precision: Precision = "auto") -> Compute:
    """Resolve `auto|cpu|cuda[:N]` and `auto|float32|bfloat16|int8` on this machine; int8 is for translators on CPUs."""
    names = get_args(Precision)
    if precision not in names:
        raise S2SError(f"precision {precision}: there is none of that name; give one of {', '.join(names)}")
    chosen = _device(device)
    _fit_forked_process(chosen)
    _choose_vector_functions()
    if precision == "float32":
        return Compute(chosen, torch.float32, "as asked")
    if precision == "int8":
        if chosen.type != "cpu":
            raise S2SError(f"precision int8: {chosen} does not compute in it; give bfloat16, or --device cpu")
        if missing := [each for each in INT8_ENGINES if each not in torch.backends.quantized.supported_engines]:
            raise S2SError(f"precision int8: torch has no engine {missing[0]} for this CPU; give float32 or bfloat16")
        return Compute(chosen, torch.int8, "as asked")
    native = _native_bfloat16(chosen)
    if precision == "bfloat16":
        if not native:
            log.warning(
                "precision bfloat16: %s emulates it, which is slower than float32 (98 ms for a line, not 37, on one"
                " such CPU); give float32, or auto",
                "this CPU" if chosen.type == "cpu" else chosen,
            )
        return Compute(chosen, torch.bfloat16, "as asked" if native else "as asked; this machine emulates it slowly")
    if native:
        return Compute(chosen, torch.bfloat16, "the machine computes it natively")
    return Compute(chosen, torch.float32, "the machine has no native bfloat16")


def settle_process() -> None:
    """Fit oneDNN's cache and the heap to training and translating; a second call changes nothing.

    For processes that do nothing else, those of commands and trainings: what a program loads leaves it as it is.
    """
    # Batches come in some hundred shapes. oneDNN compiles code for each product of a new shape, in bfloat16 some
    # milliseconds and 1.4 to 2 MB, and keeps the last ones: here twice as many as it would by itself.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "2048")
    # glibc returns large freed blocks to the system, which clears their pages anew at each step: a fifth of the time of
    # a small translator's training. So the heap keeps them, and torch asks for huge pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    for option, size in MALLOPT.items():
        _heap("mallopt", option, size)


def _fit_forked_process(device: torch.device) -> None:
    """Compute with one thread in a process that was forked from another; S2SError for a GPU, which it cannot use.

    A fork has only the thread that forked, and OpenMP would wait for the others without end.
    """
    if os.getpid() == PROCESS:
        return
    if device.type == "cuda":
        raise S2SError(
            f"{device}: a forked process cannot use the GPU of the one that it was forked from; start processes by the"
            " method spawn, and load in each"
        )
    if torch.get_num_threads() > 1:
        log.warning(
            "this process was forked from one with torch's threads and has none of them, so it computes with one"
            " thread; for more, start it with spawn"
        )
        torch.set_num_threads(1)


def _choose_vector_functions() -> None:
    """Call MKL's vector functions once; nothing that a program can see changes."""
    # MKL chooses the code of a vector function at its first call. Where two threads made that together, one of them got
    # a less accurate kind in some processes, with relative errors up to 2.4e-4: the first step of a training then
    # differed, and with it every byte of the result. So one thread calls each first.
    for dtype in (torch.float32, torch.float64):
        values = torch.full((64,), 0.5, dtype=dtype)
        for function in (torch.tanh, torch.exp, torch.log, torch.erf, torch.sqrt, torch.sin, torch.cos):
            function(values)


def release_free_memory() -> None:
    """Return the heap's free pages to the system, where the C library can (glibc).

    Batches of varying size fragment the heap: over the first epochs it would grow to twice what a step needs.
    """
    _heap("malloc_trim", 0)


def _heap(name: str, *values: int) -> None:
    """Call a function of the C library, where there is one of that name."""
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function is not None:
        function(*values)


def peak_memory_bytes(compute: Compute | None = None) -> int:
    """Peak memory so far of the process, or of its GPU."""
    if compute is not None and compute.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(compute.device))
    if STATUS.exists():  # unlike getrusage, without what the process was before it became Python
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # Windows has none

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


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
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "ALL"
    if re.fullmatch("SSE.*|AVX|AVX2.*|AVX512_CORE(_VNNI)?", limit.upper()):  # oneDNN is told to use no more than that
        return False
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())
