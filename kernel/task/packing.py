"""Images as bytes, for a medium that outlasts the machine.

    8 bytes "VASIMAGE", u32 version, u32 bytes of text, u32 CRC-32 of the text, the text

Numbers are little-endian.  The text is JSON in ASCII.  A dataclass is an object with its fields,
bytes are hexadecimal, a tuple is an array, and a dictionary is an array of pairs, so that its keys
keep their type.  Reading checks each value against the type that the field has; nothing is called
and no class is named in the text, so a stranger's bytes can be wrong and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import types
import typing
import zlib
from collections.abc import Callable
from typing import Any

from kernel.task.image import ProcessImage

MAGIC, VERSION = b"VASIMAGE", 1
_HEAD = struct.Struct("<8sIII")
MAX_BYTES = 64 << 20
"""The longest text: a million pages of pipes."""


class ImageError(ValueError):
    """The bytes are no image that this version can use; the text says why."""


def pack(image: ProcessImage) -> bytes:
    """The image as bytes; equal images are equal bytes."""
    text = json.dumps(_plain(image), separators=(",", ":")).encode("ascii")
    return _HEAD.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text


def unpack(data: bytes) -> ProcessImage:
    """The image in `data`; what follows it is not looked at.  Raises `ImageError`."""
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise ImageError("this is no image of a process")
    _, version, size, checksum = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ImageError(f"the image has version {version}, and this kernel reads {VERSION}")
    text = data[_HEAD.size : _HEAD.size + size]
    if size > MAX_BYTES or len(text) < size or zlib.crc32(text) != checksum:
        raise ImageError("the image is damaged: its bytes are not those that were written")
    try:
        found = _typed(ProcessImage, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ImageError(f"the image is damaged: {error}") from error
    assert isinstance(found, ProcessImage)
    return found


def _plain(value: Any) -> Any:
    """What JSON can hold of a value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return [[_plain(key), _plain(each)] for key, each in sorted(value.items())]
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _typed(kind: Any, value: Any) -> Any:
    """The value that `_plain` was given, if it was of this type.  Raises ValueError, TypeError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        (inner,) = [each for each in arguments if each is not type(None)]
        return None if value is None else _typed(inner, value)
    if origin is tuple:
        return _tuple(arguments, _of(list, value))
    if origin is dict:
        key, each = arguments
        return {_typed(key, one): _typed(each, other) for one, other in _of(list, value)}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = _of(dict, value)
        if set(fields) != set(hints):
            raise ValueError(f"{getattr(kind, '__name__', kind)} has other fields")
        make = typing.cast("Callable[..., Any]", kind)
        return make(**{name: _typed(hints[name], fields[name]) for name in hints})
    if kind is bytes:
        return bytes.fromhex(_of(str, value))
    return _of(kind, value)


def _tuple(arguments: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is ...:
        return tuple(_typed(arguments[0], value) for value in values)
    if len(arguments) != len(values):
        raise ValueError(f"{len(values)} values where {len(arguments)} should be")
    return tuple(_typed(kind, value) for kind, value in zip(arguments, values, strict=True))


def _of(kind: Any, value: Any) -> Any:
    """The value, if it is exactly of this type: True is no number."""
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
    return value
