#!/usr/bin/env bash
# The scan as the first step of a training pipeline.
#
#   examples/pipeline.sh MODEL [TOP_N] [FOLDER]
#
# Scans MODEL, keeps the results in FOLDER, and writes FOLDER/targets.txt: the chosen modules, separated by commas, as
# trainers take them on their command lines; FOLDER/parameters.txt has those that are parameters, such as experts. Needs
# laser-scan and jq on the PATH. Run it again after an interruption: the scan goes on where it stopped.
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

# A trainer knows modules by their names in memory, which 'target' gives where they differ from those on disk. Experts that
# are one parameter in memory cannot be told apart there: PEFT takes such parameters in a list of their own.
names() {
    jq -r --slurpfile scan "$folder/scan.json" --argjson parameters "$1" '
        [.[][] | $scan[0][.] // empty | select((.target_is_parameter // false) == $parameters) | .target // .module]
        | flatten | unique | join(",")
    ' "$folder/chosen.json"
}
names false >"$folder/targets.txt"
names true >"$folder/parameters.txt"

echo "$(jq '[.[][]] | length' "$folder/chosen.json") modules chosen of $model:"
jq -r 'to_entries[] | "  \(.key): \(.value | length), best is \(.value[0])"' "$folder/chosen.json"

# Here the training would start, for example:
#   llamafactory-cli train config.yaml lora_target="$(cat "$folder/targets.txt")"
