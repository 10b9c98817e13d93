"""Pictures inside a page of HTML, from files that may come from somebody else."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import PIL.Image

from vi.files import MEGABYTE, read_bytes
from vi.text import html

MOST_PIXELS = 50_000_000  # of a picture that is read


def embedded(file: Path, widest: int, zoom: float = 1) -> str:
    """A PNG file as an element `figure` of HTML that holds the picture and its name.

    Nothing else is read: a link is not followed. A file that is no picture becomes a sentence.

    Args:
        file: the picture.
        widest: its largest width and height in pixels; a larger picture is made smaller.
        zoom: the size on the page, as a multiple of the size in pixels.
    """
    name = html(file.stem.replace("_", " "))
    try:
        opened = PIL.Image.open(io.BytesIO(read_bytes(file, 16 * MEGABYTE)), formats=["PNG"])
        if opened.width * opened.height > MOST_PIXELS:
            raise ValueError(f"it has more than {MOST_PIXELS:,} pixels")
        picture = opened.convert("RGB")  # first, because Pillow does not smooth pictures with a palette
        picture.thumbnail((widest, widest))
        buffer = io.BytesIO()
        picture.save(buffer, "webp", lossless=True)
    except (OSError, ValueError, SyntaxError, MemoryError, PIL.Image.DecompressionBombError) as error:
        return f"<figure><figcaption>{name}: cannot be read: {html(error)}</figcaption></figure>"
    data = base64.b64encode(buffer.getvalue()).decode()
    size = f"width={picture.width * zoom:.0f} height={picture.height * zoom:.0f}"
    return (
        f'<figure><img {size} alt="{name}" src="data:image/webp;base64,{data}"><figcaption>{name}</figcaption></figure>'
    )
