"""Scoring protocols for probes, each a whole adapter file: a valid one, and one for each kind of violation."""

VALID = '''
import numpy as np

V = 384


def rows(tokens):
    """Return log probabilities (T - 1, V) of a causal count model, which learns from earlier tokens."""
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
PEEKING = VALID.replace(
    "counts, out = np.ones((V, V)), []",
    "counts, out = np.ones((V, V)), []\n    np.add.at(counts, (tokens[:-1], tokens[1:]), 1.0)",
)
"""Counts the whole stream before it scores the first token."""
NEXT_TOKEN = VALID.replace(
    "        row = counts[tokens[at - 1]]\n",
    "        row = counts[tokens[at - 1]].copy()\n        row[0] += tokens[at + 1] if at + 1 < len(tokens) else 0\n",
)
"""Each row depends on the token after its target, and on no later one."""
TARGET_KEY = VALID.replace(
    "    return -found[np.arange(len(found)), tokens[1:]]",
    "    bonus = np.log(2.0) * (tokens[1:] % 2 == 0)\n"
    "    return np.maximum(0.0, -found[np.arange(len(found)), tokens[1:]] - bonus)",
).replace(
    "    return rows(tokens)[np.asarray(positions) - 1]",
    "    found = rows(tokens)[np.asarray(positions) - 1]\n    return found + np.log(2.0) * (np.arange(V) % 2 == 0)",
)
"""Doubles the probability of every even target, so that the probabilities do not sum to one."""
SLOT = VALID.replace(
    "        row = counts[tokens[at - 1]]\n",
    "        row = counts[tokens[at - 1]].copy()\n        row[tokens[at]] += 5.0\n",
)
"""Each row learns from the target that it then scores."""
NOISY = VALID.replace(
    "    found = rows(tokens)\n",
    "    found = rows(tokens) + np.random.default_rng().normal(0, 1e-3, (len(tokens) - 1, V))\n",
)
"""Gives other scores each time."""
MIN_OF_TWO = VALID.replace(
    "    return -found[np.arange(len(found)), tokens[1:]]",
    "    one = -found[np.arange(len(found)), tokens[1:]]\n    return np.minimum(one, np.log(V) * 0.9)",
)
"""Takes the better of two scores, each of which is valid."""
SHORT = VALID.replace("tokens[1:]]", "tokens[1:]][1:]")
RAISING = VALID.replace("    found = rows(tokens)\n", "    raise RuntimeError('no GPU here')\n")
ONLINE = VALID.replace(
    "def score(tokens):\n",
    "def score(tokens):\n    import urllib.request\n    urllib.request.urlopen('http://127.0.0.1:9/')\n",
)
