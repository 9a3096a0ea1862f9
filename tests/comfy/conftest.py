"""A real ComfyUI with this pack in it: COMFYUI_PATH is a checkout, COMFYUI_PYTHON a Python with its requirements."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
API = ROOT / "workflows" / "api"


class Failed(Exception):
    """A prompt that was refused, failed or was interrupted: what ComfyUI said of it."""


class Comfy:
    """One server, in a base folder of its own."""

    Failed = Failed

    def __init__(self, base: Path, url: str):
        self.base, self.url = base, url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.loads(answer.read())

    def post(self, path: str, data: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Failed(error.read().decode()) from None
        return json.loads(text) if text else None

    def queue(self, prompt: dict[str, Any]) -> str:
        return self.post("/prompt", {"prompt": prompt})["prompt_id"]

    def wait(self, prompt_id: str, seconds: float = 240) -> dict[str, Any]:
        """The history of a prompt that has ended; Failed if it has not succeeded."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if entry := self.get(f"/history/{prompt_id}").get(prompt_id):
                if entry["status"]["status_str"] != "success":
                    raise Failed(json.dumps(entry["status"]["messages"]))
                return entry["outputs"]
            time.sleep(0.1)
        raise TimeoutError(f"the prompt has not ended after {seconds} s")

    def run(self, prompt: dict[str, Any]) -> dict[str, list[np.ndarray]]:
        """The pictures that each node of a prompt saved."""
        outputs = self.wait(self.queue(prompt))
        return {
            node: [self.picture(image) for image in out.get("images", []) if image["filename"].endswith(".png")]
            for node, out in outputs.items()
        }

    def picture(self, where: dict[str, str]) -> np.ndarray:
        with urllib.request.urlopen(f"{self.url}/view?{urllib.parse.urlencode(where)}", timeout=30) as answer:
            return np.array(Image.open(io.BytesIO(answer.read())))

    def log(self) -> str:
        return (self.base / "comfy.log").read_text(errors="replace")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-workflows", action="store_true", help="write thumbnails and API forms into workflows/")


@pytest.fixture(scope="session")
def comfy(tmp_path_factory) -> Iterator[Comfy]:
    checkout = os.environ.get("COMFYUI_PATH")
    if not checkout:
        pytest.skip("COMFYUI_PATH is not set: it names a ComfyUI checkout for these tests")
    base = tmp_path_factory.mktemp("comfy")
    for folder in ("custom_nodes", "input", "output", "temp", "user", "models/facerestore_models"):
        (base / folder).mkdir(parents=True)
    (base / "custom_nodes" / "ComfyUI-CodeFormer").symlink_to(ROOT, target_is_directory=True)
    (base / "models" / "facerestore_models" / "corrupt.pth").write_bytes(b"PK\x03\x04 this is no checkpoint")
    (base / "elsewhere" / "faces").mkdir(parents=True)
    shutil.copy(
        ROOT / "codeformer_core" / "assets" / "mini.safetensors", base / "elsewhere" / "faces" / "own.safetensors"
    )
    extra = f"elsewhere:\n  base_path: {base / 'elsewhere'}\n  facerestore_models: faces\n  facedetection: faces\n"
    (base / "extra.yaml").write_text(extra)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ.get("COMFYUI_PYTHON", sys.executable), "main.py", "--cpu", "--port", str(port)]
    command += ["--base-directory", str(base), "--disable-auto-launch"]
    command += ["--extra-model-paths-config", str(base / "extra.yaml")]
    command += ["--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"]
    with (base / "comfy.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=subprocess.STDOUT)
    server = Comfy(base, f"http://127.0.0.1:{port}")
    try:
        for _ in range(600):
            assert process.poll() is None, f"ComfyUI has ended:\n{server.log()[-3000:]}"
            try:
                server.get("/system_stats")
                break
            except OSError:
                time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def workflow() -> Any:
    """The API form of a workflow, by name."""
    return lambda name: json.loads((API / f"{name}.json").read_text())
