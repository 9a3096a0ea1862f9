"""The faces that are trained on: folders, order, changes, degradation."""
