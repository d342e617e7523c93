from bench.row import Row


def test_a_ratio_and_whether_its_goal_is_met() -> None:
    row = Row("round", ours=2.0, peer=20.0, goal=0.1, unit="s")
    assert (row.ratio, row.met) == (0.1, True)
    assert not Row("round", ours=3.0, peer=20.0, goal=0.1, unit="s").met
    assert Row("memory", ours=3.0, peer=1.0, goal=None, unit="MB").met


def test_the_report_has_exactly_these_keys() -> None:
    row = Row("round", ours=2.0, peer=20.0, goal=0.1, unit="s").to_json()
    assert sorted(row) == ["goal", "name", "ours", "peer", "ratio", "unit"]
