"""First layers for other images, as timm adapts them.

Writes crates/model/tests/fixtures/channels.safetensors, F32:
  weight (4, 3, 3, 3)      of a first layer on RGB
  1, 2, 4, 5, 6, 7         the weight that `adapt_input_conv` makes for so many channels

  python tests/generators/channels.py
"""

import timm
import torch
from timm.models._manipulate import adapt_input_conv

import fixture

if __name__ == "__main__":
    torch.set_num_threads(1)
    seed = 0
    weight = torch.empty(4, 3, 3, 3).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    tensors = {str(n): adapt_input_conv(n, weight) for n in (1, 2, 4, 5, 6, 7)}
    path = "crates/model/tests/fixtures/channels.safetensors"
    fixture.save(path, {"weight": weight, **tensors}, seed, timm=timm.__version__)
