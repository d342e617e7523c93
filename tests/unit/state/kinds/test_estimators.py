"""Estimators of scikit-learn and boosters of XGBoost go on as they were."""

from typing import Any

import numpy as np
import pytest

from fedstate.state import StateTypeError
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read


def training_data() -> tuple[Any, Any]:
    features = np.random.default_rng(0).normal(size=(60, 3))
    return features, (features[:, 0] + features[:, 1] > 0).astype(int)


def estimators() -> dict[str, Any]:
    pytest.importorskip("skops", reason="optional: fedstate[sklearn]")
    from sklearn.cluster import KMeans
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return {
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
        "sgd": SGDClassifier(random_state=np.random.RandomState(3)),
        "forest": RandomForestClassifier(3, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
        "histogram": HistGradientBoostingClassifier(max_iter=3, random_state=0),
        "network": MLPClassifier((4,), max_iter=5, random_state=0),
        "bayes": GaussianNB(),
        "svm": SVC(),
        "clusters": KMeans(2, n_init=1, random_state=0),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["pipeline", "sgd", "forest", "boosting", "histogram", "network", "bayes", "svm", "clusters"],
)
def test_estimators_predict_and_go_on_the_same(name: str) -> None:
    features, labels = training_data()
    bare, fitted = estimators()[name], estimators()[name].fit(features, labels)
    context = make_context()
    with step(context) as state:
        state["bare"], state["all"] = bare, {"fitted": [fitted]}
    with step(sent(context)) as state:
        back = state["all"]["fitted"][0]
        assert type(back) is type(fitted)
        assert np.array_equal(back.predict(features), fitted.predict(features))
        unfitted = state["bare"].fit(features, labels)
        assert np.array_equal(unfitted.predict(features), fitted.predict(features))
        if hasattr(back, "partial_fit") and name != "clusters":
            back.partial_fit(features, labels), fitted.partial_fit(features, labels)
            assert np.array_equal(back.predict(features), fitted.predict(features))
        state.discard()
    with step(sent(context), 2) as state:
        assert state["all"]["fitted"]
    assert state.entry is None, "reading an estimator changed what is stored"


def test_an_estimator_of_the_apps_own_is_refused_when_it_is_stored() -> None:
    pytest.importorskip("skops", reason="optional: fedstate[sklearn]")
    from sklearn.base import BaseEstimator

    class Own(BaseEstimator):  # type: ignore[misc]
        pass

    with pytest.raises(StateTypeError, match=r"consists of .*Own, which scikit-learn does not"):
        stored_and_read(Own())


@pytest.mark.filterwarnings("ignore")
def test_boosters_go_on_with_the_same_parameters() -> None:
    xgboost = pytest.importorskip("xgboost", reason="optional: fedstate[xgboost]")
    features, labels = training_data()
    data = xgboost.DMatrix(features, labels)
    options = {"max_depth": 2, "eta": 0.1, "objective": "binary:logistic", "seed": 3}
    booster = xgboost.train(options, data, 3)
    booster.set_attr(note="mine")
    back = stored_and_read({"b": booster})["b"]
    assert type(back) is xgboost.Booster
    assert back.attributes() == {"note": "mine"}
    assert digest_of(back) == digest_of(booster)
    for each in (booster, back):
        each.update(data, 3)
    assert np.array_equal(back.predict(data), booster.predict(data))
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(features, labels)
    pytest.importorskip("skops")
    again = stored_and_read(model)
    assert type(again) is xgboost.XGBClassifier
    assert np.array_equal(again.predict_proba(features), model.predict_proba(features))
    assert digest_of(again) == digest_of(model)
