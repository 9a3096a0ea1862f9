"""Whatever the input, the command line ends with 0, or with 2 and one line for each fault: seeded, on tiny networks."""

import copy
import io
import json
import random
import re
import signal
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from codeformer_core import CodeFormer, CodeFormerConfig, VQConfig
from codeformer_core.command_line.cli import main
from codeformer_core.detection import load as loading
from codeformer_core.networks.config import config_to_json

resource = pytest.importorskip("resource", reason="memory is measured as Unix does")
PICTURES, CHECKPOINTS, COMMAND_LINES, WORKFLOWS = 500, 100, 60, 100
SECONDS = 10  # for one input, on a slow and busy machine
MEGABYTES = 700  # that the process may grow by, over all inputs of a test
WILD = (0, -1, 1, 2, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
HEADERS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF\xff\xff\0\0WEBPVP8L",
    b"8BPS\0\1",
    b"%PDF-1.7\n",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\0\0\1\0",
    b"P6 9999 9999 255\n",
    b"icns",
    b"\x80\x02",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\0\0\0\x1cftypavif",
    b"qoif",
    b"SIMPLE  =",
    b"#?RADIANCE\n",
    b"DDS ",
    b"\x01\xda",
    b"\0asm",
    b"<svg>",
    b"{",
    b"",
)


class TookTooLong(BaseException):
    """So that nothing on the way catches it."""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[..., int]:
    """Runs a command line; its exit code is 0 or 2, with a line or more on standard error, soon, and not in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEFORMER_HOME", str(tmp_path / "weights"))
    monkeypatch.setenv("CODEFORMER_OFFLINE", "1")
    monkeypatch.setattr("logging.root.handlers", [])
    before = _peak_megabytes()

    def run(*arguments: str | Path, faults: int | None = 1) -> int:
        said = f"codeformer {' '.join(map(repr, map(str, arguments)))}"
        began = time.perf_counter()
        with _no_longer_than(60):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as exit:  # argparse's
                code = exit.code
            except (Exception, TookTooLong) as error:
                raise AssertionError(f"{said} raised {error!r}") from error
        taken, err = time.perf_counter() - began, capsys.readouterr().err
        assert code in (0, 2), said
        assert "Traceback" not in err, said
        lines = [line for line in err.splitlines() if line.startswith("codeformer: ")]
        assert (code == 2) == bool(lines), (said, err)
        assert faults is None or len(lines) <= faults, (said, err)
        assert taken < (SECONDS if faults else 60), f"{said} took {taken:.1f} s"
        assert _peak_megabytes() - before < MEGABYTES, said
        assert not list(tmp_path.rglob(".*.part")), said
        return int(code or 0)

    return run


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TookTooLong(f"after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    vq = VQConfig(
        image_size=16, width=32, ch_mult=(1, 1), n_res_blocks=1, attn_sizes=(8,), codebook_size=8, codebook_dim=4
    )
    config = CodeFormerConfig(vq=vq, dim=8, n_heads=2, n_layers=1, mlp_dim=8, cft_sizes=(16,))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    net = CodeFormer(config)
    path.write_bytes(save(net.state_dict(), {"codeformer_config": config_to_json(config)}))
    return path


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut, put in, or doubled; more often where headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(max(1, len(changed) if rng.random() < 0.4 else min(len(changed), 200)))
        match rng.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << rng.randrange(8)]) if at < len(changed) else b"x"
            case 1:
                del changed[at:]
            case 2:
                number = rng.choice(WILD) & 0xFFFFFFFF  # sizes in headers, lengths of chunks
                changed[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)
            case 3:
                changed[at:at] = rng.randbytes(rng.randrange(1, 40))
            case 4:
                head = rng.choice(HEADERS)
                changed[: len(head)] = head
            case 5:
                del changed[at : at + rng.randrange(1, 60)]
            case 6:
                changed[at:at] = changed[at : at + rng.randrange(1, 200)]
    return bytes(changed)


def pictures() -> list[tuple[str, bytes]]:
    """Small whole pictures of many formats and modes."""
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 4), np.uint8)
    rgba = Image.fromarray(noise)
    found = []
    for suffix, format, mode, options in (
        ("png", "PNG", "RGB", {}),
        ("png", "PNG", "RGBA", {"pnginfo": None}),
        ("png", "PNG", "P", {"transparency": 0}),
        ("png", "PNG", "I;16", {}),
        ("jpg", "JPEG", "RGB", {"exif": _exif()}),
        ("jpg", "JPEG", "CMYK", {}),
        ("webp", "WEBP", "RGBA", {}),
        ("webp", "WEBP", "RGB", {"lossless": True}),
        ("tif", "TIFF", "RGB", {}),
        ("tif", "TIFF", "I;16", {}),
        ("bmp", "BMP", "RGB", {}),
        ("tif", "TIFF", "LAB", {}),
        ("gif", "GIF", "P", {}),
        ("tiff", "TIFF", "L", {"compression": "tiff_lzw"}),
        ("png", "PNG", "1", {}),
    ):
        image = (
            Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
            if mode == "I;16"
            else rgba.convert("RGB").convert(mode)
        )
        file = io.BytesIO()
        image.save(file, format, **options)
        found.append((suffix, file.getvalue()))
    return found


def _exif() -> bytes:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Make"
    return exif.tobytes()


def test_pictures(run, model, tmp_path):
    rng, whole = random.Random(1), pictures()
    for i in range(PICTURES):
        suffix, data = whole[i % len(whole)]
        (tmp_path / "in").mkdir(exist_ok=True)
        path = tmp_path / "in" / f"{i}.{suffix}"
        path.write_bytes(mutated(data, rng))
        run("degrade", path, "-o", "degraded", "-q", "--jpeg-quality", "50", "50", "--downscale", "1", "2")
    run("restore", "in", "-o", "restored", "-q", "--aligned", "--model", model, faults=None)
    results = [path for path in (tmp_path / "restored").rglob("*") if path.suffix != ".json"]
    assert len(results) > PICTURES // 20  # some can be read after all
    for path in results:
        Image.open(path).load()


def checkpoint(i: int, state: dict[str, Any], whole: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A checkpoint that is damaged in one of six ways, and its suffix."""
    match i % 6:
        case 0:
            return "safetensors", mutated(whole, rng)
        case 1:  # a header with wild offsets, types, shapes and metadata
            length = struct.unpack("<Q", whole[:8])[0]
            header = wild(json.loads(whole[8 : 8 + length]), rng, 3)
            text = as_text(header)
            return "safetensors", struct.pack("<Q", len(text)) + text + whole[8 + length :]
        case 2:
            return "pth", mutated(_saved(state, legacy=True), rng)
        case 3:
            return "pth", mutated(_saved(state), rng)
        case 4:  # odd opcodes in the pickle of a whole zip file
            file = io.BytesIO()
            with zipfile.ZipFile(io.BytesIO(_saved(state))) as old, zipfile.ZipFile(file, "w") as new:
                for record in old.infolist():
                    data = old.read(record)
                    if record.filename.endswith("data.pkl"):
                        data = mutated(data, rng)
                        at = rng.randrange(2, len(data) + 1)
                        opcode = rng.randrange(0x28, 0x99)
                        data = data[:at] + bytes([opcode]) + rng.randbytes(rng.randrange(5)) + data[at:]
                    new.writestr(record.filename, data)
            return "pth", file.getvalue()
        case _:
            names = list(state)
            odd = dict(state)
            odd[rng.choice(names)] = rng.choice(ODD)
            if rng.random() < 0.5:
                odd[f"ft_layers.{rng.choice(WILD)}.linear1.weight"] = odd.pop(rng.choice(names[:-1]), torch.zeros(2))
            return "pth", _saved(odd)


ODD: tuple[Any, ...] = (
    torch.zeros(0),
    torch.zeros(()),
    torch.zeros(5),
    torch.zeros(1).expand(10**6, 10**5),
    torch.zeros(3, 3).to_sparse(),
    torch.zeros(10**6, 10**6, device="meta"),
    torch.zeros(2, dtype=torch.complex64),
    torch.zeros(2, dtype=torch.bool),
    None,
    "x",
    {},
    [],
    torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8),
    torch.full((4, 4), float("nan")),
    torch.zeros(1, 0, 3, 3),
    7,
    torch.zeros(4, 4, dtype=torch.float8_e4m3fn),
    torch.zeros((), dtype=torch.int64),
    {"a": {"b": {}}},
    torch.zeros(8, 8).to_sparse_csr(),
)


def _saved(state: dict[str, Any], *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_checkpoints(run, model, tmp_path):
    rng = random.Random(2)
    whole = model.read_bytes()
    state: dict[str, Any] = load(whole)
    made = 0
    for i in range(CHECKPOINTS):
        suffix, data = checkpoint(i, state, whole, rng)
        path = tmp_path / f"{i}.{suffix}"
        path.write_bytes(data)
        run("info", path)
        target = tmp_path / f"{i}.converted.safetensors"
        if run("convert", path, target) == 0:
            made += 1
            assert run("info", target) == 0
        else:
            assert not target.exists()
        path.unlink()
    assert made


def wild(value: Any, rng: random.Random, times: int = 1) -> Any:
    """JSON with some values replaced, taken out, doubled or nested."""
    value = copy.deepcopy(value)
    for _ in range(times):
        holder, key = value, None
        for _ in range(rng.randrange(1, 7)):
            inner = holder[key] if key is not None else holder
            if not isinstance(inner, dict | list) or not inner:
                break
            holder, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if key is None:
            continue
        match rng.randrange(5):
            case 0 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 1:
                del holder[key]
            case 2:
                holder[key] = f"deep {rng.choice((3, 100, 400, 900, 5000))}"
            case _:
                odd = (
                    None,
                    True,
                    -1,
                    0,
                    2**63,
                    -(2**80),
                    1.5,
                    1e308,
                    float("nan"),
                    "",
                    "\ud800",
                    "x" * 999,
                    [],
                    {},
                    [[]],
                    [0, 0],
                    [1, 2, 3, 4, 5, 6],
                )
                holder[key] = copy.deepcopy(rng.choice(odd))
    return value


def as_text(value: Any) -> bytes:
    """JSON, with what `wild` nested; too deep for json.dumps and copy.deepcopy."""
    return re.sub(r'"deep (\d+)"', lambda m: "[" * int(m[1]) + "]" * int(m[1]), json.dumps(value)).encode()


def workflows() -> list[Any]:
    """A saved workflow with a subgraph and a face swap, and a prompt of the API."""
    swap = [True, "inswapper_128.onnx", "retinaface_resnet50", "codeformer.pth", 0.5, 0.8, "no", "no", "0", "0", 1]
    image, faces = [{"name": "image", "type": "IMAGE", "link": 11}], [{"name": "IMAGE", "type": "IMAGE", "links": [12]}]
    loader = {
        "id": 2,
        "type": "FaceRestoreModelLoader",
        "outputs": [{"name": "M", "type": "FACERESTORE_MODEL", "links": [13]}],
    }
    restore = {
        "id": 4,
        "type": "FaceRestoreCFWithModel",
        "pos": [1, 2],
        "size": {"0": 3, "1": 4},
        "mode": 0,
        "properties": {},
        "inputs": [*image, {"name": "facerestore_model", "type": "FACERESTORE_MODEL", "link": 13}],
        "outputs": faces,
        "widgets_values": ["YOLOv5l", 0.7],
    }
    swapped = {
        "id": 5,
        "type": "ReActorFaceSwap",
        "pos": [1, 2],
        "size": [3, 4],
        "widgets_values": swap,
        "inputs": [{"name": "input_image", "type": "IMAGE", "link": 12}],
        "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [14]}],
    }
    old = {
        "id": 6,
        "type": "ReActorRestoreFaceAdvanced",
        "inputs": [{"name": "image", "type": "IMAGE", "link": 14}],
        "widgets_values": ["retinaface_resnet50", "x.pth", 0.5, 0.3, "filter", "area", False, 0, 1],
    }
    links = [
        [11, 1, 0, 4, 0, "IMAGE"],
        [12, 4, 0, 5, 0, "IMAGE"],
        [13, 2, 0, 4, 1, "FACERESTORE_MODEL"],
        [14, 5, 0, 6, 0, "IMAGE"],
    ]
    part = {"nodes": [{**loader, "widgets_values": ["codeformer.pth"]}, restore, swapped, old], "links": links}
    inner = {
        "id": "uuid",
        "name": "Faces",
        "inputNode": {"id": -10},
        "state": {"lastNodeId": 30, "lastLinkId": 20},
        "links": [
            {"id": 15, "origin_id": -10, "origin_slot": 0, "target_id": 21, "target_slot": 0, "type": "IMAGE"},
            {"id": 16, "origin_id": 21, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
        "inputs": [{"name": "image", "type": "IMAGE", "linkIds": [15]}],
        "outputs": [{"name": "x", "type": "IMAGE", "linkIds": [16]}],
        "nodes": [
            {
                "id": 21,
                "type": "ReActorRestoreFace",
                "inputs": [{"name": "image", "link": 15}],
                "widgets_values": ["YOLOv5n", "codeformer.pth", 0.5, 1],
            }
        ],
    }
    use = {"id": 7, "type": "uuid", "properties": {"proxyWidgets": [["21", "visibility"]]}, "inputs": []}
    saved = {
        **part,
        "nodes": [*part["nodes"], use],
        "last_node_id": 30,
        "last_link_id": 20,
        "definitions": {"subgraphs": [inner]},
        "extra": {
            "groupNodes": {"G": {"nodes": [{"type": "CropFace"}]}},
            "linearData": {"inputs": [["4", "facedetection"]]},
        },
    }
    prompt = {
        "2": {"class_type": "FaceRestoreModelLoader", "inputs": {"model_name": "codeformer.pth"}},
        "4": {
            "class_type": "FaceRestoreCFWithModel",
            "inputs": {"image": ["1", 0], "facerestore_model": ["2", 0], "fidelity": 0.7},
        },
        "5": {
            "class_type": "ReActorFaceSwap",
            "inputs": {"input_image": ["4", 0], "face_restore_model": "codeformer.pth", "codeformer_weight": 0.8},
        },
        "6": {"class_type": "CropFace", "inputs": {"image": ["5", 0], "facedetection": "YOLOv5n"}},
    }
    return [saved, prompt]


def test_workflows(run, tmp_path):
    rng, whole = random.Random(3), workflows()
    made = 0
    for i in range(WORKFLOWS):
        source, target = tmp_path / f"{i}.json", tmp_path / f"{i}.new.json"
        text = as_text(wild(whole[i % 2], rng, rng.choice((1, 1, 2, 4))))
        source.write_bytes(mutated(text, rng) if i % 10 == 9 else text)
        if run("migrate-workflow", source, target, *(["--replace-gfpgan"] if i % 3 else [])) == 0:
            made += 1
            json.loads(target.read_text(encoding="utf-8"))
        else:
            assert not target.exists()
    assert made > WORKFLOWS // 3


class NoFaces:
    """A detector that finds none."""

    def __init__(self, config: Any):
        self.config = config

    def detect(self, images: Any, config: Any = None) -> list[list]:
        return [[]]


def test_command_lines(run, model, tmp_path, monkeypatch):
    original = loading.load_detector

    def load_detector(name: str, *, config: Any, **more: Any) -> Any:
        return NoFaces(config) if name.startswith("retina") else original(name, config=config, **more)

    monkeypatch.setattr(loading, "load_detector", load_detector)
    rng = random.Random(4)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("a.png")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "folder").mkdir()
    files = [
        "a.png",
        "empty.pth",
        "folder",
        "missing",
        ".",
        "",
        "/dev/null",
        "/dev/zero",
        "a.png/b",
        "~nosuchuser/x",
        "x" * 300,
        str(model),
        "*[",
        "**x",
        "a\0b",
    ]
    numbers = [
        "0",
        "-1",
        "1",
        "0.5",
        "nan",
        "inf",
        "-inf",
        "1e9",
        "1000000",
        "9" * 30,
        "",
        "x",
        "0x10",
        "1_0",
        "٣",
        " 1",
        "640",
    ]
    devices = [
        "cpu",
        "cpu:1",
        "cuda:99",
        "meta",
        "xla",
        "hpu",
        "vulkan",
        "mps",
        "",
        "x",
        "cpu:-1",
        "lazy",
        "privateuseone",
    ]
    values = {
        **dict.fromkeys(
            [
                "--min-score",
                "--detect-size",
                "--min-size",
                "--max-size",
                "--max-faces",
                "-w",
                "--feather",
                "--batch-size",
                "--upscale",
            ],
            numbers,
        ),
        **dict.fromkeys(["--model", "--detector", "--parser", "--background", "--mask"], files),
        "--device": devices,
        "--format": ["png", "exe", "", ".", "../x", "gif", "jpg"],
        "--faces": ["all", "none", ""],
        "--large-faces": ["skip", "x"],
        "--colour-match": ["lab", "x"],
        "--dtype": ["float32", "float64"],
        "--order": ["size", ""],
    }
    codes = []
    for i in range(COMMAND_LINES):
        options = [
            part
            for name in rng.sample(list(values), rng.choice((1, 1, 2)))
            for part in (name, rng.choice(values[name]))
        ]
        ranges = [
            f"--{rng.choice(('blur-sigma', 'downscale', 'noise', 'jpeg-quality'))}",
            rng.choice(numbers),
            rng.choice(numbers),
        ]
        commands = (
            ["restore", "a.png", "-o", "out", "--overwrite", "--model", str(model), *options],
            ["restore", "a.png", "-o", "out", "--overwrite", "--model", str(model), *options],
            ["restore", rng.choice(files), "-o", rng.choice(files), "--model", str(model), *options],
            ["degrade", "a.png", "-o", "d", "--overwrite", "--seed", rng.choice(numbers), *ranges],
            [rng.choice(("info", "bogus", "--help", "")), rng.choice(files)],
            [
                rng.choice(("convert", "migrate-workflow")),
                rng.choice(files),
                f"{i}{rng.choice(('.safetensors', '.json', '/x', ''))}",
            ],
        )
        codes.append(run(*commands[i % len(commands)], faults=None))
    assert {0, 2} == set(codes)
    assert Image.open("a.png").size == (16, 16)
