"""Pictures: arrays, files, codecs, folders, degradation."""
