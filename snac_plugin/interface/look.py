"""How the page looks: theme, style sheet and the heading with its drawing of the hierarchy."""

import html

import gradio as gr

from snac_plugin.levels import Levels
from snac_plugin.output.pictures import LEVEL_COLOURS

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"]  # nothing to fetch
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Liberation Mono", "monospace"]

CSS = """
.gradio-container { max-width: 1280px !important; width: 100%; margin: 0 auto; }
.snac-head { display: flex; align-items: center; gap: 1.4rem; padding: .4rem 0 .7rem; }
.snac-head h1 { font-size: 1.55rem; line-height: 1.2; margin: 0; }
.snac-head p { margin: .2rem 0 0; color: var(--body-text-color-subdued); font-size: .9rem; }
.snac-levels { display: grid; gap: 2px; width: 92px; flex: none; }
.snac-levels div { display: flex; gap: 2px; height: 9px; }
.snac-levels i { flex: 1; border-radius: 2px; }
.snac-picture img { border-radius: 8px; width: 100%; height: auto !important; }
.snac-progress { position: relative; overflow: hidden; border-radius: 8px; background: var(--neutral-200); min-height: 2.1rem; }
.snac-progress i { position: absolute; inset: 0 auto 0 0; background: var(--primary-200); transition: width .2s linear; }
.snac-progress b { position: relative; display: block; padding: .4rem .8rem; font-weight: 500; color: var(--neutral-900); }
.snac-hidden { display: none !important; }
.snac-says { color: var(--body-text-color-subdued); font-size: .92rem; margin: 0; }
.snac-wrong { color: var(--error-text-color, #b91c1c); font-weight: 500; margin: .3rem 0; }
.snac-todo { font-weight: 600; color: var(--primary-600); margin: 0; }
#snac-hint { scroll-margin-top: 12px; }
.snac-modes .wrap { display: grid !important; grid-template-columns: repeat(3, 1fr); gap: .4rem; }
.snac-modes label { justify-content: center; padding: .45rem .3rem; text-align: center; }
.snac-modes label span { margin: 0 !important; }
.snac-modes label input { display: none; }
.snac-modes label.selected { background: var(--primary-600) !important; color: white !important; }
.snac-wave { position: relative; height: 92px; touch-action: none; cursor: crosshair; user-select: none;
  border-radius: 8px; background: var(--background-fill-secondary); overflow: hidden; }
.snac-wave svg { width: 100%; height: 100%; display: block; pointer-events: none; }
.snac-wave path { stroke: var(--primary-500); stroke-width: .7; }
.snac-wave i { position: absolute; inset: 0 auto 0 0; background: #d1495b55; border-inline: 2px solid #d1495b;
  pointer-events: none; }
.snac-file { font-size: .9rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
.snac-link { font-size: .9rem; }
.snac-actions button { padding-inline: .4rem; }
.snac-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: .8rem; }
.snac-card { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: .6rem; min-width: 0;
  background: var(--block-background-fill); }
.snac-card.snac-star { border-color: #e08e2b; }
.snac-card img { width: 100%; aspect-ratio: 3 / 2; object-fit: contain; background: white; border-radius: 6px; }
.snac-card audio { height: 38px; }
.snac-card p { margin: .25rem 0 0; font-size: .9rem; overflow-wrap: anywhere; }
.snac-card .snac-from { color: var(--body-text-color-subdued); font-size: .8rem; }
.snac-card section ul { list-style: none; margin: 0; padding: 0 0 0 .8rem; font-size: .8rem; }
.snac-card div button { margin-block: 0; }
.snac-card section > ul { padding-left: 0; }
.snac-card section li { margin: 0; font-size: .8rem; overflow-wrap: anywhere; }
.snac-card section li::before { content: "└ "; color: var(--body-text-color-subdued); }
.snac-card section a { color: var(--primary-600); text-decoration: underline; }
.gradio-container:not(:has(.snac-card)) #snac-pack { display: none !important; }
.snac-card:target { outline: 3px solid var(--primary-500); }
.snac-card { scroll-margin-top: 12px; }
.snac-card div, .snac-players figure div { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem; margin-top: .4rem; }
.snac-card audio, .snac-players audio { flex: 1 1 0; min-width: 0; }
.snac-card button, .snac-more, .snac-repeat { border: 1px solid var(--border-color-primary); border-radius: 6px; font-size: .85rem;
  padding: .2rem .6rem; background: var(--button-secondary-background-fill); color: var(--body-text-color); cursor: pointer; }
.snac-card button[data-do=delete] { margin-left: auto; }
#snac-listen, .snac-ab button { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .35rem .8rem;
  font-size: .9rem; background: var(--button-secondary-background-fill); color: var(--body-text-color); cursor: pointer; }
.snac-repeat.snac-on { background: var(--primary-600) !important; color: white !important; }
#snac-player { gap: .4rem; }
#snac-player .snac-repeat { float: right; }
#snac-listen { width: 100%; }
.toast-wrap { top: auto !important; bottom: 12px !important; }  /* gradio's messages would lie on Generate */
#snac-listen[hidden] { display: none; }
.snac-ab { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; padding: .6rem; border-radius: 10px;
  border: 1px solid var(--border-color-primary); background: var(--block-background-fill); }
.snac-ab button { max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.snac-ab button.snac-on { background: var(--primary-600); color: white; }
.snac-ab input { flex: 1 1 140px; min-width: 0; }
.snac-players { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: .6rem; }
.snac-players figure { margin: 0; padding: .5rem; border: 1px solid var(--border-color-primary); border-radius: 10px; min-width: 0;
  background: var(--block-background-fill); }
.snac-players figcaption { font-size: .85rem; margin-bottom: .3rem; overflow-wrap: anywhere; }
.snac-players audio { height: 38px; }
.snac-mixture.block { padding: .5rem .8rem 0; font-weight: 600; }
@media (max-width: 640px) { .gradio-container { padding: .5rem !important; } .snac-levels { display: none; }
  .snac-modes label { font-size: .85rem; padding: .45rem .1rem; white-space: nowrap; } }
.wrap:has(> span.error) { display: none !important; }  /* gradio's badge would lie on the sample before */
.snac-again { align-self: end; margin-bottom: .65rem; }
"""


def theme() -> gr.themes.Base:
    base = gr.themes.Base(
        primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", radius_size="md", font=FONT, font_mono=MONO
    )
    return base.set(
        body_background_fill="*neutral_50",
        block_border_width="1px",
        block_radius="*radius_lg",
        block_title_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_label_background_fill="*background_fill_primary",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_label_text_weight="600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_500",
        button_primary_text_color="white",
        slider_color="*primary_500",
    )


def heading(title: str, about: str, levels: Levels) -> str:
    """The top of the page: the codes of one frame, level under level, beside the title and a line under it."""
    rows = []
    for level, count in enumerate(levels.per_frame):
        colour = LEVEL_COLOURS[level % len(LEVEL_COLOURS)]
        cells = "".join(f'<i style="background:{colour};opacity:{1 - 0.45 * (cell % 2)}"></i>' for cell in range(count))
        rows.append(f"<div>{cells}</div>")
    drawing = f'<div class="snac-levels" aria-hidden="true">{"".join(rows)}</div>'
    words = f"<div><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p></div>"
    return f'<div class="snac-head">{drawing}{words}</div>'


def progress_bar(share: float, text: str) -> str:
    """How far a generation is, in [0, 1], and in words."""
    return f'<div class="snac-progress" role="status"><i style="width:{100 * share:.1f}%"></i><b>{html.escape(text)}</b></div>'
