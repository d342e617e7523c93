"""Renewing certificates: who trusts whom in between, and after a crash at any write."""

import os
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fedstate.certificates import renewal
from fedstate.certificates.authority import (
    authority_certificate,
    ensure_authority,
    ensure_server_certificate,
    load_all,
    load_authority,
    load_key,
    make_authority,
    pem,
)
from fedstate.certificates.renewal import (
    Renewed,
    drop_old_authority,
    renew,
    replace_authority,
)
from fedstate.errors import CertificateError, SettingError
from fedstate.tls.contexts import client_context, server_context
from tests.unit.certificates.test_authority import handshake

HOSTS = ["here", "127.0.0.1", "::1"]
Step = Callable[..., list[Renewed]]


class Place:
    """An authority, two servers of it, and a directory of somebody who only trusts it."""

    def __init__(self, directory: Path) -> None:
        self.authority = directory / "authority"
        self.servers = [directory / "link", directory / "node"]
        self.public = directory / "public"
        for server in self.servers:
            ensure_server_certificate(server, ensure_authority(self.authority), HOSTS)
        self.public.mkdir()
        (self.public / "ca.crt").write_bytes((self.servers[0] / "ca.crt").read_bytes())

    @property
    def directories(self) -> list[Path]:
        return [*self.servers, self.public]

    def run(self, step: Step, **options: bool) -> list[bool]:
        """Make a step; return which of the servers have new certificates."""
        done = step(self.directories, self.authority, **options)
        assert [each.directory for each in done] == self.directories
        assert done[-1].end is None
        for each in done[:-1]:
            assert each.end == load_all(each.directory / "server.crt")[0].not_valid_after_utc
        return [each.new for each in done[:-1]]

    def content(self) -> dict[str, bytes]:
        files = [
            each for where in (self.authority, *self.directories) for each in where.iterdir()
        ]
        return {str(file): file.read_bytes() for file in files}

    def trusted(self) -> bytes:
        (content,) = {(each / "ca.crt").read_bytes() for each in self.directories}
        assert content == (self.authority / "ca.crt").read_bytes()
        return content

    def servers_accept(self, trusted: bytes) -> None:
        """Make sure that a client which trusts these is content with every server."""
        client = client_of(trusted)
        for server in self.servers:
            for host in HOSTS:
                handshake(client, server_of(server), host)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def client_of(trusted: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trusted.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
    return context


def server_of(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    return context


def test_what_is_valid_is_kept_unless_forced(place: Place) -> None:
    before = place.content()
    assert place.run(renew) == [False, False]
    assert place.content() == before
    assert place.run(renew, force=True) == [True, True]
    after = place.content()
    changed = {Path(name).name for name in before if after[name] != before[name]}
    assert changed == {"server.crt", "server.key"}
    place.servers_accept(place.trusted())


def test_what_is_about_to_expire_is_renewed(place: Place) -> None:
    authority = ensure_authority(place.authority)
    for left in (timedelta(days=29), timedelta(minutes=-1)):
        ensure_server_certificate(place.servers[0], authority, HOSTS, lifetime=left, force=True)
        assert place.run(renew) == [True, False]
    place.servers_accept(place.trusted())


def test_an_authority_is_replaced_while_everybody_goes_on(place: Place) -> None:
    old = place.trusted()
    old_key = load_key(place.authority / "ca.key")
    # They have been made before, and follow what happens.
    running = [server_context(each / "server.crt", each / "server.key") for each in place.servers]
    following = client_context(place.public / "ca.crt")

    assert place.run(replace_authority) == [True, True]
    both = place.trusted()
    new = pem(load_authority(place.authority).certificate)
    assert load_key(place.authority / "ca.key").public_key() != old_key.public_key()
    assert old in both
    assert new in both
    assert new != old
    for trusted in (old, both, new):
        place.servers_accept(trusted)
        for context in running:
            handshake(client_of(trusted), context, "here")
    handshake(following, running[0], "here")

    before = place.content()
    assert place.run(replace_authority) == [False, False], "no third one"
    assert place.run(renew) == [False, False]
    assert place.content() == before
    # Whoever comes in between is served by both, too.
    late = place.authority.parent / "late"
    ensure_server_certificate(late, ensure_authority(place.authority), HOSTS)
    handshake(client_of(old), server_of(late), "here")

    assert place.run(drop_old_authority) == [False, False]
    assert place.trusted() == new
    for trusted in (both, new):
        place.servers_accept(trusted)
    with pytest.raises(ssl.SSLCertVerificationError):
        place.servers_accept(old)
    handshake(following, running[0], "here")
    before = place.content()
    assert place.run(drop_old_authority) == [False, False]
    assert place.content() == before

    assert place.run(replace_authority) == [True, True], "and another time"
    place.servers_accept(new)


def test_servers_that_were_not_there_are_brought_along_before_the_old_one_is_dropped(
    place: Place,
) -> None:
    left, place.servers = place.servers[1], place.servers[:1]
    place.run(replace_authority)
    place.servers.append(left)
    assert place.run(drop_old_authority) == [False, True]
    place.servers_accept(place.trusted())


def test_an_authority_that_has_expired_is_replaced_without_a_bridge(place: Place) -> None:
    key = load_key(place.authority / "ca.key")
    expired = pem(authority_certificate(key, timedelta(minutes=-1)))
    (place.authority / "ca.crt").write_bytes(expired)
    with pytest.raises(CertificateError, match=r"expired on .* --new-authority for an authority"):
        place.run(renew)
    assert place.run(replace_authority) == [True, True]
    assert len(load_all(place.public / "ca.crt")) == 1
    place.servers_accept(place.trusted())


def test_what_else_is_trusted_stays_so_until_the_old_one_is_dropped(place: Place) -> None:
    other = place.authority.parent / "other"
    make_authority(other)
    foreign = (other / "ca.crt").read_bytes()
    with (place.authority / "ca.crt").open("ab") as file:
        file.write(foreign)
    (place.authority / renewal.NEXT_KEY).write_bytes((other / "ca.key").read_bytes())
    place.run(replace_authority)
    assert len(load_all(place.public / "ca.crt")) == 2, "the one that was announced is taken"


@pytest.mark.parametrize("files", [(), ("server.key", "ca.crt")])
def test_a_directory_without_hosts_is_refused_before_anything_changes(
    place: Place, files: tuple[str, ...]
) -> None:
    strange = place.authority.parent / "strange"
    strange.mkdir()
    for name in files:
        (strange / name).write_bytes((place.servers[0] / name).read_bytes())
    before = place.content()
    for step in (renew, replace_authority, drop_old_authority):
        with pytest.raises(SettingError, match=r"strange has no server\.crt whose hosts"):
            step([*place.directories, strange], place.authority)
    assert place.content() == before


def test_a_certificate_that_names_no_hosts_is_said(place: Place) -> None:
    (place.servers[0] / "server.crt").write_bytes((place.authority / "ca.crt").read_bytes())
    with pytest.raises(CertificateError, match=r"server\.crt names no hosts"):
        place.run(renew)


class CrashError(Exception):
    """The process was killed here, as far as the files show."""


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process end before the number-th change of a directory."""
    left = number

    def counted(theirs: Callable[..., object]) -> Callable[..., object]:
        def change(*given: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise CrashError
            return theirs(*given, **options)

        return change

    # Every file that is written is renamed into its place, and what goes is unlinked.
    monkeypatch.setattr(os, "replace", counted(os.replace))
    monkeypatch.setattr(os, "rename", counted(os.rename))
    monkeypatch.setattr(os, "unlink", counted(os.unlink))


@pytest.mark.parametrize("step", [renew, replace_authority, drop_old_authority])
def test_after_a_crash_at_any_change_everybody_goes_on_and_the_step_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    for number in range(100):
        place = Place(tmp_path / str(number))
        if step is drop_old_authority:
            place.run(replace_authority)
        before = place.trusted()
        running = [
            server_context(each / "server.crt", each / "server.key") for each in place.servers
        ]
        following = client_context(place.public / "ca.crt")
        with monkeypatch.context() as patched:
            crash_at(patched, number)
            try:
                place.run(step, force=True)
            except CrashError:
                ended = False
            else:
                ended = True
        # Whoever runs goes on, whether it trusts what it did before or what is there now.
        for context in running:
            handshake(following, context, "here")
            handshake(client_of(before), context, "here")
        # Whoever makes certificates in between makes such that are trusted.
        late = tmp_path / f"late {number}"
        ensure_server_certificate(late, ensure_authority(place.authority), HOSTS)
        handshake(following, server_of(late), "here")
        place.run(step)
        place.servers_accept(place.trusted())
        assert {each.name for each in place.authority.iterdir()} <= {
            *("ca.crt", "ca.key", "bridge.crt"),
        }
        if ended:
            assert number > 3
            return
    pytest.fail("the step does not end")


def test_the_old_authority_is_not_dropped_while_the_new_one_is_half_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        crash_at(patched, 4)  # two files are there: their partial files are unlinked, too
        with pytest.raises(CrashError):
            place.run(replace_authority)
    assert (place.authority / renewal.NEXT_KEY).exists()
    with pytest.raises(SettingError, match="not in its place yet"):
        place.run(drop_old_authority)
    place.run(replace_authority)
    place.run(drop_old_authority)
    place.servers_accept(place.trusted())
