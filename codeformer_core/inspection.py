"""Looking into the network: its codes, how sure it is of them, and what each scale of CFT changes (Figures 6 and 7)."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from einops import rearrange

from .networks.cft import CFTWeights
from .networks.codeformer import CodeFormer, CodePrediction
from .pictures.arrays import from_network, to_network


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """What a network sees in one aligned face. Maps of codes are (n, n), rows from the top; pictures (s, s, 3) RGB."""

    codes: np.ndarray  # int64: those that the transformer predicts (Eq. 4)
    nearest: np.ndarray  # int64: those of the codebook's items nearest to the encoder's features (Eq. 1)
    confidence: np.ndarray  # float32: the probability of each predicted code, 0 to 1
    restored: np.ndarray  # float32 in [0, 1]: the predicted codes decoded, w = 0
    from_nearest: np.ndarray  # float32 in [0, 1]: the nearest codes decoded, w = 0
    changes: dict[int, np.ndarray]  # {scale: (s, s) float32}: mean change of a pixel by that scale's CFT alone, w = 1
    clean_codes: np.ndarray | None = None  # int64: Code GT, the clean face's own
    from_clean: np.ndarray | None = None  # float32 in [0, 1]: Code GT decoded, the most that w = 0 can reach

    def accuracy(self, codes: np.ndarray) -> float:
        """The share of places where a code map has Code GT; ValueError if no clean face was given."""
        if self.clean_codes is None:
            raise ValueError("without the clean face nothing is known of its codes: give it too")
        return float((codes == self.clean_codes).mean())


@torch.inference_mode()
def inspect_face(
    net: CodeFormer, crop: np.ndarray, clean: np.ndarray | None = None, *, adain: bool = True
) -> Inspection:
    """What the network sees in an aligned face (s, s, 3), RGB in [0, 1], s its own side, and in the clean one.

    Code GT is the transformer's own reading of the clean face: a stage I checkpoint, which could tell it exactly, is no
    part of a CodeFormer.
    """
    weight = next(net.parameters())
    prediction = net.predict_codes(to_network(crop[None], weight.device, weight.dtype))
    nearest = replace(prediction, codes=net.quantize.nearest(prediction.features))
    restored = _picture(net, prediction, 0.0, adain)
    changes = {}
    for size in net.config.cft_sizes:
        changed = _picture(net, prediction, CFTWeights(w={size: 1.0}), adain)
        changes[size] = np.abs(changed - restored).mean(-1)
    clean_codes = from_clean = None
    if clean is not None:
        truth = net.predict_codes(to_network(clean[None], weight.device, weight.dtype))
        clean_codes, from_clean = _code_map(truth.codes), _picture(net, truth, 0.0, adain)
    return Inspection(
        codes=_code_map(prediction.codes),
        nearest=_code_map(nearest.codes),
        confidence=_code_map(prediction.confidence).astype(np.float32),
        restored=restored,
        from_nearest=_picture(net, nearest, 0.0, adain),
        changes=changes,
        clean_codes=clean_codes,
        from_clean=from_clean,
    )


def mix_codes(first: CodePrediction, second: CodePrediction, mask: np.ndarray | None = None) -> CodePrediction:
    """The first faces' prediction with codes of the second, for `decode`; encoder features stay the first's.

    Where a mask (b or 1, h, w) in [0, 1] of any size is more than a half over a code's place, the code is the second
    face's; without one, where the network is surer of it.
    """
    if first.logits.shape != second.logits.shape:
        raise ValueError(f"codes of {len(first.codes)} and {len(second.codes)} faces cannot be mixed: give as many")
    side = round(first.codes.shape[1] ** 0.5)
    if mask is None:
        chosen = second.confidence > first.confidence  # (b, n)
    else:
        shares = [cv2.resize(m.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) for m in mask]
        chosen = torch.from_numpy(np.stack(shares) > 0.5).flatten(1).to(first.codes.device)
        chosen = chosen.expand(len(first.codes), -1)
    return replace(
        first,
        codes=torch.where(chosen, second.codes, first.codes),
        logits=torch.where(chosen[..., None], second.logits, first.logits),
    )


def _picture(net: CodeFormer, prediction: CodePrediction, w: float | CFTWeights, adain: bool) -> np.ndarray:
    return from_network(net.decode(prediction, w, adain))[0]


def _code_map(values: torch.Tensor) -> np.ndarray:  # (1, n * n) -> (n, n)
    side = round(values.shape[1] ** 0.5)
    return rearrange(values, "1 (h w) -> h w", h=side).cpu().numpy()
