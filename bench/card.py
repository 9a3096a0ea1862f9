"""What a graphics card makes of the official network, against the bars: `python -m bench.card`. Unmeasured so far.

Baseline: the published network as written down plainly, float32, eager. Ours: channels last, three kinds of numbers (of
which bfloat16 alone flips codes), batches; one face also as `--compile` has it, in CUDA graphs, with its warm-up stated
apart. Wanted: 6 times the baseline per face at the best batch; 35 % of the measured rate of bfloat16 matrix
products; one face in less than 8 ms with graphs.
"""

import argparse
import copy
import time
from collections.abc import Callable
from statistics import median

import torch

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.weights.checkpoint import for_inference
from codeformer_core.weights.compiling import compile_network
from codeformer_core.weights.precision import Numbers

from .network import flops
from .plain import plain

BATCHES = (1, 2, 4, 8, 16, 32)
SIDE = 8192  # of the matrices by which the card's own rate is measured
NO_CARD = "no CUDA card here: nothing was measured"


def seconds(run: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The median of a run's time, after three that do not count."""
    times = []
    for counted in [False] * min(3, rounds) + [True] * rounds:
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        if counted:
            times.append(time.perf_counter() - start)
    return median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, rounds: int, side: int = SIDE) -> float:
    """FLOP/s of bfloat16 matrix products."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, rounds)


@torch.inference_mode()
def table(
    device: torch.device, config: CodeFormerConfig, *, rounds: int, batches: tuple[int, ...], side: int = SIDE
) -> list[str]:
    """The lines of the table; on a CPU too, for the test of this script."""
    torch.manual_seed(0)
    net, size = CodeFormer(config).requires_grad_(False), config.vq.image_size
    one = torch.rand(1, 3, size, size, device=device) * 2 - 1
    per_face = flops(net, one.cpu(), 0.5) * 1e9
    rate = matrix_rate(device, rounds, side)
    baseline = plain(copy.deepcopy(net)).to(device).eval()
    slow = seconds(lambda: baseline.restore(one, 0.5), device, rounds)
    lines = [
        f"bfloat16 matrix products: {rate / 1e12:.1f} TFLOP/s; a face: {per_face / 1e9:.1f} GFLOP",
        f"plain, float32, one face: {slow * 1e3:.1f} ms",
        "| numbers | batch | ms a face | times plain | of the matrix rate |",
        "|---|---|---|---|---|",
    ]
    best, named = slow, "plain"
    kinds: dict[str, Numbers] = {"float32": torch.float32, "mixed": "mixed", "bfloat16": torch.bfloat16}
    for name, dtype in kinds.items():
        ours = for_inference(copy.deepcopy(net), device=device, dtype=dtype)
        number = torch.bfloat16 if name == "bfloat16" else torch.float32
        for batch in batches:
            faces = one.to(number).expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
            try:
                each = seconds(lambda ours=ours, faces=faces: ours.restore(faces, 0.5), device, rounds) / batch
            except torch.cuda.OutOfMemoryError:
                lines.append(f"| {name} | {batch} | out of memory | | |")
                break
            best, named = min((best, named), (each, f"{name}, batch {batch}"))
            share = per_face / each / rate
            lines.append(f"| {name} | {batch} | {each * 1e3:.2f} | {slow / each:.2f} | {share:.0%} |")
    times, share = slow / best, per_face / best / rate
    lines.append(_bar(f"times plain at the best batch ({named})", times, times >= 6, "6"))
    lines.append(_bar(f"of the matrix rate at the best batch ({named})", share, share >= 0.35, "0.35"))
    if device.type == "cuda":
        lines += with_graphs(net, one, rounds)
    return lines


def with_graphs(net: CodeFormer, one: torch.Tensor, rounds: int) -> list[str]:
    """One face as `--compile` restores it, with CUDA graphs, its warm-up apart."""
    device = one.device
    ours = compile_network(for_inference(copy.deepcopy(net), device=device, dtype=torch.bfloat16))
    face = one.to(torch.bfloat16, memory_format=torch.channels_last)
    start = time.perf_counter()
    for _ in range(3):
        ours.restore(face, 0.5)
    _wait(device)
    warm_up = time.perf_counter() - start
    each = seconds(lambda: ours.restore(face, 0.5), device, rounds) * 1e3
    return [f"warm-up of graphs: {warm_up:.1f} s", _bar("ms for one face with graphs", each, each < 8, "8")]


def _bar(name: str, value: float, kept: bool, wanted: str) -> str:
    return f"{name}: {value:.2f} (wanted {wanted}): {'kept' if kept else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.card", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit(NO_CARD)
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    print("\n".join(table(device, CodeFormerConfig(), rounds=args.rounds, batches=BATCHES)))


if __name__ == "__main__":
    main()
