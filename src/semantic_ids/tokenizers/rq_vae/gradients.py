"""How a gradient gets past the choice of a code.

What the decoder is given, as a function that can be differentiated.

A chosen code is constant in its neighbourhood, so its true gradient is zero. Each function here has
the value of the codes, or a soft mixture of them, and a gradient that is of use to the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semantic_ids.learning.layers import linear

LEAST_NORM = 1e-6
"""Vectors shorter than this have no direction."""
LEAST_BETWEEN = 1e-3
"""Two directions whose sum is shorter than this are opposite ones."""


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """Return the quantised vectors with the gradient of z: (m, d), (m, d) → (m, d).

    Y. Bengio, N. Léonard and A. Courville, arXiv:1308.3432; A. van den Oord, O. Vinyals and K.
    Kavukcuoglu, arXiv:1711.00937.
    """
    return z + (quantized - z).detach()


def rotate(z: Tensor, quantized: Tensor) -> Tensor:
    """Return the quantised vectors as z rotated and scaled, so that gradients turn with them.

    (m, d), (m, d) → (m, d).

    The rotation is the one that maps the direction of z to that of the quantised vector within the
    plane of the two, and counts as a constant (C. Fifty et al., "Restructuring vector quantization
    with the rotation trick", arXiv:2410.06424). Where z has no direction, or the opposite one,
    there is no such plane: the gradient goes straight through.
    """
    with torch.no_grad():
        length, wanted = (torch.linalg.vector_norm(v, dim=1, keepdim=True) for v in (z, quantized))
        here, there = z / length.clamp(min=LEAST_NORM), quantized / wanted.clamp(min=LEAST_NORM)
        between = here + there
        between_length = torch.linalg.vector_norm(between, dim=1, keepdim=True)
        turns = (length > LEAST_NORM) & (wanted > LEAST_NORM) & (between_length > LEAST_BETWEEN)
        between = between / between_length.clamp(min=LEAST_BETWEEN)
        stretch = wanted / length.clamp(min=LEAST_NORM)
    turned = (
        z
        - 2 * (z * between).sum(1, keepdim=True) * between
        + 2 * (z * here).sum(1, keepdim=True) * there
    ) * stretch
    return straight_through(
        torch.where(turns, turned, z), quantized
    )  # the value without a rounding error


def soft_choice(errors: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return weights that are a draw of one code, softened.

    (m, K), (m, K) → (m, K), each row sums to 1.

    Gumbel-softmax (E. Jang, S. Gu and B. Poole, arXiv:1611.01144; C. Maddison, A. Mnih and Y. Teh,
    arXiv:1611.00712).

    Args:
        errors: Squared error with each code, in units of the mean error of the nearest: see
            `relative_errors`.
        noise: Gumbel noise; zeros for no draw.
        temperature: Towards 0 the weights become those of a single code.
    """
    return torch.softmax((noise - errors) / temperature, dim=1)


def relative_errors(points: Tensor, codebook: Tensor) -> Tensor:
    """Return the squared error of points with each code, over the mean squared error with the
    nearest: (m, d), (K, d) → (m, K).

    So a temperature means the same for all data and all levels. The unit counts as a constant.
    """
    errors = (points * points).sum(1, keepdim=True) + linear(
        points, -2 * codebook, (codebook * codebook).sum(1)
    )
    unit = errors.detach().amin(1).clamp(min=0).mean() if len(points) else errors.new_ones(())
    return errors / unit.clamp(min=1e-12)


def gumbel_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw Gumbel noise of the shape of a tensor, on its device, which is also the generator's."""
    uniform = torch.rand(like.shape, generator=generator, device=like.device).clamp_(min=1e-20)
    return -torch.log((-torch.log(uniform)).clamp_(min=1e-20))
