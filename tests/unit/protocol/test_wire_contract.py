"""Our trimmed messages are Envoy's messages: same numbers, same types, same bytes."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import betterproto2
import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from extproc.protocol import wire
from extproc.protocol.wire import access_log_pb2, common_pb2, ext_proc_pb2

EXT_PROC = "envoy_data_plane.envoy.service.ext_proc.v3"
FILTER = "envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3"
CORE = "envoy_data_plane.envoy.config.core.v3"
TYPES = "envoy_data_plane.envoy.type.v3"
LOG_SERVICE = "envoy_data_plane.envoy.service.accesslog.v3"
LOG_DATA = "envoy_data_plane.envoy.data.accesslog.v3"

CORE_MESSAGES = {"HeaderMap", "HeaderValue", "HeaderValueOption", "Metadata", "SocketAddress", "Address"}

PROTO_TYPES = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_MESSAGE: "message",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}

# One varint on the wire; ours is declared open so that every status number passes.
OPEN_ENUMS = {"ttca.wire.v1.HttpStatus.code"}


def our_messages() -> list[Any]:
    """List every message of ours, nested ones included, without the entries that protobuf makes for maps."""
    pending = [
        message
        for module in (common_pb2, ext_proc_pb2, access_log_pb2)
        for message in module.DESCRIPTOR.message_types_by_name.values()
    ]
    found = []
    while pending:
        message = pending.pop()
        if not message.GetOptions().map_entry:
            found.append(message)
            pending.extend(message.nested_types)
    return sorted(found, key=lambda message: message.full_name)


def flat_name(full_name: str) -> str:
    """Return betterproto's name of a nested type: the outer names run together."""
    return full_name.removeprefix("ttca.wire.v1.").replace(".", "")


def envoy_modules(message: Any) -> list[ModuleType]:
    """Return where Envoy's counterpart is to be found."""
    file = message.file.name
    if flat_name(message.full_name) in CORE_MESSAGES:
        names = [CORE]
    elif file.endswith("ext_proc.proto"):
        names = [EXT_PROC, FILTER, TYPES]
    else:
        names = [LOG_SERVICE, LOG_DATA]
    return [importlib.import_module(name) for name in names]


def envoy_class(message: Any) -> type[betterproto2.Message]:
    """Return Envoy's message of the same name, whatever the case of its initialisms."""
    wanted = flat_name(message.full_name).lower()
    for module in envoy_modules(message):
        for name, value in inspect.getmembers(module, inspect.isclass):
            if name.lower() == wanted and issubclass(value, betterproto2.Message):
                return value
    raise LookupError(f"Envoy has no {message.full_name}")


def envoy_fields(message: type[betterproto2.Message]) -> dict[str, Any]:
    """Return betterproto's metadata by field name."""
    return {field.name: field.metadata["betterproto"] for field in dataclasses.fields(cast("Any", message))}


def is_map(field: Any) -> bool:
    """Say whether the field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@pytest.mark.parametrize("message", our_messages(), ids=lambda message: message.name)
def test_fields_are_envoys(message: Any) -> None:
    """Every field has the number, type, label and oneof that Envoy gives the field of that name."""
    theirs = envoy_fields(envoy_class(message))
    for field in message.fields:
        meta = theirs[field.name]

        assert meta.number == field.number, field.full_name
        if is_map(field):
            assert meta.proto_type == "map", field.full_name
            expected = [part.proto_type for part in meta.map_meta]
            assert expected == [PROTO_TYPES[part.type] for part in field.message_type.fields], field.full_name
            continue
        if field.full_name not in OPEN_ENUMS:
            assert meta.proto_type == PROTO_TYPES[field.type], field.full_name
        assert bool(meta.repeated) == field.is_repeated, field.full_name
        assert meta.group == (field.containing_oneof.name if field.containing_oneof else None), (
            field.full_name
        )


def our_enums() -> list[Any]:
    """List every enum of ours."""
    nested = [enum for message in our_messages() for enum in message.enum_types]
    return [*access_log_pb2.DESCRIPTOR.enum_types_by_name.values(), *nested]


@pytest.mark.parametrize("enum", our_enums(), ids=lambda enum: enum.name)
def test_enum_values_are_envoys(enum: Any) -> None:
    """Every enum value has the number that Envoy gives the value of that name."""
    modules = [importlib.import_module(name) for name in (EXT_PROC, FILTER, CORE, LOG_DATA)]
    theirs = next(
        getattr(module, flat_name(enum.full_name))
        for module in modules
        if hasattr(module, flat_name(enum.full_name))
    )

    assert {value.name: value.number for value in enum.values} == {
        value.name: theirs[value.name].value for value in enum.values
    }


def sample(message_class: type[Message], draw: st.DrawFn, depth: int = 0) -> Message:
    """Draw a message of ours with every kind of field filled at random; one field at most of each oneof."""
    message = message_class()
    descriptor: Any = message_class.DESCRIPTOR
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.file.package == "google.protobuf":
            fill_well_known(message, field, draw)
        elif is_map(field):
            fill_map(message, field, draw)
        elif field.message_type is not None:
            if depth < 4 and draw(st.booleans()):
                value = sample(message_factory.GetMessageClass(field.message_type), draw, depth + 1)
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    getattr(message, field.name).CopyFrom(value)
        else:
            scalar = draw(scalars(field))
            if field.is_repeated:
                getattr(message, field.name).append(scalar)
            else:
                setattr(message, field.name, scalar)
    return message


def scalars(field: Any) -> st.SearchStrategy[Any]:
    """Return values of a scalar field; unset oneof members stay unset often enough."""
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return {
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
        FieldDescriptor.TYPE_INT32: st.sampled_from([0, 200, 400, 503]),
        FieldDescriptor.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
        FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    }[field.type]


def fill_well_known(message: Message, field: Any, draw: st.DrawFn) -> None:
    """Fill a Struct, Duration, Timestamp or UInt32Value."""
    if not draw(st.booleans()):
        return
    value = getattr(message, field.name)
    match field.message_type.name:
        case "Struct":
            value.update({"n": 1.5, "s": "text", "l": ["a", 2, True], "m": {"k": False}})
        case "UInt32Value":
            value.value = draw(st.integers(0, 599))
        case _:
            value.seconds = draw(st.integers(0, 2**31))
            value.nanos = draw(st.integers(0, 999_999)) * 1000


def fill_map(message: Message, field: Any, draw: st.DrawFn) -> None:
    """Fill a map from strings to strings or structs."""
    for key in draw(st.lists(st.sampled_from(["envoy.lb", "ttca", "ü"]), unique=True)):
        if field.message_type.fields_by_name["value"].message_type is None:
            getattr(message, field.name)[key] = "value"
        else:
            getattr(message, field.name)[key].update({"key": "value", "count": 3})


@pytest.mark.parametrize(
    "message_class",
    [
        ext_proc_pb2.ProcessingRequest,
        ext_proc_pb2.ProcessingResponse,
        access_log_pb2.StreamAccessLogsMessage,
        access_log_pb2.HTTPAccessLogEntry,
        access_log_pb2.AccessLogCommon,
    ],
    ids=lambda message_class: message_class.__name__,
)
@given(data=st.data())
def test_bytes_travel_both_ways(message_class: type[Message], data: st.DataObject) -> None:
    """What ours writes, Envoy's messages read; what they write back, ours reads as the message that it was."""
    ours = data.draw(st.composite(lambda draw: sample(message_class, draw))())

    theirs = envoy_class(message_class.DESCRIPTOR).parse(ours.SerializeToString())
    again = message_class.FromString(bytes(theirs))

    assert ours == again


def test_the_stubs_are_generated_from_the_proto_files(tmp_path: Path) -> None:
    """The committed stubs hold what protoc makes of the `.proto` files; `extproc.protocol.wire.generate` renews them."""
    folder = Path(inspect.getfile(wire)).parent
    root = folder.parents[2]
    target = tmp_path / "descriptors.pb"
    grpc_tools = importlib.util.find_spec("grpc_tools")
    assert grpc_tools is not None
    assert grpc_tools.origin is not None
    well_known = Path(grpc_tools.origin).parent / "_proto"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={root}",
            f"--proto_path={well_known}",
            f"--descriptor_set_out={target}",
            *[path.relative_to(root).as_posix() for path in sorted(folder.glob("*.proto"))],
        ],
        check=True,
        cwd=root,
        timeout=60,
    )
    files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file

    committed = {}
    for module in (access_log_pb2, common_pb2, ext_proc_pb2):
        committed[module.DESCRIPTOR.name] = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(committed[module.DESCRIPTOR.name])

    assert {file.name: without_json_names(file) for file in files} == {
        name: without_json_names(file) for name, file in committed.items()
    }


def without_json_names(file: descriptor_pb2.FileDescriptorProto) -> bytes:
    """Serialise without the JSON names, which protoc adds to its output and leaves out of the stubs."""
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file.SerializeToString(deterministic=True)
