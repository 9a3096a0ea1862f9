"""How much of the input each place of each face keeps: plans of the fidelity weight w, by hand and automatic."""
