import inspect

import grpc
import pytest

import pkg.errors
from pkg.errors import BY_GRPC_STATUS, InvalidArgument, NotFound, SealiftError


def test_every_class_has_one_grpc_status() -> None:
    """Promise: the table covers every class that may leave a process, each status once, all known to gRPC."""
    classes = {
        each
        for _, each in inspect.getmembers(pkg.errors, inspect.isclass)
        if issubclass(each, SealiftError) and each is not SealiftError
    }
    assert set(BY_GRPC_STATUS.values()) == classes
    assert len(BY_GRPC_STATUS) == len(classes)
    assert set(BY_GRPC_STATUS) <= {status.name for status in grpc.StatusCode}


def test_statuses_agree() -> None:
    """Promise: the HTTP status says the same as the gRPC status; only our own faults are 5xx."""
    assert {name: int(each.http_status) for name, each in BY_GRPC_STATUS.items()} == {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
    }


def test_the_drawn_tree_is_complete() -> None:
    """Promise: the tree at the top of the file does not go stale."""
    drawn = pkg.errors.__doc__ or ""
    assert all(each.__name__ in drawn for each in BY_GRPC_STATUS.values())


def test_invalid_argument_names_its_field() -> None:
    """Promise: a refusal of input names the field, for people and for programs."""
    error = InvalidArgument("git_commit.timestamp", "seconds were sent, milliseconds are expected")
    assert error.field == "git_commit.timestamp"
    assert error.metadata == {"field": "git_commit.timestamp"}
    assert str(error) == ("invalid_argument: git_commit.timestamp: seconds were sent, milliseconds are expected")
    assert InvalidArgument("a", "b", code="build_context.not_found").code == "build_context.not_found"


def test_carries_code_message_and_metadata() -> None:
    """Promise: the code is separate from the text; the caller's mapping is not shared."""
    metadata = {"deployment_id": "dep_1"}
    error = NotFound("deployment.not_found", "There is no deployment dep_1.", metadata=metadata)
    metadata["deployment_id"] = "changed"
    assert (error.code, error.message, error.field) == ("deployment.not_found", "There is no deployment dep_1.", None)
    assert error.metadata == {"deployment_id": "dep_1"}
    with pytest.raises(SealiftError, match=r"deployment\.not_found: There is no"):
        raise error
