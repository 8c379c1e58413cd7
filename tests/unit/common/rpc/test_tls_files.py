"""TLS files are read together, and renewals are taken only where they hold together."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.rpc.tls_files import RenewedTls, Tls, TlsFiles
from tests.certificates import Authority, Pair, PairFiles, pair_files

AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path: Path) -> PairFiles:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
    return pair_files(tmp_path, "server", AUTHORITY.issue())


def tls_of(files: PairFiles) -> RenewedTls:
    return RenewedTls(TlsFiles(files.certificate, files.key, files.certificate.with_name("ca.crt")))


def test_what_is_unchanged_is_the_same_object(files: PairFiles) -> None:
    tls = tls_of(files)
    assert tls.current() is tls.current()
    assert tls.current().authorities == AUTHORITY.certificate


def test_a_renewed_pair_is_given_out_without_a_restart(files: PairFiles) -> None:
    tls = tls_of(files)
    renewed = AUTHORITY.issue()
    files.write(renewed)
    assert (tls.current().certificate, tls.current().key) == (renewed.certificate, renewed.key.strip())


def test_a_renewed_certificate_waits_for_its_key_and_is_told_of_once(files: PairFiles) -> None:
    tls = tls_of(files)
    before, renewed = tls.current(), AUTHORITY.issue()
    with capture_logs() as logs:
        files.certificate.write_bytes(renewed.certificate)
        assert tls.current() is before
        assert tls.current() is before
    (line,) = logs
    assert line["log_level"] == "error"
    assert f"{files.key} is not the key of {files.certificate}" in line["problem"]
    files.write(renewed)
    assert tls.current() == Tls(renewed.certificate, renewed.key.strip(), before.authorities)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_a_renewal_to_nonsense_keeps_what_was_there(files: PairFiles, content: bytes) -> None:
    tls = tls_of(files)
    before = tls.current()
    for path in (files.certificate, files.key, files.certificate.with_name("ca.crt")):
        held = path.read_bytes()
        path.write_bytes(content)
        assert tls.current() is before
        path.write_bytes(held)


def test_a_file_that_went_away_keeps_what_was_there(files: PairFiles) -> None:
    tls = tls_of(files)
    before = tls.current()
    files.key.unlink()
    assert tls.current() is before


def test_every_file_that_does_not_do_is_named_at_once(tmp_path: Path) -> None:
    bad = PairFiles(tmp_path / "no.crt", tmp_path / "bad.key")
    bad.key.touch(mode=0o600)
    bad.key.write_text("not a key: very-secret")
    (tmp_path / "ca.crt").write_text("not a certificate")
    with pytest.raises(
        ValueError, match=r"no\.crt: No such file.*bad\.key holds no private key.*ca\.crt holds no cert"
    ) as told:
        tls_of(bad)
    assert "very-secret" not in str(told.value)


def test_a_key_that_others_may_read_is_refused(files: PairFiles) -> None:
    files.key.chmod(0o644)
    with pytest.raises(ValueError, match="may be read by others"):
        tls_of(files)


def test_a_pair_that_does_not_fit_is_refused(files: PairFiles) -> None:
    files.write(Pair(AUTHORITY.issue().certificate, AUTHORITY.issue().key))
    with pytest.raises(ValueError, match="is not the key of"):
        tls_of(files)


def test_the_key_is_not_shown(files: PairFiles) -> None:
    tls = tls_of(files).current()
    assert tls.key is not None
    assert repr(tls.key) not in repr(tls)
