"""Credentials between the wire and the use cases: protobuf in, protobuf out, nothing else."""

from typing import get_args

from common.credentials.kinds import GivenCredential, Kind
from common.credentials.store import StoredCredential
from common.paging import Page
from common.rpc.times import timestamp
from convergence.tenant.v1 import credential_pb2 as pb2


def given_credential(request: pb2.PutCredentialRequest) -> GivenCredential | None:
    """The credential of a request; None where it has none."""
    chosen = request.WhichOneof("credential")
    kind: Kind | None = next((kind for kind in get_args(Kind) if kind == chosen), None)
    if kind is None:
        return None
    if kind == "aws_access_key":
        key = request.aws_access_key
        texts = {f"{kind}.access_key_id": key.access_key_id, f"{kind}.secret_access_key": key.secret_access_key}
        return GivenCredential(kind, texts)
    return GivenCredential(kind, {kind: getattr(request, kind)})


def credentials_to_proto(page: Page[StoredCredential]) -> pb2.ListCredentialsResponse:
    """A page of credentials."""
    return pb2.ListCredentialsResponse(
        credentials=map(credential_to_proto, page.items), next_page_token=page.next_page_token
    )


def credential_to_proto(stored: StoredCredential) -> pb2.Credential:
    """The credential resource."""
    return pb2.Credential(
        name=stored.name,
        tenant_id=stored.tenant_id,
        kind=pb2.Credential.Kind.Value(stored.kind.upper()),
        version=stored.version,
        identity=stored.identity,
        create_time=timestamp(stored.create_time),
        create_principal=stored.create_principal,
    )
