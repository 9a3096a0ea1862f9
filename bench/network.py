"""How much faster the network is than its plain version, at 512 px: `python -m bench.network`."""

import argparse
import copy

import torch

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.weights.checkpoint import for_inference

from .measure import machine, median_ratio, print_seconds, take_turns
from .plain import plain


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = CodeFormer(CodeFormerConfig())  # random weights: the time does not depend on their values
    baseline = plain(net).eval()
    mixed = for_inference(copy.deepcopy(net), dtype="mixed")
    net = for_inference(net)
    lq = torch.rand(1, 3, 512, 512) * 2 - 1

    print(machine())
    for w in (0.5, 0.0):
        difference = (net.restore(lq, w) - baseline.restore(lq, w)).abs().max().item()
        runs = {
            f"plain, w = {w}": lambda w=w: baseline.restore(lq, w),
            f"float32, w = {w}": lambda w=w: net.restore(lq, w),
            f"mixed, w = {w}": lambda w=w: mixed.restore(lq, w),
        }
        seconds = take_turns(runs, args.rounds)
        print_seconds(seconds)
        if w == 0.5:
            best = min(seconds["float32, w = 0.5"])
            print(f"the paper's Table 5: a face of 512 px in {best:.2f} s here; in the paper 0.07 s on a V100")
        slowest, *others = seconds.values()
        for name, ours in zip(list(runs)[1:], others, strict=True):
            fastest = min(slowest) / min(ours)
            print(f"{name}: {median_ratio(slowest, ours):.2f} times as fast, {fastest:.2f} by the fastest runs")
        print(f"in float32 the results differ by at most {difference:.1e}\n")


if __name__ == "__main__":
    main()
