#!/usr/bin/env bash
# Everything that needs CUDA, in one go: kernels against their references, then their benchmarks.
# Needs torch with CUDA and Triton, numpy, scipy, numba, roma, pytest and hypothesis; nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/kernels${PYTHONPATH:+:$PYTHONPATH}"
PYTHON=${PYTHON:-python3}
OUT=${OUT:-benchmarks/results}
"$PYTHON" -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.cuda.get_device_name())'
"$PYTHON" -m pytest -q -m gpu tests/kernels --confcutdir tests/kernels
"$PYTHON" tests/benchmarks/bench_raster.py --device cuda --untested --out "$OUT/raster_cuda.json"
"$PYTHON" tests/benchmarks/bench_skin.py --device cuda | tee "$OUT/skin_cuda.json"
if "$PYTHON" -c 'import av, mediapipe, zarr' 2>/dev/null; then
  "$PYTHON" tests/benchmarks/bench_synth.py --device cuda --untested --out "$OUT/synth_cuda.json"
fi
# A slice of training, where diffusers is at hand; what it brings back is shipped by scripts/ship_mini.py after a look.
if "$PYTHON" -c 'import diffusers' 2>/dev/null; then
  "$PYTHON" tests/benchmarks/bench_wan.py --untested --out "$OUT/wan_cuda.json"
  "$PYTHON" scripts/gpu_mini.py --minutes "${MINUTES:-5}" --out "$OUT/mini"
fi
