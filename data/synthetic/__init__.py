"""Tasks as their papers have them, drawn at will: one file a task, or a few akin.

Each is endless: example i of a split is a function of (seed, split, i), and no file is
read. See `stream`.
"""
