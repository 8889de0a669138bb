"""What the heads read of tokens that hold several codes."""

import torch
from networks import make_network

from snac_plugin.levels import Levels
from snac_plugin.model.code_mixer import CodeMixer


def test_a_code_is_read_with_its_own_noised_vector(levels: Levels) -> None:
    """Given its token, what the head says of a code follows that code's vector; by token it follows none; mixed, its token's."""
    for read_out in ("token", "code", "mixed"):
        network = make_network(levels, patch="frame", read_out=read_out)
        for level, count in enumerate(levels.per_frame):
            hidden, embedding = torch.randn(1, 3, 32, dtype=torch.float64), torch.randn(1, 1, 32, dtype=torch.float64)
            noised = torch.randn(1, 3 * count, levels.codebook_dim, dtype=torch.float64, requires_grad=True)
            output = network.read_out(level, hidden, [3], embedding, noised)
            if read_out == "token":
                assert torch.autograd.grad(output.sum(), noised, allow_unused=True) == (None,)
                continue
            for code in range(3 * count):
                (gradient,) = torch.autograd.grad(output[0, code].sum(), noised, retain_graph=True)
                own = [code] if read_out == "code" else [*range(code - code % count, code - code % count + count)]
                assert gradient[0].any(dim=-1).nonzero().flatten().tolist() == own


def test_codes_that_mix_begin_by_themselves(levels: Levels) -> None:
    """A network that was read out by code gives the same once it mixes, until that is trained; and then the slow loop's."""
    by_code, mixed = (make_network(levels, patch="frame", read_out=kind) for kind in ("code", "mixed"))
    mixed.load_state_dict(by_code.state_dict() | {k: v for k, v in mixed.state_dict().items() if k.startswith("mixers")})
    level, count = len(levels) - 1, levels.per_frame[-1]
    hidden, embedding = torch.randn(1, 3, 32, dtype=torch.float64), torch.randn(1, 1, 32, dtype=torch.float64)
    noised = torch.randn(1, 3 * count, levels.codebook_dim, dtype=torch.float64)
    mixer, codes = mixed.mixers[level], torch.randn(1, 1, count, 32, dtype=torch.float64)
    slow = codes.clone()
    for channel in range(32):
        slow[0, 0, :, channel] += mixer.mix(mixer.norm(codes)[0, 0, :, channel])
    torch.testing.assert_close(mixer(codes), slow)
    outputs = [network.read_out(level, hidden, [3], embedding, noised) for network in (by_code, mixed)]
    assert not torch.allclose(*outputs)
    for name, weight in mixer.mix[2].named_parameters():
        assert not CodeMixer(count, 32).mix[2].get_parameter(name).any()
        torch.nn.init.zeros_(weight)
    torch.testing.assert_close(mixed.read_out(level, hidden, [3], embedding, noised), outputs[0])
