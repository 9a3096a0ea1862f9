"""Training of the three stages, on the networks of codeformer_core."""
