"""What is measured of a model, a file for each part; see `csi_tf.evaluation.evaluate`."""
