"""The federation as it comes up: what runs, as whom, with which rights, who reaches whom."""

import json
import os
import re
import socket
import stat

import pytest

from tests.stack.containers.stack import EXECUTORS, NODES, ONE_SHOTS, SERVICES, Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1500)]

STATE = "/var/lib/fedstate"
# Which private files each service's container holds; nobody else's are there to be read.
PRIVATE = {
    "superlink": {"identity/server.key", "runtime/superexec.secret"},
    "serverapp": {"runtime/superexec.secret"},
    "supernode": {
        *("identity/node.key", "identity/server.key", "identity/authority/ca.key"),
        "runtime/superexec.secret",
    },
    "executor": {"runtime/superexec.secret"},
}
# What a node keeps of its runs, and their backups.
OF_RUNS = ("state/", "output/", "backups")
PUBLIC_ENDINGS = (".crt", ".pub", ".toml", ".json")
FOUR = ["SETUID", "SETGID", "KILL", "CHOWN"]
FOUR_BITS = "00000000000000e1"
# Becomes a run's user as fedstate.walls does, and tells what is left.
GIVE_UP = """
import json, os, pathlib
from fedstate import system
executor = os.getuid()
told = {"before": system.effective_capabilities()}
if child := os.fork():
    raise SystemExit(os.waitpid(child, 0)[1])
os.setgroups([])
os.setresgid(*[1900000000] * 3)
os.setresuid(*[1900000000] * 3)
system.drop_all_capabilities()
told |= {"users": os.getresuid(), "after": system.effective_capabilities()}
runtime = pathlib.Path("/var/lib/fedstate/runtime")
for name, attempt in {
    "be root": lambda: os.setuid(0),
    "be the executor": lambda: os.setuid(executor),
    "list the secret": lambda: os.listdir(runtime),
    "read the secret": lambda: (runtime / "superexec.secret").read_bytes(),
    "write to /tmp": lambda: pathlib.Path("/tmp/new").write_bytes(b""),
    "make a room": lambda: os.mkdir("/rooms/new"),
    "signal the executor": lambda: os.kill(os.getppid(), 0),
}.items():
    try:
        attempt()
        told[name] = "allowed"
    except OSError as error:
        told[name] = error.strerror
print(json.dumps(told))
"""
# Prints those of the addresses that take a connection.
CONNECT = """
import socket, sys
for address in sys.argv[2:]:
    with socket.socket() as connection:
        connection.settimeout(1)
        if connection.connect_ex((address, int(sys.argv[1]))) == 0:
            print(address)
"""


@pytest.mark.parametrize("service", SERVICES)
def test_services_are_healthy_and_come_back(stack: Stack, service: str) -> None:
    container = stack.inspect(service)
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


@pytest.mark.parametrize("service", ONE_SHOTS)
def test_one_shots_have_ended_well(stack: Stack, service: str) -> None:
    container = stack.inspect(service)
    assert (container["State"]["Status"], container["State"]["ExitCode"]) == ("exited", 0)
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "no"


@pytest.mark.parametrize("service", [*SERVICES, *ONE_SHOTS])
def test_containers_are_hardened(stack: Stack, service: str) -> None:
    container = stack.inspect(service)
    host = container["HostConfig"]
    executor = service.split("-")[0] in EXECUTORS
    root = service == "publish" or executor
    assert (container["Config"]["User"] in ("", "0", "0:0", "root")) == root
    assert host["CapDrop"] == ["ALL"]
    expected = {"publish": ["CHOWN", "DAC_OVERRIDE"]}.get(service, FOUR if executor else [])
    assert (host["CapAdd"] or []) == expected
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert set(host["Tmpfs"]) == {"/tmp", *(["/rooms"] if executor else [])}  # noqa: S108
    temporary = set(host["Tmpfs"]["/tmp"].split(","))  # noqa: S108  the container's own
    assert {"noexec", "nosuid", "nodev"} <= temporary
    if executor:
        assert "mode=0700" in temporary
        assert {"mode=0711", "nosuid", "nodev"} <= set(host["Tmpfs"]["/rooms"].split(","))
    assert 0 < host["Memory"] <= 4 * 2**30
    assert host["PidsLimit"] > 0
    assert host["Init"] is True


@pytest.mark.parametrize("service", SERVICES)
def test_processes_have_no_rights_left(stack: Stack, service: str) -> None:
    status = stack.run_inside(service, "cat", "/proc/self/status").stdout
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    of_executors = service.split("-")[0] in EXECUTORS
    bounding = f"^CapBnd:\t{FOUR_BITS if of_executors else '0+'}$"
    assert re.search(bounding, status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert "Uid:\t0" not in status
    refused = stack.run_inside(service, "touch", "/opt/venv/new", check=False)
    assert "Read-only file system" in refused.stderr


@pytest.mark.parametrize("service", ["serverapp", "executor-1"])
def test_an_executor_is_not_root_and_has_four_capabilities(stack: Stack, service: str) -> None:
    processes = stack.executor_processes(service)
    assert len(processes) == 3, "the watch, the executor, its fork server"
    user = stack.run_inside(service, "id", "--user").stdout.strip()
    assert int(user) > 0
    for pid in processes:
        status = stack.run_inside(service, "cat", f"/proc/{pid}/status").stdout
        assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status
        assert f"CapEff:\t{FOUR_BITS}\n" in status
        assert "NoNewPrivs:\t1\n" in status


@pytest.mark.parametrize("service", ["serverapp", "executor-1"])
def test_what_an_executor_starts_gives_its_rights_up_for_good(stack: Stack, service: str) -> None:
    """With what the container has, whoever changes the user loses all, the secret included."""
    user = service.split("-")[0]
    script = ("with-capabilities", user, "python3", "-c", GIVE_UP)
    told = json.loads(stack.run_as_root(service, *script).stdout)
    assert told.pop("before") == int(FOUR_BITS, 16)
    assert told == {
        "users": [1_900_000_000] * 3,
        "after": 0,
        "be root": "Operation not permitted",
        "be the executor": "Operation not permitted",
        "list the secret": "Permission denied",
        "read the secret": "Permission denied",
        "write to /tmp": "Permission denied",
        "make a room": "Permission denied",
        "signal the executor": "Operation not permitted",
    }


def test_each_service_has_a_user_of_its_own(stack: Stack) -> None:
    users = {
        service: stack.run_inside(service, "id", "--user").stdout.strip()
        for service in ("superlink", "serverapp", "supernode-1", "executor-1")
    }
    assert len(set(users.values())) == len(users)


def test_an_executor_that_is_stopped_is_unhealthy_and_comes_back(stack: Stack) -> None:
    """Of one node the executor itself, of another its fork server, of a third all of it."""
    chosen, started = {}, {}
    for number, which in zip(NODES, (slice(1, 2), slice(2, 3), slice(None)), strict=True):
        service = f"executor-{number}"
        chosen[service] = stack.executor_processes(service)[which]
        started[service] = stack.inspect(service)["State"]["StartedAt"]
    for service, pids in chosen.items():
        kill = f"import os, signal\nfor pid in {pids}: os.kill(pid, signal.SIGSTOP)"
        stack.run_inside(service, "python3", "-c", kill)
    unwell: set[str] = set()

    def anew(service: str) -> bool:
        return bool(stack.inspect(service)["State"]["StartedAt"] != started[service])

    def all_unwell() -> bool:
        # A look that ends the container may come before one that the engine tells of.
        unwell.update(each for each in chosen if stack.health(each) == "unhealthy" or anew(each))
        return unwell == chosen.keys()

    # Half a minute on a machine with nothing else to do: each look is a process that starts.
    wait_until(all_unwell, 120, "unhealthy")
    for service, pids in chosen.items():
        stack.wait_until_healthy(service)
        assert anew(service) == (len(pids) == 3), "only where nothing in it was left to help"
        now = stack.executor_processes(service)
        assert len(now) == 3
        assert anew(service) or not {*pids} & {*now}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_holds_its_own_secrets_alone(stack: Stack, service: str) -> None:
    # A socket's directory may be passed, and not looked into.
    of_socket = ("-name", "socket", "-prune", "-o")
    listing = stack.run_inside(service, "find", STATE, *of_socket, "-type", "f", "-print")
    files = {file.removeprefix(f"{STATE}/") for file in listing.stdout.split()}
    private = {
        file
        for file in files
        if not file.endswith(PUBLIC_ENDINGS) and not file.startswith(OF_RUNS)
    }
    assert private == PRIVATE[service.split("-")[0]]


def test_no_two_nodes_have_the_same_secrets(stack: Stack) -> None:
    for secret in PRIVATE["supernode"]:
        digests = {
            stack.run_inside(f"supernode-{k}", "sha256sum", f"{STATE}/{secret}").stdout
            for k in NODES
        }
        assert len(digests) == len(NODES), secret


def test_volumes_are_shared_no_further_than_they_must(stack: Stack) -> None:
    mounts: dict[str, dict[str, bool]] = {}
    for service in (*SERVICES, *ONE_SHOTS):
        for mount in stack.inspect(service)["Mounts"]:
            volume = mount.get("Name", mount["Destination"]).removeprefix(f"{stack.project}_")
            mounts.setdefault(volume, {})[service] = mount["RW"]
    read, write = False, True
    expected = {
        "authority": {"certs": write},
        "accounts": {"certs": write, "superlink": read},
        # Nodes, which mount what is public, do not have it.
        "operator": {
            "certs": write,
            "publish": read,
            **{f"enrol-{k}": read for k in NODES},
        },
        "superlink-identity": {"certs": write, "superlink": read},
        "superlink-runtime": {"certs": write, "superlink": read, "serverapp": read},
        "superlink-state": {"superlink": write},
        "superlink-socket": {"superlink": write, "serverapp": read},
        "runs": {"serverapp": write},
        "serverapp-output": {"serverapp": write},
        "/certs": {"publish": write},
        # All are /dev/null unless the operator says otherwise.
        "/etc/fedstate/allow.toml": {f"supernode-{k}": read for k in NODES},
        "/etc/fedstate/state.key": {f"supernode-{k}": read for k in NODES},
        "/var/lib/fedstate/backups": {f"supernode-{k}": write for k in NODES},
    }
    for k in NODES:
        enrol, supernode, executor = f"enrol-{k}", f"supernode-{k}", f"executor-{k}"
        expected[f"node-{k}-identity"] = {enrol: write, supernode: read}
        expected[f"node-{k}-runtime"] = {enrol: write, supernode: read, executor: read}
        expected[f"node-{k}-state"] = {supernode: write}
        expected[f"node-{k}-output"] = {supernode: write, executor: write}
        expected[f"node-{k}-socket"] = {supernode: write, executor: read}
    public = mounts.pop("public")
    assert [service for service, writes in public.items() if writes] == ["certs"]
    assert mounts == expected


def test_only_the_superlink_is_on_a_network_that_leads_outside(stack: Stack) -> None:
    for service in SERVICES:
        networks = stack.inspect(service)["NetworkSettings"]["Networks"]
        outside = {name for name in networks if not stack.network(name)["Internal"]}
        assert outside == ({f"{stack.project}_published"} if service == "superlink" else set())


@pytest.mark.parametrize(
    ("service", "reachable"), [("serverapp", False), ("executor-1", False), ("superlink", True)]
)
def test_app_code_does_not_reach_this_machine(
    stack: Stack, service: str, reachable: bool
) -> None:
    """The SuperLink, which runs no app code, shows that there is something to be reached."""
    networks = stack.inspect(service)["NetworkSettings"]["Networks"]
    configured = [each for name in networks for each in stack.network(name)["IPAM"]["Config"]]
    bridge = stack.network("bridge")["IPAM"]["Config"]
    addresses = {each["Gateway"] for each in (*configured, *bridge) if "Gateway" in each}
    with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104  that is the point
        port = listener.getsockname()[1]
        answer = stack.run_inside(
            service, "python3", "-c", CONNECT, str(port), *sorted(addresses)
        )
    assert bool(answer.stdout.split()) == reachable, answer.stdout


def test_the_port_is_published_to_this_machine_alone(stack: Stack) -> None:
    published = {
        service: stack.inspect(service)["NetworkSettings"]["Ports"] or {} for service in SERVICES
    }
    assert published.pop("superlink") == {
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]
    }
    assert not any(binding for ports in published.values() for binding in ports.values())


def test_what_the_host_gets_is_its_own(stack: Stack) -> None:
    generated = stack.directory / "certs" / "generated"
    assert sorted(file.name for file in generated.iterdir()) == [
        "ca.crt",
        "config.toml",
        "credentials.yaml",
    ]
    assert stat.S_IMODE((generated / "credentials.yaml").stat().st_mode) == 0o600
    owner = (stack.directory / "certs").stat()
    for file in (generated, *generated.iterdir()):
        assert (file.stat().st_uid, file.stat().st_gid) == (owner.st_uid, owner.st_gid)
    certificate = stack.run_inside("superlink", "cat", f"{STATE}/identity/ca.crt").stdout
    assert (generated / "ca.crt").read_text() == certificate


def test_another_owner_of_the_directory_gets_the_files(stack: Stack) -> None:
    # Everything here may belong to root; certs/ of somebody else takes their files all the same.
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    certs = stack.directory / "certs"
    os.chown(certs, 12345, 23456)
    stack.compose("up", "--force-recreate", "--no-deps", "publish")
    for file in ("ca.crt", "config.toml", "credentials.yaml"):
        status = (certs / "generated" / file).stat()
        assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_secrets_are_in_no_container_s_settings(stack: Stack) -> None:
    secret = stack.run_inside("superlink", "cat", f"{STATE}/runtime/superexec.secret").stdout
    assert len(secret) == 64
    token = stack.connection.token
    assert token
    settings = json.dumps([stack.inspect(service) for service in (*SERVICES, *ONE_SHOTS)])
    assert secret not in settings
    assert token not in settings
