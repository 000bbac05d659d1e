"""The plain loop multiplies in the precision it is given, so that a ratio compares like with like."""

from pathlib import Path

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_the_plain_loop_autocasts_on_a_cpu_where_it_is_asked_to(tmp_path: Path, name: str) -> None:
    import torch
    from torch import nn

    from benchmarks.plain_loop import PlainLoop, Shape

    products = getattr(torch, name)
    shape = Shape(vocabulary=32, width=16, order=(0, 1), heads=2, kv_heads=1, hidden=32, rope_dims=8, softcap=30.0)
    shard = tmp_path / "shard.bin"
    shard.write_bytes(bytes(1024) + (np.arange(200) % shape.vocabulary).astype("<u2").tobytes())
    loop = PlainLoop(shape, shard, 64, 32, 16, use_muon=True, device=torch.device("cpu"), products=products)
    seen: set[torch.dtype] = set()
    for module in loop.model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    before = [weight.detach().clone() for weight in loop.model.parameters()]
    assert np.isfinite(loop.step())
    assert seen == {products}
    assert all(weight.dtype == torch.float32 for weight in loop.model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, loop.model.parameters(), strict=True))
