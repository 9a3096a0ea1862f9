"""What a preset costs on this machine: memory, FLOPs and time of each stage, from one step with random weights."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from codeformer_core.networks.codeformer import CodeFormer
from codeformer_core.networks.vqgan import VQAutoEncoder

from .averaging import WeightAverage, channels_last
from .presets import StageConfig, TrainConfig
from .stages.adversary import Adversary
from .stages.group_norm import use_quick_norms
from .stages.image_loss import ImageLoss
from .stages.judges import load_judges
from .stages.perceptual import load_perceptual, untrained_vgg
from .stages.stage1 import StageOne
from .stages.stage2 import StageTwo
from .stages.stage3 import StageThree

GIB = 2**30
HEAD = ("stage", "steps", "batch", "GiB fixed", "GiB a face", "GiB a batch", "TFLOP a face", "s a face", "days")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one stage in one process; a step is one that has all its losses."""

    number: int
    steps: int
    batch_size: int
    fixed: int  # bytes of weights, gradients, Adam's moments, the average, and the networks that judge
    a_face: int  # bytes that the backward pass of a face wants kept
    flops: int  # of a face, forward and backward; a multiplication and an addition are two
    seconds: float  # of a face, forward and backward
    update: float  # seconds of a step, whatever its batch: optimizer and average

    @property
    def days(self) -> float:
        """How long the stage takes in one process, if faces are read as quickly."""
        return self.steps * (self.batch_size * self.seconds + self.update) / 86_400


def estimate(config: TrainConfig, number: int, accelerator: Accelerator) -> Cost:
    """Take two steps of one face: one counts, the other is timed."""
    stage_config, device = config.stage(number), accelerator.device
    perceptual, crops = load_judges(config, number, accelerator, lambda: _any_perceptual(config))
    stage = _untrained_stage(config, number, ImageLoss(config, number, perceptual, crops))
    net = channels_last(stage.net, device).train()
    if device.type == "cpu":
        use_quick_norms(net)
    others: list[nn.Module | None] = [perceptual, crops]
    if not isinstance(stage, StageOne):
        others.append(channels_last(stage.teacher.net, device))
    average = WeightAverage(net, stage_config.ema_decay)
    adversary = Adversary(config, number, perceptual).to(device)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=stage_config.lr, betas=stage_config.betas)
    batch, step = _random_face(config.model.vq.image_size, device), _full_step(stage_config)

    def forward_and_backward() -> None:
        with accelerator.autocast():
            adversary.backward(accelerator, stage, stage.losses(batch, step), batch, step, 1)

    with FlopCounterMode(display=False) as counter, _kept_bytes([net, adversary.net, *others]) as kept:
        forward_and_backward()
    optimizer.step()  # makes its moments
    optimizer.zero_grad()
    seconds = _timed(device, forward_and_backward)

    def update() -> None:
        optimizer.step()
        adversary.step(accelerator)
        average.update(net, step)

    fixed = [net, average.net, adversary.net, *others]
    moving = [*trained, *adversary.trained]  # each has a gradient and two moments
    return Cost(
        number=number,
        steps=stage_config.steps,
        batch_size=stage_config.batch_size,
        fixed=sum(_bytes(t) for n in fixed if n is not None for t in n.state_dict().values())
        + 3 * sum(map(_bytes, moving)),
        a_face=sum(kept.values()),
        flops=counter.get_total_flops(),
        seconds=seconds,
        update=_timed(device, update),
    )


def as_table(costs: list[Cost]) -> str:
    """The costs as a Markdown table, a stage a line, and the days together."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for cost in costs:
        whole = cost.fixed + cost.batch_size * cost.a_face
        sizes = (f"{n / GIB:.2f}" for n in (cost.fixed, cost.a_face, whole))
        spent = (f"{cost.flops / 1e12:.2f}", f"{cost.seconds:.2f}", f"{cost.days:.1f}")
        rows.append((f"{cost.number}", f"{cost.steps:,}", f"{cost.batch_size}", *sizes, *spent))
    together = f"{sum(cost.days for cost in costs):.1f} days in one process, if faces are read as quickly"
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n{together}\n"


def _any_perceptual(config: TrainConfig) -> nn.Module:
    try:
        return load_perceptual(config.perceptual)
    except ValueError:  # the weights are not at hand, and do not matter here
        return untrained_vgg()


def _untrained_stage(config: TrainConfig, number: int, image_loss: ImageLoss) -> StageOne | StageTwo | StageThree:
    if number == 1:
        return StageOne(config, image_loss)
    autoencoder = VQAutoEncoder(config.model.vq)
    if number == 2:
        return StageTwo(config, image_loss, autoencoder)
    return StageThree(config, image_loss, autoencoder, CodeFormer(config.model.without_cft))


def _full_step(stage: StageConfig) -> int:
    """A step with all its losses: its adversary has begun, and a face is decoded."""
    begun = min(stage.adversarial_from, stage.steps - 1)
    return next((step for step in range(begun, stage.steps) if not stage.phase_at(step).code_only), begun)


def _random_face(size: int, device: torch.device) -> dict[str, Any]:
    def picture() -> Tensor:
        face = torch.rand(1, 3, size, size, device=device) * 2 - 1
        return face.contiguous(memory_format=torch.channels_last)

    return {"hq": picture(), "lq": picture(), "slot": torch.zeros(1, dtype=torch.long), "native": torch.tensor([size])}


@contextmanager
def _kept_bytes(nets: list[nn.Module | None]) -> Iterator[dict[int, int]]:
    """Address to bytes of what the backward pass wants kept, without the weights of the networks."""
    weights = {t.untyped_storage().data_ptr() for net in nets if net is not None for t in net.state_dict().values()}
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        yield kept


def _timed(device: torch.device, work: Any) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def _bytes(t: Tensor) -> int:
    return t.numel() * t.element_size()
