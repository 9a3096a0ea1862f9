"""What every stage gives to the training loop for a batch."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Losses of a batch, already weighted, with gradients."""

    image_loss: Tensor | None = None  # of `restored` alone
    other_loss: Tensor | None = None  # of codes and features
    restored: Tensor | None = None  # (b, 3, s, s), which the discriminator looks at
    logs: dict[str, Tensor] = field(default_factory=dict)  # scalars for the curves
    codes: Tensor | None = None  # (b, n), those of the encoder in stage I
    z: Tensor | None = None  # (b, d, n, n), the encoder's output in stage I
    accuracy: Tensor | None = None  # (b,), share of codes predicted right in stages II and III
