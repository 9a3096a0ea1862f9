"""Other packs' workflows, rewritten with our nodes."""
