"""Where a new scene begins, in the manner of PySceneDetect's adaptive detector, frame by frame in constant memory."""

from collections import deque

import cv2
import numpy as np

SIDE = 32  # px: frames are compared at this size, after which small motion and noise are gone
CHANGE = 0.35  # 1 - correlation, at the least, of a cut; light that changes, as in flashes and fades, changes it little
RATIO = 3.0  # how many times the recent change: a fast pan changes much in every frame
RECENT = 4  # frames
BLANK = 0.015  # standard deviation of value below which a frame shows nothing, as between fades and in full flashes


class SceneCuts:
    """`SceneCuts()(frame)` for each frame of a film in turn: does a new scene begin with it?

    A frame is (h, w, 3) RGB uint8, of any size. The first one begins a scene. One that shows a flat tone begins none,
    and what follows it is compared with what was seen before it: so a fade through black to another scene is one cut, a
    flash is none, and neither is a dissolve.
    """

    def __init__(self):
        self._begun = False
        self._before: deque[np.ndarray] = deque(maxlen=2)  # the last frames that show something
        self._changes: deque[float] = deque(maxlen=RECENT)

    def __call__(self, frame: np.ndarray) -> bool:
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is (h, w, 3) RGB uint8, got {frame.shape} {frame.dtype}")
        small = _seen(frame)
        is_first, self._begun = not self._begun, True
        if small[..., 2].std() < BLANK:
            return is_first
        if not self._before:
            self._before.append(small)
            return is_first
        change = _change(self._before[-1], small)
        usual = float(np.median(self._changes)) if self._changes else 0.0
        is_cut = change > RATIO * usual and all(_change(before, small) > CHANGE for before in self._before)
        self._changes.append(change)
        if is_cut:
            self._before.clear()
        self._before.append(small)
        return is_cut


def _seen(frame: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) float32: hue and saturation as a place on the colour wheel, and value; 0 to 1."""
    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hue, saturation, value = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2HSV))
    chroma = saturation * value  # dark and grey pixels have no hue to speak of
    return np.stack([chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue)), value], axis=-1)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """1 - the correlation of two frames, 0 to 2: whether they show something else, whatever the light."""
    a, b = (x - x.mean((0, 1)) for x in (before, after))
    return 1 - float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
