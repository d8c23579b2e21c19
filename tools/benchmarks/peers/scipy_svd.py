"""Truncated SVD by scipy: scipy_svd.py FILE SIZE RANK prints wall and processor seconds and Frobenius error of each way as JSON."""

import json
import sys
import time

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import svds

path, size, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
matrix = np.fromfile(path, dtype=np.float32).reshape(size, size)


def randomised(a, k):
    """Halko, Martinsson and Tropp: oversampling by 10, two power iterations, as the package has it."""
    q = linalg.qr(a @ np.random.default_rng(0).standard_normal((a.shape[1], k + 10)).astype(a.dtype), mode="economic")[0]
    for _ in range(2):
        q = linalg.qr(a.T @ q, mode="economic")[0]
        q = linalg.qr(a @ q, mode="economic")[0]
    u, s, vt = linalg.svd(q.T @ a, full_matrices=False)
    return (q @ u)[:, :k], s[:k], vt[:k]


def full(a, k):
    """Everything, cut off."""
    u, s, vt = linalg.svd(a, full_matrices=False, lapack_driver="gesdd")
    return u[:, :k], s[:k], vt[:k]


results = {}
for name, run in {"scipy, LAPACK gesdd": lambda: full(matrix, rank), "scipy svds": lambda: svds(matrix, k=rank), "scipy, randomised": lambda: randomised(matrix, rank)}.items():
    started, processor = time.perf_counter(), time.process_time()
    u, s, vt = run()
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    results[name] = {"seconds": seconds, "processor": processor, "error": float(np.linalg.norm(matrix.astype(np.float64) - (u.astype(np.float64) * s) @ vt))}
print(json.dumps(results))
