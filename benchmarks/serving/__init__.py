"""Load on `seqship serve` and on the servers that people use instead, with the same model, in one run."""
