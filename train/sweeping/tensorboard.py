def write_hparams(root, rows, metric): pass
