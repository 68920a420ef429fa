"""How the vocabularies of two tokenizers differ (the tokenizer.json of Hugging Face tokenizers)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mvc.diff.findings import TokenDiff

SAMPLE = 16
MAX_SHOWN = 80


def split(document: Any) -> tuple[dict[str, int], frozenset[str], Any] | None:
    """Return (number by token, merges, the rest) of a tokenizer, None if it is none."""
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        return None
    model = dict(document["model"])
    numbers = _numbers(model.pop("vocab", None))
    if numbers is None:
        return None
    merges = model.pop("merges", None)
    rest = {**document, "model": model}
    for token in rest.pop("added_tokens", None) or ():
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            return None
        number = token.get("id")
        numbers[token["content"]] = number if type(number) is int else -1
    known = merges if isinstance(merges, list) else []
    pairs = (" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in known)
    return numbers, frozenset(pairs), rest


def _numbers(vocabulary: object) -> dict[str, int] | None:
    """Read a vocabulary: numbers by token, or (Unigram) a list of tokens with their scores."""
    if isinstance(vocabulary, dict):
        return {
            token: number if type(number) is int else -1 for token, number in vocabulary.items()
        }
    if isinstance(vocabulary, list):
        tokens = (item[0] if isinstance(item, list) and item else item for item in vocabulary)
        return {str(token): number for number, token in enumerate(tokens)}
    return None


def compare(
    old: Mapping[str, int], new: Mapping[str, int], merges: tuple[frozenset[str], frozenset[str]]
) -> TokenDiff:
    """Compare two vocabularies by their tokens."""
    added = sorted(new.keys() - old.keys(), key=lambda token: (new[token], token))
    removed = sorted(old.keys() - new.keys(), key=lambda token: (old[token], token))
    return TokenDiff(
        len(old),
        len(new),
        len(added),
        len(removed),
        sum(old[token] != number for token, number in new.items() if token in old),
        len(merges[1] - merges[0]),
        len(merges[0] - merges[1]),
        tuple(token[:MAX_SHOWN] for token in added[:SAMPLE]),
        tuple(token[:MAX_SHOWN] for token in removed[:SAMPLE]),
    )


def differs(found: TokenDiff) -> bool:
    """Tell whether any token or merge differs."""
    return any(
        (found.added, found.removed, found.renumbered, found.merges_added, found.merges_removed)
    )
