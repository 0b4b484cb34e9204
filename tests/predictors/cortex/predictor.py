"""A batch predictor as Cortex's users write them: it writes to S3 by itself, keeps state, and aggregates at the end."""

import json
import os
import re
import time

import boto3
from botocore.config import Config


class PythonPredictor:
    def __init__(self, config, job_spec):
        if len(config.get("dest_s3_dir", "")) == 0:
            raise Exception("'dest_s3_dir' field was not provided in job submission")
        self.bucket, key = re.match("s3://(.+?)/(.+)", config["dest_s3_dir"]).groups()
        self.key = os.path.join(key, job_spec["job_id"])
        self.s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        self.factor = config["factor"]
        self.batches = 0
        print("loaded for", job_spec["api_name"], job_spec["workers"], job_spec["total_batch_count"])
        with open("labels.json") as file:
            self.labels = json.load(file)

    def predict(self, payload, batch_id):
        self.batches += 1
        if "poison" in payload:
            raise ValueError("poison")
        time.sleep(0.01)
        results = [{"item": item, "label": self.labels[0], "value": item * self.factor} for item in payload]
        self.put(f"{batch_id}.json", results)

    def on_job_complete(self):
        everything = []
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key)
        for page in pages:
            for found in page.get("Contents", []):
                body = self.s3.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()
                everything += json.loads(body)
        self.put("aggregated_results.json", {"results": everything, "batches": self.batches})

    def put(self, name, value):
        self.s3.put_object(Bucket=self.bucket, Key=f"{self.key}/{name}", Body=json.dumps(value))
