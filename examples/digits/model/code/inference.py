"""As it is written for SageMaker's PyTorch container: nothing in here knows where it runs."""

import io
import json
from pathlib import Path

import numpy as np
import torch
from net import Net
from PIL import Image


def model_fn(model_dir):
    model = Net()
    model.load_state_dict(torch.load(Path(model_dir, "model.pth"), map_location="cpu", weights_only=True))
    print("the model is loaded from", model_dir)
    return model.eval()


def input_fn(request_body, content_type):
    if content_type != "application/x-image":
        raise ValueError(f"images are expected, not {content_type}")
    pixels = np.asarray(Image.open(io.BytesIO(request_body)).convert("L"), dtype=np.float32)
    return torch.from_numpy(pixels / 255).reshape(1, 1, *pixels.shape)


def predict_fn(data, model):
    with torch.no_grad():
        return torch.softmax(model(data), dim=1)[0]


def output_fn(prediction, accept):
    digit = int(prediction.argmax())
    return json.dumps({"digit": digit, "probability": round(float(prediction[digit]), 4)}), accept
