"""Rival methods: each gives the units of a layer candidate labels, as a table SCORES."""
