"""The peers can be imported, and every network of torchvision's is made once."""

from collections.abc import Callable
from typing import Any

import pytest
from torch_networks import import_torchvision, prepared

# Before timm and transformers, which import it too.
import_torchvision()


@pytest.fixture(scope='session')
def published() -> Callable[..., Any]:
  """Returns `torch_networks.prepared`."""
  return prepared
