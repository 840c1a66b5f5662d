"""Training on JAX, where TensorFlow need not be installed: the same losses, one compiled step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from csi_tf import objectives, stages
from csi_tf.config import Config
from csi_tf.learner import Arrays, Learner


class JaxLearner(Learner):
    def __init__(self, config: Config, stage: str, dataset_size: int, main_steps: int) -> None:
        self._ahead: dict[str, Any] | None = None  # the state, where it has not been assigned yet
        super().__init__(config, stage, dataset_size, main_steps)
        self._variables = super().named_variables()
        self._names = {id(v): name for name, v in self._variables.items()}
        self._step = jax.jit(self._pure_step, static_argnums=2, donate_argnums=0)
        self._evaluate = jax.jit(self._pure_scores)

    def step(self, batch: Arrays, warming_up: bool) -> dict[str, Any]:
        state = self._ahead or self._values()
        # Hundreds of assignments take longer than a step on a GPU: they wait for a reader.
        self._ahead, terms = self._step(state, batch, warming_up)
        return terms

    def evaluate(self, batch: Arrays) -> dict[str, np.ndarray]:
        state = self._ahead or self._values()
        return {name: np.asarray(x) for name, x in self._evaluate(state, batch).items()}

    def named_variables(self) -> dict[str, Any]:
        if self._ahead is not None:
            for name, variable in self._variables.items():
                variable.assign(self._ahead[name])
            self._ahead = None
        return super().named_variables()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        self.named_variables()  # the averages are kept in variables
        with super().averaged():
            yield

    def _values(self) -> dict[str, Any]:
        return {name: variable.value for name, variable in self._variables.items()}

    def _pure_scores(self, state: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        with keras.StatelessScope(self._mapping(state)):
            return self.scores(batch)

    def _pure_step(
        self, state: dict[str, Any], batch: dict[str, Any], warming_up: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        variables = self.variables[warming_up]

        def loss(values: list[Any]) -> tuple[Any, Any]:
            mapping = [*self._mapping(state), *zip(variables, values, strict=True)]
            with keras.StatelessScope(mapping) as scope:
                share, scores, terms = stages.loss(
                    self.model, self.objective, self.stage, batch, self.dataset_size, warming_up
                )
            return share, (self._current(scope, state), scores.z, terms)

        values = [state[self._name_of(variable)] for variable in variables]
        (share, (after, z, terms)), gradients = jax.value_and_grad(loss, has_aux=True)(values)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradients))
        if clip := self.config.optimiser.clip_norm:
            gradients = [g * jnp.minimum(1.0, clip / norm) for g in gradients]
        after = self._applied(after, self.optimiser(warming_up), variables, gradients)
        finite = jnp.isfinite(share) & jnp.isfinite(norm)
        if isinstance(self.objective, objectives.Adversarial):
            after, terms["discriminator"], sound = self._discriminator_step(after, z, batch)
            finite &= sound
        kept = {name: jnp.where(finite, after[name], state[name]) for name in state}
        return kept, terms | {"gradient_norm": norm, "finite": finite.astype("float32")}

    def _discriminator_step(
        self, state: dict[str, Any], z: Any, batch: dict[str, Any]
    ) -> tuple[dict[str, Any], Any, Any]:
        """The state after it, its loss, and whether its gradient is finite."""
        objective = self.objective
        assert isinstance(objective, objectives.Adversarial)
        weights = objective.discriminator.trainable_variables

        def loss(values: list[Any]) -> Any:
            mapping = [*self._mapping(state), *zip(weights, values, strict=True)]
            with keras.StatelessScope(mapping):
                return objective.discriminator_loss(z, batch["discriminator_noise"])

        values = [state[self._name_of(weight)] for weight in weights]
        found, gradients = jax.value_and_grad(loss)(values)
        optimiser = self.optimisers["discriminator"]
        sound = jnp.isfinite(sum(jnp.sum(jnp.square(g)) for g in gradients))
        return self._applied(state, optimiser, weights, gradients), found, sound

    def _applied(
        self, state: dict[str, Any], optimiser: Any, variables: list[Any], gradients: Any
    ) -> dict[str, Any]:
        """The state after an optimiser's step on some of its variables."""
        slots = [self._name_of(slot) for slot in optimiser.variables]
        names = [self._name_of(variable) for variable in variables]
        values, new_slots = optimiser.stateless_apply(
            [state[name] for name in slots], gradients, [state[name] for name in names]
        )
        return {
            **state,
            **dict(zip(names, values, strict=True)),
            **dict(zip(slots, new_slots, strict=True)),
        }

    def _mapping(self, state: dict[str, Any]) -> list[tuple[Any, Any]]:
        return [(variable, state[name]) for name, variable in self._variables.items()]

    def _current(self, scope: Any, state: dict[str, Any]) -> dict[str, Any]:
        """The state after what the forward pass itself assigned: BatchNorm and dropout."""
        current = {}
        for name, variable in self._variables.items():
            value = scope.get_current_value(variable)
            current[name] = state[name] if value is None else value
        return current

    def _name_of(self, variable: Any) -> str:
        return self._names[id(variable)]
