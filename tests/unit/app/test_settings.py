import tomllib
from pathlib import Path

import pytest

from fedstate.errors import SettingError
from keras_mnist.settings import Settings

APP = Path(__file__).parents[3] / "app"
CONFIG = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]


def test_the_defaults_of_the_app_are_valid() -> None:
    settings = Settings.from_run_config(CONFIG)
    assert settings.num_rounds == CONFIG["num-rounds"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num-rounds", 0),
        ("num-rounds", 2.5),
        ("num-rounds", True),
        ("local-epochs", -1),
        ("batch-size", 0),
        ("learning-rate", 0.0),
        ("learning-rate", "fast"),
        ("learning-rate", float("nan")),
        ("fraction-train", 1.5),
        ("fraction-train", 0),
        ("dirichlet-alpha", 0.0),
        ("seed", -1),
        ("seed", 2**31),
        ("min-nodes", 0),
        ("node-timeout", -1.0),
        ("resend-seconds", -0.5),
        ("on-lost-node", "panic"),
    ],
)
def test_a_bad_value_is_said_with_its_key_and_the_way_out(key: str, value: object) -> None:
    with pytest.raises(SettingError) as error:
        Settings.from_run_config({**CONFIG, key: value})
    assert f"Run config '{key}' is {value!r}, but has to be " in str(error.value)
    assert f"flwr run -c '{key}=" in str(error.value)


def test_a_missing_value_is_said() -> None:
    with pytest.raises(SettingError, match="Run config 'seed' is None"):
        Settings.from_run_config({key: value for key, value in CONFIG.items() if key != "seed"})


def test_a_whole_number_will_do_for_a_float() -> None:
    settings = Settings.from_run_config({**CONFIG, "fraction-train": 1})
    assert settings.fraction_train == 1.0
    assert isinstance(settings.fraction_train, float)
