"""What travels along the pack's own links."""

from comfy_api.v0_0_2 import io

Model = io.Custom("CODEFORMER_MODEL")
Detector = io.Custom("CODEFORMER_DETECTOR")
Faces = io.Custom("CODEFORMER_FACES")
Weights = io.Custom("CODEFORMER_WEIGHTS")  # a codeformer_core.FidelityPlan
