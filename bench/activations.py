"""Peak memory of the networks' activations, by which the nodes ask ComfyUI for it: `python -m bench.activations`.

What is allocated at the peak beyond weights and input. For CodeFormer it is divided by places of the largest
features x width of the network x bytes per number; for the others, of one picture of 16:9 at short side 640 and of one
face, it is in MiB.
On a GPU convolutions' workspaces are in it; on a CPU they are not, only tensors.
"""

import argparse
from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.detection.mobile_retinaface import MobileRetinaFace
from codeformer_core.facexlib_nets import build_bisenet, build_parsenet, build_retinaface
from codeformer_core.models import BUNDLED
from codeformer_core.weights.checkpoint import checkpoint_info, for_inference

from .measure import machine

CODEFORMERS = {"official": CodeFormerConfig(), "mini": checkpoint_info(BUNDLED).config}
OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "retinaface_mobile0.25": (MobileRetinaFace, (640, 1138)),
    "retinaface_resnet50": (build_retinaface, (640, 1138)),
    "parsenet": (build_parsenet, (512, 512)),
    "bisenet": (build_bisenet, (512, 512)),
}


def peak(run: Callable[[], object], device: torch.device) -> int:
    """Bytes that `run` has allocated at most at a time."""
    with torch.inference_mode():
        run()
        if device.type == "cuda":
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            run()
            return torch.cuda.max_memory_allocated() - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
    live = most = 0
    for event in profiler.profiler.kineto_results.events():  # pyright: ignore[reportOptionalMemberAccess]
        if event.name() == "[memory]":
            live += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
            most = max(most, live)
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(parser.parse_args().device)
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else machine())
    for name, config in CODEFORMERS.items():
        for dtype in (torch.float32, torch.float16) if device.type == "cuda" else (torch.float32,):
            net, size = for_inference(CodeFormer(config)).to(device, dtype), config.vq.image_size
            places = config.vq.sizes[0] ** 2
            for faces in (1, 2):
                lq = torch.zeros(faces, 3, size, size, device=device, dtype=dtype)
                unit = faces * places * config.vq.width * dtype.itemsize
                shares = [peak(lambda w=w, net=net, lq=lq: net.restore(lq, w), device) / unit for w in (0.0, 0.5)]
                print(f"{name:9} {str(dtype)[6:]:8} {faces} face(s)  w = 0: {shares[0]:.2f}  w = 0.5: {shares[1]:.2f}")
    for name, (build, (height, width)) in OTHERS.items():
        net, x = build().to(device), torch.zeros(1, 3, height, width, device=device)
        print(f"{name:22} {peak(lambda net=net, x=x: net(x), device) / 2**20:5.0f} MiB")


if __name__ == "__main__":
    main()
