"""What a server says of itself: that it is well, and what is wrong all the same."""

from fastapi import FastAPI
from fastapi.testclient import TestClient

from fedstate.serving.health import tell_problems


def test_its_problems_are_named_and_it_is_well() -> None:
    api, problems = FastAPI(), list[str]()

    @api.get("/health")
    def theirs() -> None:
        raise AssertionError("It is replaced.")

    tell_problems(api, lambda: problems)
    client = TestClient(api)
    assert client.get("/health").json() == {"status": "ok", "problems": []}
    problems.append("A backup failed.")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["problems"]) == (200, ["A backup failed."])
    assert client.head("/health").status_code == 200
