"""How much faster the networks are than a plain version, by batch, numbers and w: `python -m bench network`."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.weights.checkpoint import for_inference
from training.presets import MINI_256

from .measure import Row, median_ratio, rows_of, take_turns
from .plain import plain

NETWORKS = {"mini": MINI_256.model, "official": CodeFormerConfig()}
BATCHES = (1, 4)  # the official one only at 1, since a batch gains nothing on a CPU and takes minutes


@torch.inference_mode()
def rows(rounds: int) -> list[Row]:
    """Seconds and ratios for a face of each network, with random weights, on which the time does not depend."""
    found = []
    for name, config in NETWORKS.items():
        torch.manual_seed(0)
        net, size = CodeFormer(config).requires_grad_(False), config.vq.image_size
        nets = {
            "plain": plain(net).eval(),
            "float32": for_inference(copy.deepcopy(net)),
            "mixed": for_inference(copy.deepcopy(net), dtype="mixed"),
        }
        for w in (0.0, 0.5):
            lq = torch.rand(1, 3, size, size) * 2 - 1
            found.append(Row(bench="network", case=f"{name}, w = {w}: FLOPs", value=flops(net, lq, w), unit="GFLOP"))
            for batch in BATCHES if name == "mini" else BATCHES[:1]:
                faces = lq.expand(batch, -1, -1, -1).contiguous()
                case = f"{name}, w = {w}, batch {batch}"
                runs = {f"{case}: {n}": lambda net=net, f=faces, w=w: net.restore(f, w) for n, net in nets.items()}
                seconds = take_turns(runs, rounds)
                found += rows_of("network", seconds)
                slow = seconds[f"{case}: plain"]
                for n, wanted in (("float32", "1.3"), ("mixed", "2")):
                    ratio = median_ratio(slow, seconds[f"{case}: {n}"])
                    target = wanted if name == "official" and w else ""
                    found.append(
                        Row(
                            bench="network", case=f"{case}: {n}", value=ratio, unit="times", than="plain", wanted=target
                        )
                    )
    return found


def flops(net: CodeFormer, lq: torch.Tensor, w: float) -> float:
    """GFLOP that a face takes: 10^9 products and sums."""
    net = CodeFormer.from_state_dict({k: v.to("meta") for k, v in net.state_dict().items()}).requires_grad_(False)
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as counted:
        net.restore(torch.zeros_like(lq, device="meta"), w)
    return counted.get_total_flops() / 1e9
