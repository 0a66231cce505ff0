"""What every room reads and writes with: files, tables, pictures, documents; no settings, no torch."""
