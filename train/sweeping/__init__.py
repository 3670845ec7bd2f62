"""Many runs of one config file: `python -m convscan.train.sweep` (`train/sweep.py`).

`plan` says which trials there are, `trials` runs one and reads from disk how each is,
and `driver` has them run by a launcher: `ray_launcher`, or a `printing` of commands.
"""
