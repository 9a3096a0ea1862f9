"""Networks for the frames of a film: in their memory batch by batch, since others may need it in between."""

from collections.abc import Sequence
from typing import Any

from ...codeformer_core.networks.codeformer import CodePrediction
from ...codeformer_core.restoration import AlignedFace
from ...codeformer_core.restorer import FaceRestorer
from .loaded import MOST_FACES, LoadedDetector, LoadedModel


class FilmRestorer(FaceRestorer):
    """Calls the network onto its device for each batch: in between, others may have needed the memory."""

    def __init__(self, model: LoadedModel, restorer: FaceRestorer):
        super().__init__(restorer.net, restorer.detector, restorer.config, parser=restorer.parser)
        self.model = model

    def predict(self, faces: Sequence[AlignedFace]) -> CodePrediction:
        """As the core's."""
        with self.model.on_device(len(faces)):
            return super().predict(faces)

    def decode(self, faces: Sequence[AlignedFace], prediction: CodePrediction, w: Any = None) -> list[AlignedFace]:
        """As the core's."""
        with self.model.on_device(len(faces)):
            return super().decode(faces, prediction, w)


def film_restorer(model: LoadedModel, detector: LoadedDetector, **settings: Any) -> FilmRestorer:
    """The pipeline with as many faces at a time as the device takes; `settings` are those of `LoadedModel.restorer`."""
    with model.on_device(MOST_FACES) as at_once:
        pass
    return FilmRestorer(model, model.restorer(detector, batch_size=at_once, **settings))
