"""What users of SageMaker's SDK write, run by an interpreter that has it and nothing of ours:

    transforms.py GATEWAY BUCKET ARCHIVE GATE

Each step says what came of it, a line of JSON each. The file GATE lets the job that is stopped go on.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3
import sagemaker
from sagemaker import Model, Session
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.s3 import S3Downloader
from sagemaker.transformer import Transformer

REGION = "eu-central-1"
TEXT = {"content_type": "text/plain", "split_type": "Line", "logs": False}


def main(gateway: str, bucket: str, archive: str, gate: Path) -> None:
    account = boto3.Session(profile_name="nightly", region_name=REGION)
    session = Session(
        boto_session=boto3.Session(region_name=REGION),
        sagemaker_client=account.client("sagemaker", endpoint_url=gateway),
        default_bucket=bucket,
    )
    at = f"s3://{bucket}"

    def transformer(model: str, job: str) -> Transformer:
        return Transformer(
            model,
            instance_count=1,
            instance_type="ml.m5.xlarge",
            output_path=f"{at}/out/{job}",
            accept="text/plain",
            assemble_with="Line",
            sagemaker_session=session,
        )

    def outputs(job: str) -> dict[str, str]:
        found = S3Downloader.list(f"{at}/out/{job}", sagemaker_session=session)
        below = len(f"{at}/out/{job}/")
        return {uri[below:]: S3Downloader.read_file(uri, sagemaker_session=session) for uri in sorted(found)}

    def status(job: str) -> str:
        return str(session.describe_transform_job(job)["TransformJobStatus"])

    tell(sdk=sagemaker.__version__)

    model = Model(
        image_uri="pytorch-inference:2",
        model_data=archive,
        name="Shouter-2026",
        env={"STREAM_INFER_API": "shouter"},
        role="arn:aws:iam::000000000000:role/any",
        sagemaker_session=session,
    )
    by_manifest = model.transformer(
        1, "ml.m5.xlarge", output_path=f"{at}/out/by-manifest", accept="text/plain", assemble_with="Line"
    )
    manifest = {"data_type": "ManifestFile", "job_name": "by-manifest", "wait": False}
    by_manifest.transform(f"{at}/in/manifest.json", **manifest, **TEXT)
    failing = transformer("shouter", "failing")
    failing.transform(f"{at}/in/bad/", job_name="failing", wait=False, **TEXT)

    by_prefix = transformer("shouter", "by-prefix")
    by_prefix.transform(f"{at}/in/texts/", data_type="S3Prefix", job_name="by-prefix", wait=True, **TEXT)
    tell(by_prefix=[status("by-prefix"), outputs("by-prefix")])

    by_manifest.wait(logs=False)
    tell(by_manifest=[status("by-manifest"), outputs("by-manifest")])
    by_manifest.delete_model()

    try:
        Transformer.attach("failing", sagemaker_session=session).wait(logs=False)
    except UnexpectedStatusException as error:
        tell(failing=[error.actual_status, str(error)])

    stopped = transformer("shouter", "endless")
    stopped.transform(f"{at}/in/lines/", job_name="endless", wait=False, **TEXT)
    stopped.stop_transform_job(wait=False)
    tell(stopping=status("endless"))
    gate.touch()
    stopped.wait(logs=False)
    tell(stopped=status("endless"))

    try:
        transformer("nobody", "none").transform(f"{at}/in/texts/", job_name="none", wait=False, **TEXT)
    except session.sagemaker_client.exceptions.ResourceNotFound as error:
        tell(unknown_model=str(error))


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], gate=Path(sys.argv[4]))
