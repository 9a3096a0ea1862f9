import pytest
import torch

from training.evaluation.grid import grid_strength


def skin(size: int) -> torch.Tensor:
    """(8, 3, s, s): slow shading and fine noise, as skin has."""
    rng = torch.Generator().manual_seed(0)
    slow = torch.nn.functional.interpolate(torch.rand(8, 3, 6, 6, generator=rng), (size, size), mode="bicubic")
    return slow + 0.02 * torch.randn(8, 3, size, size, generator=rng)


@pytest.mark.parametrize("size", [256, 512])
def test_a_grid_stands_out_and_texture_does_not(size):
    faces = skin(size)
    assert grid_strength(faces, 4) < 2
    grid = torch.zeros(size, size)
    grid[::4] = grid[:, ::4] = 1
    assert grid_strength(faces + 0.02 * grid, 4) > 10  # as weak as the noise
    assert grid_strength(faces + 0.005 * grid, 4) > 2


def test_a_smooth_face_has_no_grid():
    smooth = torch.nn.functional.interpolate(skin(16), (256, 256), mode="bicubic")
    assert grid_strength(smooth, 4) < 4
