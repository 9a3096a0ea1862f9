"""Films, from file to file."""

from comfy_api.v0_0_2 import Input, InputImpl, io

from ..codeformer_core.fidelity.plan import FidelityPlan
from . import widgets
from .run.loaded import LoadedDetector, LoadedModel
from .run.model_files import default_model_stamp
from .run.report import Report


class CodeFormerRestoreVideo(io.ComfyNode):
    """Restores the faces of a film, frame after frame, without holding its frames."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CodeFormerRestoreVideo",
            display_name="CodeFormer Restore Video",
            category=widgets.CATEGORY,
            description="Restore the faces of a film of any length: found, joined to tracks, restored steadily and put "
            "back, with the film's sound, subtitles and times. Its frames are never all in memory.",
            inputs=[
                io.Video.Input("video", tooltip="From Load Video, or any node that gives a VIDEO."),
                widgets.model(),
                widgets.detector(),
                widgets.weights(),
                widgets.fidelity(),
                io.Int.Input(
                    "upscale",
                    default=1,
                    min=1,
                    max=4,
                    tooltip="How many times larger the film comes out (Lanczos), with the faces pasted at that size.",
                ),
                widgets.which_faces("Of each frame: all faces, the largest, or the one nearest to the centre."),
                io.Boolean.Input(
                    "steady",
                    default=True,
                    tooltip="Hold each tracked face steady: smooth its place, fill frames in which it was not found, "
                    "and keep what only noise changes. Off: each frame by itself.",
                ),
                io.Int.Input(
                    "crf",
                    default=-1,
                    min=-1,
                    max=63,
                    tooltip="Quality of the written film, 0 the best, 51 the worst (63 for av1, vp9 and vp8). -1: the "
                    "codec's usual, 18 for h264.",
                ),
            ],
            outputs=[
                io.Video.Output("restored", display_name="video", tooltip="The film, for Save Video."),
                widgets.report(),
            ],
        )

    @classmethod
    def validate_inputs(cls, faces: str | None = None) -> bool:
        return widgets.check_lists(faces=(faces, widgets.WHICH))

    @classmethod
    def fingerprint_inputs(cls, **inputs: object) -> object:
        return default_model_stamp()

    @classmethod
    def execute(
        cls,
        video: Input.Video,
        model: LoadedModel | None = None,
        detector: LoadedDetector | None = None,
        weights: FidelityPlan | None = None,
        **settings: object,
    ) -> io.NodeOutput:
        from .run.video import restore_video

        report = Report()
        path = restore_video(video, model, detector, weights, report, **settings)  # pyright: ignore[reportArgumentType]
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), report.text, ui=widgets.shown(report))
