"""Convolutional and recurrent networks in JAX.

The parts are `convscan.architectures` (networks and their layers),
`convscan.data` (what a batch is, and where it comes from) and `convscan.train`
(one command from a config file to a trained network).
"""

__version__ = '0.1.0'
