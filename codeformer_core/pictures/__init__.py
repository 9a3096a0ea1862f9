"""Pictures: arrays, files, their formats and metadata, codecs, folders, degradation."""
