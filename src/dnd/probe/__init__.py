"""Images in: listed, packed, annotated."""
