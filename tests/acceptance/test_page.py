"""A folder of pictures, dropped on the page of a gateway as `up` starts it, to its results."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.browser import visiting
from tests.support.settings import predictor
from tests.support.up_process import up_in, write_config

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_folder_goes_from_the_browser_through_the_model_and_back(chromium: Any, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        (pictures / f"{number:02}.png").write_bytes(PNG + b"x" * number)
    (pictures / "broken.png").write_bytes(b"GIF89a no PNG")
    api = {"name": "sizes", "predictor": predictor("looking.py:Sizes"), "partitions": 2}
    config = write_config(tmp_path, apis=[api])
    with up_in(tmp_path, config) as up:
        url = up.wait_until_ready()["gateway"]
        with visiting(chromium, url, "/#/submit") as page:
            page.get_by_label("Choose a folder").set_input_files(pictures)
            page.get_by_text("21 files").wait_for()
            page.get_by_role("button", name="Submit").click()
            page.get_by_text("completed with failures").first.wait_for(timeout=90_000)
            page.get_by_text("21 of 21 items").wait_for()
            page.get_by_role("button", name="Show items that failed with ItemError").click()
            page.get_by_role("button", name=re.compile("Look at item")).click()
            page.get_by_text("no picture").first.wait_for()
            page.locator(".picture").wait_for(state="attached")
            with page.expect_download() as saved:
                page.get_by_role("link", name="Results (JSON lines)").click()
            lines = [json.loads(line) for line in Path(saved.value.path()).read_text().splitlines()]
        up.interrupt()
    assert [line["output"]["bytes"] for line in lines] == [8 + number for number in range(20)]
