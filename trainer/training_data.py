"""What training reads."""

from torch import Tensor

from trainer.data.batches import BatchReader, MicroBatch
from trainer.data.manifest import read_split
from trainer.data.order import make_order, number_documents_for
from trainer.data.shards import TokenStream
from trainer.evaluation.byte_counts import load_tokenizer
from trainer.runtime.job import TrainingJob
from trainer.runtime.world import World


class TrainingData:
    """The training split, as this rank's batches in the order that the recipe asks for."""

    def __init__(self, job: TrainingJob, world: World) -> None:
        schedule = job.recipe.schedule
        split = read_split(job.data, "train", job.recipe.vocabulary_size)
        self.loader = schedule.loader
        self.stream = TokenStream(split.shards)
        self.bytes = split.bytes
        self.bos_token = load_tokenizer(job.data.tokenizer, job.recipe.vocabulary_size).bos_id()
        order = make_order(self.loader, self.stream, schedule.sequence_tokens, job.seed, self.bos_token)
        self.batches = BatchReader(self.stream, order, schedule, world)

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of text that a token stands for."""
        return self.bytes / len(self.stream)

    def documents(self, micro: MicroBatch) -> Tensor | None:
        """Return the number of each token's document, or None if attention crosses documents. Shapes: (B, T)."""
        return number_documents_for(self.loader, micro.x_BT, self.bos_token)
