"""CaseOps text for tests, and the bytes of its tokens counted one character after the other."""

import random
from typing import Any

FIRST, LAST, ESCAPE = "\ue001", "\ue004", "\ue004"


def capitalised(texts: list[str], seed: int = 1) -> list[str]:
    """Return texts in which words are capital, titles, mixed or as they were, and a few operators stand."""
    chance = random.Random(seed)
    forms = [str.lower, str.upper, str.title, str.swapcase]
    odd = ["\ue001", "a\ue004B", "\ue004\ue004", "X", "McDonald's"]
    return [
        " ".join(
            chance.choice(odd) if chance.random() < 0.03 else chance.choice(forms)(word) for word in text.split(" ")
        )
        for text in texts
    ]


def bytes_one_by_one(model: Any, tokens: list[int]) -> list[int]:
    """Return the bytes of the original text that each token stands for."""
    counts, is_escaped, is_first = [], False, True
    for token in tokens:
        if model.is_control(token):
            counts.append(0)
            is_escaped, is_first = False, True
            continue
        if model.is_byte(token):
            counts.append(1)
        else:
            surface = model.id_to_piece(token).replace("\u2581", " ")
            stood_for = 0
            for character in surface[1:] if is_first and surface.startswith(" ") else surface:
                if is_escaped:
                    stood_for, is_escaped = stood_for + 3, False
                elif character == ESCAPE:
                    is_escaped = True
                elif not FIRST <= character <= LAST:
                    stood_for += len(character.encode())
            counts.append(stood_for)
        is_first = False
    return counts
