"""Pictures: one file each, from arrays to an image; no model code."""
