#!/usr/bin/env bash
# The scan as the first step of a training pipeline.
#
#   examples/pipeline.sh MODEL [TOP_N] [FOLDER]
#
# Scans MODEL and keeps in FOLDER the results, and what PEFT and LLaMA-Factory need to train the chosen modules with as many
# parameters as plain LoRA of rank 32 would: FOLDER/lora.json and FOLDER/llama_factory.args. Needs laser-scan and jq on the
# PATH. Run it again after an interruption: the scan goes on where it stopped.
set -euo pipefail

model=${1:?usage: pipeline.sh MODEL [TOP_N] [FOLDER]}
top_n=${2:-16}
folder=${3:-laser-scan-results}
mkdir -p "$folder"

# The exit status says how far to trust the result: 0 is complete, 3 leaves out modules that could not be measured.
status=0
laser-scan --model "$model" --top-n "$top_n" --output "$folder/scan.json" --top-output "$folder/top.json" \
    --output-dir "$folder" --json --quiet >"$folder/chosen.json" || status=$?
case $status in
0) ;;
3) echo "some modules of $model could not be measured; going on with the others" >&2 ;;
*) exit "$status" ;;
esac

# The names in chosen.json are those on disk. Trainers get names in memory, each tried by the trainer's own rule; a choice
# that a trainer cannot train exactly ends the script here, with a sentence that says why.
options=(--top-n "$top_n" --match-rank 32 --quiet)
laser-scan export peft "$folder/scan.json" "${options[@]}" --output "$folder/lora.json"
laser-scan export llama-factory "$folder/scan.json" "${options[@]}" --format args --output "$folder/llama_factory.args"

echo "$(jq '[.[][]] | length' "$folder/chosen.json") modules chosen of $model, trained with rank $(jq .r "$folder/lora.json"):"
jq -r 'to_entries[] | "  \(.key): \(.value | length), best is \(.value[0])"' "$folder/chosen.json"

# Here the training would start, for example:
#   python train.py --lora "$folder/lora.json"      # peft.LoraConfig(**json.load(open(arguments.lora)))
#   llamafactory-cli train --model_name_or_path "$model" $(cat "$folder/llama_factory.args") ...
