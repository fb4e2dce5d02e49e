"""Two CPU processes, launched by torchrun: the first computes, the second follows; each prints what it saw."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[3]))

from emosh_core.generate import parallel
from emosh_core.generate.models import Spec, build

spec = Spec(resolution=32, window=9, overlap=5, prediction="velocity", precision="bf16")
networks = build(spec, heads=2, head_width=12, layers=1, vae_width=8, seed=1)
transformer = networks.transformer
torch.nn.init.ones_(transformer.proj_out.weight)
sums: list[float] = []
transformer.register_forward_hook(lambda module, inputs, output: sums.append(output[0].double().sum().item()))
dist.init_process_group("gloo", timeout=parallel.PATIENCE)
if dist.get_rank():
    parallel.follow(transformer, "cpu")
else:
    parallel.lead(transformer)
    try:
        for seed in range(3):
            random = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                networks.velocity(torch.randn(1, 16, 4, 4, 4, generator=random), torch.tensor([0.5]),
                                  torch.randn(1, 37, 4, 4, 4, generator=random))  # fmt: skip
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    finally:
        parallel.release()
print(f"SUMS {sums}", flush=True)
dist.destroy_process_group()
