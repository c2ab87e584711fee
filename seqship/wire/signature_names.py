"""What signatures are called by, and the methods of TensorFlow Serving that they are made for."""

from __future__ import annotations

SERVING_DEFAULT = "serving_default"
"""The signature that TF-Serving calls unless told otherwise (`tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY`)."""
STREAM = "stream"
"""The signature of a stateful model that takes and gives its states; `serving_default` then begins with zeros."""
TF_EXAMPLE = "tf_example"
"""The signature that takes serialized `tf.Example` messages, which Classify and Regress send."""
SERVING_TEXT = "serving_text"
"""The signature of a text model that takes raw text."""

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
"""Methods of TF-Serving, as `tensorflow/python/saved_model/signature_constants.py` names them."""
