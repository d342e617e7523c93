"""Which port of a SuperLink answers which path, to somebody without any credential."""

import ssl

import httpx
import pytest

from fedstate.local.federation import Federation

pytestmark = pytest.mark.allowed_errors(r"authentication failed")

OWN = {
    "control": ["/v1/control/list-runs", "/v1/control/pull-evidence"],
    "fleet": ["/v1/fleet/pull-messages", "/v1/fleet/wait-for-messages", "/v1/fleet/push-object"],
    "runtime": ["/v1/runtime/pull-messages", "/v1/runtime/wait-for-tasks"],
}
NOWHERE = ["/", "/docs", "/openapi.json", "/v1/"]


def port_of(federation: Federation, api: str) -> int:
    ports = federation.ports
    return {"control": ports.control, "fleet": ports.fleet, "runtime": ports.runtime}[api]


@pytest.mark.parametrize("api", OWN)
def test_a_port_answers_the_paths_of_its_own_api_alone(federation: Federation, api: str) -> None:
    context = ssl.create_default_context(cafile=federation.root_certificates)
    address = f"https://127.0.0.1:{port_of(federation, api)}"
    with httpx.Client(base_url=address, verify=context) as client:
        assert client.get("/health").status_code == 200
        answers = {
            path: client.post(
                path, content=b"", headers={"content-type": "application/protobuf"}
            ).status_code
            for path in (*NOWHERE, *(path for paths in OWN.values() for path in paths))
        }
    there = {path for path, status in answers.items() if status != 404}
    assert there == {*OWN[api]}
    if api != "control":
        assert {answers[path] for path in there} == {401}
