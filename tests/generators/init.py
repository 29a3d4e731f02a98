"""Fans, gains and standard deviations of initializers.

Writes crates/layers/tests/fixtures/init.safetensors, F64 unless said:
  shapes (s, 4) I64                   weights; 0 where there is no axis
  fans (s, 2) I64                     fan in, fan out
  gains (7,)                          linear, sigmoid, tanh, relu, leaky_relu of slopes 0.01 and sqrt(5), selu
  kaiming (s, 2)                      standard deviations for relu by fan in and by fan out
  xavier (s,)                         standard deviations for gain 1
  truncated (t, 4)                    mean, std, a, b of trunc_normal_
  truncated/moments (t, 2)            mean and standard deviation of that distribution, by the formulas with erf

  python tests/generators/init.py
"""

import math

import torch
from torch.nn import init

import fixture

SHAPES = [(8, 4), (64, 32), (16, 8, 5), (32, 16, 3, 3), (48, 1, 7, 5), (64, 24, 1, 1)]
TRUNCATED = [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, -0.5, 1.5), (0, 1, 0.5, 3), (-1, 0.5, -3, -1.75)]


def moments(mean, std, a, b):
    """Johnson, Kotz and Balakrishnan 1994, section 13.10.1."""
    low, high = torch.tensor([(a - mean) / std, (b - mean) / std], dtype=torch.float64)
    bell = lambda z: torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    share = torch.special.ndtr(high) - torch.special.ndtr(low)
    shift = (bell(low) - bell(high)) / share
    variance = 1 + (low * bell(low) - high * bell(high)) / share - shift**2
    return [mean + std * shift.item(), std * variance.sqrt().item()]


def check(params, expected, generator):
    """trunc_normal_ itself has these moments."""
    mean, std, a, b = params
    xs = init.trunc_normal_(torch.empty(1_000_000, dtype=torch.float64), mean, std, a, b, generator=generator)
    for got, it in zip([xs.mean().item(), xs.std().item()], expected):
        assert abs(got - it) < 5e-3 * expected[1], (params, got, it)


if __name__ == "__main__":
    torch.set_num_threads(1)
    seed = 0
    generator = torch.Generator().manual_seed(seed)
    fans = [init._calculate_fan_in_and_fan_out(torch.empty(shape)) for shape in SHAPES]
    slopes = [("leaky_relu", 0.01), ("leaky_relu", math.sqrt(5))]
    kinds = [("linear", None), ("sigmoid", None), ("tanh", None), ("relu", None), *slopes, ("selu", None)]
    relu = init.calculate_gain("relu")
    truncated = [moments(*params) for params in TRUNCATED]
    for params, expected in zip(TRUNCATED, truncated):
        check(params, expected, generator)

    def double(values):
        return torch.tensor(values, dtype=torch.float64)

    tensors = {
        "shapes": torch.tensor([[*shape, 0, 0][:4] for shape in SHAPES]),
        "fans": torch.tensor(fans),
        "gains": double([init.calculate_gain(*kind) for kind in kinds]),
        "kaiming": double([[relu / math.sqrt(fan) for fan in pair] for pair in fans]),
        "xavier": double([math.sqrt(2 / sum(pair)) for pair in fans]),
        "truncated": double(TRUNCATED),
        "truncated/moments": double(truncated),
    }
    fixture.save("crates/layers/tests/fixtures/init.safetensors", tensors, seed)
