"""Synthetic chest films by physics, so that everything runs with no download."""
