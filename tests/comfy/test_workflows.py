"""Every workflow in ComfyUI's web page: it opens without a missing node, says what its API form says, and runs.

`pytest tests/comfy/test_workflows.py --write-workflows` takes the thumbnails and writes the API forms anew.
Wants Chromium and the package playwright (`pip install -e ".[browser]"`).
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
NOT_RUN = {"stable_diffusion"}  # wants a diffusion checkpoint
SIZE = {"width": 1920, "height": 1080}
MARGIN = 20  # pixels around the graph in a thumbnail
WIDEST = 1200
SETTINGS = {  # of the user, kept by the server: no greetings, nothing before the graph
    "Comfy.TutorialCompleted": True,
    "Comfy.TemplateBrowser.ShowOnStartup": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.NodeBadge.NodeIdBadgeMode": "None",
    "Comfy.Locale": "en",
}
READY = """() => window.app?.extensionManager && window.app.graph
  && 'KSampler' in (window.LiteGraph?.registered_node_types ?? {})"""
OPEN = """async ([graph, name]) => {
  await app.loadGraphData(graph, true, true, name);
  return app.graph._nodes.map(n => n.type).filter(type => !(type in LiteGraph.registered_node_types));
}"""
PROMPT = "async () => (await app.graphToPrompt()).output"
RUN = """() => new Promise((resolve, reject) => {
  const listen = (type, done) => app.api.addEventListener(type, event => done(event.detail), {once: true});
  listen('execution_success', resolve);
  listen('execution_error', detail => reject(new Error(detail.exception_message)));
  app.queuePrompt(0, 1).catch(reject);
})"""
FIT = """async () => {
  await app.extensionManager.command.execute('Comfy.Canvas.FitView');
  app.canvas.setDirty(true, true);
}"""
PICTURES_LOADED = "() => app.graph._nodes.flatMap(n => n.imgs ?? []).every(image => image.complete)"
BOUNDS = """() => {
  const {scale, offset} = app.canvas.ds;
  const nodes = app.graph._nodes;
  const left = Math.min(...nodes.map(n => n.pos[0])), right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]));
  const top = Math.min(...nodes.map(n => n.pos[1])) - LiteGraph.NODE_TITLE_HEIGHT;
  const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]));
  return [(left + offset[0]) * scale, (top + offset[1]) * scale, (right - left) * scale, (bottom - top) * scale];
}"""


@pytest.fixture(scope="session")
def page(comfy) -> Iterator[Any]:
    """The web page, with nothing in it but the graph."""
    sync_api = pytest.importorskip("playwright.sync_api", reason='pip install -e ".[browser]" opens the web page')
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium to open the web page with")
    comfy.post("/settings", SETTINGS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(240_000)
        page.goto(comfy.url, wait_until="domcontentloaded")
        page.wait_for_function(READY)
        page.wait_for_timeout(1500)
        page.evaluate("() => app.extensionManager.command.execute('Workspace.ToggleFocusMode')")
        yield page
        browser.close()


def thumbnail(page: Any) -> np.ndarray:
    """The graph as it is shown, without the page around it."""
    page.evaluate(FIT)
    page.wait_for_timeout(1500)  # it moves there, and pictures fade in
    page.wait_for_function(PICTURES_LOADED)
    left, top, width, height = page.evaluate(BOUNDS)
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    rows = slice(max(int(top) - MARGIN, 0), int(top + height) + MARGIN)
    columns = slice(max(int(left) - MARGIN, 0), int(left + width) + MARGIN)
    assert shot is not None
    graph = shot[rows, columns]
    scale = min(1.0, WIDEST / graph.shape[1])
    return cv2.resize(graph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_says_the_same_as_its_api_form_and_runs(name, page, tmp_path, request):
    writes = request.config.getoption("--write-workflows", False)
    graph = json.loads((WORKFLOWS / f"{name}.json").read_text())
    assert page.evaluate(OPEN, [graph, name]) == []
    prompt = page.evaluate(PROMPT)
    for its in prompt.values():
        its["inputs"].pop("video-preview", None)  # which some web pages add to Load Video, and no server knows
    api = WORKFLOWS / "api" / f"{name}.json"
    if writes:
        api.write_text(json.dumps(prompt, indent=2) + "\n")
    saved = json.loads(api.read_text())
    assert prompt.keys() == saved.keys()
    for node, its in saved.items():
        assert prompt[node]["class_type"] == its["class_type"]
        assert prompt[node]["inputs"].items() >= its["inputs"].items()  # a newer ComfyUI may know more of its nodes'

    if name not in NOT_RUN:
        page.evaluate(RUN)
    picture = thumbnail(page)
    assert picture.std() > 5  # not an empty canvas
    target = (WORKFLOWS if writes else tmp_path) / f"{name}.jpg"
    assert cv2.imwrite(str(target), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_thumbnail(name):
    assert cv2.imread(str(WORKFLOWS / f"{name}.jpg")) is not None
