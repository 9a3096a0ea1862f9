"""The network through torch.compile, whose kernels are made for this machine at the first face of each batch size."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from ..networks.cft import CFTWeights, Weight
from ..networks.codeformer import CodeFormer, CodePrediction


def compile_network(
    net: CodeFormer, *, backend: str | Callable = "inductor", say: Callable[[str], Any] = lambda text: None
) -> CodeFormer:
    """The network, in place, with `predict_codes` and `decode` compiled; on CUDA cards they run as CUDA graphs.

    Results differ by rounding. The first face of each batch size waits for the compiler; `say` is told how long. Any w
    but 0 runs in the same kernels. Where there is no compiler, the first face raises ValueError.
    """
    device = next(net.parameters()).device
    graphs = device.type == "cuda"
    mode = "reduce-overhead" if graphs else None
    predict, decode = (torch.compile(half, backend=backend, mode=mode) for half in (net.predict_codes, net.decode))
    seen: set[tuple[str, int]] = set()

    def run(half: Callable, faces: int, what: str, *args: Any) -> Any:
        start = time.perf_counter()
        try:
            result = half(*args)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"the network cannot be compiled here: {reason}; leave out --compile") from error
        if (what, faces) not in seen:
            seen.add((what, faces))
            say(f"{what}, batches of {faces}: first run, with compiling, {time.perf_counter() - start:.1f} s")
        return result

    def predict_codes(lq: Tensor) -> CodePrediction:
        prediction = run(predict, len(lq), "encoder and transformer", lq)
        return _kept(prediction) if graphs else prediction

    def decode_at(prediction: CodePrediction, w: Weight | CFTWeights = 0.5, adain: bool = True) -> Tensor:
        weights = _as_tensors(w if isinstance(w, CFTWeights) else CFTWeights(w=w), device)
        restored = run(decode, len(prediction.codes), "decoder", prediction, weights, adain)
        return restored.clone() if graphs else restored

    net.predict_codes, net.decode = predict_codes, decode_at
    return net


def _as_tensors(weights: CFTWeights, device: torch.device) -> CFTWeights:
    """Weights whose values are no constants of the compiled code; 0 stays one, since it leaves blocks out."""

    def tensor(w: Weight) -> Weight:
        return torch.tensor([w], device=device) if isinstance(w, float | int) and w > 0 else w

    w = weights.w
    w = {size: tensor(v) for size, v in w.items()} if isinstance(w, Mapping) else tensor(w)
    return replace(weights, w=w, outside=tensor(weights.outside))


def _kept(prediction: CodePrediction) -> CodePrediction:
    """A prediction that the next one leaves alone: graphs write to the same memory again."""
    tapped = {size: features.clone() for size, features in prediction.cft_features.items()}
    own = {name: getattr(prediction, name).clone() for name in ("logits", "codes", "features")}
    return replace(prediction, **own, cft_features=tapped)
