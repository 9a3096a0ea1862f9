"""ComfyUI nodes: widgets in, a call into codeformer_core, tensors out."""
