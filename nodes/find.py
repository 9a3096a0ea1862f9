"""Finding faces, and choosing among them."""

import torch
from comfy_api.v0_0_2 import io

from . import widgets
from .run.found import FoundFaces
from .run.loaded import LoadedDetector
from .run.report import Report
from .types import Faces

ORDERS = ["size", "left_to_right", "top_to_bottom", "score", "centre"]


class CodeFormerDetectFaces(io.ComfyNode):
    """The faces of each picture, and a picture of what was found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerDetectFaces",
            display_name="CodeFormer Detect Faces",
            category=widgets.CATEGORY,
            description="Find faces with their five landmarks. The preview numbers each picture's faces from 0, "
            "the largest first, as CodeFormer Select Faces does in its default order.",
            inputs=[
                io.Image.Input("image", tooltip="Pictures, or frames of a video."),
                widgets.detector(),
            ],
            outputs=[
                Faces.Output(
                    "faces", display_name="faces", tooltip="For the other CodeFormer nodes, with the same image."
                ),
                io.Int.Output("count", display_name="count", tooltip="How many faces there are in all pictures."),
                widgets.report(),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image: torch.Tensor, detector: LoadedDetector | None = None) -> io.NodeOutput:
        from .run.draw import draw_faces
        from .run.find import detect_faces

        report = Report()
        faces = detect_faces(image, detector, report)
        shown = widgets.shown(report, cls, draw_faces(image, faces))
        return io.NodeOutput(faces, faces.count, report.text, ui=shown)


class CodeFormerTrackFaces(io.ComfyNode):
    """The same people from frame to frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerTrackFaces",
            display_name="CodeFormer Track Faces",
            category=widgets.CATEGORY,
            description="Join the faces of a video's frames to tracks, a number for each person from when they come "
            "until they go or the scene ends. Places are smoothed, and short gaps filled.",
            inputs=[
                io.Image.Input("image", tooltip="The frames in which the faces were found, all and in order."),
                Faces.Input("faces", tooltip="From CodeFormer Detect Faces."),
                io.Int.Input(
                    "max_gap",
                    default=10,
                    min=0,
                    max=1000,
                    tooltip="For how many frames a face may be lost and is found again as the same. It is filled in "
                    "there, with a score of 0. 0: none.",
                ),
                io.Int.Input(
                    "min_length",
                    default=1,
                    min=1,
                    max=1000,
                    tooltip="In how many frames a track must have been seen at the least; chance finds are shorter.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    tooltip="Frames over which landmarks and boxes are smoothed: standard deviation of a Gaussian. "
                    "0: none.",
                ),
            ],
            outputs=[
                Faces.Output("tracked", display_name="faces", tooltip="The same faces with tracks, in their order."),
                io.Int.Output("count", display_name="tracks", tooltip="How many tracks there are."),
                widgets.report(),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image: torch.Tensor, faces: FoundFaces, **config: float) -> io.NodeOutput:
        from .run.draw import draw_faces
        from .run.find import track_batch

        report = Report()
        tracked, tracks = track_batch(image, faces, report, **config)
        shown = widgets.shown(report, cls, draw_faces(image, tracked))
        return io.NodeOutput(tracked, tracks, report.text, ui=shown)


class CodeFormerSelectFaces(io.ComfyNode):
    """Some of the found faces, in another order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerSelectFaces",
            display_name="CodeFormer Select Faces",
            category=widgets.CATEGORY,
            description="Keep some of each picture's faces: by size, score, place, track and pose, then by their "
            "order. Faces with tracks are judged by the whole track.",
            inputs=[
                Faces.Input("faces", tooltip="From CodeFormer Detect Faces or Track Faces."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="Only faces whose middle lies where this is more than a half."
                ),
                io.Combo.Input(
                    "order",
                    options=ORDERS,
                    default="size",
                    tooltip="Largest, leftmost, topmost, surest, or most central face first.",
                ),
                io.Boolean.Input("reverse", default=False, tooltip="The other way round."),
                io.Int.Input("first", default=0, min=0, max=999, tooltip="How many faces of the order to skip."),
                io.Int.Input("count", default=0, min=0, max=999, tooltip="How many to keep at most. 0: all."),
                io.String.Input(
                    "indices",
                    default="",
                    tooltip="Places in the order, from 0, as in 0, 2, 4-6. Empty: all. first and count apply after it.",
                ),
                io.Int.Input(
                    "min_size", default=0, min=0, max=16384, tooltip="Least short side of the face's box, px."
                ),
                io.Int.Input("max_size", default=0, min=0, max=16384, tooltip="Largest short side, px. 0: no limit."),
                io.Float.Input(
                    "min_score", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="How sure the detector must be."
                ),
                io.String.Input(
                    "tracks",
                    default="",
                    optional=True,
                    tooltip="Numbers of CodeFormer Track Faces, as in 0, 2, 4-6: these people in every frame. "
                    "Empty: all.",
                ),
                io.Float.Input(
                    "max_turn",
                    default=180.0,
                    min=0.0,
                    max=180.0,
                    step=5.0,
                    optional=True,
                    tooltip="How many degrees a face may look past the camera: 0 straight into it, 90 a profile. "
                    "180: all.",
                ),
                io.Float.Input(
                    "min_turn",
                    default=0.0,
                    min=0.0,
                    max=180.0,
                    step=5.0,
                    optional=True,
                    tooltip="How many degrees a face must look past the camera at the least: 45 for side faces alone.",
                ),
            ],
            outputs=[Faces.Output("selected", display_name="faces", tooltip="The kept faces, in this order.")],
        )

    @classmethod
    def validate_inputs(cls, order: str | None = None) -> bool:
        return widgets.check_lists(order=(order, ORDERS))

    @classmethod
    def execute(cls, faces: FoundFaces, mask: torch.Tensor | None = None, **choice: object) -> io.NodeOutput:
        from .run.find import choose_faces

        report = Report()
        chosen = choose_faces(faces, mask, report, **choice)  # pyright: ignore[reportArgumentType]
        return io.NodeOutput(chosen, ui=widgets.shown(report))
