"""What a recipe file may say, and what a user is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medrl.cases.spec import sets_of
from medrl.environments.consulting import ConsultationSpec
from medrl.environments.search_spec import SearchSpec
from medrl.errors import RecipeError
from medrl.recipe import available, load_recipe
from medrl.rewards.decision import DecisionSpec
from medrl.rewards.rule import CorrectSpec
from medrl.stages import STAGES, GRPOStage, PPOStage, SFTStage

TEXT = """\
common:
  name: toy
  summary: two stages
  train: {source: "clinic:train", size: 5}
  reward:
    malformed: -1.0
  stages:
    - objective: sft
      steps: 2
      prompts_per_step: 2
      learning_rate: 0.01
scales:
  rehearsal:
    model: {path: here}
    stages:
      - objective: sft
        steps: 3
        prompts_per_step: 2
        learning_rate: 0.01
      - objective: ppo
        steps: 4
        prompts_per_step: 4
        max_new_tokens: 8
        learning_rate: 0.001
  paper:
    model:
      path: there
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def changed(file: Path, old: str, new: str) -> str:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return str(file)


def refused(name: str, *overrides: str, scale: str = "rehearsal") -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, scale, overrides)
    assert "\n" not in caught.value.message
    return caught.value


def line_of(file: Path, start: str) -> int:
    [line] = [
        number
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if line.strip().startswith(start)
    ]
    return line


# --- what can be read ----------------------------------------------------------------------------


def test_a_scale_is_laid_over_the_common_part(file: Path) -> None:
    rehearsal, paper = load_recipe(str(file)), load_recipe(str(file), "paper")
    assert [type(stage) for stage in rehearsal.stages] == [SFTStage, PPOStage]
    assert [stage.steps for stage in paper.stages] == [2]
    assert (rehearsal.model.path, paper.model.path) == ("here", "there")
    assert (rehearsal.scale, paper.scale) == ("rehearsal", "paper")
    assert rehearsal.train.size == paper.train.size == 5


@pytest.mark.parametrize("scale", ["rehearsal", "paper"])
def test_a_resolved_recipe_loads_as_itself(file: Path, tmp_path: Path, scale: str) -> None:
    for name in (str(file), *available()):
        recipe = load_recipe(name, scale, ["seed=3"])
        resolved = tmp_path / "recipe.yaml"
        resolved.write_text(recipe.to_yaml(), encoding="utf-8")
        assert load_recipe(str(resolved)) == recipe
        assert load_recipe(str(resolved), "any scale").to_yaml() == recipe.to_yaml()


@pytest.mark.parametrize("scale", ["rehearsal", "paper"])
@pytest.mark.parametrize("name", available())
def test_shipped_recipes_load_at_both_scales(name: str, scale: str) -> None:
    recipe = load_recipe(name, scale)
    assert recipe.name == name and recipe.scale == scale
    assert available()[name] == recipe.summary


@pytest.mark.parametrize("scale", ["rehearsal", "paper"])
def test_capo_is_the_papers_where_the_paper_says(scale: str) -> None:
    recipe = load_recipe("capo", scale)
    asked = recipe.difficulty
    assert asked is not None and (asked.answers, asked.temperature, asked.band) == (10, 0.9, (1, 9))
    terms = {term.term: term for term in recipe.reward.terms}
    assert list(terms) == ["correct", "format", "perception", "decision"]
    assert recipe.reward.malformed is None  # a term of its own, not a gate before correctness
    [stage] = recipe.stages
    # Dividing by the group's deviation would undo the perception term.
    assert isinstance(stage, GRPOStage) and stage.perturb and stage.advantage == "centred"
    judge = terms["decision"]
    assert isinstance(judge, DecisionSpec)
    assert judge.judge.kind == ("rule" if scale == "rehearsal" else "model")


def test_med_rlvr_at_paper_scale_is_the_papers() -> None:
    recipe = load_recipe("med-rlvr", "paper")
    [stage] = recipe.stages
    assert isinstance(stage, PPOStage) and stage.aggregation == "response"
    [term] = recipe.reward.terms
    assert isinstance(term, CorrectSpec)
    assert (recipe.reward.malformed, term.wrong, term.right) == (-1, 0, 1)
    assert recipe.train.source == "medqa" and not recipe.grader.strict_start


def test_medcco_at_paper_scale_is_the_papers() -> None:
    recipe = load_recipe("medcco", "paper")
    closed, opened = recipe.stages
    assert isinstance(closed, GRPOStage) and isinstance(opened, GRPOStage)
    assert closed.plateau and opened.audit and not closed.audit
    for stage, kinds in ((closed, {"option", "label"}), (opened, {"phrase"})):
        sets = sets_of(stage.train or recipe.train)
        assert {kind for spec in sets for kind in spec.kinds} == kinds
    parts = {t.term: (t.weight, t.kinds) for t in recipe.reward.terms}
    phrase = ("phrase",)
    assert parts == {
        "format": (0.5, ()), "correct": (1.0, ("option", "label")),
        "overlap": (0.7, phrase), "similarity": (0.3, phrase),
    }  # fmt: skip
    assert recipe.reward.malformed is None and recipe.model.path.startswith("Qwen/Qwen2.5-VL-7B")


# --- overrides -----------------------------------------------------------------------------------


def test_overrides_win_and_are_typed(file: Path) -> None:
    recipe = load_recipe(
        str(file),
        "rehearsal",
        [
            "train.size=7",
            "seed=4",
            "model.path=nan",
            "stages.1.lam=0.5",
            "train.split=null",
            "evaluation.sets.mine.source=medqa",
            'prompt="{question} = {options}"',
        ],
    )
    assert recipe.train.size == 7 and recipe.seed == 4 and recipe.train.split is None
    assert recipe.model.path == "nan"  # text, not a number that is none
    assert isinstance(recipe.stages[1], PPOStage) and recipe.stages[1].lam == 0.5
    assert recipe.evaluation.sets["mine"].source == "medqa"
    assert recipe.prompt == "{question} = {options}"


def test_a_field_of_a_stage_named_alone_reaches_every_stage_that_has_it(file: Path) -> None:
    both = load_recipe(str(file), "rehearsal", ["learning_rate=1e-4", "max_new_tokens=9"])
    assert [stage.learning_rate for stage in both.stages] == [1e-4, 1e-4]
    assert isinstance(both.stages[1], PPOStage) and both.stages[1].max_new_tokens == 9


def test_a_field_that_no_stage_has_is_refused(file: Path) -> None:
    error = refused(str(file), "max_new_tokens=9", scale="paper")
    assert "'max_new_tokens': no stage of this recipe has that field" in error.message


def test_an_override_without_equals_sign_is_refused(file: Path) -> None:
    error = refused(str(file), "train.size")
    assert error.message == "override 'train.size' has no '='" and error.fix == "write key=value"


@pytest.mark.parametrize(
    "override", ["stages.7.steps=1", "stages.first.steps=1", "name.first=1", "stages.0.steps.x=1"]
)
def test_an_override_of_a_place_that_is_not_there_is_refused(file: Path, override: str) -> None:
    assert f"override {override!r}: the recipe has no place" in refused(str(file), override).message


def test_an_override_that_is_not_yaml_is_refused(file: Path) -> None:
    error = refused(str(file), "prompt={question")
    assert "override 'prompt={question': the value is not valid YAML" in error.message
    assert error.fix == "put text in quotes"


def test_a_mistake_in_an_override_is_not_blamed_on_the_file(file: Path) -> None:
    assert refused(str(file), "train.size=0").message.startswith(
        "override 'train.size=0': train.size"
    )
    typo = refused(str(file), "learnin_rate=1e-4")
    assert typo.message == "override 'learnin_rate=1e-4': unknown key 'learnin_rate'"
    assert typo.fix == "did you mean 'learning_rate'?"
    alone = refused(str(file), "learning_rate=5")
    assert alone.message.startswith("override 'learning_rate=5': stages.0.learning_rate: ")


# --- mistakes in the file ------------------------------------------------------------------------


def test_a_misspelt_key_names_its_line_and_the_nearest_key(file: Path) -> None:
    name = changed(file, "max_new_tokens: 8", "max_new_token: 8")
    error = refused(name)
    line = line_of(file, "max_new_token:")
    assert error.message in (
        f"{name}, line {line}: unknown key 'stages.1.max_new_token'",
        f"{name}, line {line_of(file, '- objective: ppo')}: 'stages.1.max_new_tokens' is missing",
    )
    error = refused(changed(file, "max_new_token: 8", "max_new_tokens: 8\n        lamb: 1"))
    assert error.message == f"{name}, line {line_of(file, 'lamb:')}: unknown key 'stages.1.lamb'"
    assert error.fix == "did you mean 'lam'?"


def test_a_key_like_no_other_is_refused_without_a_guess(file: Path) -> None:
    error = refused(changed(file, "  reward:", "  zzzzzz: 1\n  reward:"))
    assert "unknown key 'zzzzzz'" in error.message and "did you mean" not in error.fix


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("steps: 4", "steps: many", "stages.1.steps", "valid integer"),
        ("steps: 4", "steps: 0", "stages.1.steps", "greater than or equal to 1"),
        ("learning_rate: 0.001", "learning_rate: 2", "stages.1.learning_rate", "less than 1"),
        ("malformed: -1.0", "malformed: [1]", "reward.malformed", "valid number"),
        (
            "max_new_tokens: 8",
            "max_new_tokens: 8\n        critic: own",
            "stages.1.critic",
            "shared",
        ),
    ],
)
def test_a_wrong_value_names_its_own_line(
    file: Path, old: str, new: str, key: str, says: str
) -> None:
    name = changed(file, old, new)
    error = refused(name)
    line = line_of(file, new.split("\n")[-1].strip())
    assert error.message.startswith(f"{name}, line {line}: {key}: ") and says in error.message


def test_an_unknown_objective_names_the_known_ones(file: Path) -> None:
    error = refused(changed(file, "- objective: ppo", "- objective: pppo"))
    line = line_of(file, "- objective: pppo")
    assert error.message == f"{file}, line {line}: stages.1.objective: 'pppo' is not known"
    assert error.fix == f"did you mean 'ppo'? known: {', '.join(STAGES)}"
    alike_none = refused(str(file), "objective=reinforce")
    assert alike_none.message.startswith("override 'objective=reinforce': stages.0.objective: ")
    assert alike_none.fix.startswith("known: ppo, ")
    error = refused(changed(file, "- objective: pppo\n        steps", "- steps"))
    assert error.message.endswith("'stages.1.objective' is missing")


def test_a_missing_key_is_named(file: Path) -> None:
    error = refused(changed(file, "  summary: two stages\n", ""))
    assert error.message == f"{file}: 'summary' is missing"


def test_more_minibatches_than_prompts_are_refused(file: Path) -> None:
    """The answers to a prompt stay together, so more of them are no help."""
    error = refused(str(file), "minibatches=5", "answers_per_prompt=2")
    wrong = "stages.1: minibatches is 5 but a step has only 4 prompts"
    assert error.message == f"override 'minibatches=5': {wrong}"
    assert error.fix == "lower minibatches or raise prompts_per_step"
    assert load_recipe(str(file), "rehearsal", ["minibatches=5", "prompts_per_step=5"])


@pytest.mark.parametrize(
    ("stage", "overrides", "says", "fix"),
    [
        ("grpo", ["top_p=0.9"], "biases what is learned", "set allow_truncated_sampling: true"),
        ("ppo", ["top_k=5"], "biases what is learned", "set allow_truncated_sampling: true"),
        ("grpo", ["kl_estimator=k1"], "k1 with kl_in loss does not hold", "k2 or k3"),
        ("grpo", ["kl_in=reward"], "k3 with kl_in reward does not hold", "or k1 with"),
        ("rloo", ["kl_estimator=k2"], "k2 with kl_in reward does not hold", "or k1 with"),
        ("grpo", ["overlong_buffer=9"], "overlong_buffer is 9 but max_new_tokens only 8", "lower"),
        ("dapo", ["token_budget=7"], "token_budget is 7 but one answer may have 8", "raise"),
        ("grpo", ["max_length=9"], "no effect with aggregation response", "leave max_length out"),
        ("grpo", ["answers_per_prompt=1"], "answers_per_prompt: Input should be greater", ""),
        ("ppo", ["stages.1.aggregation=constant"], "should be 'response' or 'token'", ""),
    ],
)
def test_values_that_cannot_work_together_are_refused(
    file: Path, stage: str, overrides: list[str], says: str, fix: str
) -> None:
    error = refused(changed(file, "- objective: ppo", f"- objective: {stage}"), *overrides)
    assert error.message.startswith(f"override {overrides[-1]!r}: stages.1")
    assert says in error.message
    assert fix in error.fix and "(got {" not in error.message


@pytest.mark.parametrize(
    ("stage", "overrides"),
    [
        ("grpo", ["top_p=0.9", "top_k=5", "allow_truncated_sampling=true"]),
        ("grpo", ["kl_in=reward", "kl_estimator=k1"]),
        ("grpo", ["kl_in=reward", "kl_coefficient=0"]),
        ("dr_grpo", ["max_length=9", "overlong_buffer=8", "token_budget=8"]),
    ],
)
def test_values_that_work_together_are_not(file: Path, stage: str, overrides: list[str]) -> None:
    load_recipe(changed(file, "- objective: ppo", f"- objective: {stage}"), overrides=overrides)


def test_a_mean_over_a_constant_length_is_not_for_supervised_targets(file: Path) -> None:
    error = refused(str(file), "stages.0.aggregation=constant")
    assert "stages.0.aggregation: Input should be 'response' or 'token'" in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("common: [", "not valid YAML"),
        ("- a list", "a recipe is a mapping of keys"),
        ("common: {}\nscale: {}", "unknown top-level key 'scale'"),
        ("common: 5\nscales: {rehearsal: {}}", "are mappings of keys"),
        ("common: {}\nscales: [rehearsal]", "are mappings of keys"),
        ("common: {name: x}\nscales: {rehearsal: }", "is missing"),
        ("common:\nscales: {rehearsal: {}}", "is missing"),
        ("", "a recipe is a mapping of keys"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    assert says in refused(str(path)).message.replace("\n", " ")


def test_an_unknown_recipe_or_scale_names_what_there_is(file: Path) -> None:
    near = refused("med-rlvrr")
    assert near.message == "no recipe 'med-rlvrr'" and near.fix == "did you mean 'med-rlvr'?"
    assert "med-rlvr" in refused("something else entirely").fix
    scale = refused(str(file), scale="laptop")
    assert scale.message == f"{file}: no scale 'laptop'" and scale.fix == "known: rehearsal, paper"


def test_a_recipe_cannot_be_changed_once_read(file: Path) -> None:
    recipe = load_recipe(str(file))
    with pytest.raises(ValueError, match="frozen"):
        recipe.__setattr__("seed", 1)
    assert yaml.safe_load(recipe.to_yaml())["seed"] == 0


def test_a_difficulty_band_must_lie_within_the_answers() -> None:
    kept = load_recipe("med-rlvr", overrides=["difficulty={answers: 8, lo: 1, hi: 7}"]).difficulty
    assert kept is not None and (kept.answers, kept.lo, kept.hi) == (8, 1, 7)
    with pytest.raises(RecipeError, match="lo 5 to hi 3 is no band of 10 answers"):
        load_recipe("med-rlvr", overrides=["difficulty={lo: 5, hi: 3}"])


# --- samplers ------------------------------------------------------------------------------------

SERVER = ["sampler.engine=vllm-server", "sampler.weights_folder=w"]


@pytest.mark.parametrize(
    ("overrides", "says", "fix"),
    [
        (["sampler.engine=vlm"], "should be 'torch', 'vllm' or 'vllm-server'", ""),
        (["sampler.max_row=3"], "unknown key 'sampler.max_row'", "did you mean 'max_rows'?"),
        (SERVER, "engine vllm-server needs url and weights_folder", "http://127.0.0.1:8000"),
        (["sampler.url=http://127.0.0.1:8000"], "url is of engine vllm-server, not torch", "leave"),
        (
            ["sampler.engine=vllm", "sampler.max_rows=8"],
            "max_rows is of engine torch, not vllm",
            "leave max_rows out, or set engine: torch",
        ),
        (
            ["sampler.gpu_memory_utilization=0.5"],
            "gpu_memory_utilization is of engine vllm, not torch",
            "set engine: vllm",
        ),
        ([*SERVER, "sampler.url=127.0.0.1:8000"], "'127.0.0.1:8000' is no address", "http://"),
        ([*SERVER, "sampler.url=http://gpu-box:8000"], "prompts would leave", "allow_remote: true"),
    ],
)
def test_settings_of_a_sampler_that_do_not_belong_together_are_refused(
    file: Path, overrides: list[str], says: str, fix: str
) -> None:
    error = refused(str(file), *overrides)
    assert error.message.startswith("override 'sampler.") and says in error.message
    assert fix in error.fix


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.7:8000",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.example.org",
        "http://localhost@example.org",
    ],
)
def test_prompts_leave_this_machine_only_if_a_recipe_says_so(file: Path, url: str) -> None:
    assert "not this machine" in refused(str(file), *SERVER, f"sampler.url={url}").message
    load_recipe(str(file), overrides=[*SERVER, f"sampler.url={url}", "sampler.allow_remote=true"])


def test_a_recipe_with_a_server_is_resolved_as_itself(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(file), overrides=[*SERVER, "sampler.url=http://localhost:8000"])
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


# --- environments --------------------------------------------------------------------------------


def test_a_recipe_names_one_of_several_environments(file: Path, tmp_path: Path) -> None:
    search = load_recipe(str(file), overrides=["environment={kind: search, k: 3}"])
    assert isinstance(search.environment, SearchSpec)
    assert search.evaluation_environment == search.environment
    resolved = tmp_path / "recipe.yaml"
    resolved.write_text(search.to_yaml(), encoding="utf-8")
    assert load_recipe(str(resolved)) == search
    both = load_recipe(
        str(file),
        overrides=["environment={kind: search}", "evaluation.environment={kind: consultation}"],
    )
    assert isinstance(both.evaluation_environment, ConsultationSpec)


@pytest.mark.parametrize(
    ("environment", "message", "fix"),
    [
        ("{k: 3}", "'environment.kind' is missing", "add it"),
        ("{kind: serach}", "environment.kind: 'serach' is not known", "consultation, search"),
        ("{kind: search, trun: 2}", "unknown key 'environment.trun'", "'turns'"),
        ("{kind: consultation, max_turn: 3}", "'environment.max_turn'", "'max_turns'"),
        ("{kind: search, generator: topics}", "environment.generator: Input should be", ""),
        (
            "{kind: search, generator: {kind: model, modell: x}}",
            "'environment.generator.modell'",
            "'model'",
        ),
        ("{kind: search, generator: {kind: model, model: x}}", "writes its answers", "mode: text"),
        ("{kind: search, tamper: {kind: noise, shar: 1}}", "'environment.tamper.share'", "add it"),
    ],
)
def test_what_is_wrong_of_an_environment_is_told_by_its_own_key(
    file: Path, environment: str, message: str, fix: str
) -> None:
    error = refused(str(file), f"environment={environment}")
    assert message in error.message
    assert fix in error.fix
