"""One denoising step of the full-size generator on random weights of the true size, next to diffusers' own Wan Animate.

    python tests/benchmarks/bench_wan.py [--device cuda] [--tiny] [--seconds 240] [--untested] [--out FILE]

Needs torch, diffusers and, for FP8, torchao; no installed package of ours. The floor is the arithmetic of a step over
the rate that this device reaches in large bf16 matrix products. Levers are measured alone and together. What random
weights cannot tell is not told: how many steps a cache would skip depends on trained ones, so only what a full and
a skipped step take is measured. Measures come in the order of their weight; those for which --seconds leave no time,
or that fail, are named in the result.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, FirstBlockCacheConfig, WanAnimateTransformer3DModel, WanTransformer3DModel
from machine import device_name
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
LATENTS, SIDE, TEXT, IMAGE, FRAMES = 21, 64, 512, 257, 77
"""A chunk of 77 frames at 512 × 512: latent frames with the reference, their side, and tokens of prompt and picture."""
QUALITY_STEPS, FAST_STEPS = 20, 4


class Bench:
    """Measures one after the other, written down after each."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.device = options, options.device
        self.cuda = options.device.startswith("cuda")
        self.until = time.monotonic() + options.seconds
        self.dtype = torch.bfloat16
        self.result: dict = {
            "device": device_name(options.device), "torch": torch.__version__, "tiny": options.tiny, "dtype": "bf16",
            "steps": {}, "missing": {},
        }  # fmt: skip

    def measure(self, name: str, what: Callable[[], dict]) -> None:
        """Run one measure, keep what it says, and write."""
        begun = time.monotonic()
        if begun > self.until:
            self.result["missing"][name] = "no time left"
        else:
            try:
                self.result["steps"][name] = what()
            except Exception as error:  # one lever that a machine lacks is not the end of the others
                self.result["missing"][name] = f"{type(error).__name__}: {str(error)[:300]}"
        self.free()
        print(f"{time.monotonic() - begun:6.1f} s  {name}: "
              f"{self.result['steps'].get(name) or self.result['missing'][name]}", flush=True)  # fmt: skip
        if self.options.out:
            self.options.out.parent.mkdir(parents=True, exist_ok=True)
            self.options.out.write_text(json.dumps(self.result, indent=2) + "\n")

    def free(self) -> None:
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def seconds(self, call: Callable[[], object], *, repeats: int = 3, warm: int = 1) -> float:
        """Return the median seconds of a call."""
        for _ in range(warm):
            call()
        times = []
        for _ in range(repeats):
            self.wait()
            begun = time.perf_counter()
            call()
            self.wait()
            times.append(time.perf_counter() - begun)
        return sorted(times)[len(times) // 2]

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def step(self, call: Callable[[], object], **how: int) -> dict:
        """Return the seconds and the peak memory of a step."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        found = {"seconds": round(self.seconds(call, **how), 4)}
        if self.cuda:
            found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        return found

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device, dtype=self.dtype)


@torch.no_grad()
def build(kind: type, device: str, dtype: torch.dtype, **config: object) -> nn.Module:
    """Build a network of a class with random weights, on the device at once; large ones on a CPU are constant."""
    with torch.device("meta"):
        model = kind(**config)
    kept = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        wanted = torch.float32 if kept & set(name.split(".")) else dtype
        filled = torch.empty(value.shape, device=device, dtype=wanted)
        # A processor would draw for minutes; how fast weights travel does not depend on what they are.
        filled = filled.normal_(0, 0.02) if filled.is_cuda or filled.numel() < 10**6 else filled.fill_(0.01)
        if isinstance(value, nn.Parameter):
            setattr(module, leaf, nn.Parameter(filled, requires_grad=False))
        else:
            module.register_buffer(leaf, filled, persistent=leaf not in module._non_persistent_buffers_set)
    if hasattr(model, "rope"):
        rope = model.rope
        model.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len).to(device)
    return model.eval()


def teraflop(width: int, ffn: int, layers: int, tokens: int, context: int) -> float:
    """Return the arithmetic of a forward pass [TFLOP]: projections, self- and cross-attention of every block.

    Formula of the Wan blocks: per token 2 · (6 d² + 2 d · ffn) in linear layers (two of them on the context's side are
    small), 4 N² d in self-attention, 4 N · context · d in cross-attention.
    """
    linear = 2 * tokens * (6 * width**2 + 2 * width * ffn)
    return layers * (linear + 4 * tokens**2 * width + 4 * tokens * context * width) / 1e12


def matmul_rate(bench: Bench) -> dict:
    """Measure the rate of large bf16 products [TFLOP/s]."""
    size = 256 if bench.options.tiny else 8192
    a, b = bench.draw(size, size), bench.draw(size, size)
    return {"tflops": round(2 * size**3 / bench.seconds(lambda: a @ b, repeats=15, warm=5) / 1e12, 3)}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a smoke test of this script, no figures")
    parser.add_argument("--seconds", type=float, default=240, help="no new measure is begun after that")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--untested", action="store_true", help="leave out the tests (they ran just before)")
    bench = Bench(options := parser.parse_args())
    if not bench.cuda and not options.tiny:
        parser.error("weights of the true size need a CUDA device; --tiny tests the script without one")
    if not options.untested:
        subprocess.run([sys.executable, "-m", "pytest", "-q", "tests/core/generate/wan"], cwd=ROOT, check=True)
    size = {"num_attention_heads": 2, "ffn_dim": 64, "num_layers": 2, "text_dim": 32, "image_dim": 16} \
        if options.tiny else {"image_dim": 1280}  # fmt: skip
    shape = {"width": 256, "ffn": 64, "layers": 2} if options.tiny else {"width": 5120, "ffn": 13824, "layers": 40}
    side = 16 if options.tiny else SIDE
    tokens = LATENTS * (side // 2) ** 2
    work = teraflop(**shape, tokens=tokens, context=TEXT + IMAGE)
    bench.result |= {"tokens": tokens, "tflop_per_step": round(work, 1)}
    bench.measure("matmul", lambda: matmul_rate(bench))
    bench.result["floor_seconds"] = round(work / bench.result["steps"]["matmul"]["tflops"], 4)
    words = {"encoder_hidden_states": bench.draw(1, TEXT, size.get("text_dim", 4096)),
             "encoder_hidden_states_image": bench.draw(1, IMAGE, size["image_dim"]),
             "timestep": torch.tensor([500.0], device=bench.device), "return_dict": False}  # fmt: skip
    bench.measure("diffusers Wan Animate", lambda: peer(bench, size, side, words))
    inputs = words | {"hidden_states": bench.draw(1, 53, LATENTS, side, side)}
    attention = ours(bench, size, inputs)
    bench.measure("vae", lambda: vae(bench))
    bench.measure("ours, offloaded", lambda: offloaded(bench, size, inputs, attention))
    print(summary(bench.result))
    if options.out:
        options.out.write_text(json.dumps(bench.result, indent=2) + "\n")


def peer(bench: Bench, size: dict, side: int, words: dict) -> dict:
    """Measure a step as diffusers' WanAnimatePipeline takes it: pose added, face encoded, every step anew."""
    face = {} if not bench.options.tiny else {
        "motion_encoder_size": 32, "motion_encoder_dim": 16, "motion_style_dim": 16, "motion_dim": 4,
        "motion_encoder_channel_sizes": {"4": 8, "8": 8, "16": 8, "32": 8}, "face_encoder_hidden_dim": 16,
        "face_encoder_num_heads": 2, "inject_face_latents_blocks": 1,
    }  # fmt: skip
    model = build(WanAnimateTransformer3DModel, bench.device, bench.dtype,
                  **size, in_channels=36, added_kv_proj_dim=shape_of(size), **face)  # fmt: skip
    pixels = model.config.motion_encoder_size
    inputs = words | {
        "hidden_states": bench.draw(1, 36, LATENTS, side, side),
        "pose_hidden_states": bench.draw(1, 16, LATENTS - 1, side, side),
        "face_pixel_values": bench.draw(1, 3, FRAMES, pixels, pixels),
    }
    return bench.step(lambda: model(**inputs))


def shape_of(size: dict) -> int:
    return 128 * size.get("num_attention_heads", 40)


def ours(bench: Bench, size: dict, inputs: dict) -> str:
    """Measure our step, the plain class with folded motion channels, one lever after the other.

    Returns:
        The fastest attention backend.
    """
    model = build(WanTransformer3DModel, bench.device, bench.dtype, **size, in_channels=53,
                  added_kv_proj_dim=shape_of(size))  # fmt: skip

    def call() -> Tensor:
        return model(**inputs)[0]

    def with_backend(name: str) -> dict:
        model.set_attention_backend(name)
        return bench.step(call)

    bench.measure("ours, eager", lambda: with_backend("native"))
    for name in ("_native_cudnn", "_native_flash"):
        bench.measure(f"ours, attention {name}", lambda name=name: with_backend(name))
    timed = {key: value["seconds"] for key, value in bench.result["steps"].items() if key.startswith("ours")}
    best = min(timed, key=timed.get).rpartition(" ")[2] if timed else "native"
    best = "native" if best == "eager" else best
    bench.result["attention"] = best
    model.set_attention_backend(best)
    bench.measure("cache, a full and a skipped step", lambda: cached(bench, model, call))
    model.compile_repeated_blocks(fullgraph=True)
    bench.measure("ours, compiled", lambda: bench.step(call))
    bench.measure("ours, FP8, compiled", lambda: in_fp8(bench, model, call))
    return best


def cached(bench: Bench, model: nn.Module, call: Callable[[], Tensor]) -> dict:
    """Measure first-block caching: a threshold that always skips, after one full step."""
    model.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    with model.cache_context("cond"):
        full = bench.seconds(call, repeats=1, warm=0)
        skipped = bench.seconds(call)
    model.disable_cache()
    return {"full": round(full, 4), "skipped": round(skipped, 4)}


def in_fp8(bench: Bench, model: nn.Module, call: Callable[[], Tensor]) -> dict:
    """Measure 8-bit products in the blocks' linear layers, scaled by row, compiled; they stay that way."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    for block in model.blocks:
        block._compiled_call_impl = None
    before = call().float()
    quantize_(model.blocks, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()))
    error = ((call().float() - before).norm() / before.norm()).item()
    torch.compiler.reset()
    model.compile_repeated_blocks(fullgraph=True)
    return bench.step(call) | {"relative_error": round(error, 4)}


def offloaded(bench: Bench, size: dict, inputs: dict, attention: str) -> dict:
    """Measure a step whose weights wait in the host's memory and come block by block while the last one computes."""
    model = build(WanTransformer3DModel, "cpu", bench.dtype, **size, in_channels=53, added_kv_proj_dim=shape_of(size))
    model.set_attention_backend(attention)
    model.enable_group_offload(torch.device(bench.device), torch.device("cpu"), offload_type="block_level",
                               num_blocks_per_group=1, use_stream=bench.cuda)  # fmt: skip
    return bench.step(lambda: model(**inputs), repeats=2)


def vae(bench: Bench) -> dict:
    """Measure the VAE on a chunk: encoding 77 frames and decoding them."""
    size = {"base_dim": 16} if bench.options.tiny else {}
    model = build(AutoencoderKLWan, bench.device, bench.dtype, **size)
    side = 64 if bench.options.tiny else 512
    video = bench.draw(1, 3, FRAMES if bench.cuda else 5, side, side)
    latents = model.encode(video).latent_dist.mode()
    encode = bench.seconds(lambda: model.encode(video), repeats=1, warm=0)
    return {"encode": round(encode, 4), "decode": bench.step(lambda: model.decode(latents), repeats=1)}


def summary(result: dict) -> str:
    """Add the ratios to a result, and say them."""
    steps, floor = result["steps"], result["floor_seconds"]
    times = {name: step["seconds"] for name, step in steps.items() if name.startswith("ours") and "seconds" in step}
    if not times:
        return "our step was not measured"
    exact = {name: value for name, value in times.items() if "FP8" not in name and "offload" not in name}
    quality, fast = min(exact, key=exact.get), min(times, key=times.get)
    result["ratios"] = {"quality": quality, "quality_over_floor": round(exact[quality] / floor, 3)}
    if theirs := steps.get("diffusers Wan Animate", {}).get("seconds"):
        result["ratios"] |= {
            "peer_over_quality": round(theirs / exact[quality], 3), "fast": fast,
            "peer_over_fast": round(QUALITY_STEPS * theirs / (FAST_STEPS * times[fast]), 3),
        }  # fmt: skip
    return json.dumps(result["ratios"], indent=2)


if __name__ == "__main__":
    main()
