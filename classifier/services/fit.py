"""Whether the best label says anything at all: a softmax always names a winner, also for a picture of nothing known."""

# Cosine of a picture and its best label for OpenAI's ViT-B/32. Matching captions come to about 0.25 to 0.33 and
# unrelated ones stay under 0.2; LAION-400M, which was filtered with this very model, kept pairs from 0.3 on
# (https://arxiv.org/abs/2111.02114). Other models have other ranges, for which no numbers are published: the
# probability alone decides there, as it does for the stand-in, which has no cosine.
UNRELATED, RELATED = 0.20, 0.25
WEAK_SCORE = 0.20  # probability; spread over five labels or more


def fits_well(*, model: str, score: float, similarity: float | None) -> bool:
    """The rule behind "none of the 1000 labels fits well", from the best label's probability and cosine.

    ViT-B/32: fits from a cosine of 0.25 on, however many labels share the probability (breeds of dog do); never
    under 0.20; in between where the probability is at least 20 %. Other models: where the probability is that.

    What 20 % does was seen with the stand-in on scikit-image's 22 pictures: all 5 that show one of the labels (27 to
    95 %) fit, and 11 of the 17 that show none (textures, text, microscopy) do not.
    """
    if model == "ViT-B/32" and similarity is not None:
        return similarity >= RELATED or (similarity >= UNRELATED and score >= WEAK_SCORE)
    return score >= WEAK_SCORE
