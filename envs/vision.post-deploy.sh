#!/bin/sh
# Snakemake runs this in the new conda environment, from the clone: the rules' scripts import the library.
set -e
python -m pip install --no-deps --no-build-isolation -e .
