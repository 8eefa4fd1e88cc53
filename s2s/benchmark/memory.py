"""How much memory the process has held at most."""

import resource
import sys
from pathlib import Path

import torch

from s2s.device import Compute

STATUS = Path("/proc/self/status")


def peak_memory_bytes(compute: Compute | None = None) -> int:
    """The largest so far of the process, or of its GPU."""
    if compute is not None and compute.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(compute.device))
    if STATUS.exists():  # unlike getrusage, without what the process was before it became Python
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
