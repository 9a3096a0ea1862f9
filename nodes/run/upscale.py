"""Backgrounds enlarged by ComfyUI's upscale models."""

from typing import Any

import cv2
import numpy as np
import torch

from .pictures import to_pictures


def enlarged(picture: np.ndarray, upscale_model: Any, upscale: int) -> np.ndarray:
    """A picture (h, w, 3) by an UPSCALE_MODEL, tiled as ComfyUI's own node does, scaled to `upscale` times its size."""
    from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

    result: Any = ImageUpscaleWithModel.execute(upscale_model, torch.from_numpy(picture)[None])
    (large,) = to_pictures(result[0])
    height, width = (n * upscale for n in picture.shape[:2])
    if large.shape[:2] == (height, width):
        return large
    shrinks = large.shape[0] > height
    resized = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4)
    return np.clip(resized, 0, 1)
