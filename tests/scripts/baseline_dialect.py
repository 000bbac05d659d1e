"""A script for tests in the dialect of the challenge's baseline: a class of hyperparameters, and exact lines."""

import os
import uuid
from pathlib import Path

from toy_learner import Learner, pack, read_bytes, score, unpack


class Hyperparameters:
    data_path = os.environ.get("DATA_PATH", "./data")
    run_id = os.environ.get("RUN_ID", str(uuid.uuid4()))
    seed = int(os.environ.get("SEED", 1337))
    iterations = int(os.environ.get("ITERATIONS", 40))
    val_loss_every = int(os.environ.get("VAL_LOSS_EVERY", 20))
    train_batch_tokens = int(os.environ.get("TRAIN_BATCH_TOKENS", 512))
    max_wallclock_seconds = float(os.environ.get("MAX_WALLCLOCK_SECONDS", 600.0))
    matrix_lr = float(os.environ.get("MATRIX_LR", 0.5))
    qat_bits = int(os.environ.get("QAT_BITS", 8))


def main() -> None:
    args = Hyperparameters()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    is_chief = int(os.environ.get("RANK", "0")) == 0
    train, validation = read_bytes(f"{args.data_path}/train.txt"), read_bytes(f"{args.data_path}/val.txt")
    learner = Learner(args.seed, args.matrix_lr, args.train_batch_tokens)
    if not is_chief:
        return
    print(f"logs/{args.run_id}.txt")
    print(f"model_params:{learner.weights.size}")
    print(f"world_size:{world} grad_accum_steps:1")
    print(
        f"train_batch_tokens:{args.train_batch_tokens} iterations:{args.iterations} "
        f"max_wallclock_seconds:{args.max_wallclock_seconds:.3f}"
    )
    print(f"seed:{args.seed}")
    loss, bpb = score(learner.weights, validation)
    print(f"step:0/{args.iterations} val_loss:{loss:.4f} val_bpb:{bpb:.4f} train_time:0ms step_avg:0.01ms")
    for step, train_loss, ms in learner.steps(train, args.iterations, args.max_wallclock_seconds):
        words = f"train_time:{ms:.0f}ms step_avg:{ms / step:.2f}ms"
        print(f"step:{step}/{args.iterations} train_loss:{train_loss:.4f} {words}")
        if step % args.val_loss_every == 0:
            loss, bpb = score(learner.weights, validation)
            print(f"step:{step}/{args.iterations} val_loss:{loss:.4f} val_bpb:{bpb:.4f} {words}")
    size, code = pack(learner.weights, "final_model.int8.ptz"), Path(__file__).stat().st_size
    code += Path(__file__).with_name("toy_learner.py").stat().st_size
    print(f"Serialized model int8+zlib: {size} bytes")
    print(f"Code size: {code} bytes")
    print(f"Total submission size int8+zlib: {size + code} bytes")
    loss, bpb = score(unpack("final_model.int8.ptz"), validation)
    print(f"final_int8_zlib_roundtrip val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:12ms")
    print(f"final_int8_zlib_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}")


if __name__ == "__main__":
    main()
