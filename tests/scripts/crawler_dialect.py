"""A script for tests in the dialect of the crawlers: no exact lines, adaptation in chunks with lines of progress."""

import os
from os import environ
from pathlib import Path

from toy_learner import Learner, adapted_score, pack, read_bytes, score, unpack

LN2 = 0.6931471805599453


def main() -> None:
    folder, seed = environ["DATA_PATH"], int(environ.get("SEED", "42"))
    steps = int(os.getenv("ITERATIONS", "30"))
    learning_rate = float(environ.get("MATRIX_LR") or 0.5)
    train, validation = read_bytes(f"{folder}/train.txt"), read_bytes(f"{folder}/val.txt")
    learner = Learner(seed, learning_rate, 512)
    print(f"architecture:crawler flat_blocks:0\nmodel_params:{learner.weights.size}\nseed:{seed}")
    print(f"train_batch_tokens:512 iterations:{steps} max_wallclock_seconds:18000.000")
    loss, bpb = score(learner.weights, validation)
    print(f"step:0/{steps} val_loss:{loss:.4f} val_bpb:{bpb:.4f} train_time:0ms step_avg:0.01ms")
    for step, train_loss, ms in learner.steps(train, steps, 0.0):
        print(f"step:{step}/{steps} train_loss:{train_loss:.4f} train_time:{ms:.0f}ms step_avg:{ms / step:.2f}ms")
    size = pack(learner.weights, "final_model.int6.ptz")
    code = Path(__file__).stat().st_size + Path(__file__).with_name("toy_learner.py").stat().st_size
    print(f"Serialized model int6+zlib: {size} bytes\nTotal submission size int6+zlib: {size + code} bytes")
    packed = unpack("final_model.int6.ptz")
    loss, bpb = score(packed, validation)
    print(f"final_int6_roundtrip val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:11ms")
    print("ttt_sliding:start chunks=4 chunk_tokens=512 stride=64")
    loss = adapted_score(
        packed, validation, 0.02, lambda n, nats: print(f"  ttt_chunk [{n}] bpb={nats / LN2:.6f} time=1s")
    )
    print(f"ttt_sliding:done val_loss={loss:.6f} val_bpb={loss / LN2:.6f} elapsed=1.0s")
    print(f"final_ttt_sliding val_loss:{loss:.4f} val_bpb:{loss / LN2:.4f} eval_time:1000ms")


if __name__ == "__main__":
    main()
