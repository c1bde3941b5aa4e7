"""What messages hold beside text: parts, and images among them."""

from collections.abc import Mapping
from typing import Any

from langchain_finetune.convert.checks.check import Check

_TEXT_OF = {"text": "text", "refusal": "refusal"}
_OBJECT_OF = {"image_url": "image_url", "input_audio": "input_audio", "file": "file"}


def check_parts(index: int, role: str, parts: list[Any], check: Check) -> int:
    """Check a list of content parts.

    Returns:
        How many images are among them.
    """
    if not parts:
        check.add("no_content", "The list of content parts is empty.", index)
    images = 0
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            check.add("invalid_part", "A content part needs a type.", index)
        elif kind in _TEXT_OF:
            if not isinstance(part.get(kind), str):
                check.add("invalid_part", f"A part of {kind} needs a string.", index)
        elif kind not in _OBJECT_OF:
            check.add("unknown_part", "A content part of an unknown type.", index)
        elif not isinstance(part.get(kind), dict):
            check.add("invalid_part", f"A part {kind} needs an object.", index)
        elif kind not in check.rules.parts:
            check.add("unsupported_part", f"A part {kind} is nothing to train on here.", index)
        elif kind == "image_url":
            images += 1
            _check_image(index, role, part["image_url"], check)
    return images


def _check_image(index: int, role: str, image: Mapping[str, Any], check: Check) -> None:
    if role != "user":
        check.add("image_outside_user", "Images are allowed in user messages only.", index)
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("data:", "http://", "https://")):
        check.add("invalid_image", "An image needs a url: of the web, or with its data.", index)
    elif url.startswith("data:"):
        _check_data(index, url, check)
    if image.get("detail") not in (None, "auto", "low", "high", "original"):
        check.add(
            "invalid_image_detail", "An image's detail is auto, low, high or original.", index
        )


def _check_data(index: int, url: str, check: Check) -> None:
    head, comma, data = url.partition(",")
    kind, *options = head.removeprefix("data:").split(";")
    if not comma or not data or "base64" not in options:
        check.add("invalid_image", "An image's data must be in base64.", index)
    elif (kind.lower() if kind != "image/jpg" else "image/jpeg") not in check.rules.image_types:
        check.add("image_type", "An image must be JPEG, PNG or WEBP.", index)
    # Four characters of base64 say three bytes.
    if (len(data) - data.count("=", -2)) * 3 // 4 > check.rules.max_image_bytes:
        limit = check.rules.max_image_bytes // 2**20
        check.add("image_too_large", f"An image may have at most {limit} MB.", index)
