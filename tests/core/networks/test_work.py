"""How much work a face is: convolutions, products and memory, counted and not timed, so that none of it creeps back."""

from collections import Counter

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.weights.checkpoint import for_inference


class Calls(TorchDispatchMode):
    """Counts the calls of each operator."""

    def __init__(self):
        super().__init__()
        self.number = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def net(tiny_config) -> CodeFormer:
    torch.manual_seed(0)
    return for_inference(CodeFormer(tiny_config))


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64) * 2 - 1


# At most so many: encoder, transformer and decoder alone, and with CFT at two scales. Less is welcome: lower them then.
@pytest.mark.parametrize(("w", "convolutions", "mega_flops"), [(0.0, 46, 775), (0.5, 60, 1457)])
def test_convolutions_and_flops_of_a_face(net, faces, w, convolutions, mega_flops):
    with torch.no_grad(), Calls() as calls:
        net.restore(faces, w)
    assert sum(number for name, number in calls.number.items() if "conv" in name) <= convolutions
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        net.restore(faces, w)
    assert flops.get_total_flops() / len(faces) / 1e6 <= mega_flops


def test_predicting_and_decoding_share_no_work(net, faces):
    """One prediction serves any number of w: each of these costs the decoder alone."""
    with torch.no_grad():
        with FlopCounterMode(display=False) as predicting:
            prediction = net.predict_codes(faces)
        with FlopCounterMode(display=False) as decoding:
            net.decode(prediction, 0.5)
        with FlopCounterMode(display=False) as whole:
            net.restore(faces, 0.5)
    assert predicting.get_total_flops() + decoding.get_total_flops() == whole.get_total_flops()


@pytest.mark.parametrize(("w", "allocated", "peak"), [(0.0, 1060, 190), (0.5, 1650, 262)])
def test_bytes_of_a_face(net, faces, w, allocated, peak):
    """In all, and at most at a time, in float32 numbers a pixel of the face; measured, and a tenth for other CPUs."""
    with torch.inference_mode():
        net.restore(faces, w)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            net.restore(faces, w)
    live = most = total = 0
    for event in profiler.profiler.kineto_results.events():  # pyright: ignore[reportOptionalMemberAccess]
        if event.name() == "[memory]":
            live += event.nbytes()  # pyright: ignore[reportAttributeAccessIssue]
            most, total = max(most, live), total + max(event.nbytes(), 0)  # pyright: ignore[reportAttributeAccessIssue]
    unit = 4 * len(faces) * 64 * 64
    assert total / unit <= allocated
    assert most / unit <= peak


def test_it_compiles_into_one_graph(net, faces):
    compiled = torch.compile(lambda lq: net.restore(lq, 0.5), backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(faces), net.restore(faces, 0.5), atol=1e-5, rtol=1e-5)
