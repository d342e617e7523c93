"""What NumPy, ml_dtypes, TensorFlow, pandas, scikit-learn and XGBoost have comes back."""

import datetime
import zoneinfo
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fedstate.state import StateTypeError
from tests.unit.state.steps import digest_of, make_context, sent, step, stored_and_read
from tests.unit.state.values import canonical

NUMPY_LEFT_OUT = {"object_": "its elements are stored as values; see test_kinds.py"}


def numpy_types() -> dict[str, Any]:
    """Return every scalar type of NumPy that an array can have."""
    found = {kind.__name__: kind for kind in set(np.sctypeDict.values())}
    return dict(sorted(found.items()))


def extended_types() -> dict[str, Any]:
    """Return every dtype of ml_dtypes."""
    kinds = {n: k for n, k in vars(ml_dtypes).items() if isinstance(k, type)}
    return {n: k for n, k in sorted(kinds.items()) if issubclass(k, np.generic)}


def of_type(kind: Any, shape: tuple[int, ...]) -> Any:
    if kind in (np.str_, np.bytes_):
        return np.array(["a", "bcd", ""]).astype(np.dtype(kind).char + "3")
    if kind is np.void:
        return np.array([(1, 2.0)], [("a", "i1"), ("b", ">f8")])
    if kind in (np.datetime64, np.timedelta64):
        return np.array([1, "NaT"], np.dtype(kind).str + "[ms]")
    return np.arange(6).astype(np.float32).reshape(2, 3).astype(kind)[: shape[0]]


@pytest.mark.parametrize("name", [n for n in numpy_types() if n not in NUMPY_LEFT_OUT])
def test_every_numpy_dtype_comes_back_as_array_and_as_scalar(name: str) -> None:
    check_dtype(numpy_types()[name])


@pytest.mark.parametrize("name", extended_types())
def test_every_dtype_of_ml_dtypes_comes_back_as_array_and_as_scalar(name: str) -> None:
    check_dtype(extended_types()[name])


def check_dtype(kind: Any) -> None:
    for shape in [(2, 3), (0, 3)]:
        array = of_type(kind, shape)
        for back in (stored_and_read(array), stored_and_read({"a": [array]})["a"][0]):
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert canonical(back) == canonical(array)
            assert back.flags.writeable
    scalar = of_type(kind, (2, 3)).reshape(-1)[0]
    for back in (stored_and_read(scalar), *stored_and_read((scalar,))):
        # longlong is int64 by another name: NumPy's own format does not tell them apart.
        assert np.asarray(back).dtype == np.asarray(scalar).dtype
        assert canonical(back) == canonical(scalar)
    if kind is not np.void:  # it can be changed, and so has no hash
        assert digest_of({scalar: 1, 5.5: 2}) == digest_of({5.5: 2, scalar: 1})
        assert next(iter(stored_and_read({scalar}))).dtype == scalar.dtype


@pytest.mark.parametrize("options", [{}, {"na_object": None}, {"na_object": np.nan}])
def test_text_of_any_length_comes_back(options: Any) -> None:
    dtype = np.dtypes.StringDType(**options)
    items = ["a", "größer" * 9, "", *([options["na_object"]] if options else [])]
    back = stored_and_read({"t": np.array(items, dtype)})["t"]
    assert back.dtype == dtype
    assert repr(back.tolist()) == repr(items)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1, "a"], [None, [2]]], object),
        np.array(3, object)[()],
        np.empty((0, 2), object),
    ],
)
def test_arrays_of_objects_come_back_with_their_elements(array: Any) -> None:
    back = stored_and_read(array)
    assert type(back) is type(array)
    assert np.shape(back) == np.shape(array)
    assert np.asarray(back, object).tolist() == np.asarray(array, object).tolist()


def test_seeds_and_generators_go_on_and_spawn_the_same() -> None:
    generator = np.random.default_rng(5)
    generator.spawn(2)
    generator.normal(size=3)
    back = stored_and_read([generator, generator.bit_generator, np.random.SeedSequence([1, 2])])
    assert back[1].state == generator.bit_generator.state
    assert back[0].normal() == generator.normal()
    assert back[0].spawn(1)[0].normal() == generator.spawn(1)[0].normal()
    assert (
        back[2].generate_state(3).tolist()
        == np.random.SeedSequence([1, 2]).generate_state(3).tolist()
    )
    legacy = np.random.RandomState(3)
    legacy.normal()
    assert digest_of(legacy) == digest_of(stored_and_read(legacy))
    assert digest_of(np.random.RandomState(3)) == digest_of(np.random.RandomState(3))
    assert stored_and_read(legacy).normal() == legacy.normal()


# TensorFlow and Keras: one import for the process.


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


TENSORFLOW_LEFT_OUT = {
    "resource": "refers to something inside TensorFlow",
    "variant": "refers to something inside TensorFlow",
}


def tensorflow_dtypes(tf: Any) -> list[Any]:
    found = []
    for number in range(1, 100):  # the numbers of TensorFlow's own enumeration
        try:
            dtype = tf.as_dtype(number)
        except (TypeError, KeyError):
            continue
        found.append(dtype)
    return found


def make_tensor(tf: Any, dtype: Any) -> Any:
    if dtype == tf.string:
        return tf.constant([[b"a", b"\xff\x00"], [b"", b"bcd"]])
    if dtype.is_quantized:
        return tf.bitcast(tf.constant([[1, 2], [3, 4]], dtype.name.removeprefix("q")), dtype)
    return tf.constant(np.array([[0, 1], [1, 0]]).astype(np.float32).astype(dtype.as_numpy_dtype))


def test_every_dtype_of_tensorflow_comes_back(tf: Any) -> None:
    seen = set()
    for dtype in tensorflow_dtypes(tf):
        if dtype.name in TENSORFLOW_LEFT_OUT or dtype.name.endswith("_ref"):
            continue
        tensor = make_tensor(tf, dtype)
        back = stored_and_read({"t": [tensor]})["t"][0]
        assert isinstance(back, tf.Tensor)
        assert (back.dtype, back.shape) == (dtype, tensor.shape), dtype
        assert back.numpy().tolist() == tensor.numpy().tolist(), dtype
        assert digest_of(back) == digest_of(tensor)
        seen.add(dtype.name)
    assert {"float32", "bfloat16", "string", "qint8", "complex128", "int4"} <= seen


def test_variables_come_back_as_variables(tf: Any) -> None:
    import keras

    for value in (
        tf.Variable([1.0, 2.0], trainable=False, name="control"),
        keras.Variable([1.0, 2.0], dtype="bfloat16", trainable=False, name="control"),
    ):
        (back,) = stored_and_read([value])
        assert type(back) is type(value)
        assert (back.dtype, back.trainable, back.name) == (
            value.dtype,
            value.trainable,
            value.name,
        )
        assert np.asarray(back.numpy()).tolist() == [1, 2]
        assert digest_of(back) == digest_of(value)


def test_histories_take_tensors_and_variables(tf: Any) -> None:
    import keras

    context = make_context()
    with step(context) as state:
        for value in (tf.constant(0.5), tf.Variable([0.25]), keras.Variable(0.125)):
            state.history("loss").append(value)
        with pytest.raises(StateTypeError, match="A history's value is"):
            state.history("loss").append(tf.zeros(2))
    with step(sent(context)) as state:
        assert state.history("loss").values.tolist() == [0.5, 0.25, 0.125]


def test_what_refers_into_tensorflow_is_refused(tf: Any) -> None:
    with pytest.raises(StateTypeError, match="0 is a tensor of dtype resource, which refers"):
        stored_and_read([tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])])


# pandas, scikit-learn, XGBoost


def make_frame() -> Any:
    pd = pytest.importorskip("pandas")
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    moments = pd.to_datetime(["2026-01-01", "2026-07-01", None])
    return pd.DataFrame(
        {
            "int": [1, 2, 3],
            "float": [0.5, np.nan, -0.0],
            "more": [1, 1, 2],
            "bool": [True, False, True],
            "text": ["a", None, "größer"],
            "object": pd.Series([1, "a", None], dtype=object),
            "category": pd.Categorical(["x", None, "y"], ["y", "x"], ordered=True),
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "Float32": pd.array([0.5, None, 3], dtype="Float32"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "string": pd.array(["a", None, "b"], dtype=pd.StringDtype("python")),
            "moment": moments,
            "zoned": moments.tz_localize(zone),
            "delta": pd.to_timedelta([1, 2, None], unit="h"),
            "period": pd.PeriodIndex(["2026-01", "2026-02", None], freq="M"),
            "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3], closed="left"),
            "sparse": pd.arrays.SparseArray([0, 0, 1]),
            5: [np.int8(1), np.int8(2), np.int8(3)],
        },
        index=pd.Index(["r", "s", "t"], name="row"),
    )


def test_frames_and_their_columns_come_back_as_they_were() -> None:
    frame = make_frame()
    pd = pytest.importorskip("pandas")
    frame.attrs = {"source": "test"}
    (back,) = stored_and_read([frame])
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True)
    assert back.attrs == frame.attrs
    assert digest_of(back) == digest_of(frame)
    for name in frame:
        series = frame[name]
        read = stored_and_read(series)
        pd.testing.assert_series_equal(read, series, check_exact=True)
        assert type(read.array) is type(series.array)
        assert digest_of(read) == digest_of(series)
    back["new"] = 1  # it can be changed
    assert back.loc["s", "int"] == 2


def test_indexes_and_single_values_of_pandas_come_back() -> None:
    pd = pytest.importorskip("pandas")
    zone = datetime.timezone(datetime.timedelta(hours=2))
    indexes = [
        pd.RangeIndex(1, 9, 2, name="r"),
        pd.Index([1.5, 2], name=("a", 1)),
        pd.Index(["a", None], dtype=object),
        pd.Index(["a", "b"]),
        pd.Index(["x", "y"], dtype="category"),
        pd.date_range("2026-01-01", periods=3, freq="D", tz="Europe/Berlin"),
        pd.date_range("2026-01-01", periods=3, freq="ME"),
        pd.timedelta_range("1h", periods=3, freq="h"),
        pd.period_range("2026-01", periods=3, freq="M"),
        pd.interval_range(0, 3),
        pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["k", None]),
    ]
    for index in indexes:
        back = stored_and_read({"i": index})["i"]
        pd.testing.assert_index_equal(back, index, exact=True)
        assert getattr(back, "freq", None) == getattr(index, "freq", None)
        assert digest_of(back) == digest_of(index)
    values = [
        pd.Timestamp("2026-01-01 10:00:00.123456789"),
        pd.Timestamp("2026-01-01", tz=zone),
        pd.Timedelta("1h 5ns"),
        pd.NaT,
        pd.NA,
    ]
    for value, back in zip(values, stored_and_read(values), strict=True):
        assert type(back) is type(value)
        assert repr(back) == repr(value)


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
