# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: made fit for a vision model in size, orientation and colour."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.request import Request

# What Ollama hands to every vision model as it is.
_AS_IT_IS = {"PNG": ("RGB", "L"), "JPEG": ("RGB", "L")}
_ORIENTATION = 0x0112
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO")


def read(request: Request) -> Content:
    """One picture: the first frame, upright, in RGB, no side longer than allowed.

    :raises PermanentError: when it is broken or has too many pixels.
    """
    # The check below takes the place of the library's warning.
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    try:
        image: Image.Image = Image.open(request.path, formats=_FORMATS)
    except UnidentifiedImageError:
        raise PermanentError(
            "The image is broken, or of no known format.", slug="unreadable-document"
        ) from None
    width, height = image.size
    if width * height > request.limits.max_image_pixels:
        raise PermanentError(
            f"The image has {width} x {height} pixels; {request.limits.max_image_pixels} are allowed "
            "(PASTURE_MAX_IMAGE_PIXELS).",
            slug="document-too-large",
        )
    attributes = {
        "format": str(image.format),
        "width": width,
        "height": height,
        "frames": getattr(image, "n_frames", 1),
    }
    side = request.limits.max_image_side
    upright = image.getexif().get(_ORIENTATION, 1) == 1
    if image.mode in _AS_IT_IS.get(str(image.format), ()) and max(image.size) <= side and upright:
        image.load()  # a truncated file is found out here, not by the engine
        return Content(images=(request.path.read_bytes(),), attributes=attributes)
    photograph = image.format in ("JPEG", "MPO", "WEBP")
    if photograph:
        # JPEG can be decoded at a fraction of its size; others ignore it.
        image.draft("RGB", (side, side))
    image = _opaque(ImageOps.exif_transpose(image))
    image.thumbnail((side, side))
    out = io.BytesIO()
    if photograph:
        image.save(out, "JPEG", quality=92)
    else:
        image.save(out, "PNG")
    return Content(images=(out.getvalue(),), attributes={**attributes, "sent": list(image.size)})


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; what was transparent becomes white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # 16 bits per pixel: converting cuts off, so bring it into range first.
        low, high = (float(value) for value in image.convert("F").getextrema()[:2])  # type: ignore[arg-type]
        scale = 255.0 / (high - low) if high > low else 1.0
        image = image.convert("F").point(lambda value: value * scale - low * scale).convert("L")
    if "A" in image.getbands() or "transparency" in image.info:
        layered = image.convert("RGBA")
        background = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(background, layered).convert("RGB")
    return image.convert("RGB")
