"""The networks and how they are told from a state dict; imports nothing of the rest."""
