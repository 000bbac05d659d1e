#!/bin/sh
# Train the shape of a record on one GPU, keep its float weights, quantize them in every way, and print the tables.
#
#     sh experiments/studies/quantization/on_gpu.sh OUT [options of pgolf run]
#
# OUT gets the run, measured.jsonl, curves and table.md. It has not run on a GPU yet; `--with micro`, into an OUT of its own,
# tries it on a CPU. Runs that are finished, and what is measured, are not done again.
set -eu
out=${1:?usage: on_gpu.sh OUT [options of pgolf run]}
shift
study=$(dirname "$0")
pgolf run pr549_leaky_ttt --with "$study/../../overlays/study_gpu.yaml" "$@" --runs-dir "$out/runs"
python "$study/measure.py" "$out"/runs/*/seed-* --out "$out/measured.jsonl" --rates 0.75,1,1.4,1.8,2.4 \
    --variants "gptq;gptq, finer table;gptq, fisher rows;gptq, fisher;trellis 8;trellis 8, fisher;bound"
python "$study/compare.py" "$out/measured.jsonl" --curves "$out" > "$out/table.md"
cat "$out/table.md"
