"""CreateModel, field by field, and what a model's name leads to."""

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from stream_infer.gateway.sagemaker.create_model import (
    Container,
    CreateModel,
    RegisteredModel,
    definition_of,
    described_api,
    described_model,
    ignored_in,
    serving,
)
from stream_infer.gateway.validation import validate
from stream_infer.http.problems import Problem
from stream_infer.predictor_settings import NativePredictor, SageMakerPredictor
from stream_infer.settings import ApiSettings

URL, OTHER = "s3://models/digits/model.tar.gz", "s3://models/other.tar.gz"
DIGITS = ApiSettings(
    name="digits", predictor=SageMakerPredictor(model=URL, program="serve.py", env={"A": "1"}), workers={"max": 4}
)
SHOUTER = ApiSettings(name="shouter", predictor=NativePredictor(target="m:M"))
APIS = {api.name: api for api in (DIGITS, SHOUTER)}
SHAPES = botocore.session.get_session().get_service_model("sagemaker")


def body(name: str, *, of: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {"ModelName": name, **(of or {})} | ({"PrimaryContainer": container} if container else {})


def asked(name: str = "digits", **container: Any) -> CreateModel:
    return validate(CreateModel, body(name, **container))


@pytest.mark.parametrize(
    ("model", "api"),
    [
        (asked(), "digits"),
        (asked(Image="i", ModelDataUrl=URL), "digits"),
        (asked(ModelDataSource={"S3DataSource": {"S3Uri": URL, "S3DataType": "S3Object"}}), "digits"),
        (asked(Environment={"A": "1", "SAGEMAKER_PROGRAM": "serve.py"}, Mode="SingleModel"), "digits"),
        (asked("Digits-2026", Environment={"STREAM_INFER_API": "digits"}, ModelDataUrl=URL), "digits"),
        (asked("digits", Environment={"STREAM_INFER_API": "digits"}), "digits"),
        (asked("any", Environment={"STREAM_INFER_API": "shouter"}), "shouter"),
    ],
)
def test_a_name_leads_to_the_api_of_the_same_or_to_the_one_that_it_says(model: CreateModel, api: str):
    assert serving(model, APIS.get).name == api


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (body("cats", ModelDataUrl=OTHER), f'"predictor": {{"type": "sagemaker", "model": "{OTHER}"}}'),
        (body("Cats"), "/ModelName: no API is called 'Cats'. Name the one that serves the model, PrimaryContainer="),
        (body("x", Environment={"STREAM_INFER_API": "y"}), "/Environment/STREAM_INFER_API: no API is named 'y'"),
        (body("shouter", Environment={"STREAM_INFER_API": "digits"}), "/ModelName: 'shouter' is an API itself"),
        (body("digits", ModelDataUrl=OTHER), f"/ModelDataUrl: {OTHER} is not what API 'digits' serves, which is {URL}"),
        (body("shouter", ModelDataUrl=URL), "is not what API 'shouter' serves, which is m:M"),
        (body("digits", Environment={"A": "2"}), "/PrimaryContainer/Environment/A: the model is loaded once"),
        (body("digits", ModelPackageName="p"), "/PrimaryContainer/ModelPackageName: there are no model packages"),
        (body("digits", Mode="MultiModel"), "/PrimaryContainer/Mode: 'MultiModel' is not served here"),
        (body("digits", MultiModelConfig={"ModelCacheSetting": "Enabled"}), "/MultiModelConfig: a model is one"),
        (body("digits", Images="i"), "Did you mean 'Image'?"),
        (body("digits", of={"Containers": [{}]}), "/Containers: one model serves an API"),
        (body("digits", of={"EnableNetworkIsolation": True}), "/EnableNetworkIsolation: predictors have"),
        (body("digits", of={"InferenceExecutionConfig": {"Mode": "Direct"}}), "/InferenceExecutionConfig"),
        (body("a_b"), "/ModelName"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(given: dict[str, Any], said: str):
    with pytest.raises(Problem) as caught:
        serving(validate(CreateModel, given), APIS.get)
    assert said in caught.value.document.detail


def test_the_api_that_is_missing_is_one_that_the_settings_take():
    environment = {"SAGEMAKER_PROGRAM": "serve.py", "LEVEL": "1"}
    made = definition_of(asked("Cats-2", ModelDataUrl=OTHER, Environment=environment))
    predictor = SageMakerPredictor(model=OTHER, program="serve.py", env={"LEVEL": "1"})
    assert ApiSettings.model_validate(made) == ApiSettings(name="cats-2", predictor=predictor)


def test_what_changes_nothing_is_ignored_and_said():
    given = {
        "ModelName": "digits",
        "PrimaryContainer": {"Image": "i", "ContainerHostname": "h"},
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/any",
        "Tags": [{"Key": "a", "Value": "b"}],
        "VpcConfig": {"SecurityGroupIds": ["s"], "Subnets": ["n"]},
        "EnableNetworkIsolation": False,
    }
    model = validate(CreateModel, given)
    assert serving(model, APIS.get) is DIGITS
    assert set(ignored_in(model)) == {
        "ExecutionRoleArn", "PrimaryContainer/ContainerHostname", "PrimaryContainer/Image", "Tags", "VpcConfig",
    }  # fmt: skip


def test_every_field_of_sagemakers_request_is_known():
    shape = SHAPES.operation_model("CreateModel").input_shape
    assert set(shape.members) == set(CreateModel.model_fields)
    assert set(shape.members["PrimaryContainer"].members) == set(Container.model_fields)


def test_descriptions_are_those_that_sagemakers_clients_read():
    model = validate(
        CreateModel,
        {
            "ModelName": "digits-2",
            "PrimaryContainer": {"Image": "i", "ModelDataUrl": URL, "Environment": {"STREAM_INFER_API": "digits"}},
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/any",
            "Tags": [{"Key": "a", "Value": "b"}],
        },
    )
    made = described_model(RegisteredModel(api="digits", asked=model), 5.0)
    assert made["PrimaryContainer"]["Image"] == "i"
    assert (made["ModelName"], made["CreationTime"], "Tags" in made) == ("digits-2", 5.0, False)
    of_api = described_api(DIGITS)
    assert (of_api["PrimaryContainer"], of_api["CreationTime"]) == ({"ModelDataUrl": URL}, 0.0)
    assert "PrimaryContainer" not in described_api(SHOUTER)
    for described in (made, of_api, described_api(SHOUTER)):
        shape = SHAPES.operation_model("DescribeModel").output_shape
        assert not ParamValidator().validate(described, shape).has_errors()


def test_a_model_is_kept_as_it_was_asked_for():
    model = RegisteredModel(api="digits", asked=asked(Image="i", Environment={"A": "1"}))
    assert RegisteredModel.model_validate_json(model.model_dump_json(exclude_none=True)) == model
