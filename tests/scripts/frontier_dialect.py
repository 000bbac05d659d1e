"""A script for tests in the dialect of the leaders: a helper that reads variables, a dump of hyperparameters, `N/M`."""

import os
from pathlib import Path

from toy_learner import Learner, adapted_score, pack, read_bytes, score, unpack


def env(name: str, default: object) -> str:
    return os.environ.get(name, str(default))


SETTINGS = {
    "compressor": env("COMPRESSOR", "zlib"),
    "data_path": env("DATA_PATH", "./data"),
    "iterations": int(env("ITERATIONS", 40)),
    "matrix_lr": float(env("MATRIX_LR", 0.5)),
    "seed": int(env("SEED", 1337)),
    "ttt_enabled": bool(int(env("TTT_ENABLED", "1"))),
    "ttt_lr": float(env("TTT_LR", 0.02)),
}


def main() -> None:
    print("Hyperparameters:")
    for name, value in sorted(SETTINGS.items()):
        print(f"  {name}: {value}")
    folder, steps = SETTINGS["data_path"], int(str(SETTINGS["iterations"]))
    train, validation = read_bytes(f"{folder}/train.txt"), read_bytes(f"{folder}/val.txt")
    learner = Learner(int(str(SETTINGS["seed"])), float(str(SETTINGS["matrix_lr"])), 512)
    print(f"train_shards: 1\nval_tokens: {len(validation)}\nmodel_params:{learner.weights.size}")
    for step, loss, ms in learner.steps(train, steps, 0.0):
        print(f"{step}/{steps} train_loss: {loss:.4f} train_time: {ms / 60000:.4f}m tok/s: {step * 512000 / ms:.0f}")
    loss, bpb = score(learner.weights, validation)
    print(f"pre-quantization post-ema val_loss:{loss:.8f} val_bpb:{bpb:.8f} eval_time:5ms")
    size, code = pack(learner.weights, "final_model.int6.ptz"), Path(__file__).stat().st_size
    code += Path(__file__).with_name("toy_learner.py").stat().st_size
    print(f"Serialized model quantized+zlib: {size} bytes")
    print(f"Total submission size quantized+zlib: {size + code} bytes")
    packed = unpack("final_model.int6.ptz")
    loss, bpb = score(packed, validation)
    print(f"quantized val_loss:{loss:.8f} val_bpb:{bpb:.8f} eval_time:7ms")
    if SETTINGS["ttt_enabled"]:
        loss = adapted_score(packed, validation, float(str(SETTINGS["ttt_lr"])), lambda *_: None)
        print(f"quantized_ttt val_loss:{loss:.8f} val_bpb:{loss / 0.6931471805599453:.8f} eval_time:9ms")


if __name__ == "__main__":
    main()
