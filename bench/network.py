"""How much faster the networks are than a plain version, by batch, numbers and w: `python -m bench network`.

Ours runs as the commands run it, which have the C library keep what is freed (`keep_freed_memory`); the plain one runs
in a process of its own, which does not. Both take turns.
"""

import copy
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from codeformer_core import CodeFormer, CodeFormerConfig
from codeformer_core.command_line.memory import keep_freed_memory
from codeformer_core.models import BUNDLED
from codeformer_core.weights.checkpoint import checkpoint_info, for_inference
from codeformer_core.weights.onnx_file import export_onnx

from .measure import Row, median_ratio, rows_of, take_turns
from .plain import plain

NETWORKS = {"mini": checkpoint_info(BUNDLED).config, "official": CodeFormerConfig()}
BATCHES = (1, 4)  # the official one only at 1, since a batch gains little on a CPU and takes minutes
WANTED = {"float32": "1.3", "mixed": "2"}


def rows(rounds: int) -> list[Row]:
    """Seconds and ratios for a face of each network, with random weights, on which the time does not depend."""
    keep_freed_memory()
    found = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere, tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            net = random_net(name)
            nets = {
                "float32": for_inference(copy.deepcopy(net)),
                "mixed": for_inference(copy.deepcopy(net), dtype="mixed"),
            }
            engines = other_engines(net, Path(folder) / f"{name}.onnx")
            for w in (0.0, 0.5):
                flop = flops(net, faces_of(name, 1), w)
                found.append(Row(bench="network", case=f"{name}, w = {w}: FLOPs", value=flop, unit="GFLOP"))
                for batch in BATCHES if name == "mini" else BATCHES[:1]:
                    lq, case = faces_of(name, batch), f"{name}, w = {w}, batch {batch}"
                    runs: dict[str, Callable[[], object]] = {
                        "plain": lambda n=name, b=batch, w=w: elsewhere.submit(run_plain, n, b, w).result(),
                        **{n: partial(restore, net, lq, w) for n, net in nets.items()},
                        **({n: partial(run, lq, w) for n, run in engines.items()} if w and batch == 1 else {}),
                    }
                    seconds = take_turns({f"{case}: {n}": run for n, run in runs.items()}, rounds)
                    found += rows_of("network", seconds)
                    for n in list(runs)[1:]:
                        ratio = median_ratio(seconds[f"{case}: plain"], seconds[f"{case}: {n}"])
                        wanted = WANTED.get(n, "") if name == "official" and w else ""
                        case_of_it = f"{case}: {n}"
                        found.append(
                            Row(
                                bench="network", case=case_of_it, value=ratio, unit="times", than="plain", wanted=wanted
                            )
                        )
    return found


def random_net(name: str) -> CodeFormer:
    """A network with weights that are the same in every process."""
    torch.manual_seed(0)
    return CodeFormer(NETWORKS[name]).requires_grad_(False).eval()


def faces_of(name: str, batch: int) -> Tensor:
    """Noise of the size of a network's faces."""
    size = NETWORKS[name].vq.image_size
    return (torch.rand(1, 3, size, size) * 2 - 1).expand(batch, -1, -1, -1).contiguous()


@torch.inference_mode()
def restore(net: Any, lq: Tensor, w: float) -> None:
    """One run of a network of ours."""
    net.restore(lq, w)


@cache
def _plain_net(name: str) -> Any:
    return plain(random_net(name))


def run_plain(name: str, batch: int, w: float) -> None:
    """One run of the plain network, in this process."""
    restore(_plain_net(name), faces_of(name, batch), w)


def other_engines(net: CodeFormer, path: Path) -> dict[str, Callable[[Tensor, float], object]]:
    """Runs of the exported network, float32, by those of ONNX Runtime and OpenVINO that are installed."""
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))
    engines: dict[str, Callable[[Tensor, float], object]] = {}
    try:
        import onnxruntime

        export_onnx(copy.deepcopy(net), path)
    except ImportError:
        return engines
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    engines["ONNX Runtime"] = lambda lq, w: session.run(None, _inputs(lq, w))
    try:
        import openvino  # pyright: ignore[reportMissingImports]
    except ImportError:
        return engines
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    engines["OpenVINO"] = lambda lq, w: compiled(_inputs(lq, w))
    return engines


def _inputs(lq: Tensor, w: float) -> dict[str, Any]:
    return {"lq": lq.numpy(), "w": torch.full((len(lq),), w).numpy()}


def flops(net: CodeFormer, lq: torch.Tensor, w: float) -> float:
    """GFLOP that a face takes: 10^9 products and sums."""
    net = CodeFormer.from_state_dict({k: v.to("meta") for k, v in net.state_dict().items()}).requires_grad_(False)
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as counted:
        net.restore(torch.zeros_like(lq, device="meta"), w)
    return counted.get_total_flops() / 1e9
