"""The model: it walks its execution plan and does nothing else.

Shape letters used throughout the trainer:
B batch, T position, D width, H query head, K key/value head, E head width, V vocabulary, R row, C column, N anything.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.block import Block
from trainer.model.loss import mean_cross_entropy, softcapped
from trainer.model.norm import rms_norm
from trainer.model.rope import Rotary
from trainer.recipe.inventory import inventory
from trainer.recipe.model import Gpt
from trainer.recipe.plan import Execution, execution_plan, skip_count


class GptModel(nn.Module):
    """A decoder-only transformer.

    Its tensors are those of `inventory`, name by name; the constructor checks it.
    """

    def __init__(self, model: Gpt, vocabulary_size: int, plan: tuple[Execution, ...] | None = None) -> None:
        super().__init__()
        self.softcap = model.softcap
        self.plan = execution_plan(model) if plan is None else plan
        self.embedding = nn.ParameterDict({"tokens": torch.empty(vocabulary_size, model.width)})
        self.flat = nn.ModuleList(Block(model) for _ in range(model.topology.layers))
        self.skip_weights: nn.Parameter | None = None
        if skips := skip_count(self.plan):
            self.skip_weights = nn.Parameter(torch.ones(skips, model.width))
        self.rotary = {
            execution.rope_dims: Rotary(execution.rope_dims, model.attention.rope.base) for execution in self.plan
        }
        self.check_inventory(model, vocabulary_size)
        self.initialise(model)

    def check_inventory(self, model: Gpt, vocabulary_size: int) -> None:
        """Nothing, if what was built is what was counted."""
        counted = {tensor.name: tensor.shape for tensor in inventory(model, vocabulary_size)}
        built = {name: tuple(parameter.shape) for name, parameter in self.named_parameters()}
        assert counted == built, f"inventory and model differ: {set(counted.items()) ^ set(built.items())}"

    def initialise(self, model: Gpt) -> None:
        """Nothing; matrices get PyTorch's uniform(-1/sqrt(columns), 1/sqrt(columns)). Projections back into the
        stream stay zero.
        """
        nn.init.normal_(self.embedding["tokens"], std=model.embedding.deviation)
        for block in self.flat:
            assert isinstance(block, Block)
            for matrix in (block.attention.query, block.attention.key, block.attention.value, block.mlp.up):
                bound = matrix.size(1) ** -0.5
                nn.init.uniform_(matrix, -bound, bound)

    def forward(self, tokens_BT: Tensor, last: int | None = None, documents_BT: Tensor | None = None) -> Tensor:
        """Logits of the next token at every position, or only at the `last` ones. Where documents are numbered, no
        token sees another document than its own.

        Shapes: (B, T) -> (B, T or last, V), float32.
        """
        x_BTD = self.features(tokens_BT, documents_BT)
        if last is not None:
            x_BTD = x_BTD[:, -last:]
        return softcapped(F.linear(rms_norm(x_BTD), self.embedding["tokens"]).float(), self.softcap)

    def mean_loss(self, tokens_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Mean nats of all targets: the cross entropy of `forward`, with less work."""
        x_BTD = rms_norm(self.features(tokens_BT, documents_BT))
        return mean_cross_entropy(x_BTD.flatten(0, 1), self.embedding["tokens"], targets_BT.flatten(), self.softcap)

    def features(self, tokens_BT: Tensor, documents_BT: Tensor | None) -> Tensor:
        """The stream after the last execution of the plan. Shapes: (B, T) -> (B, T, D)."""
        first_BTD = x_BTD = rms_norm(F.embedding(tokens_BT, self.embedding["tokens"]))
        mask_B1TT = None if documents_BT is None else document_mask(documents_BT)
        skips: list[Tensor] = []
        for execution in self.plan:
            if execution.pops_skip is not None:
                assert self.skip_weights is not None
                x_BTD = x_BTD + self.skip_weights[execution.pops_skip] * skips.pop()
            block = self.get_submodule(execution.block)
            x_BTD = block(x_BTD, first_BTD, self.rotary[execution.rope_dims], mask_B1TT)
            if execution.pushes_skip:
                skips.append(x_BTD)
        return x_BTD


def document_mask(documents_BT: Tensor) -> Tensor:
    """Which earlier token each token may see: those of its own document. Shapes: (B, T) -> (B, 1, T, T), bool."""
    is_same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return is_same_BTT.tril()[:, None]
