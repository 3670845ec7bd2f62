"""Convolutional networks: one published family a file."""
