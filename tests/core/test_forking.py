"""A network that was used before a fork can be used in the forked process too."""

import subprocess
import sys

import pytest

from codeformer_core.weights.checkpoint import save_checkpoint

SCRIPT = """
import multiprocessing, sys
import cv2, numpy as np, torch
from codeformer_core import FaceRestorer, load_codeformer

def work():
    picture = np.full((64, 64, 3), 0.5, np.float32)
    (face,) = restorer.restore([restorer.as_aligned(picture)])
    restorer.paste(picture, [face])
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.float32), (31, 31), 5)
    torch.ones(1000, 1000) @ torch.ones(1000, 1000) + torch.ones(1000, 1000).exp()

torch.set_num_threads(2)
cv2.setNumThreads(2)
restorer = FaceRestorer(load_codeformer(sys.argv[1]))
work()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join(40)
if child.is_alive():
    child.kill()
    sys.exit("the child hangs")
sys.exit(child.exitcode)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_restores_and_ends(tiny_net, tmp_path):
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_net.state_dict(), tiny_net.config)
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "tiny.safetensors")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
