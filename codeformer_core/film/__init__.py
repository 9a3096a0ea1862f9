"""Films: faces tracked from frame to frame and restored, read and written in constant memory."""
