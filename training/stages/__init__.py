"""The paper's three stages: their networks, losses and adversary."""
