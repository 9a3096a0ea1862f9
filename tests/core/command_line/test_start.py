"""What a command loads before it works."""

import subprocess
import sys

import numpy as np

from codeformer_core.pictures.files import write_picture

HEAVY = {"torchvision", "facexlib", "scipy", "sympy", "torch._dynamo", "torch.distributed.tensor", "matplotlib"}


def test_restoring_with_what_is_bundled_loads_nothing_that_takes_long(tmp_path, rng):
    """Each of these takes as long as a face, or as `import torch` itself."""
    write_picture(tmp_path / "in.png", rng.integers(0, 256, (96, 96, 3)).astype(np.uint8))
    code = (
        "import sys; from codeformer_core.command_line.cli import main\n"
        f"assert main(['restore', '--aligned', {str(tmp_path / 'in.png')!r}, '-o', {str(tmp_path / 'out')!r}]) == 0\n"
        f"assert main(['restore', {str(tmp_path / 'in.png')!r}, '-o', {str(tmp_path / 'found')!r}]) == 0\n"
        f"print(sorted(name for name in sys.modules if name in {HEAVY!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "[]"
