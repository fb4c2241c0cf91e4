"""The peers' step_throughput.py (in the folder PEERS), but the GEMM ceiling is measured once and kept in the file GEMM, in fp32 alone
unless PRECISION is bf16: a processor without bf16 arithmetic takes minutes for it."""
import json
import os
import statistics
import sys

sys.path.insert(0, os.environ["PEERS"])
import step_throughput as peer  # noqa: E402

KEPT = os.environ["GEMM"]
PRECISION = os.environ["PRECISION"]


def gemm(threads, args):
    """GFLOP/s of the precision that is asked for; the other one is unknown."""
    kept = json.load(open(KEPT)) if os.path.exists(KEPT) else {}
    name = f"{PRECISION}/{threads}"
    if name not in kept:
        import torch
        torch.set_num_threads(threads)
        dtype = torch.float32 if PRECISION == "fp32" else torch.bfloat16
        rates = []
        for n in (1024, 2048):
            a, b, c = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype), torch.empty(n, n, dtype=dtype)
            times, _ = peer.timed(lambda: torch.mm(a, b, out=c), 0.5, 5, args.tries)
            rates.append(2 * n**3 / statistics.median(times) / 1e9)
        kept[name] = max(rates)
        json.dump(kept, open(KEPT, "w"))
    return {"fp32": float("nan"), "bf16": float("nan"), PRECISION: kept[name]}


peer.gemm = gemm
peer.__file__ = os.path.abspath(__file__)  # its ranks are started by this file, too
ARGS = peer.parse_args()
peer.worker(ARGS) if ARGS.worker else peer.main(ARGS)
