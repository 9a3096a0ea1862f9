"""Code predictions that are kept from run to run."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...codeformer_core.networks.codeformer import CodePrediction
from ...codeformer_core.restoration import AlignedFace
from ...codeformer_core.restorer import FaceRestorer
from .remembered import Remembered, content_key


class RememberingRestorer(FaceRestorer):
    """A `FaceRestorer` that asks its network only about crops of which `predictions`, which are its own, hold none."""

    def __init__(self, *args: Any, predictions: Remembered[CodePrediction], **named: Any):
        super().__init__(*args, **named)
        self.predictions = predictions

    def predict(self, faces: Sequence[AlignedFace]) -> CodePrediction:
        """As the core's, of known and unknown faces together."""
        keys = [content_key(face.crop) for face in faces]
        known = [self.predictions.get(key) for key in keys]
        if unknown := [i for i, prediction in enumerate(known) if prediction is None]:
            predicted = super().predict([faces[i] for i in unknown])
            if len(unknown) == len(faces):
                self._keep(keys, predicted)
                return predicted
            for n, i in enumerate(unknown):
                known[i] = _each(predicted, lambda x, n=n: x[n : n + 1])
            self._keep([keys[i] for i in unknown], predicted)
        assert self.net is not None
        device = next(self.net.parameters()).device
        return _together([prediction for prediction in known if prediction is not None], device)

    def _keep(self, keys: Sequence[Hashable], predicted: CodePrediction) -> None:
        size = sum(x.nbytes for x in _tensors(predicted)) // len(keys)
        for n, key in enumerate(keys):
            if not self.predictions.room_for(size):
                return
            own = _each(predicted, lambda x, n=n: x[n : n + 1].to("cpu", copy=True))
            self.predictions.put(key, own, size)


def _tensors(prediction: CodePrediction) -> list[Tensor]:
    """The tensors of a prediction, in a fixed order."""
    return [prediction.logits, prediction.codes, prediction.features, *prediction.cft_features.values()]


def _each(prediction: CodePrediction, change: Callable[[Tensor], Tensor]) -> CodePrediction:
    logits, codes, features, *cft_features = (change(x) for x in _tensors(prediction))
    return CodePrediction(logits, codes, features, dict(zip(prediction.cft_features, cft_features, strict=True)))


def _together(predictions: Sequence[CodePrediction], device: torch.device) -> CodePrediction:
    """One prediction of all faces, on a device."""
    columns = zip(*(_tensors(prediction) for prediction in predictions), strict=True)
    return _each(predictions[0], lambda _: torch.cat([x.to(device) for x in next(columns)]))
