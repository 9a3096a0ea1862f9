"""Peak memory of the networks' activations, in the unit of nodes/weights.py: `python -m bench.activations`.

What `restore` has allocated at its peak beyond weights and input, divided by pixels of the faces x width of the network
x bytes per number. On a GPU convolutions' workspaces are in it; on a CPU they are not, only tensors.
"""

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.checkpoint import for_inference
from training.presets import MINI

from .measure import machine

NETS = {"official": CodeFormerConfig(), "mini": MINI.model}


def peak(net: CodeFormer, lq: torch.Tensor, w: float) -> int:
    """Bytes allocated at most at a time by `net.restore`."""
    with torch.inference_mode():
        net.restore(lq, w)
        if lq.is_cuda:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            net.restore(lq, w)
            return torch.cuda.max_memory_allocated() - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            net.restore(lq, w)
    events = profiler.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    live = most = 0
    for event in events:
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(parser.parse_args().device)
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else machine())
    dtypes = (torch.float32, torch.float16) if device.type == "cuda" else (torch.float32, torch.bfloat16)
    for name, config in NETS.items():
        for dtype in dtypes:
            net = for_inference(CodeFormer(config)).to(device, dtype)
            for faces in (1, 2):
                lq = torch.zeros(faces, 3, config.vq.image_size, config.vq.image_size, device=device, dtype=dtype)
                unit = faces * config.vq.image_size**2 * config.vq.width * dtype.itemsize
                shares = " ".join(f"w = {w}: {peak(net, lq, w) / unit:5.2f}" for w in (0.0, 0.5))
                print(f"{name:9} {str(dtype)[6:]:9} {faces} faces  {shares}")


if __name__ == "__main__":
    main()
