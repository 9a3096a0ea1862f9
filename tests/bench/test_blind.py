"""Sheets of blind pairs: their columns are the models that the key names."""

import json
import sys

import numpy as np

from bench import blind
from codeformer_core import CodeFormer, read_picture
from codeformer_core.weights.checkpoint import save_checkpoint


def test_the_key_tells_which_column_is_which_model(tiny_net, tiny_config, tmp_path, monkeypatch):
    dark = CodeFormer(tiny_config)
    dark.load_state_dict(tiny_net.state_dict())
    last = dark.get_parameter(f"generator.blocks.{len(dark.generator.blocks) - 1}.weight")
    last.data.zero_()  # one colour
    for name, net in (("net", tiny_net), ("dark", dark)):
        save_checkpoint(tmp_path / f"{name}.safetensors", net.state_dict(), tiny_config)
    faces = tmp_path / "faces"
    faces.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        blind.write_picture(faces / f"{i}.png", rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    models = [str(tmp_path / f"{name}.safetensors") for name in ("net", "dark")]
    monkeypatch.setattr(sys, "argv", ["blind", *models, "--faces", str(faces), "--w", "0", "--out", str(tmp_path)])
    blind.main()
    key = json.loads((tmp_path / "key.json").read_text())
    assert key["models"] == models
    assert set(key["X is"].values()) == {1, 2}
    sheet = read_picture(tmp_path / "w0_0.jpg").rgb
    assert sheet.shape == (4 * blind.SIDE, 3 * blind.SIDE, 3)
    for n, column in enumerate(key["X is"].values()):
        row = sheet[n * blind.SIDE : (n + 1) * blind.SIDE]
        x, y = (row[:, i * blind.SIDE : (i + 1) * blind.SIDE].std() for i in (1, 2))
        assert (x < y) == (column == 2)
