"""A predictor that says what it does."""

import logging

log = logging.getLogger("talking")


class Talking:
    def __init__(self, config):
        print("loading")

    def predict(self, items):
        for item in items:
            print(f"printed {item}")
            log.info("logged %s", item)
        return list(items)
