"""The page: what is on it, and what each thing on it does."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from csi_tf.session import MOST_SAMPLES, UNLIMITED
from csi_tf.studio import actions
from csi_tf.studio.actions import Actions, telling
from csi_tf.studio.api import Api
from csi_tf.studio.engine import Engine

BOXES = ("mouth", "eyes", "nose", "center", "hair", "face", "bottom_half", "left_half")
SHOWN = 8  # sliders that are not folded away
STEP = 0.05
# A processor draws two requests no faster at once than in turn.
DRAWING: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1}

CSS = """
#large img, #both img, #gallery img, #strip img {
  image-rendering: pixelated;
}
#status { min-height: 1.6em; }
button[id^="reset-"] { align-self: center; }
#gallery .grid-wrap { min-height: 0; max-height: 24em; padding: 0; }
/* On a narrow screen what was drawn comes before the sliders. */
@media (max-width: 1000px) { #steering { order: 1; } }
"""
_HEAD = """
# csi-tf studio
Paint a hole, fill it, and say with the sliders what the filling should mean.
"""


def _path(payload: Any) -> str | None:
    return None if payload is None else str(payload.path)


class Page:
    """`directory` is where downloads are put."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine = engine
        self.most = max(len(engine.open(name).sliders) for name in engine.names)
        self.actions = Actions(engine, directory, self.most)

    def build(self) -> gr.Blocks:
        with gr.Blocks(
            title="csi-tf studio",
            analytics_enabled=False,
            delete_cache=(600, 86400),  # seconds: how often, and how old
        ) as blocks:
            self.result = gr.State(None)
            gr.Markdown(_HEAD)
            with gr.Row():
                with gr.Column(scale=5, min_width=320):
                    self._picture()
                with gr.Column(scale=4, min_width=300, elem_id="steering"):
                    self._sliders()
                with gr.Column(scale=5, min_width=320):
                    self._result()
            self._events(blocks)
            Api(self.engine).add(**DRAWING)
        return blocks

    # What is on the page

    def _picture(self) -> None:
        self.model = gr.Dropdown(
            list(self.engine.names),
            value=self.engine.names[0],
            label="Model",
            visible=len(self.engine.names) > 1,
            elem_id="model",
        )
        self.note = gr.Markdown(elem_id="note")
        self.editor = _canvas("editor")
        with gr.Row(elem_id="boxes"):
            self.boxes = [
                gr.Button(name.replace("_", " "), size="sm", min_width=60, elem_id=f"box-{name}")
                for name in BOXES
            ]
        with gr.Row():
            self.clear = gr.Button("clear", size="sm", min_width=60, elem_id="clear")
            self.invert = gr.Button("invert", size="sm", min_width=60, elem_id="invert")
            self.mask = gr.UploadButton(
                "load a mask", size="sm", min_width=60, file_types=["image"], elem_id="mask"
            )
        with gr.Row():
            self.next = gr.Button("Another face", size="sm", min_width=120, elem_id="next")
            self.draw = gr.Button("Draw a new face", size="sm", min_width=120, elem_id="draw")
        with gr.Accordion("Your own photo", open=False, elem_id="photo"):
            self.photo = gr.Image(
                label="Photo",
                sources=["upload", "clipboard"],
                height=180,
                buttons=[],
                elem_id="upload",
            )
            # Gradio says nothing to people of what is no picture; what is read from the path does.
            self.photo.preprocess = _path  # type: ignore[method-assign]
            self.part = gr.Slider(0.1, 1, 1, step=0.01, label="Size of the square")
            self.across = gr.Slider(0, 1, 0.5, step=0.01, label="Left to right")
            self.down = gr.Slider(0, 1, 0.5, step=0.01, label="Top to bottom")
            self.frame = gr.Image(
                label="The square that is used", interactive=False, buttons=[], elem_id="frame"
            )
            self.use = gr.Button("Use this square", size="sm", elem_id="use")

    def _sliders(self) -> None:
        self.sliders: list[gr.Slider] = []
        self.resets: list[gr.Button] = []
        gr.Markdown("### Sliders")
        self.all = gr.Button("All as inferred", size="sm", elem_id="reset-all")
        self._slider_rows(range(min(SHOWN, self.most)))
        with gr.Accordion("All other latents", open=False, elem_id="others"):
            self._slider_rows(range(min(SHOWN, self.most), self.most))
        with gr.Accordion("Rename a latent", open=False, elem_id="rename"):
            self.which = gr.Dropdown([], label="Latent", elem_id="rename-which")
            self.name = gr.Textbox(label="Its name", max_length=40, elem_id="rename-name")
            self.rename = gr.Button("Rename", size="sm", elem_id="rename-do")
            # Beside a model file it gives the model's latents these names everywhere.
            self.names = gr.DownloadButton(
                "Download the names: latents.json", size="sm", visible=False, elem_id="names"
            )

    def _slider_rows(self, numbers: range) -> None:
        for number in numbers:
            with gr.Row(equal_height=True):
                slider = gr.Slider(
                    minimum=-3,
                    maximum=3,
                    value=0,
                    step=STEP,
                    label="",
                    buttons=[],
                    scale=6,
                    min_width=200,
                    elem_id=f"slider-{number}",
                )
                reset = gr.Button("↺", size="sm", scale=0, min_width=40, elem_id=f"reset-{number}")
            self.sliders.append(slider)
            self.resets.append(reset)

    def _result(self) -> None:
        with gr.Row():
            self.fill = gr.Button("Fill the hole", variant="primary", elem_id="fill")
            self.stop = gr.Button("Stop", variant="stop", elem_id="stop")
        self.status = gr.Markdown(elem_id="status")
        with gr.Tabs():
            with gr.Tab("Completion"):
                self.large = _shown("Completion", "large")
            with gr.Tab("Before and after"):
                self.both = gr.ImageSlider(
                    label="Before and after",
                    show_label=False,
                    interactive=False,
                    format="png",
                    elem_id="both",
                )
            with gr.Tab("Where they differ"):
                self.spread = _shown("Where they differ", "spread")
        gr.Markdown("All completions, the likeliest first, with their bits/dim; pick one:")
        self.gallery = gr.Gallery(
            label="Completions",
            show_label=False,
            columns=4,
            height="auto",
            allow_preview=False,
            format="png",
            buttons=[],
            elem_id="gallery",
        )
        with gr.Row():
            self.seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, elem_id="seed"
            )
            self.roll = gr.Checkbox(False, label="New seed with each click on Fill", elem_id="roll")
        with gr.Row():
            self.samples = gr.Slider(
                1, MOST_SAMPLES, 4, step=1, label="Completions", elem_id="samples"
            )
            self.truncation = gr.Slider(
                0,
                UNLIMITED,
                1,
                step=0.1,
                label="Truncation",
                info="How far colours may be from their means; at the end as far as they like",
                elem_id="truncation",
            )
        self.whole = gr.Checkbox(
            False,
            label="Vary what the hole hides",
            info="Some smile, some do not; else all do what is likely on the average",
            elem_id="whole",
        )
        self.sweep = gr.Button("Sweep the slider moved last", size="sm", elem_id="sweep")
        self.swept = gr.Markdown(elem_id="swept")
        self.strip = _shown("Sweep", "strip", visible=False)
        self.turn = gr.Number(visible="hidden")
        with gr.Row():
            self.png = gr.DownloadButton("Download PNG", size="sm", elem_id="png")
            self.save = gr.DownloadButton("Save session", size="sm", elem_id="save")
            self.load = gr.UploadButton(
                "Load session", size="sm", file_types=[".json", ".png"], elem_id="load"
            )
        self.paste = gr.Button(
            "Download your photo, filled", size="sm", visible=False, elem_id="paste"
        )
        # Made when it is asked for, as a photo may be large; then the page presses this one.
        self.pasted = gr.DownloadButton(visible="hidden", elem_id="pasted")
        self.command = gr.Code(
            label="The same on the command line", language="shell", elem_id="command"
        )

    # What it does

    def _events(self, blocks: gr.Blocks) -> None:
        do = self.actions
        hidden: dict[str, Any] = {"api_visibility": "private"}
        # Gradio would drop what is clicked while the click before is on its way.
        every: dict[str, Any] = {"trigger_mode": "multiple"} | hidden
        newest: dict[str, Any] = {"trigger_mode": "always_last"} | hidden
        drawing = DRAWING | every
        numbers = [self.seed, self.samples, self.truncation, self.whole]
        picture = [self.editor, self.note]
        on_desk = [self.model, *picture, *numbers, self.which, *self.sliders]
        results = [
            *picture, self.result, self.status, self.large, self.both, self.png, self.spread,
            self.gallery, self.save, self.command, self.which, self.names, self.paste,
            *self.sliders,
        ]  # fmt: skip

        def at_once(trigger: Any, action: Any, given: Any, out: Any, how: Any = every) -> Any:
            """Past the queue, where of two requests on their way the later one may arrive first."""
            hurry: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
            event = trigger(do.keeping(action), given, out, **hurry, **how)
            event.failure(do.say, None, None, **every)
            return event

        def then(event: Any, action: Any, given: Any, out: Any, shown: Any) -> None:
            """In the queue, with the turn that was taken before it."""
            turned = event.success(
                do.turn, None, self.turn, queue=False, show_progress="hidden", **every
            )
            asked = [*given, self.turn]
            turned.success(telling(action), asked, out, show_progress_on=shown, **drawing)

        def then_fill(event: Any) -> None:
            then(event, do.fill, [self.result, *numbers], results, self.status)

        for chosen in (blocks.load, self.model.input):
            then_fill(at_once(chosen, do.first, self.model, on_desk, newest))
        then_fill(at_once(self.next.click, do.another, None, picture, newest))
        then_fill(at_once(self.draw.click, do.new, None, None, newest))
        # Elsewhere Gradio would write "Error" on all that was to change.
        shown = newest | {"show_progress_on": self.status}
        then_fill(self.load.upload(telling(do.loaded), self.load, on_desk, **shown))
        square = [self.photo, self.part, self.across, self.down]
        self.photo.change(telling(actions.framed), square, self.frame, **newest)
        for slider in (self.part, self.across, self.down):
            slider.release(telling(actions.framed), square, self.frame, **newest)
        then_fill(self.use.click(telling(do.used), square, picture, **shown))

        at_once(self.editor.input, do.painted, self.editor, self.status)
        at_once(self.clear.click, do.clear, None, self.editor)
        at_once(self.invert.click, do.invert, None, self.editor)
        then_fill(self.mask.upload(telling(do.masked), self.mask, self.editor, **shown))
        for button, name in zip(self.boxes, BOXES, strict=True):
            then_fill(at_once(button.click, partial(do.box, name), None, self.editor))
        for number, (slider, reset) in enumerate(zip(self.sliders, self.resets, strict=True)):
            moved, returned = (partial(f, number) for f in (do.moved, do.returned))
            then_fill(at_once(slider.release, moved, slider, None, newest))
            then_fill(at_once(reset.click, returned, None, None))
        then_fill(at_once(self.all.click, do.all_returned, None, None))
        then_fill(at_once(self.rename.click, do.renamed, [self.which, self.name], None))
        then_fill(at_once(self.fill.click, do.asked, [self.editor, self.roll], self.seed))
        at_once(self.stop.click, do.stop, None, self.status)
        self.gallery.select(
            do.picked, self.result, [self.result, self.large, self.both, self.png], **every
        )
        self.paste.click(
            telling(do.pasted), self.result, self.pasted, show_progress_on=self.status, **newest
        ).success(None, None, None, js="() => document.querySelector('#pasted').click()", **every)
        sweep = at_once(self.sweep.click, do.sweeping, self.result, None)
        then(sweep, do.swept, [self.result], [self.strip, self.swept], self.strip)
        blocks.unload(do.left)


def _shown(label: str, name: str, **more: Any) -> gr.Image:
    return gr.Image(
        label=label,
        show_label=False,
        interactive=False,
        format="png",
        buttons=[],
        elem_id=name,
        **more,
    )


def _canvas(name: str) -> gr.HTML:
    """Gradio's own editor sends its pictures anew whenever anything on the page changes."""
    text = {
        kind: Path(__file__).with_name(f"canvas.{kind}").read_text("utf-8")
        for kind in ("html", "css", "js")
    }
    return gr.HTML(
        html_template=text["html"],
        css_template=text["css"],
        js_on_load=text["js"],
        apply_default_css=False,
        elem_id=name,
    )
