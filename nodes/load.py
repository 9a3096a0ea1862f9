"""Loaders: the restoration network; the face detector with, if wanted, a parsing net."""

from typing import Any

from comfy_api.v0_0_2 import io

from . import widgets
from .run import model_files
from .run.loaded import load_detector, load_model
from .types import Detector, Model

PRECISIONS = ["auto", "mixed", "float32"]
LICENSE_TIP = (
    "Downloads under a licence for non-commercial use are fetched only when this is on: read the licence first. "
    "It changes nothing for bundled and own files."
)


class CodeFormerLoadModel(io.ComfyNode):
    """A CodeFormer checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerLoadModel",
            display_name="CodeFormer Load Model",
            category=widgets.CATEGORY,
            description="Load a CodeFormer checkpoint: the bundled one, a file in models/facerestore_models, or a "
            "published one, which is downloaded into that folder when it is first used.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=model_files.model_names(),
                    default=next(iter(model_files.MODELS)),
                    tooltip="Files of models/facerestore_models (.safetensors, .pth) by name. Published weights are "
                    "under the S-Lab License 1.0, for non-commercial use.",
                ),
                io.Boolean.Input("accept_license", default=False, tooltip=LICENSE_TIP),
                io.Combo.Input(
                    "precision",
                    options=PRECISIONS,
                    default="auto",
                    optional=True,
                    tooltip="What the network computes in. mixed: half precision where it does no harm, faster on many "
                    "machines. auto: mixed on processors that are faster so, or if ComfyUI has its VAEs in half "
                    "precision, else float32.",
                ),
            ],
            outputs=[Model.Output("model", display_name="model", tooltip="For all CodeFormer nodes that restore.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str | None = None, precision: str | None = None) -> bool:
        return widgets.check_lists(
            model_name=(model_name, model_files.model_names()), precision=(precision, PRECISIONS)
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str | None = None, **others: object) -> object:
        return model_files.stamp_of(model_files.MODELS, model_name, model_files.MODEL_FOLDER)

    @classmethod
    def execute(cls, model_name: str, accept_license: bool, precision: str = "auto") -> io.NodeOutput:
        return io.NodeOutput(load_model(model_name, accept_license, precision))


class CodeFormerLoadDetector(io.ComfyNode):
    """A face detector and its settings."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerLoadDetector",
            display_name="CodeFormer Load Detector",
            category=widgets.CATEGORY,
            description="Load a face detector: the bundled RetinaFace, a larger one, or a file in models/facedetection "
            "(RetinaFace .safetensors or .pth, YuNet .onnx); with a parsing net, if masks are to follow the face.",
            inputs=[
                io.Combo.Input(
                    "detector_name",
                    options=model_files.detector_names(),
                    default=next(iter(model_files.DETECTORS)),
                    tooltip="The bundled one suits most pictures.",
                ),
                io.Float.Input(
                    "score_threshold",
                    default=0.8,
                    min=0.01,
                    max=0.99,
                    step=0.01,
                    tooltip="Faces that the detector is less sure of are dropped. Lower it for faces it misses.",
                ),
                io.Int.Input(
                    "short_side",
                    default=0,
                    min=0,
                    max=4096,
                    step=32,
                    tooltip="Pixels that the picture's short side is scaled to for the search, 32 or more; more finds "
                    "smaller faces. 0 is automatic: 640, and large pictures again in tiles for their small faces.",
                ),
                io.Combo.Input(
                    "parser_name",
                    options=model_files.parser_names(),
                    default="none",
                    tooltip="A parsing net keeps hats, neck, clothes and hands in front of a face out of it. A file "
                    "of models/facedetection, or a download.",
                ),
                io.Boolean.Input("accept_license", default=False, tooltip=LICENSE_TIP),
                widgets.mask_part("hair", True, "With a parsing net: restored faces bring their hair."),
                widgets.mask_part("hat", False, "With a parsing net: restored faces bring what covers their heads."),
                widgets.mask_part("glasses", True, "With a parsing net: restored faces bring their glasses."),
                widgets.mask_part("neck", False, "With a parsing net: restored faces bring their necks."),
                widgets.mask_part("ears", True, "With a parsing net: restored faces bring ears and earrings."),
            ],
            outputs=[
                Detector.Output(
                    "detector", display_name="detector", tooltip="For all CodeFormer nodes that find or paste faces."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, detector_name: str | None = None, parser_name: str | None = None) -> bool:
        return widgets.check_lists(
            detector_name=(detector_name, model_files.detector_names()),
            parser_name=(parser_name, model_files.parser_names()),
        )

    @classmethod
    def fingerprint_inputs(
        cls, detector_name: str | None = None, parser_name: str | None = None, **others: object
    ) -> object:
        folder = model_files.DETECTOR_FOLDER
        names = ((model_files.DETECTORS, detector_name), (model_files.PARSERS, parser_name))
        return [model_files.stamp_of(known, name, folder) for known, name in names]

    @classmethod
    def execute(
        cls,
        detector_name: str,
        score_threshold: float,
        short_side: int,
        parser_name: str,
        accept_license: bool,
        hair: bool = True,
        hat: bool = False,
        glasses: bool = True,
        neck: bool = False,
        ears: bool = True,
    ) -> io.NodeOutput:
        chosen = {"hair": hair, "hat": hat, "glasses": glasses, "neck": neck, "ears": ears}
        settings: dict[str, Any] = {"score_threshold": score_threshold, "short_side": short_side or "auto"}
        settings["mask_parts"] = [part for part, taken in chosen.items() if taken]
        return io.NodeOutput(load_detector(detector_name, accept_license, parser_name=parser_name, **settings))
