"""What ComfyUI is given: the nodes, the model folders, and replacements for other packs' nodes."""

import os

import folder_paths
from comfy_api.v0_0_2 import ComfyExtension, io

from .crops import CodeFormerCropFaces, CodeFormerPasteFaces, CodeFormerRestoreAligned
from .degrade import CodeFormerDegrade
from .find import CodeFormerDetectFaces, CodeFormerSelectFaces, CodeFormerTrackFaces
from .inspect import CodeFormerInspect, CodeFormerMixCodes
from .load import CodeFormerLoadDetector, CodeFormerLoadModel
from .regions import CodeFormerFacesToMask, CodeFormerFacesToSegs, CodeFormerSegsToFaces
from .repair import CodeFormerColourFaces, CodeFormerFillFaces
from .replacements import register_replacements
from .restore import CodeFormerRestoreFaces
from .run.examples import offer_examples
from .run.model_files import DETECTOR_FOLDER, MODEL_FOLDER
from .sweep import CodeFormerFidelitySweep
from .video import CodeFormerRestoreVideo
from .weights import (
    CodeFormerAutoFidelity,
    CodeFormerCFTWeights,
    CodeFormerFaceWeights,
    CodeFormerRegionWeights,
    CodeFormerWeightSchedule,
)


class CodeFormerExtension(ComfyExtension):
    """The pack, as ComfyUI sees it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        for folder in (MODEL_FOLDER, DETECTOR_FOLDER):  # added, so that extra_model_paths.yaml keeps its own
            folder_paths.add_model_folder_path(folder, os.path.join(folder_paths.models_dir, folder))
        offer_examples()
        await register_replacements()
        return [
            CodeFormerRestoreFaces,
            CodeFormerRestoreVideo,
            CodeFormerFillFaces,
            CodeFormerColourFaces,
            CodeFormerLoadModel,
            CodeFormerLoadDetector,
            CodeFormerDetectFaces,
            CodeFormerTrackFaces,
            CodeFormerSelectFaces,
            CodeFormerCropFaces,
            CodeFormerRestoreAligned,
            CodeFormerPasteFaces,
            CodeFormerCFTWeights,
            CodeFormerRegionWeights,
            CodeFormerFaceWeights,
            CodeFormerAutoFidelity,
            CodeFormerWeightSchedule,
            CodeFormerFidelitySweep,
            CodeFormerInspect,
            CodeFormerMixCodes,
            CodeFormerFacesToMask,
            CodeFormerFacesToSegs,
            CodeFormerSegsToFaces,
            CodeFormerDegrade,
        ]
