"""Write a checkpoint in the published format with weights rebuilt from their names: the right shape, but untrained.

usage: python tests/data/recipe_checkpoint.py OUT.safetensors [codeformer | codeformer_inpainting | vqgan | ...]
"""

import json
import sys
from pathlib import Path

import recipe
import torch

from codeformer_core.weights.checkpoint import read_config, save_checkpoint


def main(out: str, network: str = "codeformer") -> None:
    shapes = json.loads(Path(__file__).with_name("state_dict_shapes.json").read_text())
    if network not in shapes:
        sys.exit(f"{network}: no such network: give one of {', '.join(shapes)}")
    state = {name: torch.from_numpy(recipe.tensor(name, tuple(shape))) for name, shape in shapes[network].items()}
    save_checkpoint(out, state, read_config(state, {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
