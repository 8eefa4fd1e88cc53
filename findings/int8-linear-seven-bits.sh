#!/usr/bin/env bash
# A dynamically quantized linear layer rounds its inputs to 7 bits, also where the CPU multiplies 8 bits exactly.
#
# Expected: torch.ao.quantization.quantize_dynamic(..., dtype=torch.qint8) rounds inputs to 8 bits, 256 levels, where
# the CPU has VNNI instructions, whose sums of products cannot overflow.
# Version: torch 2.13.0, engines x86 and onednn, on a CPU with avx512_vnni.
# Seen: inputs get 128 levels with every engine: the layer asks for reduce_range=True, which spares CPUs without VNNI
# an overflow in 16 bits, and no argument turns it off. The rounding of inputs adds an error of 0.019 of the output;
# the same operation called with reduce_range=False has half of that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat > "$folder/find.py" <<'END'
import sys
import warnings

import torch

if not {"avx512_vnni", "avx_vnni"} & set(open("/proc/cpuinfo").read().split()):
    sys.exit(print("this CPU has no VNNI: 7 bits are what one would expect"))
warnings.simplefilter("ignore")  # on the future of torch.ao
torch.manual_seed(1)
inputs, model = torch.randn(512, 256), torch.nn.Sequential(torch.nn.Linear(256, 64, bias=False))
for engine in ("x86", "onednn"):
    if engine not in torch.backends.quantized.supported_engines:
        sys.exit(print(f"this torch has no engine {engine}: nothing to see"))
    torch.backends.quantized.engine = engine
    layer = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)[0]
    exact = inputs @ layer.weight().dequantize().T
    packed = layer._packed_params._packed_params

    def error(outputs):
        return ((outputs - exact).norm() / exact.norm()).item()

    asked = error(layer(inputs))
    reduced, full = (error(torch.ops.quantized.linear_dynamic(inputs, packed, reduce)) for reduce in (True, False))
    print(f"{engine}: error of the layer {asked:.4f}, with 7 bits {reduced:.4f}, with 8 bits {full:.4f}")
    if asked != reduced or not 1.8 < asked / full < 2.2:
        sys.exit("no longer as seen")
END
"$folder/venv/bin/python" "$folder/find.py"
