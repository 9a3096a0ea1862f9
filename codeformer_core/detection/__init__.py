"""Finding faces: what a face is, the detectors, and choosing one."""
