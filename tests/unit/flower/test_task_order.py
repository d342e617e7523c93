import json

from fedstate.flower.task_order import TaskKind, TaskOrder


def test_an_order_survives_its_way_to_the_process() -> None:
    order = TaskOrder(TaskKind.SERVER_APP, 2**63, "token", "a:1", False, "ca.crt", True, 7, True)
    assert TaskOrder.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_a_token_is_in_no_log() -> None:
    assert "token" not in repr(TaskOrder(TaskKind.CLIENT_APP, 1, "token", "a:1"))
