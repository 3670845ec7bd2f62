"""The shipped experiments: one file is one complete experiment."""
