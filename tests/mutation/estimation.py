"""Mistakes in data and estimators."""

UNITS = "models/test_standardization.py"
DATA = "data/test_data.py"
EXACT = "estimators/test_importance.py::test_each_bound_has_its_exact_expectation_and_each_group_its_exact_gradient"
WAKE = "estimators/test_wake_sleep.py"
SCORE = "estimators/test_score.py"
ELBO = "estimators/test_estimators.py"
WIRING = "training/test_wiring.py"

ROWS = [
    # data
    (
        "x is multiplied by its scale",
        "data/dataset.py",
        "tf.gather(split.resident, index), dtype) / self.scale",
        "tf.gather(split.resident, index), dtype) * self.scale",
        DATA,
    ),
    (
        "validation data are trained on",
        "data/dataset.py",
        "train.take(np.sort(order[held_out:]))",
        "train.take(np.sort(order))",
        DATA,
    ),
    (
        "labels and weights stay behind",
        "data/dataset.py",
        "None if array is None else array[index] for",
        "None if array is None else array[: len(index)] for",
        DATA,
    ),
    ("each split is binarized with one seed", "data/dataset.py", "PARTS.index(part)", "0", DATA),
    (
        "grey levels are rounded to bits",
        "data/dataset.py",
        "random.bernoulli(x, seed, dtype) if",
        "tf.round(x) if",
        DATA,
    ),
    (
        "static bits are divided by the scale",
        "data/dataset.py",
        'self.scale = 1.0 if binarization == "static" else self._scale',
        "self.scale = self._scale",
        f"{WIRING}::test_the_mean_of_static_bits_is_a_probability",
    ),
    (
        "the sd of the data in raw units",
        "data/dataset.py",
        "for block in blocks) / len(x)) / self.scale",
        "for block in blocks) / len(x))",
        UNITS,
    ),
    (
        "weights of the first data",
        "data/dataset.py",
        "tf.cast(tf.gather(weight, index), dtype)",
        "tf.cast(weight[: index.shape[0]], dtype)",
        f"{WIRING}::test_weights_are_those_of_the_data_in_the_batch",
    ),
    (
        "weights of losses and of the KL are swapped",
        "data/dataset.py",
        "of_data(split.weight), of_data(split.kl_weight))",
        "of_data(split.kl_weight), of_data(split.weight))",
        f"{WIRING}::test_weights_are_those_of_the_data_in_the_batch",
    ),
    (
        "factor analysis with the variance for sd",
        "data/synthetic.py",
        "mean + sd * noise",
        "mean + sd**2 * noise",
        "data/test_synthetic.py",
    ),
    # estimators
    (
        "Rényi's bound is not divided by 1 − α",
        "estimators/divergences.py",
        "particles.log_weight) / (1 - self.alpha)",
        "particles.log_weight)",
        "estimators/test_importance.py::test_renyi_tends_to_iwae_the_elbo_and_the_largest_weight",
    ),
    (
        "Rényi's power is α",
        "estimators/divergences.py",
        "particles.log_mean_exp((1 - self.alpha) *",
        "particles.log_mean_exp(self.alpha *",
        "estimators/test_importance.py::test_renyi_tends_to_iwae_the_elbo_and_the_largest_weight",
    ),
    (
        "CUBO is not divided by its order",
        "estimators/divergences.py",
        "particles.log_mean_exp(self.order * particles.log_weight) / self.order",
        "particles.log_mean_exp(self.order * particles.log_weight)",
        EXACT,
    ),
    (
        "θ ascends the upper bound",
        "estimators/divergences.py",
        "Losses(generative=-tempered.iw_bound(), inference=inference)",
        "Losses(generative=-self.bound(tempered), inference=inference)",
        EXACT,
    ),
    (
        "CUBO's weights lack the order",
        "estimators/divergences.py",
        "tf.nn.softmax(self.order * particles.tempered().log_weight",
        "tf.nn.softmax(particles.tempered().log_weight",
        "estimators/test_importance.py::test_in_log_form_phi_follows_the_cubo_gradient_with_an_error_of_order_1_over_S",
    ),
    (
        "CUBO's factor ignores β",
        "estimators/divergences.py",
        "-(particles.kl_weight - 1 / self.order)",
        "-(1 - 1 / self.order)",
        "estimators/test_importance.py::test_in_log_form_phi_follows_the_cubo_gradient_with_an_error_of_order_1_over_S",
    ),
    (
        "an f-divergence adds its offset",
        "estimators/divergences.py",
        "particles.log_weight - self.offset, **",
        "particles.log_weight + self.offset, **",
        "estimators/test_importance.py::test_f_divergences_are_named_by_the_functions_of_tensorflow_probability",
    ),
    (
        "wake weights pass a gradient",
        "estimators/wake_sleep.py",
        "tf.stop_gradient(tf.nn.softmax(particles.log_weight, axis=1))",
        "tf.nn.softmax(particles.log_weight, axis=1)",
        WAKE,
    ),
    (
        "wake weights are tempered",
        "estimators/wake_sleep.py",
        "tf.nn.softmax(particles.log_weight, axis=1)",
        "tf.nn.softmax(particles.tempered().log_weight, axis=1)",
        WAKE,
    ),
    (
        "both phases are summed",
        "estimators/wake_sleep.py",
        " for phase in phases) / len(phases)",
        " for phase in phases)",
        WAKE,
    ),
    (
        "dreams are summed",
        "estimators/wake_sleep.py",
        "-tf.reduce_mean(particles.dream.log_posterior, axis=1)",
        "-tf.reduce_sum(particles.dream.log_posterior, axis=1)",
        WAKE,
    ),
    (
        "a baseline includes its own sample",
        "estimators/score.py",
        "(tf.reduce_sum(signal, axis=1, keepdims=True) - signal) / (self.samples - 1)",
        "tf.reduce_mean(signal, axis=1, keepdims=True)",
        f"{SCORE}::test_with_every_baseline_the_gradients_are_those_of_the_elbo",
    ),
    (
        "the signal ignores β",
        "estimators/score.py",
        "tf.stop_gradient(particles.tempered().log_weight)",
        "tf.stop_gradient(particles.log_weight)",
        f"{SCORE}::test_with_every_baseline_the_gradients_are_those_of_the_elbo",
    ),
    (
        "VIMCO's weights ignore β",
        "estimators/score.py",
        "weight -= particles.beta * tf.nn",
        "weight -= tf.nn",
        f"{SCORE}::test_vimco_follows_the_gradients_of_the_importance_weighted_bound",
    ),
    (
        "VIMCO's geometric mean is over S",
        "estimators/score.py",
        "axis=2) / (self.samples - 1)",
        "axis=2) / self.samples",
        f"{SCORE}::test_signals_of_vimco_are_exact_where_the_weights_are_small_and_close",
    ),
    (
        "the decay of a baseline is reversed",
        "estimators/score.py",
        "self.decay * self.average + (1 - self.decay) * mean",
        "(1 - self.decay) * self.average + self.decay * mean",
        f"{SCORE}::test_the_moving_average_converges_to_the_mean_signal",
    ),
    (
        "free bits for each datum",
        "estimators/elbo.py",
        "over = tf.reduce_mean(divergence, axis=0) > self.free_bits",
        "over = divergence > self.free_bits",
        f"{ELBO}::test_free_bits_are_the_larger_of_lambda_and_the_mean_kl_of_each_group",
    ),
    (
        "groups of free bits are interleaved",
        "estimators/elbo.py",
        "tf.reshape(divergence, [-1, self.groups, divergence.shape[1] // self.groups]), axis=2)",
        "tf.reshape(divergence, [-1, divergence.shape[1] // self.groups, self.groups]), axis=1)",
        f"{WIRING}::test_groups_of_free_bits_are_of_consecutive_latents",
    ),
    (
        "the capacity is subtracted only",
        "estimators/elbo.py",
        "return tf.abs(self.divergence(particles) - tf.cast(capacity, particles.log_likelihood.dtype))",
        "return self.divergence(particles) - tf.cast(capacity, particles.log_likelihood.dtype)",
        f"{ELBO}::test_capacity_is_the_distance_of_the_kl_from_its_schedule",
    ),
]
