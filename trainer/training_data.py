"""What training reads."""

from trainer.data.batches import BatchReader
from trainer.data.growing_length import GrowingLength
from trainer.data.manifest import read_split
from trainer.data.order import make_order
from trainer.data.shards import TokenStream
from trainer.evaluation.byte_counts import load_tokenizer
from trainer.recipe.loader import DocumentRows
from trainer.runtime.job import TrainingJob
from trainer.runtime.world import World


class TrainingData:
    """The training split, as this rank's batches in the order that the recipe asks for."""

    length: GrowingLength
    """What documents are cut to, if the loader reads rows of them."""

    def __init__(self, job: TrainingJob, world: World) -> None:
        schedule = job.recipe.schedule
        split = read_split(job.data, "train", job.recipe.vocabulary_size)
        self.stream = TokenStream(split.shards)
        self.bytes = split.bytes
        self.bos_token = load_tokenizer(job.data.tokenizer, job.recipe.vocabulary_size).bos_id()
        order = make_order(schedule, self.stream, job.seed, self.bos_token)
        if isinstance(schedule.loader, DocumentRows):
            self.length = GrowingLength(schedule.loader)
        self.batches = BatchReader(self.stream, order, schedule, world, self.bos_token)

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of text that a token stands for."""
        return self.bytes / len(self.stream)
