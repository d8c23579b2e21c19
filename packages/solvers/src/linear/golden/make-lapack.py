"""Singular values, eigenvalues and R factors by LAPACK (numpy) for linear.test.ts: python make-lapack.py > lapack.json"""

import json

import numpy as np

rng = np.random.default_rng(6)


def case(name, matrix):
    values = np.linalg.svd(matrix, compute_uv=False)
    r = np.linalg.qr(matrix, mode="r")
    r *= np.where(np.diag(r) < 0, -1, 1)[:, None]
    entry = {"name": name, "rows": matrix.shape[0], "columns": matrix.shape[1], "data": matrix.ravel().tolist(), "singular": values.tolist(), "r": r.ravel().tolist()}
    if matrix.shape[0] == matrix.shape[1]:
        entry["eigen"] = np.linalg.eigvalsh((matrix + matrix.T) / 2).tolist()
    return entry


def spectrum(rows, columns, values):
    u, _ = np.linalg.qr(rng.standard_normal((rows, len(values))))
    v, _ = np.linalg.qr(rng.standard_normal((columns, len(values))))
    return (u * values) @ v.T


cases = [
    case("tall", rng.standard_normal((13, 7))),
    case("wide", rng.standard_normal((5, 11))),
    case("square", rng.standard_normal((12, 12))),
    case("falling by decades", spectrum(10, 8, 10.0 ** -np.arange(8))),
    case("hilbert", 1 / (np.arange(9)[:, None] + np.arange(9)[None, :] + 1.0)),
]
print(json.dumps({"numpy": np.__version__, "cases": cases}))
