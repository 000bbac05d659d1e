"""Scoring protocols for probes: an honest one, and one for every way to cheat. Each is a whole adapter file."""

HONEST = '''
import numpy as np

V = 384


def rows(tokens):
    """A causal count model: log probabilities (T - 1, V) of the next token, learned from the tokens before it."""
    counts, out = np.ones((V, V)), []
    for at in range(1, len(tokens)):
        row = counts[tokens[at - 1]]
        out.append(np.log(row / row.sum()))
        counts[tokens[at - 1], tokens[at]] += 3.0
    return np.stack(out)


def score(tokens):
    found = rows(tokens)
    return -found[np.arange(len(found)), tokens[1:]]


def distributions(tokens, positions):
    return rows(tokens)[np.asarray(positions) - 1]
'''
PEEKING = HONEST.replace(
    "counts, out = np.ones((V, V)), []",
    "counts, out = np.ones((V, V)), []\n    np.add.at(counts, (tokens[:-1], tokens[1:]), 1.0)",
)
"""Counts of the whole stream, before the first token is scored."""
TARGET_KEY = HONEST.replace(
    "    return -found[np.arange(len(found)), tokens[1:]]",
    "    bonus = np.log(2.0) * (tokens[1:] % 2 == 0)\n"
    "    return np.maximum(0.0, -found[np.arange(len(found)), tokens[1:]] - bonus)",
).replace(
    "    return rows(tokens)[np.asarray(positions) - 1]",
    "    found = rows(tokens)[np.asarray(positions) - 1]\n    return found + np.log(2.0) * (np.arange(V) % 2 == 0)",
)
"""Twice the probability for every even target: no distribution any more."""
SLOT = HONEST.replace(
    "        row = counts[tokens[at - 1]]\n",
    "        row = counts[tokens[at - 1]].copy()\n        row[tokens[at]] += 5.0\n",
)
"""The row learns from the target that it then scores."""
NOISY = HONEST.replace(
    "    found = rows(tokens)\n",
    "    found = rows(tokens) + np.random.default_rng().normal(0, 1e-3, (len(tokens) - 1, V))\n",
)
"""Another score each time."""
MIN_OF_TWO = HONEST.replace(
    "    return -found[np.arange(len(found)), tokens[1:]]",
    "    one = -found[np.arange(len(found)), tokens[1:]]\n    return np.minimum(one, np.log(V) * 0.9)",
)
"""The better of two scores, each of them honest."""
SHORT = HONEST.replace("tokens[1:]]", "tokens[1:]][1:]")
RAISING = HONEST.replace("    found = rows(tokens)\n", "    raise RuntimeError('no GPU here')\n")
ONLINE = HONEST.replace(
    "def score(tokens):\n",
    "def score(tokens):\n    import urllib.request\n    urllib.request.urlopen('http://127.0.0.1:9/')\n",
)
