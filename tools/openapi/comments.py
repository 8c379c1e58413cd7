"""The comments of the protos, which descriptors in memory have lost: from an image that protoc made with `--include_source_info`."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

Path = tuple[int, ...]
"""Where an element stands in its file, as `SourceCodeInfo.Location.path` counts."""


def comments(image: bytes) -> Mapping[str, str]:
    """The comment before each element by the element's full name, its lines joined to paragraphs."""
    return dict(_comments(FileDescriptorSet.FromString(image)))


def _comments(image: FileDescriptorSet) -> Iterator[tuple[str, str]]:
    for file in image.file:
        names = dict(_elements(file))
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name and location.leading_comments:
                yield name, _text(location.leading_comments)


def _text(comment: str) -> str:
    paragraphs = "\n".join(line.strip() for line in comment.splitlines()).strip().split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


def _elements(file: FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    """Path and full name of everything that may have a comment; the numbers are those of descriptor.proto."""
    for index, message in enumerate(file.message_type):
        yield from _of_message((4, index), f"{file.package}.{message.name}", message)
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum((5, index), f"{file.package}.{enum.name}", enum)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (6, index), name
        yield from _named((6, index, 2), name, service.method)


def _of_message(path: Path, name: str, message: DescriptorProto) -> Iterator[tuple[Path, str]]:
    yield path, name
    yield from _named((*path, 2), name, message.field)
    yield from _named((*path, 8), name, message.oneof_decl)
    for index, nested in enumerate(message.nested_type):
        yield from _of_message((*path, 3, index), f"{name}.{nested.name}", nested)
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum((*path, 4, index), f"{name}.{enum.name}", enum)


def _of_enum(path: Path, name: str, enum: EnumDescriptorProto) -> Iterator[tuple[Path, str]]:
    yield path, name
    yield from _named((*path, 2), name, enum.value)


def _named(path: Path, parent: str, elements: Any) -> Iterator[tuple[Path, str]]:
    for index, element in enumerate(elements):
        yield (*path, index), f"{parent}.{element.name}"
