"""What the nodes run, imported without ComfyUI: stand-ins for the few things of it that they use."""

import sys
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from codeformer_core.models import Usage

ROOT = Path(__file__).parents[2]


class Patcher:
    """ComfyUI's ModelPatcher, as far as it is used."""

    def __init__(self, net: Any, load_device: Any, offload_device: Any):
        self.model, self.load_device = net, load_device


class Bar:
    """ComfyUI's ProgressBar, which nobody sees."""

    def __init__(self, total: int):
        self.total = total

    def update(self, value: int) -> None: ...
    def update_absolute(self, value: int, total: int | None = None) -> None: ...


class VideoFromFile:
    """ComfyUI's, of a path or a BytesIO; cut to `seconds` if these are given."""

    def __init__(self, file: Any, seconds: float = 4.0):
        self.file, self.seconds = file, seconds

    def get_stream_source(self) -> Any:
        return self.file

    def get_duration(self) -> float:
        return self.seconds

    def as_trimmed(self) -> None: ...

    def save_to(self, path: str) -> None:
        source = self.file.getbuffer() if isinstance(self.file, BytesIO) else Path(self.file).read_bytes()
        Path(path).write_bytes(source)


def stand_ins(folder: Path) -> dict[str, dict[str, Any]]:
    """Modules of ComfyUI, and what they hold; model files and inputs lie in `folder`."""
    cpu = torch.device("cpu")
    management = {
        "get_torch_device": lambda: cpu,
        "unet_offload_device": lambda: cpu,
        "vae_dtype": lambda *_: torch.float32,
        "is_device_cpu": lambda _: True,
        "get_free_memory": lambda _: 2**34,
        "load_models_gpu": lambda *_, **__: None,
        "throw_exception_if_processing_interrupted": lambda: None,
        "processing_interrupted": lambda: False,
        "InterruptProcessingException": InterruptedError,
    }
    files = {
        "get_filename_list": lambda _: sorted(path.name for path in folder.iterdir()),
        "get_full_path": lambda _, name: str(folder / name) if (folder / name).is_file() else None,
        "get_full_path_or_raise": lambda _, name: str(folder / name),
        "get_input_directory": lambda: str(folder),
        "get_temp_directory": lambda: str(folder / "temp"),
    }
    api = {"Input": SimpleNamespace(Video=object), "InputImpl": SimpleNamespace(VideoFromFile=VideoFromFile)}
    return {
        "comfy": {"__path__": []},
        "comfy_api": {"__path__": []},
        "comfy_api.v0_0_2": api,
        "comfy.model_management": management,
        "comfy.model_patcher": {"ModelPatcher": Patcher},
        "comfy.utils": {"ProgressBar": Bar},
        "comfy_execution": {"__path__": []},
        "comfy_execution.utils": {"get_executing_context": lambda: None},
        "folder_paths": files,
        "server": {"PromptServer": SimpleNamespace()},
    }


@pytest.fixture
def run(monkeypatch, tmp_path) -> Iterator[Any]:
    """`run("restore")` is the module nodes/run/restore.py; ComfyUI's folders are all `tmp_path`."""
    for name, contents in stand_ins(tmp_path).items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            monkeypatch.setattr(sys.modules[parent], child, module, raising=False)
    pack = ModuleType("pack")  # as ComfyUI does, under a name that is no path; the core is the installed one
    pack.__path__ = [str(ROOT)]
    core = {f"pack.{name}": module for name, module in sys.modules.items() if name.startswith("codeformer_core")}
    for name, module in {"pack": pack, **core}.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield lambda name: import_module(f"pack.nodes.run.{name}")
    for name in [name for name in sys.modules if name.startswith("pack")]:
        del sys.modules[name]


SETTINGS = {"faces": "all", "fidelity": 0.5, "strength": 1.0, "upscale": 1, "feather": 0.05}
SETTINGS |= {"colour_match": "none", "large_faces": "keep_detail", "weights": None}


class FixedFaces:
    """A detector that finds the same faces in every picture, and counts the pictures."""

    def __init__(self, *faces):
        self.faces, self.searched = list(faces), 0

    def detect(self, images, config=None):
        self.searched += len(images)
        return [list(self.faces) for _ in images]


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.random((1, 120, 160, 3), np.float32) * 0.5 + 0.25)


@pytest.fixture
def nodes(run, tiny_net, face_at, monkeypatch):
    """`nodes.restore(image, ...)` with a small network of random weights; the calls of its two halves are counted."""
    loaded, remembered, report = run("loaded"), run("remembered"), run("report")
    calls = {"predict": 0, "decode": 0}

    def count(name, own):
        def counted(*args):
            calls[name] += 1
            return own(*args)

        monkeypatch.setattr(tiny_net, own.__name__, counted)

    count("predict", tiny_net.predict_codes)
    count("decode", tiny_net.decode)
    patcher = loaded.ModelPatcher(tiny_net, torch.device("cpu"), torch.device("cpu"))
    detector = FixedFaces(face_at(50, 50, 60), face_at(110, 60, 50))
    kept = remembered.Remembered(4096)

    def restore(image, mask=None, upscale_model=None, **changed):
        said = report.Report()
        whole = loaded.LoadedDetector(detector=detector, config=None, patcher=None, parser=None, found=kept)
        *done, _ = run("restore").restore_batch(image, mask, model, whole, upscale_model, said, **SETTINGS | changed)
        return *done, said.text

    model = loaded.LoadedModel(patcher=patcher, usage=Usage())
    return SimpleNamespace(restore=restore, calls=calls, detector=detector, model=model, found=kept)
