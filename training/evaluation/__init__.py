"""How good a model is: comparisons, metrics, reports."""
