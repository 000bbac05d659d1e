"""Each target is scored exactly once, for every protocol and length."""

from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.windows import windows
from trainer.recipe.evaluation import Chunked, Documents, Sliding


@given(st.integers(1, 300), st.integers(1, 40))
def test_chunks_cover_every_target_once(targets: int, window: int) -> None:
    scored = [i for w in windows(Chunked(kind="chunked", window=window), targets) for i in covered(w)]
    assert scored == list(range(targets))


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_sliding_windows_cover_every_target_once_with_full_context(
    targets: int, window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window))
    found = list(windows(Sliding(kind="sliding", window=window, stride=stride), targets))
    assert [i for w in found for i in covered(w)] == list(range(targets))
    assert all(w.start >= 0 and w.start + w.length <= targets for w in found)
    assert all(w.length == window and w.scored <= stride for w in found[1:])


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_document_windows_cover_every_target_once_and_see_no_other_document(
    targets: int, window: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, window))
    starts = sorted({0, *data.draw(st.lists(st.integers(0, targets)))})
    found = list(windows(Documents(kind="document", window=window, stride=stride), targets, starts))
    assert [i for w in found for i in covered(w)] == list(range(targets))
    for each in found:
        own = max(begin for begin in starts if begin <= each.first_target)
        assert own <= each.start and each.length <= window and each.start + each.length <= targets
        context = each.first_target - each.start
        assert each.start == own or context >= window - stride, "as much of its document as a window holds"


def covered(window) -> range:  # type: ignore[no-untyped-def]
    return range(window.first_target, window.first_target + window.kept)
