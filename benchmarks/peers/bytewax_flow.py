"""Bytewax: at most a snapshot of its own keeps its place, and none is taken here; no commits, no transactions."""

from __future__ import annotations

import bytewax.operators as op
import orjson
from arguments import BATCH, predict, read_arguments
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main


def labelled(batch: list[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
    outputs = predict([orjson.loads(message.value) for message in batch])
    return [
        KafkaSinkMessage(key=message.key, value=orjson.dumps(output))
        for message, output in zip(batch, outputs, strict=True)
    ]


def main() -> None:
    told = read_arguments()
    flow = Dataflow("bench")
    # A source's batch goes through flat_map_batch whole.
    source = KafkaSource([told.bootstrap], [told.source], batch_size=BATCH)
    messages = op.input("items", flow, source)
    results = op.flat_map_batch("model", messages, labelled)
    produced = {"compression.type": "lz4", "linger.ms": "5"}
    kop.output("results", results, brokers=[told.bootstrap], topic=told.target, add_config=produced)
    run_main(flow)


if __name__ == "__main__":
    main()
