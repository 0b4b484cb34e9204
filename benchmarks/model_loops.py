"""What the real model is measured against, each as a process of its own: only decoding and the model, no delivery.

`memory`: the files' bytes lie in memory; threads decode the next batches while the model works on this one.
`dataloader`: a PyTorch DataLoader over the files with as many worker processes. Same classifier, same decode, same
threads and batch for all. `--tuned`: the process is set up as the engine's child is (large tensors are kept, threads
change more often), and the batch goes through the model in slices beside each other, as the classifier's own default
is; else it is given to the model as a whole. Prints the seconds for all pictures; two batches of them warm the model.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

from benchmarks.pictures import LITE0
from stream_infer.engine.child import SWITCH_INTERVAL_S
from stream_infer.engine.configured import predictor_spec
from stream_infer.heap import keep_large_blocks
from stream_infer.predictors.torchvision import TorchvisionClassifier

_AHEAD = 2


class Pictures(Dataset[Any]):
    """Decoded in the DataLoader's own processes."""

    def __init__(self, files: Sequence[Path], classifier: TorchvisionClassifier) -> None:
        self._files = files
        self._classifier = classifier

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Any:
        return self._classifier.preprocess(self._files[index].read_bytes())


def in_memory(
    classifier: TorchvisionClassifier, pictures: Sequence[bytes], batch: int, pool: ThreadPoolExecutor
) -> float:
    """Seconds for all of them."""
    started = time.perf_counter()
    coming: deque[list[Future[Any]]] = deque()
    chunks = (pictures[start : start + batch] for start in range(0, len(pictures), batch))
    for chunk in chunks:
        coming.append([pool.submit(classifier.preprocess, picture) for picture in chunk])
        if len(coming) > _AHEAD:
            _classify(classifier, coming.popleft())
    while coming:
        _classify(classifier, coming.popleft())
    return time.perf_counter() - started


def _classify(classifier: TorchvisionClassifier, decoded: list[Future[Any]]) -> None:
    classifier.predict(classifier.collate([future.result() for future in decoded]))


def by_loader(classifier: TorchvisionClassifier, files: Sequence[Path], batch: int, threads: int) -> float:
    """Seconds for all of them, the start of the loader's processes included: some 0.1 s."""
    started = time.perf_counter()
    pictures = Pictures(files, classifier)
    for decoded in DataLoader(pictures, batch_size=batch, num_workers=threads, collate_fn=list):
        classifier.predict(classifier.collate(decoded))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["memory", "dataloader"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--count", type=int, help="of the files; all of them by default")
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    if options.tuned:
        keep_large_blocks()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
    files = sorted(options.folder.glob("*.jpg"))[: options.count]
    model = LITE0 if options.tuned else LITE0.model_copy(update={"config": {**LITE0.config, "streams": 1}})
    classifier = TorchvisionClassifier.from_spec(predictor_spec(model))
    classifier.warmup()
    pictures = [file.read_bytes() for file in files]
    with ThreadPoolExecutor(options.threads) as pool:
        in_memory(classifier, pictures[: 2 * options.batch], options.batch, pool)
        if options.kind == "memory":
            seconds = in_memory(classifier, pictures, options.batch, pool)
    if options.kind == "dataloader":
        seconds = by_loader(classifier, files, options.batch, options.threads)
    print(seconds, flush=True)


if __name__ == "__main__":
    main()
