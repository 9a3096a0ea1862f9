"""What a training run is: frozen dataclasses, and the presets as Python objects."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from codeformer_core.networks.config import COLORIZATION, INPAINTING, CodeFormerConfig, VQConfig
from codeformer_core.pictures.degradation import PAPER as PAPER_DEGRADATION
from codeformer_core.pictures.degradation import PUBLISHED_LARGE, PUBLISHED_SMALL, DegradationConfig

from .faces.augment import AugmentConfig

PerceptualName = Literal["vgg19", "lpips", "st-lpips", "efficientnet", "retinaface"]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of stage III with its own fidelity weight and degradations; those that end together take turns."""

    until: int  # the first step that no longer belongs to it
    w: float = 1.0  # 0 or more; beyond 1 in training alone
    degradations: tuple[DegradationConfig, ...] = (PAPER_DEGRADATION,)
    code_only: bool = False  # no face is decoded: the losses of codes and features alone
    turns: int = 1  # steps in a row, where several phases end together

    def __post_init__(self):
        if self.w < 0 or self.turns < 1:
            raise ValueError(f"a phase has w of 0 or more and 1 turn or more, got w {self.w} and {self.turns} turns")


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage: how long, with which optimizer and which losses. The defaults are the paper's stage I."""

    steps: int = 1_500_000
    batch_size: int = 16  # faces a step, of all processes and accumulated batches together
    degradations: tuple[DegradationConfig, ...] = (PAPER_DEGRADATION,)  # each sample draws one; unused in stage I
    phases: tuple[Phase, ...] = ()  # of stage III; none = w 1 and `degradations` throughout
    detach_cft: bool = False  # in stage III no gradient goes through the CFT blocks into the encoder
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    lr: float = 8e-5
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam
    warmup: int = 0  # steps in which the learning rate rises linearly to `lr`
    decay: int = 0  # last steps, in which it falls to `final_lr` as a half cosine
    final_lr: float = 0.0  # as a share of `lr`
    halve_at: tuple[int, ...] = ()  # steps from which it is half of what it was
    clip_norm: float = 0.0  # largest norm of all gradients together; 0 = not clipped
    ema_decay: float = 0.995  # of the averaged weights, which are what is exported; 0 = the last weights

    w_l1: float = 1.0
    w_perceptual: float = 1.0
    w_crops: float = 0.0  # LPIPS of VGG16 on a crop of each face, at the size that it really has
    w_colour: float = 0.0  # mean colours of areas of 16 x 16 px
    w_eyes: float = 0.0  # L1 of both eyes, which are a thirtieth of a face
    w_codebook: float = 1.0  # Eq. 3, stage I; its beta is in VQConfig
    beta_on: Literal["commitment", "codebook"] = "commitment"  # the term that beta weighs: Eq. 3 has the commitment's
    w_code: float = 0.5  # cross-entropy of Eq. 6, stages II and III
    w_feature: float = 1.0  # distance to the code items of Eq. 6
    w_adversarial: float = 0.8
    adaptive: bool = True  # w_adversarial is times |gradient of image losses| / |gradient of adversarial loss|
    adaptive_most: float = 1e4  # the largest such ratio
    adversarial: Literal["hinge", "log"] = "log"  # "log" is Eq. 2
    adversarial_from: int = 0  # the step from which there is a discriminator
    discriminator_lr: float | None = None  # None = `lr`
    inherit_discriminator: bool = False  # begin with stage I's and not with a random one

    unquantized_until: int = 0  # in stage I the share of faces that skip the codebook falls from 1 to 0 at this step
    revive_every: int = 0  # steps after which unused code items are drawn anew from the encoder's outputs; 0 = never
    revive_until: int = 0  # no more from this step on

    save_every: int = 5000  # steps between checkpoints
    sample_every: int = 5000  # steps between sample grids
    validate_every: int = 5000  # steps between measurements on held faces, where there are some (`--val`)
    log_every: int = 100  # steps that one point of the curves averages

    def __post_init__(self):
        if (
            min(self.steps, self.batch_size, self.save_every, self.sample_every, self.log_every, self.validate_every)
            < 1
        ):
            raise ValueError(f"steps, batch_size and the intervals are at least 1, got {self}")
        if self.lr <= 0 or not 0 <= self.ema_decay < 1 or not 0 <= self.final_lr <= 1:
            raise ValueError(f"wanted lr > 0, ema_decay in [0, 1) and final_lr in [0, 1], got {self}")
        if self.warmup + self.decay > self.steps:
            raise ValueError(
                f"warmup {self.warmup} and decay {self.decay} are more than the stage's {self.steps} steps"
            )
        if self.adversarial not in ("hinge", "log"):
            raise ValueError(f"adversarial is 'hinge' or 'log', got {self.adversarial!r}")
        if self.beta_on not in ("commitment", "codebook"):
            raise ValueError(f"beta_on is 'commitment' or 'codebook', got {self.beta_on!r}")
        ends = [phase.until for phase in self.phases]
        if ends != sorted(ends) or (ends and ends[-1] < self.steps):
            raise ValueError(f"phases end in rising order, the last at the stage's {self.steps} steps, got {ends}")

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to; beyond the last step, the last."""
        if not self.phases:
            return Phase(until=self.steps, degradations=self.degradations)
        end = next((phase.until for phase in self.phases if step < phase.until), self.phases[-1].until)
        turns = [phase for phase in self.phases if phase.until == end for _ in range(phase.turns)]
        return turns[step % len(turns)]

    def degradations_at(self, step: int) -> tuple[DegradationConfig, ...]:
        """Of these each sample of a step draws one."""
        return self.phase_at(step).degradations


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A bound on what is measured on held faces, which a stage must keep from a step on; else it is to be changed."""

    stage: int
    step: int
    scalar: str  # as training/validation.py names it
    limit: float
    at_most: bool = False

    def __post_init__(self):
        if self.stage not in (1, 2, 3) or self.step < 1:
            raise ValueError(f"a gate is at a step of stage 1, 2 or 3, got step {self.step} of stage {self.stage}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole run: the networks, the three stages, and what they share."""

    name: str
    model: CodeFormerConfig = field(default_factory=CodeFormerConfig)
    stages: tuple[StageConfig, StageConfig, StageConfig]
    min_side: int | None = None  # px; smaller faces are left out (None: those smaller than the network's)
    perceptual: PerceptualName = "vgg19"
    perceptual_size: int | None = None  # px, to which faces are scaled for it (None: the network's)
    discriminator: Literal["patch", "projected"] = "patch"  # "projected" looks at features of the perceptual network
    discriminator_width: int = 64
    discriminator_downs: int = 4
    mixed_precision: Literal["no", "bf16"] = "no"
    balance: bool = False  # faces of rare skin lightness are drawn more often
    train_decoder: bool = False  # stages II and III leave the decoder free (an ablation of Table 3)
    adain: bool = True  # stage III restores with it, as in use
    gates: tuple[Gate, ...] = ()
    seed: int = 0

    def stage(self, number: int) -> StageConfig:
        """The config of stage 1, 2 or 3."""
        return self.stages[number - 1]

    def judges_faces(self, number: int) -> bool:
        """Whether a stage has losses of restored faces; stage II has those of codes alone, but with a free decoder."""
        return number != 2 or self.train_decoder

    @property
    def no_codebook(self) -> bool:
        """Whether encoder and decoder alone are trained to restore, in stage I, and there are no further stages."""
        return self.model.lookup == "none"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The stages that there are."""
        return (1,) if self.no_codebook else (1, 2, 3)


# Of the adversary the paper gives the weight alone, 0.8. A random discriminator's gradient says nothing, and its
# adaptive weight makes it large: so it begins after the autoencoder has learnt to rebuild, and goes on into stage III.
_PAPER_COMMON = {"adaptive_most": 1.0, "inherit_discriminator": True}
PAPER = TrainConfig(
    name="paper",
    stages=(
        StageConfig(adaptive_most=1.0, adversarial_from=30_001),
        StageConfig(**_PAPER_COMMON, steps=200_000),
        StageConfig(**_PAPER_COMMON, steps=20_000, lr=2e-5),
    ),
)

# The recipe of the published checkpoints, as far as it is known. What it does not tell is the paper's.
_PUBLISHED_COMMON = {"betas": (0.9, 0.99), "adversarial": "hinge", "adaptive_most": 1.0}
PUBLISHED = TrainConfig(
    name="published",
    perceptual="lpips",
    adain=False,  # in use it is on
    stages=(
        StageConfig(
            **_PUBLISHED_COMMON,
            steps=1_600_000,
            batch_size=32,
            lr=7e-5,
            decay=1_600_000,
            final_lr=6 / 7,  # 6e-5
            beta_on="codebook",  # there; the paper has it on the commitment term
            adversarial_from=30_001,
        ),
        StageConfig(
            **_PUBLISHED_COMMON,
            steps=500_000,
            batch_size=32,
            lr=1e-4,
            halve_at=(400_000, 450_000),
            degradations=(PUBLISHED_LARGE,),
        ),
        StageConfig(
            **_PUBLISHED_COMMON,
            steps=150_000,
            batch_size=24,
            lr=5e-5,
            decay=150_000,
            final_lr=0.4,  # 2e-5
            ema_decay=0.997,
            w_adversarial=0.1,
            adversarial_from=5_001,
            inherit_discriminator=True,
            detach_cft=True,
            phases=(
                Phase(until=40_000, degradations=(PUBLISHED_SMALL,)),
                Phase(until=80_000, degradations=(PUBLISHED_SMALL,), w=1.3),
                Phase(until=120_000, degradations=(PUBLISHED_LARGE,), code_only=True),
                Phase(until=150_000, degradations=(PUBLISHED_LARGE,), code_only=True, turns=14),
                Phase(until=150_000, degradations=(PUBLISHED_SMALL,), w=1.3),
            ),
        ),
    ),
)

_LIGHT = AugmentConfig(tone=0.5)  # a small data set must not fix the tone of skin
_MINI_256_COMMON = {
    "batch_size": 4,
    "lr": 3e-4,
    "w_perceptual": 0.2,  # its gradients at the pixels are 20 to 70 times those of L1
    "betas": (0.9, 0.99),
    "warmup": 100,
    "clip_norm": 1.0,
    "ema_decay": 0.999,
    "w_adversarial": 0.0,  # in the steps at hand a discriminator learns next to nothing
    "augment": _LIGHT,
    "save_every": 200,
    "sample_every": 500,
    "log_every": 25,
}
MINI_DEGRADATIONS = (  # as bad as the paper's, and like an ordinary small face in a photograph; each as often
    DegradationConfig(blur_sigma=(0.5, 15.0), downscale=(1.0, 30.0), noise=(0.0, 20.0), jpeg_quality=(30, 95)),
    DegradationConfig(blur_sigma=(0.2, 5.0), downscale=(1.0, 6.0), noise=(0.0, 10.0), jpeg_quality=(50, 95)),
)
NEARLY_SHARP = DegradationConfig(blur_sigma=(0.0, 3.0), downscale=(1.0, 4.0), noise=(0.0, 8.0), jpeg_quality=(60, 100))
# The default model up to version 3: 256 px, trained on two CPU cores. Version 4 was refined from it (refine.py); see
# codeformer_core/assets/mini.md.
MINI_256 = TrainConfig(
    name="mini_256",
    model=CodeFormerConfig(
        vq=VQConfig(
            image_size=256, width=32, ch_mult=(1, 1, 2, 2, 4), n_res_blocks=1, codebook_size=512, codebook_dim=128
        ),
        dim=256,
        n_heads=4,
        n_layers=6,
        mlp_dim=512,
        cft_sizes=(32, 64, 128, 256),
    ),
    perceptual="efficientnet",
    mixed_precision="bf16",
    balance=True,
    stages=(
        StageConfig(
            **{**_MINI_256_COMMON, "lr": 5e-4},
            steps=4_000,
            decay=1_400,
            final_lr=0.05,
            unquantized_until=600,
            revive_every=25,
            revive_until=3_000,
        ),
        StageConfig(**_MINI_256_COMMON, steps=2_000, decay=1_200, final_lr=0.05, degradations=MINI_DEGRADATIONS),
        StageConfig(
            **{**_MINI_256_COMMON, "lr": 4e-4, "w_perceptual": 0.4},
            steps=5_500,
            decay=3_000,
            final_lr=0.05,
            w_l1=4.0,  # at 1, colours of large areas stayed off at w = 1
            degradations=(*MINI_DEGRADATIONS, NEARLY_SHARP),  # which w = 1 must not make softer
        ),
    ),
)


UNTOUCHED = DegradationConfig(blur_sigma=(0.0, 0.0), downscale=(1.0, 1.0), noise=(0.0, 0.0), jpeg_quality=(100, 100))
_VARIED = AugmentConfig(tone=0.4, background=0.3)
_MINI_COMMON = {
    **{name: value for name, value in _MINI_256_COMMON.items() if name != "w_adversarial"},
    "augment": _VARIED,
    "w_l1": 2.0,
    "w_perceptual": 0.15,
    "w_crops": 0.2,  # its gradients at the pixels are as large, in all, as those of the perceptual loss
    "w_colour": 1.0,
    "adversarial": "hinge",
    "adaptive_most": 1.0,
    "discriminator_lr": 2e-4,
    "save_every": 50,
    "log_every": 20,
    "validate_every": 500,
}
# A default model from scratch: 512 px, whose features are no larger than 128 px, so that it costs what 256 px did.
MINI = TrainConfig(
    name="mini",
    model=CodeFormerConfig(
        vq=VQConfig(image_size=512, patch=4, width=64, ch_mult=(1, 2, 2, 3), n_res_blocks=1, attn_sizes=()),
        dim=256,
        n_heads=4,
        n_layers=6,
        mlp_dim=512,
        cft_sizes=(32, 64, 128),
    ),
    min_side=192,
    perceptual="efficientnet",
    perceptual_size=256,
    discriminator="projected",
    mixed_precision="bf16",
    balance=True,
    gates=(
        Gate(stage=1, step=7_000, scalar="val/PSNR without codebook", limit=28.0),
        Gate(stage=1, step=7_000, scalar="val/grid", limit=2.0, at_most=True),  # times that of the clean faces
        Gate(stage=1, step=24_000, scalar="val/PSNR", limit=26.35),  # this and the next two: version 3's, or better
        Gate(stage=1, step=24_000, scalar="val/PD", limit=0.100, at_most=True),
        Gate(stage=1, step=24_000, scalar="val/tone", limit=2.5, at_most=True),
        Gate(stage=1, step=24_000, scalar="val/codes used", limit=0.9),
        Gate(stage=2, step=29_000, scalar="val/medium/PD above Code GT", limit=0.020, at_most=True),
    ),
    stages=(
        StageConfig(
            **{**_MINI_COMMON, "lr": 5e-4},
            steps=24_000,
            decay=9_000,
            final_lr=0.05,
            w_adversarial=0.8,
            adversarial_from=7_000,  # an adversary of an autoencoder that still blurs learns to find blur
            unquantized_until=4_000,
            revive_every=50,
            revive_until=16_000,
        ),
        StageConfig(
            **{**_MINI_COMMON, "validate_every": 1_000},
            steps=29_000,
            decay=12_000,
            final_lr=0.05,
            w_adversarial=0.0,
            degradations=MINI_DEGRADATIONS,
        ),
        StageConfig(
            **{**_MINI_COMMON, "lr": 4e-4, "w_l1": 4.0, "w_perceptual": 0.3, "validate_every": 1_000},
            steps=17_000,
            decay=9_000,
            final_lr=0.05,
            w_adversarial=0.1,
            adversarial_from=3_000,
            degradations=(
                *MINI_DEGRADATIONS * 3,
                *(NEARLY_SHARP,) * 3,
                UNTOUCHED,
            ),  # a third is near sharp, a tenth untouched
        ),
    ),
)


def with_steps(stage: StageConfig, steps: int) -> StageConfig:
    """The stage in `steps` steps; what is counted in steps of its course is scaled along."""

    def scaled(n: int) -> int:
        return n * steps // stage.steps

    return replace(
        stage,
        steps=steps,
        warmup=scaled(stage.warmup),
        decay=scaled(stage.decay),
        halve_at=tuple(scaled(step) for step in stage.halve_at),
        adversarial_from=scaled(stage.adversarial_from),
        unquantized_until=scaled(stage.unquantized_until),
        revive_until=scaled(stage.revive_until),
        phases=tuple(replace(phase, until=scaled(phase.until)) for phase in stage.phases),
    )


def _with_augment(config: TrainConfig, name: str, model: CodeFormerConfig, augment: AugmentConfig) -> TrainConfig:
    """Inputs changed by `augment` from stage II on."""
    first, second, third = config.stages
    stages = (first, replace(second, augment=augment), replace(third, augment=augment))
    return replace(config, name=name, model=model, stages=stages)


COLOUR = _with_augment(
    PUBLISHED, "colour", COLORIZATION, AugmentConfig(colour_jitter=0.3, grey=0.01)
)  # colour enhancement
COLORIZE = _with_augment(PUBLISHED, "colorize", COLORIZATION, AugmentConfig(grey=1.0))
INPAINT = replace(_with_augment(PUBLISHED, "inpaint", INPAINTING, AugmentConfig(mask=1.0)), adain=False)


def ablations(base: TrainConfig) -> tuple[TrainConfig, ...]:
    """What the paper compares `base` with: Table 3's networks, Table 6's codebooks, Table 7's transformers."""

    def other(name: str, **changes: Any) -> TrainConfig:
        return replace(base, name=name, model=replace(base.model, **changes))

    vq = base.model.vq
    return (
        other("no_codebook", lookup="none", cft_sizes=()),
        other("nearest", lookup="nearest"),
        other("linear", lookup="linear"),
        replace(base, name="train_decoder", train_decoder=True),
        *(other(f"codes{size}", vq=replace(vq, codebook_size=size)) for size in (384, 768, 1024)),
        *(other(f"layers{n}", n_layers=n) for n in (4, 9, 15)),
        other("multi_scale", seen_sizes=tuple(sorted(vq.sizes[-3:-1]))),
    )


MAIN = (PAPER, PUBLISHED, MINI, MINI_256, COLOUR, COLORIZE, INPAINT)
PRESETS = {config.name: config for config in (*MAIN, *ablations(PAPER))}
