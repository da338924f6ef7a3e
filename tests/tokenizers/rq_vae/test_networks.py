"""Encoder and decoder, against numpy and against what the options say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import clustered
from tests.grouped import grouped
from torch import nn

from semantic_ids.learning.layers import Linear
from semantic_ids.learning.precision import autocast
from semantic_ids.tokenizers.rq_vae.networks import Network, mlp
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

WIDTH = 12
PLAIN = {
    "architecture": "residual",
    "hidden": (10, 8),
    "latent": 6,
    "activation": "silu",
    "bias": True,
    "layer_norm": False,
    "dropout": 0.0,
    "encoder_rate": 0.1,
    "quantizer": "end_to_end",
    "reset_below": 0.0,
}


def options(**changes):
    return RQVAEOptions.of(grouped({**PLAIN, **changes}))


def network(seed=0, sizes=(4, 3), **changes):
    torch.manual_seed(seed)
    return Network(WIDTH, sizes, options(**changes))


def vectors(n=64):
    return torch.from_numpy(clustered(n, WIDTH, seed=3))


def started(**changes):
    made = network(**changes)
    made.quantizer.start(torch.randn(64, made.latent), 64, lambda z: [z[:4], 0.3 * z[4:7]])
    return made


def kinds(module):
    return [type(layer) for layer in module]


def shapes(module):
    return [
        (layer.in_features, layer.out_features)
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]


# ---- layers --------------------------------------------------------------------------------------


def test_linear_layers_have_the_widths_asked_for_and_an_activation_between_them():
    layers = mlp((12, 10, 8, 6), options())
    assert kinds(layers) == [Linear, nn.SiLU, Linear, nn.SiLU, Linear]
    assert shapes(layers) == [(12, 10), (10, 8), (8, 6)]


def test_without_hidden_layers_there_is_one_linear_layer():
    assert kinds(mlp((12, 6), options(layer_norm=True, dropout=0.5))) == [Linear]


@pytest.mark.parametrize(
    ("changes", "block"),
    [
        ({"activation": "relu"}, [Linear, nn.ReLU]),
        ({"layer_norm": True}, [Linear, nn.LayerNorm, nn.SiLU]),
        ({"dropout": 0.2}, [Linear, nn.SiLU, nn.Dropout]),
        (
            {"layer_norm": True, "dropout": 0.2, "activation": "relu"},
            [Linear, nn.LayerNorm, nn.ReLU, nn.Dropout],
        ),
    ],
    ids=str,
)
def test_options_change_what_follows_each_layer_but_the_last(changes, block):
    layers = mlp((12, 10, 8, 6), options(**changes))
    assert kinds(layers) == [*block, *block, Linear]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.2] * block.count(
        nn.Dropout
    ) * 2
    assert [layer.normalized_shape for layer in layers if isinstance(layer, nn.LayerNorm)] == [
        (10,),
        (8,),
    ] * block.count(nn.LayerNorm)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("architecture", ["residual", "mlp"])
def test_linear_layers_have_a_bias_where_it_is_wanted(architecture, bias):
    layers = [
        layer
        for layer in network(architecture=architecture, bias=bias).modules()
        if isinstance(layer, nn.Linear)
    ]
    assert len(layers) == 6 and all((layer.bias is not None) == bias for layer in layers)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_layers_compute_what_numpy_does(activation, layer_norm):
    torch.manual_seed(0)
    layers = mlp((12, 10, 6), options(activation=activation, layer_norm=layer_norm)).eval()
    first, last = layers[0], layers[-1]
    hidden = vectors().numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    if layer_norm:
        hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(
            hidden.var(1, keepdims=True) + 1e-5
        )
    hidden = hidden / (1 + np.exp(-hidden)) if activation == "silu" else np.maximum(hidden, 0)
    expected = hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(layers(vectors()).detach(), expected, atol=1e-5)


def test_hidden_units_are_left_out_at_random_while_training_alone():
    layers = mlp((12, 400, 6), options(dropout=0.3))
    torch.manual_seed(0)
    hidden = layers.train()[:-1](vectors())
    assert float((hidden == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    plain = layers.eval()[:-1](vectors())
    assert not (plain == 0).any()
    torch.testing.assert_close(hidden[hidden != 0], plain[hidden != 0] / 0.7)


# ---- architectures -------------------------------------------------------------------------------


def test_an_mlp_leads_to_the_latent_space_and_mirrored_back():
    made = network(architecture="mlp")
    assert made.latent == made.quantizer.codebooks[0].shape[1] == 6
    assert shapes(made.encoder) == [(12, 10), (10, 8), (8, 6)]
    assert shapes(made.decoder) == [(6, 8), (8, 10), (10, 12)]


def test_a_residual_network_stays_in_the_space_of_its_vectors():
    made = network(architecture="residual")
    assert made.latent == made.quantizer.codebooks[0].shape[1] == WIDTH
    assert shapes(made.encoder) == [(12, 10), (10, 8), (8, 12)]
    assert shapes(made.decoder) == [(12, 8), (8, 10), (10, 12)]


@pytest.mark.parametrize(
    "changes",
    [{}, {"bias": False}, {"layer_norm": True, "activation": "relu"}, {"dropout": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_a_residual_network_is_the_identity_at_first(training, changes):
    made, x = network(architecture="residual", **changes).train(training), vectors()
    assert torch.equal(made.encoder(x), x) and torch.equal(made.decoder(x), x)
    assert torch.equal(made(x).decoded, x)


def test_so_it_decodes_the_sums_of_the_codes_at_first():
    made, x = started(architecture="residual").eval(), vectors()
    passed = made(x)
    books, codes = (
        [book.detach().numpy() for book in made.quantizer.codebooks],
        passed.quantized.codes.numpy(),
    )
    np.testing.assert_allclose(
        passed.decoded.detach(), books[0][codes[:, 0]] + books[1][codes[:, 1]], atol=1e-5
    )


def test_a_residual_network_can_leave_the_identity():
    made, x = network(architecture="residual"), vectors()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        ((made(x).decoded - 2 * x) ** 2).mean().backward()
        optimizer.step()
    for part in (made.encoder, made.decoder):
        assert all(
            layer.weight.grad.abs().max() > 0
            for layer in part.modules()
            if isinstance(layer, nn.Linear)
        )
        assert not torch.equal(part(x), x)


def test_a_residual_network_adds_its_change_to_the_vector():
    made, x = network(architecture="residual").eval(), vectors()
    torch.manual_seed(1)
    for part in (made.encoder, made.decoder):
        nn.init.normal_(part.change[-1].weight)
        torch.testing.assert_close(part(x) - x, part.change(x), atol=1e-5, rtol=1e-5)


def test_an_mlp_is_not_the_identity():
    made, x = network(architecture="mlp", latent=WIDTH), vectors()
    assert not torch.allclose(made.encoder(x), x, atol=0.1) and made.encoder(x).abs().max() > 0


def test_a_residual_encoder_that_does_not_learn_is_left_out():
    made, x, seen = started(architecture="residual", encoder_rate=0.0).eval(), vectors(), []
    made.quantizer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    made(x)
    assert type(made.encoder) is nn.Identity and not list(made.encoder.parameters())
    assert torch.equal(seen[0], x)


def test_an_mlp_has_an_encoder_though_it_does_not_learn():
    assert shapes(network(architecture="mlp", encoder_rate=0.0).encoder) == [
        (12, 10),
        (10, 8),
        (8, 6),
    ]


def test_vectors_go_through_encoder_quantiser_and_decoder():
    made, x = started(architecture="mlp").eval(), vectors()
    passed = made(x)
    z = made.encoder(x)
    quantized = made.quantizer(z)
    assert torch.equal(passed.quantized.codes, quantized.codes)
    torch.testing.assert_close(passed.quantized.commitment, quantized.commitment)
    torch.testing.assert_close(passed.decoded, made.decoder(quantized.value))
    assert passed.decoded.shape == (64, WIDTH)


# ---- bfloat16 ------------------------------------------------------------------------------------


def looked_at(made, x):
    """What the last layers of encoder and decoder gave, what the quantiser was given, and what came
    out.
    """
    seen = {}
    hooks = [made.quantizer.register_forward_pre_hook(lambda _, inputs: seen.update(z=inputs[0]))]
    for name in ("encoder", "decoder"):
        last = getattr(made, name)[-1]
        hooks.append(
            last.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        )
    passed = made(x)
    for hook in hooks:
        hook.remove()
    return seen, passed


def test_under_autocast_networks_compute_in_bfloat16_and_the_quantiser_in_float32():
    made, x = started(architecture="mlp").eval(), vectors()
    exact, fine = looked_at(made, x)
    assert exact["encoder"].dtype == exact["decoder"].dtype == torch.float32
    with autocast("bfloat16", x.device):
        rough, coarse = looked_at(made, x)
    assert rough["encoder"].dtype == rough["decoder"].dtype == torch.bfloat16
    assert (
        rough["z"].dtype
        == coarse.decoded.dtype
        == coarse.quantized.value.dtype
        == coarse.quantized.commitment.dtype
        == torch.float32
    )
    assert 0 < (rough["z"] - exact["z"]).norm() < 0.02 * exact["z"].norm()
    same = (fine.quantized.codes == coarse.quantized.codes).all(1)
    assert same.float().mean() > 0.9
    assert 0 < (coarse.decoded - fine.decoded)[same].norm() < 0.02 * fine.decoded[same].norm()


@pytest.mark.parametrize("architecture", ["residual", "mlp"])
def test_the_gradients_under_autocast_are_float32_and_near_the_exact_ones(architecture):
    found = []
    for rough in (False, True):
        made = network(architecture=architecture).train()
        x = vectors()
        with autocast("bfloat16" if rough else "float32", x.device):
            loss = ((made(x).decoded - 1) ** 2).mean()
        loss.backward()
        found.append(
            made.decoder.get_parameter(
                "2.weight" if architecture == "mlp" else "change.4.weight"
            ).grad
        )
    assert found[1].dtype == torch.float32
    assert 0 < (found[1] - found[0]).norm() < 0.05 * found[0].norm()
