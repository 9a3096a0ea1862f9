"""What the command line understands, and its help texts."""

import argparse
from pathlib import Path
from typing import Any, Literal, NoReturn

EXIT_ERROR = 2
LEVELS = ("paper", "published_large", "published_small", "mild", "medium", "heavy")
EXAMPLES = """examples:
  codeformer restore party.jpg -o restored
  codeformer restore scans -o restored -w 0.7 --upscale 2
  codeformer restore film.mp4 -o restored
  codeformer restore 'frames/*.png' -o restored --faces largest --save-crops

Beside each result, such as restored/party.jpg, a report restored/party.jpg.json says what was found and done.
The exit code is 0, 2 when a picture failed or nothing could be done, or 130 when stopped with Ctrl-C."""


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong; argparse would print the usage too."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ERROR, f"codeformer: {message}; see {self.prog} --help\n")


def command_line() -> argparse.ArgumentParser:
    """What `codeformer` understands; the name of the command is put into `command`."""
    whole = OneLineParser(prog="codeformer", description="Restore the faces of pictures with CodeFormer.")
    common = OneLineParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_restore(commands, common)
    _add_fill(commands, common)
    _add_colour(commands, common)
    _add_degrade(commands, common)

    info = commands.add_parser("info", parents=[common], help="show what a checkpoint holds")
    info.add_argument("checkpoint", type=_path, metavar="FILE", help="a .safetensors or .pth file of any network")

    convert = commands.add_parser("convert", parents=[common], help="rewrite a checkpoint as safetensors")
    convert.add_argument("source", type=_path, metavar="IN", help="a .pth or .safetensors file")
    convert.add_argument("target", type=_path, metavar="OUT.safetensors", help="the file to write")
    convert.add_argument("--overwrite", action="store_true", help="replace OUT.safetensors if it is there")

    export = commands.add_parser(
        "export-onnx",
        parents=[common],
        help="write a network as ONNX, for other programs",
        description="Write a CodeFormer as ONNX in float32: inputs lq (batch, 3, side, side), RGB from -1 to 1, and w "
        "(batch), 0 to 1; outputs restored, like lq, and codes.",
    )
    export.add_argument(
        "model", type=_name, metavar="MODEL", help="mini, official, inpainting, colorization, or a file"
    )
    export.add_argument("target", type=_path, metavar="OUT.onnx", help="the file to write")
    export.add_argument("--overwrite", action="store_true", help="replace OUT.onnx if it is there")
    _add_downloads(export)

    migrate = commands.add_parser(
        "migrate-workflow",
        parents=[common],
        help="make a ComfyUI workflow of facerestore_cf or ReActor use our nodes",
        description="Rewrite a ComfyUI workflow, as saved or as exported for the API, with our nodes instead of those "
        "of facerestore_cf and ReActor that restore faces. What has no equivalent is listed.",
    )
    migrate.add_argument("source", type=_path, metavar="OLD.json", help="the workflow")
    migrate.add_argument("target", type=_path, metavar="NEW.json", help="the file to write")
    migrate.add_argument("--overwrite", action="store_true", help="replace NEW.json if it is there")
    migrate.add_argument("--replace-gfpgan", action="store_true", help="use the bundled CodeFormer also in place of "
        "GFPGAN, GPEN and RestoreFormer (default: nodes with these are left as they are)")  # fmt: skip
    return whole


def _search_size(text: str) -> int | Literal["auto"]:
    try:
        return "auto" if text == "auto" else int(text)
    except ValueError:
        message = f"{text!r} is no size: give auto, or pixels, such as 1280"
        raise argparse.ArgumentTypeError(message) from None


def _path(text: str) -> Path:
    return Path(_name(text))


def _name(text: str) -> str:
    if not text or "\0" in text:  # "$UNSET" would mean this folder
        raise argparse.ArgumentTypeError("the name is empty" if not text else "the name holds a null byte")
    return text


def _parts(text: str) -> tuple[str, ...]:
    """In one order, since a result does not depend on theirs."""
    return () if text == "none" else tuple(sorted(part.strip() for part in text.split(",")))


def _add_restore(commands: Any, common: OneLineParser) -> None:
    restore = commands.add_parser(
        "restore",
        parents=[common],
        help="restore the faces of pictures and films",
        usage="%(prog)s INPUT... -o OUT [-w W] [--model M] [options]",
        description="Find the faces of pictures, restore them and put them back. What is done is not done again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = restore.add_argument
    add("inputs", nargs="+", type=_path, metavar="INPUT",
        help="a picture or film, a folder with all of them below it, or a pattern such as 'in/*.png'")  # fmt: skip
    add("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results (required)")
    add("-w", "--fidelity", metavar="W", help="fidelity weight: 0 looks best, 1 is closest to the input (default 0.5; "
        "mini 0.8, inpainting 1, colorization 0); auto, or auto:0.4-0.9: by how bad each face is; "
        "32:0.2,64:0.5: by the scales of CFT in px, coarse to fine, 0 at those not named")  # fmt: skip
    add("--model", type=_name, metavar="M", help="mini, official, inpainting, colorization, or a checkpoint file "
        "(default: official where it is installed, else mini)")  # fmt: skip
    add("--upscale", type=int, default=1, choices=(1, 2, 3, 4), help="enlarge the whole picture (default 1)")
    add("--background", type=_path, metavar="PATH",
        help="paste into this picture, enlarged --upscale times already; or a folder of such, named so")  # fmt: skip
    add("--aligned", action="store_true", help="the inputs are aligned faces: no detection, no paste-back")
    add("--format", metavar="F", help="png, jpg, webp, tiff, bmp, avif or heic (default: each input's own)")
    add("--codec", metavar="C", help="of films: h264, hevc, av1, vp9, vp8, prores or ffv1 (default: each film's own, "
        "if it is one of these, else h264)")  # fmt: skip
    add("--crf", type=int, metavar="N", help="quality of films, 0 is best, 51 worst, 63 for av1, vp9 and vp8 (default "
        "by codec, 18 for h264)")  # fmt: skip
    add("--save-crops", action="store_true", help="also save each aligned face before and after, in OUT/NAME_faces")
    add("--strip-metadata", action="store_true",
        help="drop the inputs' EXIF, text (prompts, workflows), XMP and IPTC; colour profiles stay")  # fmt: skip
    add("--overwrite", action="store_true", help="do again what is done, and replace other files in OUT")

    faces = restore.add_argument_group("which faces")
    add = faces.add_argument
    add("--detector", type=_name, default="retinaface_mobile0.25", metavar="D",
        help="retinaface_mobile0.25 (bundled), retinaface_resnet50, or a RetinaFace or YuNet file")  # fmt: skip
    add("--min-score", type=float, default=0.8, metavar="S", help="least score of a face, 0.01 to 0.99 (default 0.8)")
    add("--min-confidence", type=float, metavar="C", help="leave a face of whose codes the network is less sure, "
        "0 to 1, and that is not found again in its crop; 0: none (default 0.1; mini 0.6)")  # fmt: skip
    add("--detect-size", type=_search_size, default="auto", metavar="PX", help="the picture is searched with its "
        "short side scaled to this; more finds smaller faces, 0 is the picture's own size; auto: 640, and large "
        "pictures again in tiles for their small faces (default auto)")  # fmt: skip
    add("--faces", default="all", choices=("all", "largest", "centre"), help="of those that are found (default all)")
    add("--min-size", type=float, default=0, metavar="PX", help="least short side of a face's box")
    add("--max-size", type=float, metavar="PX", help="greatest short side of a face's box")
    add("--max-faces", type=int, metavar="N", help="at most so many, the first in --order")
    add("--order", default="size", choices=("size", "left_to_right", "top_to_bottom", "score", "centre"),
        help="of the faces in the report, the crops and for --max-faces (default size)")  # fmt: skip
    add("--large-faces", default="keep_detail", choices=("keep_detail", "replace", "skip"),
        help="faces larger than the network's crop: keep the picture's own fine detail (default), and clean ones their "
        "pores and grain, replace it too, or skip")  # fmt: skip

    fidelity = restore.add_argument_group("fidelity by place, region and face")
    add = fidelity.add_argument
    add("--w-region", metavar="R=W,...", help="another weight for eyes, brows, nose, mouth, skin, hair or rest, "
        "as in eyes=1,mouth=0.3; told by the five landmarks, or by --parser")  # fmt: skip
    add("--w-mask", type=_path, metavar="PATH", help="where -w holds: white in this picture of any size, or in the one "
        "with the input's name in this folder; about a tenth of a face's width bleeds over its edge")  # fmt: skip
    add("--w-outside", type=float, metavar="W", help="the weight where --w-mask is black (default 0)")
    add("--w-faces", metavar="W,W,...", help="a weight for each face in the report's order; others keep -w")
    add("--w-plan", type=_path, metavar="FILE.json", help="all of that from a file: base, frames, sizes, faces, "
        "regions, mask, outside, scales; what is given beside it stands in its place")  # fmt: skip

    look = restore.add_argument_group("how they are put back")
    add = look.add_argument
    add(
        "--parser",
        type=_name,
        metavar="P",
        help="masks that follow the face: parsenet, bisenet, or a file of such weights",
    )
    add("--mask-parts", type=_parts, default=("ears", "glasses", "hair"), metavar="P,...",
        help="what the masks of --parser take in besides the bare face: of hair, hat, glasses, neck, ears; or none "
        "(default hair,glasses,ears)")  # fmt: skip
    add("--occlusion", action="store_true", help="leave what hides a face, such as a microphone, as it is: where input "
        "and restored face have other coarse colours; needs no parsing net")  # fmt: skip
    add("--side-strength", type=float, default=0.5, metavar="S", help="how far restored faces in profile cover the "
        "picture's own, 0 to 1: 1 up to 45 degrees of turn, this at 90 (default 0.5; 1: like others)")  # fmt: skip
    add("--mask", type=_path, metavar="PATH",
        help="change only where this picture is white; or a folder of such, named as the inputs")  # fmt: skip
    add("--feather", type=float, default=0.05, metavar="F", help="softness of the edge, 0 to 0.25 (default 0.05)")
    add("--colour-match", "--color-match", choices=("none", "lab", "wavelet"),
        help="give restored faces the colours of the picture: their mean and spread (lab), or all but the fine "
        "detail (wavelet) (default none; mini wavelet)")  # fmt: skip
    add("--adain", action=argparse.BooleanOptionalAction,
        help="match the statistics of the codes to the input's (default: on, off for inpainting)")  # fmt: skip
    add("--keep-grey", action=argparse.BooleanOptionalAction,
        help="grey faces stay grey (default: on, off for colorization)")  # fmt: skip

    add = _add_machine(restore)
    add("--ray", nargs="?", const="", metavar="ADDRESS", help="share the work out among the graphics cards, or else "
        "cores, of a Ray cluster whose machines all see the files (docs/cluster.md); without an address: of "
        "RAY_ADDRESS, or else of this machine. Write it last, or --ray=ADDRESS; needs the extra [ray]")  # fmt: skip


def _add_machine(command: Any) -> Any:
    """The options of machine and downloads; what adds another to them."""
    machine = command.add_argument_group("machine and downloads")
    add = machine.add_argument
    add(
        "--device",
        type=_name,
        metavar="DEV",
        help="cpu, cuda, cuda:1 or mps (default: cuda where there is one, else cpu)",
    )
    add("--dtype", default="auto", choices=("auto", "mixed", "float32", "bfloat16", "float16"),
        help="what the restoring network computes in; mixed: half precision where that does no harm; auto (default): "
        "mixed on processors that are faster so, else float32")  # fmt: skip
    add("--batch-size", type=int, metavar="N", help="faces at once through the network (default 4 on graphics "
        "cards, 1 on processors)")  # fmt: skip
    add("--compile", action="store_true", help="compile the network for this machine first, for long runs on graphics "
        "cards: the first faces wait for it, a minute or more; on processors it was measured to be slower")  # fmt: skip
    _add_downloads(machine)
    return add


def _add_downloads(to: Any) -> None:
    to.add_argument("--accept-license", action="store_true", help="accept the licence of weights that are downloaded")
    to.add_argument("--offline", action="store_true", help="never download")


def _add_fill(commands: Any, common: OneLineParser) -> None:
    fill = commands.add_parser(
        "fill",
        parents=[common],
        help="fill what is torn, scratched or painted over of faces",
        usage="%(prog)s INPUT... -o OUT --fill-mask PATH [options]",
        description="Draw the faces of pictures anew where a mask is white, and nothing else. What lies on no face "
        "stays as it is. What is done is not done again.",
    )
    add = fill.add_argument
    add("inputs", nargs="+", type=_path, metavar="INPUT", help="a picture, a folder of pictures, or a pattern")
    add("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results (required)")
    add("--fill-mask", type=_path, metavar="PATH", help="white where the picture is to be filled, of any size; or a "
        "folder of such, named as the inputs")  # fmt: skip
    add("--white", action="store_true", help="the pictures themselves have pure white strokes, which are filled")
    add("--threshold", type=float, default=0.5, metavar="T", help="the mask's value from which on it is white, more "
        "than 0, at most 1 (default 0.5)")  # fmt: skip
    add("--grow", type=int, default=1, metavar="PX", help="how far around the mask the filled face fades into the "
        "picture, 0 to 100 (default 1)")  # fmt: skip
    add("--model", type=_name, metavar="M", help="mini-fill (bundled), inpainting, a checkpoint file, or one for "
        "restoration, which is given holes filled by OpenCV (default: inpainting where it is installed)")  # fmt: skip
    fill.set_defaults(background=None)
    _add_shared(fill)


def _add_colour(commands: Any, common: OneLineParser) -> None:
    colour = commands.add_parser(
        "colour",
        aliases=["color"],
        parents=[common],
        help="give grey, toned or faded faces colours",
        usage="%(prog)s INPUT... -o OUT [--strength S] [options]",
        description="Give the faces of grey, toned or faded pictures colours, and leave light and shade as they are. "
        "What is around faces stays grey, or is taken from --background. What is done is not done again.",
    )
    add = colour.add_argument
    add("inputs", nargs="+", type=_path, metavar="INPUT", help="a picture, a folder of pictures, or a pattern")
    add("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results (required)")
    add("--strength", type=float, default=1.0, metavar="S", help="of the new colours, 0 to 1 (default 1)")
    add("--luminance", default="kept", choices=("kept", "restored"), help="light and shade: the picture's own, or "
        "those of the restored face (default kept)")  # fmt: skip
    add("--background", type=_path, metavar="PATH", help="a picture of the input's size that another program has "
        "coloured, around the faces; or a folder of such, named as the inputs")  # fmt: skip
    add("--model", type=_name, metavar="M", help="mini-colour (bundled), colorization, or a checkpoint file (default: "
        "colorization where it is installed)")  # fmt: skip
    colour.set_defaults(fill_mask=None)
    _add_shared(colour)


def _add_shared(command: Any) -> None:
    """What `fill` and `colour` have in common."""
    add = command.add_argument
    add("--format", metavar="F", help="png, jpg, webp, tiff, bmp, avif or heic (default: each input's own)")
    add("--strip-metadata", action="store_true", help="drop the inputs' EXIF, text, XMP and IPTC")
    add("--overwrite", action="store_true", help="do again what is done, and replace other files in OUT")
    add("--detector", type=_name, default="retinaface_mobile0.25", metavar="D",
        help="retinaface_mobile0.25 (bundled), retinaface_resnet50, or a RetinaFace or YuNet file")  # fmt: skip
    add("--min-score", type=float, default=0.8, metavar="S", help="least score of a face, 0.01 to 0.99 (default 0.8)")
    add("--detect-size", type=_search_size, default="auto", metavar="PX", help="as for restore (default auto)")
    add("--faces", default="all", choices=("all", "largest", "centre"), help="of those that are found (default all)")
    add("--max-faces", type=int, metavar="N", help="at most so many, the largest first")
    command.set_defaults(aligned=False, parser=None)
    _add_machine(command)


def _add_degrade(commands: Any, common: OneLineParser) -> None:
    degrade = commands.add_parser(
        "degrade",
        parents=[common],
        help="make low-quality pictures to test with",
        usage="%(prog)s INPUT... -o OUT [--level L] [--seed N] [options]",
        description="Make low-quality pictures to test with, by the paper's Eq. 9: blur, shrink, noise, JPEG, enlarge.",
    )
    add = degrade.add_argument
    add("inputs", nargs="+", type=_path, metavar="INPUT", help="a picture, a folder of pictures, or a pattern")
    add("-o", "--output", type=_path, required=True, metavar="OUT", help="folder for the results, PNG (required)")
    add("--level", default="paper", choices=LEVELS, metavar="L", help="what each picture's numbers are drawn from: "
        f"{', '.join(LEVELS)} (default paper)")  # fmt: skip
    add("--seed", type=int, default=0, metavar="N", help="same seed and file name, same result (default 0)")
    add("--overwrite", action="store_true", help="replace files in OUT")
    for name, kind, meaning in (
        ("blur-sigma", float, "standard deviation of the blur in pixels"),
        ("downscale", float, "how many times smaller"),
        ("noise", float, "standard deviation of the noise, where white is 255"),
        ("jpeg-quality", int, "1 to 100"),
    ):
        add(f"--{name}", nargs=2, type=kind, metavar=("LOW", "HIGH"), help=f"{meaning}, instead of the level's range")
