"""Replacements that newer versions of ComfyUI make for missing nodes of facerestore_cf.

They map one node to one node, and are made without asking in prompts that come by the API: so only what means the same
is here. `codeformer migrate-workflow` does more, ReActor's nodes too, and lists what it cannot do.
"""

from typing import Any

from comfy_api.v0_0_2 import ComfyAPI, io

DEFAULTS = {"upscale": 1, "faces": "all", "colour_match": "auto", "mask_softness": 0.05, "large_faces": "keep_detail"}
REPLACEMENTS: list[dict[str, Any]] = [
    {
        "old_node_id": "FaceRestoreModelLoader",
        "new_node_id": "CodeFormerLoadModel",
        "old_widget_ids": ["model_name"],
        "input_mapping": [
            {"new_id": "model_name", "old_id": "model_name"},
            {"new_id": "accept_license", "set_value": False},
        ],
    },
    {
        "old_node_id": "FaceRestoreCFWithModel",
        "new_node_id": "CodeFormerRestoreFaces",
        "old_widget_ids": ["facedetection", "codeformer_fidelity"],
        "input_mapping": [
            {"new_id": "model", "old_id": "facerestore_model"},
            {"new_id": "image", "old_id": "image"},
            {"new_id": "fidelity", "old_id": "codeformer_fidelity"},
            *({"new_id": name, "set_value": value} for name, value in DEFAULTS.items()),
        ],
    },
]


async def register_replacements() -> None:
    """Register them where ComfyUI can (from 0.14.0 on)."""
    api = ComfyAPI()
    if not hasattr(api, "node_replacement"):
        return
    for replacement in REPLACEMENTS:
        first_output = [{"new_idx": 0, "old_idx": 0}]
        await api.node_replacement.register(io.NodeReplace(**replacement, output_mapping=first_output))  # pyright: ignore
