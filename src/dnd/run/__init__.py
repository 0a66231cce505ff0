"""What a run consists of, how it goes, and how it came about."""
