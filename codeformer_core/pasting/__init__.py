"""Out of the picture and back: alignment, masks, parsing, colours, paste-back."""
