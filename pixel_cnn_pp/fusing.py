"""One pass over memory for a chain of elementwise operations.

Between two convolutions a training step spends its time reading and writing arrays. TensorFlow runs
each elementwise operation as a pass of its own; compiled by XLA a chain is one pass, while the
convolutions stay with oneDNN or cuDNN, which are faster than XLA's on a CPU. JAX needs no help: it
compiles whole steps. Eager calls are left alone, since compiling would cost more than it saves.
"""

import functools

import keras


def fused(function):
    """Compile `function` where it is called inside a TensorFlow graph; elsewhere change nothing."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    compiled = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def choose(*args):
        return compiled(*args) if tf.inside_function() else function(*args)

    return choose
