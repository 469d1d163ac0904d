from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import read_recipe

RECIPES = sorted(Path("training/recipes").glob("*.toml"))
STAGE = """
[[stage]]
size = 96
epochs = 1
lr_first = 0.1
lr_last = 0.01
parts = ["stem", "local"]
"""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_recipes_in_the_repository_are_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.stages
    made_otherwise = ("", "shipped")  # by training.fit.shipped
    start = recipe.start_from
    assert start in made_otherwise or (path.parent / f"{start}.toml").exists()


def test_defaults(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(STAGE)
    recipe = read_recipe(tmp_path / "a.toml")
    assert recipe.model.modules == "asp+sfp"
    assert recipe.stages[0].parts == ("stem", "local")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'stage' is missing"),
        ("[[stage]]\nsize = 96\n", "'parts' is missing"),
        (STAGE + "colour = 1\n", "colour"),
        ("colour = 1\n" + STAGE, "colour"),
        (STAGE.replace("96", "100"), "steps of 32"),
        (STAGE.replace("96", "0"), "needs 32 px"),
        (STAGE.replace("epochs = 1", "epochs = 0"), "epochs"),
        (STAGE.replace('"local"', '"tail"'), "parts of"),
        (STAGE.replace(', "local"', ""), "at least one tail"),
        (STAGE + "together = 0.5\n", "of a cloud tail alone"),
        (STAGE + "degraded = 2\n", "shares from 0 to 1"),
        (STAGE + '[model]\nstem = "small"\n', "in steps of 56"),
        (STAGE + '[model]\nlabel_sets = ["people"]\n', "label_sets are of"),
        (STAGE + "latent_bytes = [1.0]\n", "latent_bytes are one number for each rate"),
        (STAGE + '[model]\nmodules = "x"\n', "modules are one of"),
        (STAGE + '[model]\nwavelet = "x"\n', "SFP offers"),
        (STAGE + 'start_cloud = true\n[model]\ncloud = "lite"\n', "cloud must be shufflenet"),
        (STAGE.replace("96", "32") + '[model]\ncloud = "lite"\n', "64 px at least"),
        ("[[stage", r"a\.toml"),
    ],
)
def test_a_bad_recipe_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_recipe(tmp_path / "a.toml")
    assert "a.toml" in str(raised.value)
