"""Names what scripts have and recipes do not: components without a key, with what they do.

Source: the scripts of openai/parameter-golf up to #2140.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pgolf.drafting.values import Hyperparameter


@dataclass(frozen=True, slots=True)
class Missing:
    """A component that no recipe has."""

    names: tuple[str, ...]
    """Patterns of its variables."""
    does: str
    """What it does, to follow "not in the recipe: "."""
    switches: tuple[str, ...] = ()
    """Variables that turn it off if they are zero."""


MISSING = (
    Missing(("GATED_ATTENTION*",), "attention gates with a bias, one for each head"),
    Missing(("MLP_GATE*", "MLP_OUT_GATE*"), "a gate on the output of the MLP"),
    Missing(("SPARSE_ATTN_GATE_INIT_STD",), "random initial sparse gates; a recipe starts them at zero"),
    Missing(("DTG_*",), "dynamic token gates, one per token and block"),
    Missing(("EMBEDDING_DIM", "EMBED_DIM"), "a factored embedding: a narrow token table with projections"),
    Missing(("HASH_EMBED_*", "TTT_HASH_*", "TRIGRAM*"), "a hashed table of token n-grams besides the bigram table"),
    Missing(("ENGRAM*",), "tables of token n-grams with gates"),
    Missing(("MTP_*",), "heads that predict later tokens in training (multi-token prediction)"),
    Missing(("PARALLEL_FINAL_LANE",), "a choice which of two lanes is the output; a recipe takes their mean"),
    Missing(("PARALLEL_*",), "a variant of the two residual lanes"),
    Missing(("LANE_MERGE*",), "a learned weight that merges two lanes"),
    Missing(("ROPE_YARN*", "YARN_*"), "YaRN scaling of rotary frequencies"),
    Missing(("RECUR_*", "NUM_UNIQUE_LAYERS", "SHARE_*"), "repeated layers that another rule chooses"),
    Missing(("QK_GAIN_*",), "a schedule or a variant of the initial query gains"),
    Missing(("MUON_BETA2", "NORMUON*"), "normalized Muon updates (NorMuon)"),
    Missing(("CAUTIOUS_*",), "weight decay only where it agrees with the update"),
    Missing(("WD_SCHEDULE*",), "weight decay that changes during training by another rule than a taper"),
    Missing(("HUBER_*", "MUON_HUBER*"), "Huber weight decay of matrices"),
    Missing(("SEQ_LEN_SCHEDULE*",), "a sequence length that grows in training; rows of documents have `longest`"),
    Missing(("BATCH_SCHEDULE*", "BATCH_RAMP*"), "a batch that grows during training"),
    Missing(("MIDRUN_CAP*",), "a softcap that changes during training"),
    Missing(("LAWA_*",), "a mean of the latest checkpoints (LAWA)"),
    Missing(("VAL_DOC_FRACTION",), "a score of a part of the validation documents"),
    Missing(("AWQ_LITE_*",), "one group of columns with more bits (AWQ)"),
    Missing(("LQER_ASYM*", "LQER_GAIN*", "LQER_SCOPE"), "asymmetric low-rank residuals", ("LQER_ENABLED",)),
    Missing(("HESSIAN_CLIP*",), "a clip that depends on the Hessian"),
    Missing(("MIXED_QUANT", "N_INT6_LAYERS"), "a number of layers at 6 bits, chosen by sensitivity", ("MIXED_QUANT",)),
    Missing(("OPTROT*", "HADAMARD*"), "rotations of pairs of matrices before quantization"),
    Missing(("PREQUANT_TTT_*",), "training on validation text before quantization"),
    Missing(("PHASED_TTT_*", "GLOBAL_TTT_*"), "a setting of phases that the recipe does not have"),
    Missing(("TTT_SHORT_*",), "another chunk size for short documents"),
    Missing(("TTT_WARM_START*",), "adapters that start from a mean of those of earlier documents"),
    Missing(("TTT_EMA_*",), "a moving average of the weights that adapt"),
    Missing(("TTT_*",), "a setting of a test-time training that the recipe does not have", ("TTT_ENABLED",)),
    Missing(("ETLB_*",), "test-time training of a bias of the logits"),
    Missing(("LBFGS_*", "*SLOT_*"), "test-time optimization of a vector at the output (SLOT)"),
    Missing(("NGRAM_*", "*_TILT_*"), "n-gram statistics that change probabilities", ("NGRAM_TILT_ENABLED",)),
    Missing(("KNN_*", "CACHE_*"), "a cache of scored text that changes the predicted probabilities"),
)  # fmt: skip
"""First match counts, so families come after their exceptions."""


def reason_missing(value: Hyperparameter, values: Mapping[str, Hyperparameter]) -> str | None:
    """Return what an absent component of a variable does, and whether the script turns it off.

    Returns:
        None if no component is known for the variable.
    """
    missing = next((each for each in MISSING if any(fnmatchcase(value.name, name) for name in each.names)), None)
    if missing is None:
        return None
    flags = [
        name for name in values if name.endswith("_ENABLED") and value.name.startswith(name.removesuffix("ENABLED"))
    ]
    switches = (value.name, *missing.switches, *flags)
    off = [name for name in switches if name in values and values[name].is_off]
    state = f" (off: {off[0]}={values[off[0]].text})" if off else ""
    return f"not in the recipe: {missing.does}{state}"
