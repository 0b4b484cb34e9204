"""The sentiment of a review in English, by VADER's lexicon and rules (Hutto and Gilbert, 2014).

stream-infer batch examples/sentiment/model.py:Sentiment examples/sentiment/reviews --output sentiment.jsonl
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


class Sentiment:
    """Text in; `{"logit_prob", "sentiment"}` out.

    VADER's compound score lies in -1..1. Half of it and a half is read as the probability that the review is positive;
    `logit_prob` is its logit, ln(p / (1 - p)), so 0 is undecided. `threshold` (config): compound scores nearer to 0
    are neutral.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._threshold = float(config.get("threshold", 0.05))
        self._analyzer = SentimentIntensityAnalyzer()

    def predict(self, items: Sequence[str]) -> list[dict[str, Any]]:
        return [self._judge(self._analyzer.polarity_scores(text)["compound"]) for text in items]

    def _judge(self, compound: float) -> dict[str, Any]:
        probability = min(max((compound + 1) / 2, 1e-6), 1 - 1e-6)
        logit = math.log(probability / (1 - probability))
        return {"logit_prob": round(logit, 4), "sentiment": self._name(compound)}

    def _name(self, compound: float) -> str:
        if abs(compound) < self._threshold:
            return "neutral"
        return "positive" if compound > 0 else "negative"
