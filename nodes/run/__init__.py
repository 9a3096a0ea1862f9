"""What the nodes run inside ComfyUI, under the same names as their schemas."""
