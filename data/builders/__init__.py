"""One file a dataset: how it is prepared, and the function that loads it.

Builders skip TFDS's registry: `convscan.data` has its own, and a set of ours may bear
a name that TFDS knows as well.
"""
