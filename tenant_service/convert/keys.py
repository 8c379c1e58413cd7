"""API keys between the wire and the use cases: protobuf in, protobuf out, nothing else."""

from common.paging import Page
from common.rpc.times import timestamp
from convergence.tenant.v1 import api_key_pb2 as pb2
from tenant_service.create_key import CreatedKey
from tenant_service.key_view import KeyView
from tenant_service.rotate_key import RotatedKey


def created_to_proto(created: CreatedKey) -> pb2.CreateKeyResponse:
    """The answer of CreateKey, with the key in clear."""
    return pb2.CreateKeyResponse(api_key=created.api_key.reveal(), key=key_to_proto(created.key))


def rotated_to_proto(rotated: RotatedKey) -> pb2.RotateKeyResponse:
    """The answer of RotateKey, with the new key in clear."""
    return pb2.RotateKeyResponse(
        api_key=rotated.api_key.reveal(),
        key=key_to_proto(rotated.key),
        superseded_key=key_to_proto(rotated.superseded),
    )


def keys_to_proto(page: Page[KeyView]) -> pb2.ListKeysResponse:
    """A page of keys."""
    return pb2.ListKeysResponse(keys=map(key_to_proto, page.items), next_page_token=page.next_page_token)


def key_to_proto(view: KeyView) -> pb2.ApiKey:
    """The key resource."""
    details, record = view.details, view.details.record
    return pb2.ApiKey(
        key_id=details.key_id,
        tenant_id=details.tenant_id,
        display_name=details.display_name,
        display_prefix=details.display_prefix,
        scopes=sorted(record.scopes),
        state=pb2.ApiKey.State.Value(view.state),
        create_time=timestamp(details.create_time),
        create_principal=details.create_principal,
        expire_time=timestamp(record.expire_time),
        revoke_time=timestamp(record.revoke_time),
        supersede_time=timestamp(record.supersede_time),
        superseded_by=details.superseded_by,
        last_used_time=timestamp(details.last_used_time),
        rotation_due_time=timestamp(view.rotation_due_time),
        rotation_overdue=view.rotation_overdue,
    )
