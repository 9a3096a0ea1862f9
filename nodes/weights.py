"""CFT weighting: how much of the input each scale, place, region, face and frame keeps, as a link for the restorers."""

import torch
from comfy_api.v0_0_2 import io

from ..codeformer_core.fidelity.plan import FidelityPlan
from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report

SCALES = (32, 64, 128, 256)  # px of CFT's features in the official model and the bundled one
FACES_BY = ["order", "size"]
MASK_SPACES = ["picture", "crop"]


class CodeFormerCFTWeights(io.ComfyNode):
    """A base, a factor for each scale, a mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerCFTWeights",
            display_name="CodeFormer CFT Weights",
            category=widgets.CATEGORY,
            description="Weigh the controllable feature transformation (CFT) by scale and by place. All factors at 1 "
            "and no mask is the plain fidelity.",
            inputs=[
                widgets.weights_to_build_on(),
                io.Mask.Input(
                    "fidelity_mask",
                    optional=True,
                    tooltip="Where the weights hold (white) and where outside does (black). The change bleeds over the "
                    "mask's edge by about a tenth of the face, and faintly over all of it.",
                ),
                widgets.fidelity("The paper's w, 0 to 1. Not used where weights bring a base of their own."),
                widgets.fraction("scale_32", 1.0, "Factor at 32 px, the coarsest scale. 1 leaves what comes in."),
                widgets.fraction("scale_64", 1.0, "Factor at 64 px, a coarse scale. 1 leaves what comes in."),
                widgets.fraction("scale_128", 1.0, "Factor at 128 px, a fine scale. 1 leaves what comes in."),
                widgets.fraction(
                    "scale_256",
                    1.0,
                    "Factor at 256 px, the finest scale. Models split their work differently: try Fidelity Sweep.",
                ),
                widgets.fraction("outside", 0.0, "The weight where the mask is black. No mask, no meaning."),
                io.Combo.Input(
                    "mask_space",
                    options=MASK_SPACES,
                    default="picture",
                    tooltip="picture: the mask lies over the whole picture, at any size. crop: over each aligned face.",
                ),
            ],
            outputs=[widgets.weighted()],
        )

    @classmethod
    def validate_inputs(cls, mask_space: str | None = None) -> bool:
        return widgets.check_lists(mask_space=(mask_space, MASK_SPACES))

    @classmethod
    def execute(
        cls,
        fidelity: float,
        outside: float,
        mask_space: str,
        weights: FidelityPlan | None = None,
        fidelity_mask: torch.Tensor | None = None,
        **scales: float,
    ) -> io.NodeOutput:
        from .run.weights import weigh_scales

        factors = {size: scales[f"scale_{size}"] for size in SCALES}
        return io.NodeOutput(weigh_scales(weights, fidelity, factors, fidelity_mask, mask_space, outside))


class CodeFormerRegionWeights(io.ComfyNode):
    """Weights of a face's regions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerRegionWeights",
            display_name="CodeFormer Region Weights",
            category=widgets.CATEGORY,
            description="Another fidelity for the eyes, the brows, the nose, the mouth, the skin, the hair, the rest: "
            "keep the eyes' likeness and let the skin be cleaned. Borders are soft; regions are told by the five "
            "landmarks, or by the detector's parsing net where it has one.",
            inputs=[
                widgets.weights_to_build_on(),
                widgets.region("eyes", 1.0, "Fidelity of the eyes, glasses included. Below 0: as the face has it."),
                widgets.region("brows", -1.0, "Fidelity of the brows. Below 0: as the face has it."),
                widgets.region("nose", -1.0, "Fidelity of the nose. Below 0: as the face has it."),
                widgets.region("mouth", -1.0, "Fidelity of the mouth. Below 0: as the face has it."),
                widgets.region("skin", -1.0, "Fidelity of the face's skin and ears. Below 0: as the face has it."),
                widgets.region(
                    "hair", -1.0, "Fidelity of the hair, which without a parsing net is guessed. Below 0: as the face."
                ),
                widgets.region("rest", -1.0, "Fidelity of all else in the crop. Below 0: as the face has it."),
            ],
            outputs=[widgets.weighted()],
        )

    @classmethod
    def execute(cls, weights: FidelityPlan | None = None, **regions: float) -> io.NodeOutput:
        chosen = FidelityPlan(regions={name: w for name, w in regions.items() if w >= 0})  # pyright: ignore
        return io.NodeOutput((weights or FidelityPlan()).then(chosen))


class CodeFormerFaceWeights(io.ComfyNode):
    """Weights of the faces of a picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerFaceWeights",
            display_name="CodeFormer Face Weights",
            category=widgets.CATEGORY,
            description="Another fidelity for each face: by its place in the order, the largest first, or by its size "
            "in the picture, so that the portrait in front keeps more than the crowd behind.",
            inputs=[
                widgets.weights_to_build_on(),
                io.Combo.Input("by", options=FACES_BY, default="size", tooltip="By the list, or by the faces' size."),
                io.String.Input(
                    "fidelities",
                    default="0.9, 0.4",
                    tooltip="By order: a weight for each face, the largest first. Faces beyond the list keep what "
                    "comes in; more weights than faces are not used.",
                ),
                io.Int.Input("small", default=48, min=1, max=8192, tooltip="By size: a small face's short side, px."),
                widgets.fraction("small_fidelity", 0.2, "Its fidelity, and of smaller."),
                io.Int.Input("large", default=256, min=1, max=8192, tooltip="By size: a large face's short side, px."),
                widgets.fraction("large_fidelity", 0.9, "Its fidelity, and of larger."),
            ],
            outputs=[widgets.weighted()],
        )

    @classmethod
    def validate_inputs(cls, by: str | None = None) -> bool:
        return widgets.check_lists(by=(by, FACES_BY))

    @classmethod
    def execute(cls, by: str, weights: FidelityPlan | None = None, **values: object) -> io.NodeOutput:
        from .run.weights import weigh_faces

        return io.NodeOutput(weigh_faces(weights, by, **values))  # pyright: ignore[reportArgumentType]


class CodeFormerAutoFidelity(io.ComfyNode):
    """The fidelity chosen for each face by how bad it is."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerAutoFidelity",
            display_name="CodeFormer Automatic Fidelity",
            category=widgets.CATEGORY,
            description="Choose each face's fidelity by how bad it is: blurred, noisy, blocky, and, with the bundled "
            "model, how sure the network is of it. With an image, the node shows what it would choose.",
            inputs=[
                widgets.weights_to_build_on(),
                io.Image.Input("image", optional=True, tooltip="To show what would be chosen; not needed for it."),
                widgets.model(),
                widgets.detector(),
                widgets.fraction("lowest", 0.0, "Never less, however bad the face is."),
                widgets.fraction("highest", 1.0, "Never more, however good it is."),
            ],
            outputs=[widgets.weighted(), widgets.report()],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls,
        lowest: float,
        highest: float,
        weights: FidelityPlan | None = None,
        image: torch.Tensor | None = None,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
    ) -> io.NodeOutput:
        from .run.weights import show_weights, weigh_automatically

        plan, report = weigh_automatically(weights, lowest, highest), Report()
        drawn = None if image is None else show_weights(image, model, detector, plan, report)
        return io.NodeOutput(plan, report.text, ui=widgets.shown(report, cls, drawn) if drawn is not None else None)


class CodeFormerWeightSchedule(io.ComfyNode):
    """Weights of the frames of a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerWeightSchedule",
            display_name="CodeFormer Weight Schedule",
            category=widgets.CATEGORY,
            description="Another fidelity for each frame of a batch: keys, and straight lines between them.",
            inputs=[
                widgets.weights_to_build_on(),
                io.String.Input(
                    "keys",
                    default="0: 0.5, 24: 0.9",
                    multiline=True,
                    tooltip="frame: fidelity, with commas or lines between. Frames count from 0; before the first key "
                    "and after the last their values hold.",
                ),
            ],
            outputs=[widgets.weighted()],
        )

    @classmethod
    def execute(cls, keys: str, weights: FidelityPlan | None = None) -> io.NodeOutput:
        from .run.weights import weigh_frames

        return io.NodeOutput(weigh_frames(weights, keys))
