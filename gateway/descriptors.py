"""The descriptors that the gateway turns JSON into messages by: of both services, and of the details that errors carry."""

from collections.abc import Iterator

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from gateway.methods import SERVICES


def descriptor_set() -> bytes:
    """A serialized `FileDescriptorSet`; each file stands after those that it imports."""
    roots = (*(service.file for service in SERVICES.values()), status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
    files: dict[str, FileDescriptorProto] = {}
    for file in (file for root in roots for file in _with_imports(root)):
        if file.name not in files:
            files[file.name] = FileDescriptorProto()
            file.CopyToProto(files[file.name])
    return FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file
