"""Weights as files: checkpoints, what is published, downloads."""
