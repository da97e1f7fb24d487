# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_laser_scan_global_optspecs
    string join \n model= revision= include= exclude= all-linear include-conv split-fused transformers= dry-run pool-experts= n/top-n= top-percent= global types= layers= statistic= ties= budget= emit= rank= match-rank= alpha= scale-alpha use-rslora no-head head-rank= statistics no-spectra o/output-dir= output= top-output= overwrite json q/quiet log-format= color= v/verbose device= threads= part= stream fresh offline cache-dir= h/help V/version
end

function __fish_laser_scan_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_laser_scan_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_laser_scan_using_subcommand
    set -l cmd (__fish_laser_scan_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c laser-scan -n "__fish_laser_scan_needs_command" -l model -d 'The same, as an option' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l revision -d 'The Hub model\'s branch, tag or commit [default: main]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l include -d 'Scan only modules whose name, on disk or in memory, matches; repeatable, \'*\' matches anything' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l exclude -d 'Leave out modules whose name, on disk or in memory, matches; repeatable, wins over --include' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l transformers -d 'The trainer\'s line of transformers, 4 (4.57) or 5, which decides what modules are called in memory' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l budget -d 'Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and for trainers that end in -full' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l emit -d 'Write this trainer\'s configuration too, as \'export\' does; repeatable' -r -f -a "axolotl\t''
axolotl-full\t''
llama-factory\t''
llama-factory-full\t''
peft\t''
trl\t''
ms-swift\t''
ms-swift-full\t''
unsloth\t''
mlx-lm\t''
nemo-automodel\t''
nemo-automodel-full\t''
spectrum\t''
diffusers\t''
simpletuner\t''
lycoris\t''
simpletuner-lycoris\t''
ai-toolkit\t''
ai-toolkit-full\t''
onetrainer\t''
onetrainer-full\t''
musubi\t''
sd-scripts\t''
diffusion-pipe\t''"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l rank -d 'The rank of LoRA [default: 32; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l match-rank -d 'Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8 where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the trainer takes a rank for each module' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l alpha -d 'LoRA\'s alpha, whatever the rank [default: 16; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l head-rank -d 'Another rank for the head' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s o -l output-dir -d 'The folder for the output files, or its address such as s3://bucket/folder [default: the current one]' -r -F
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l output -d 'The file for every module\'s numbers [default: laser_scan_<model>.json]; \'-\' prints them instead of the table, and the file has its usual name' -r -F
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l top-output -d 'The file for the names of the best [default: laser_scan_<model>_top_snr.json]' -r -F
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l device -d 'Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: all GPUs, or the CPU [default: auto]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l threads -d 'How many threads to compute with, and how many modules to measure at once [default: one for each core]' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l part -d 'Measure only part K of N, which \'laser-scan merge\' joins: for several machines, each with another K from 1 to N' -r
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l cache-dir -d 'The folder of the Hugging Face cache [default: as Python\'s]' -r -F
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l all-linear -d 'Scan heads, routers and embeddings\' projections too'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l include-conv -d 'Scan convolutions too, flattened; of diffusion models they are scanned anyway'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l split-fused -d 'Measure the parts of fused modules too (q, k and v of a qkv_proj), for the file of all numbers'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l dry-run -d 'Only show what would be scanned; of a Hub model nothing but headers is downloaded'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l scale-alpha -d 'Let alpha grow with the rank: --alpha is that of the rank given to --match-rank'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l use-rslora -d 'Scale adapters by alpha over the rank\'s root, as rsLoRA does, which keeps them effective at high ranks'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l no-head -d 'Leave out the head, which is trained with whatever is chosen unless it shares the embedding\'s weight'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l statistics -d 'Write the other statistics of every module too, each with its own numbers'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l no-spectra -d 'Do not write the singular values, from which other statistics are computed without the weights'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l overwrite -d 'Replace files of these names, even if they are another model\'s results or no results at all'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l json -d 'Print the names of the best as JSON instead of a table; with --dry-run, the plan'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s v -l verbose -d 'Print a line for each module and what the run is made of'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l stream -d 'Read the weights of a Hub model by byte range straight into memory, and write nothing but results to disk'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l fresh -d 'Measure anew, whatever an interrupted or a finished scan has left'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -l offline -d 'Ask nothing of the network: read Hub models from the cache'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -s V -l version -d 'Print version'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "scan" -d 'Measure a model and rank its modules, as without a command'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "export" -d 'Write a trainer\'s configuration from a finished scan'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "merge" -d 'Join the parts of a scan that several machines have measured with --part'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "delta" -d 'Measure what a fine-tune changed: the difference of two models\' weights, module by module'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "diff" -d 'Show what moved between two scans: base and fine-tune, two revisions, ours and a published result'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "report" -d 'Write a page to look at: every module\'s place in a scan, as one HTML file that needs nothing else'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "show" -d 'Show a finished scan: the best of each type by any rule and statistic, or every module\'s numbers'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "completions" -d 'Print what a shell needs to complete commands and options'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "man" -d 'Write a manual page for every command into a folder, such as ~/.local/share/man/man1'
complete -c laser-scan -n "__fish_laser_scan_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l model -d 'The same, as an option' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l revision -d 'The Hub model\'s branch, tag or commit [default: main]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l include -d 'Scan only modules whose name, on disk or in memory, matches; repeatable, \'*\' matches anything' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l exclude -d 'Leave out modules whose name, on disk or in memory, matches; repeatable, wins over --include' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l transformers -d 'The trainer\'s line of transformers, 4 (4.57) or 5, which decides what modules are called in memory' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l budget -d 'Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and for trainers that end in -full' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l emit -d 'Write this trainer\'s configuration too, as \'export\' does; repeatable' -r -f -a "axolotl\t''
axolotl-full\t''
llama-factory\t''
llama-factory-full\t''
peft\t''
trl\t''
ms-swift\t''
ms-swift-full\t''
unsloth\t''
mlx-lm\t''
nemo-automodel\t''
nemo-automodel-full\t''
spectrum\t''
diffusers\t''
simpletuner\t''
lycoris\t''
simpletuner-lycoris\t''
ai-toolkit\t''
ai-toolkit-full\t''
onetrainer\t''
onetrainer-full\t''
musubi\t''
sd-scripts\t''
diffusion-pipe\t''"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l rank -d 'The rank of LoRA [default: 32; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l match-rank -d 'Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8 where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the trainer takes a rank for each module' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l alpha -d 'LoRA\'s alpha, whatever the rank [default: 16; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l head-rank -d 'Another rank for the head' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -s o -l output-dir -d 'The folder for the output files, or its address such as s3://bucket/folder [default: the current one]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l output -d 'The file for every module\'s numbers [default: laser_scan_<model>.json]; \'-\' prints them instead of the table, and the file has its usual name' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l top-output -d 'The file for the names of the best [default: laser_scan_<model>_top_snr.json]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l device -d 'Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: all GPUs, or the CPU [default: auto]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l threads -d 'How many threads to compute with, and how many modules to measure at once [default: one for each core]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l part -d 'Measure only part K of N, which \'laser-scan merge\' joins: for several machines, each with another K from 1 to N' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l cache-dir -d 'The folder of the Hugging Face cache [default: as Python\'s]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l all-linear -d 'Scan heads, routers and embeddings\' projections too'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l include-conv -d 'Scan convolutions too, flattened; of diffusion models they are scanned anyway'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l split-fused -d 'Measure the parts of fused modules too (q, k and v of a qkv_proj), for the file of all numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l dry-run -d 'Only show what would be scanned; of a Hub model nothing but headers is downloaded'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l scale-alpha -d 'Let alpha grow with the rank: --alpha is that of the rank given to --match-rank'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l use-rslora -d 'Scale adapters by alpha over the rank\'s root, as rsLoRA does, which keeps them effective at high ranks'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l no-head -d 'Leave out the head, which is trained with whatever is chosen unless it shares the embedding\'s weight'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l statistics -d 'Write the other statistics of every module too, each with its own numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l no-spectra -d 'Do not write the singular values, from which other statistics are computed without the weights'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l overwrite -d 'Replace files of these names, even if they are another model\'s results or no results at all'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l json -d 'Print the names of the best as JSON instead of a table; with --dry-run, the plan'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -s v -l verbose -d 'Print a line for each module and what the run is made of'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l stream -d 'Read the weights of a Hub model by byte range straight into memory, and write nothing but results to disk'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l fresh -d 'Measure anew, whatever an interrupted or a finished scan has left'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -l offline -d 'Ask nothing of the network: read Hub models from the cache'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l budget -d 'Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and for trainers that end in -full' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l rank -d 'The rank of LoRA [default: 32; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l match-rank -d 'Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8 where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the trainer takes a rank for each module' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l alpha -d 'LoRA\'s alpha, whatever the rank [default: 16; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l head-rank -d 'Another rank for the head' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l pool-fused -d 'Rank modules as one that the trainer has as one, such as the queries, keys and values of Flux in its original form, by the mean or the largest of their ratios' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l model -d 'The model that was scanned, a folder or a Hub id: only headers are read, for the names and shapes that the scan lacks' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l revision -d 'The Hub model\'s branch, tag or commit [default: main]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l transformers -d 'The trainer\'s line of transformers, 4 (4.57) or 5, with --model [default: 5]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l into -d 'Change the keys in this YAML configuration of Axolotl, LLaMA-Factory or TRL, and keep the rest of it as it is; the file as it was is kept as FILE.bak' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -s o -l output -d 'Write to this file instead of standard output, which is \'-\'' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l output-dir -d 'Write the configuration in all its forms into this folder' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l format -d 'The form, where the trainer has several [default: the first]: llama-factory (yaml, args), llama-factory-full (yaml, args), trl (yaml, args), ms-swift (yaml, args), ms-swift-full (yaml, args), spectrum (yaml, json, sorted-json), diffusers (json, args), musubi (toml, args)' -r -f -a "yaml\t'YAML'
json\t'JSON'
sorted-json\t'JSON, sorted by ratio'
toml\t'TOML'
args\t'Options for a command line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l cache-dir -d 'The folder of the Hugging Face cache [default: as Python\'s]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l scale-alpha -d 'Let alpha grow with the rank: --alpha is that of the rank given to --match-rank'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l use-rslora -d 'Scale adapters by alpha over the rank\'s root, as rsLoRA does, which keeps them effective at high ranks'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l no-head -d 'Leave out the head, which is trained with whatever is chosen unless it shares the embedding\'s weight'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l dry-run -d 'Only show what --into would change'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l overwrite -d 'Replace files of these names, even if laser-scan did not write them'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -l offline -d 'Ask nothing of the network: read Hub models from the cache'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l budget -d 'Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and for trainers that end in -full' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l emit -d 'Write this trainer\'s configuration too, as \'export\' does; repeatable' -r -f -a "axolotl\t''
axolotl-full\t''
llama-factory\t''
llama-factory-full\t''
peft\t''
trl\t''
ms-swift\t''
ms-swift-full\t''
unsloth\t''
mlx-lm\t''
nemo-automodel\t''
nemo-automodel-full\t''
spectrum\t''
diffusers\t''
simpletuner\t''
lycoris\t''
simpletuner-lycoris\t''
ai-toolkit\t''
ai-toolkit-full\t''
onetrainer\t''
onetrainer-full\t''
musubi\t''
sd-scripts\t''
diffusion-pipe\t''"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l rank -d 'The rank of LoRA [default: 32; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l match-rank -d 'Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8 where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the trainer takes a rank for each module' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l alpha -d 'LoRA\'s alpha, whatever the rank [default: 16; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l head-rank -d 'Another rank for the head' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -s o -l output-dir -d 'The folder for the output files, or its address such as s3://bucket/folder [default: the current one]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l output -d 'The file for every module\'s numbers [default: laser_scan_<model>.json]; \'-\' prints them instead of the table, and the file has its usual name' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l top-output -d 'The file for the names of the best [default: laser_scan_<model>_top_snr.json]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l partial -d 'Merge what is there although parts are missing; the scan says so, and the exit status is 3'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l scale-alpha -d 'Let alpha grow with the rank: --alpha is that of the rank given to --match-rank'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l use-rslora -d 'Scale adapters by alpha over the rank\'s root, as rsLoRA does, which keeps them effective at high ranks'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l no-head -d 'Leave out the head, which is trained with whatever is chosen unless it shares the embedding\'s weight'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l statistics -d 'Write the other statistics of every module too, each with its own numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l no-spectra -d 'Do not write the singular values, from which other statistics are computed without the weights'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l overwrite -d 'Replace files of these names, even if they are another model\'s results or no results at all'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -l json -d 'Print the names of the best as JSON instead of a table; with --dry-run, the plan'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand merge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l base-revision -d 'The base\'s branch, tag or commit on the Hub [default: main]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l revision -d 'The fine-tuned model\'s branch, tag or commit on the Hub [default: main]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l include -d 'Scan only modules whose name, on disk or in memory, matches; repeatable, \'*\' matches anything' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l exclude -d 'Leave out modules whose name, on disk or in memory, matches; repeatable, wins over --include' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l transformers -d 'The trainer\'s line of transformers, 4 (4.57) or 5, which decides what modules are called in memory' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l budget -d 'Choose no more than can be trained with so many parameters, such as 40M, beside the head; filled highest ratio first over all types, and what does not fit is passed over. LoRA of --rank counts, or the weights themselves for spectrum and for trainers that end in -full' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l emit -d 'Write this trainer\'s configuration too, as \'export\' does; repeatable' -r -f -a "axolotl\t''
axolotl-full\t''
llama-factory\t''
llama-factory-full\t''
peft\t''
trl\t''
ms-swift\t''
ms-swift-full\t''
unsloth\t''
mlx-lm\t''
nemo-automodel\t''
nemo-automodel-full\t''
spectrum\t''
diffusers\t''
simpletuner\t''
lycoris\t''
simpletuner-lycoris\t''
ai-toolkit\t''
ai-toolkit-full\t''
onetrainer\t''
onetrainer-full\t''
musubi\t''
sd-scripts\t''
diffusion-pipe\t''"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l rank -d 'The rank of LoRA [default: 32; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l match-rank -d 'Set the rank so that as many parameters are trained as by plain LoRA of rank R over all linear modules, by a multiple of 8 where one comes within 2 %. No module gets a rank above its smaller side; what that leaves over goes to the others where the trainer takes a rank for each module' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l alpha -d 'LoRA\'s alpha, whatever the rank [default: 16; with --into, the one that is set]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l head-rank -d 'Another rank for the head' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -s o -l output-dir -d 'The folder for the output files, or its address such as s3://bucket/folder [default: the current one]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l output -d 'The file for every module\'s numbers [default: laser_scan_<model>.json]; \'-\' prints them instead of the table, and the file has its usual name' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l top-output -d 'The file for the names of the best [default: laser_scan_<model>_top_snr.json]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l device -d 'Where to compute: cpu, a GPU (cuda, cuda:1), several (cuda:0,1), or auto: all GPUs, or the CPU [default: auto]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l threads -d 'How many threads to compute with, and how many modules to measure at once [default: one for each core]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l part -d 'Measure only part K of N, which \'laser-scan merge\' joins: for several machines, each with another K from 1 to N' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l cache-dir -d 'The folder of the Hugging Face cache [default: as Python\'s]' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l all-linear -d 'Scan heads, routers and embeddings\' projections too'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l include-conv -d 'Scan convolutions too, flattened; of diffusion models they are scanned anyway'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l split-fused -d 'Measure the parts of fused modules too (q, k and v of a qkv_proj), for the file of all numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l dry-run -d 'Only show what would be scanned; of a Hub model nothing but headers is downloaded'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l scale-alpha -d 'Let alpha grow with the rank: --alpha is that of the rank given to --match-rank'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l use-rslora -d 'Scale adapters by alpha over the rank\'s root, as rsLoRA does, which keeps them effective at high ranks'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l no-head -d 'Leave out the head, which is trained with whatever is chosen unless it shares the embedding\'s weight'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l statistics -d 'Write the other statistics of every module too, each with its own numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l no-spectra -d 'Do not write the singular values, from which other statistics are computed without the weights'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l overwrite -d 'Replace files of these names, even if they are another model\'s results or no results at all'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l json -d 'Print the names of the best as JSON instead of a table; with --dry-run, the plan'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -s v -l verbose -d 'Print a line for each module and what the run is made of'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l stream -d 'Read the weights of a Hub model by byte range straight into memory, and write nothing but results to disk'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l fresh -d 'Measure anew, whatever an interrupted or a finished scan has left'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -l offline -d 'Ask nothing of the network: read Hub models from the cache'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand delta" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -s n -l top-n -d 'How many of each type count as the best' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l moves -d 'How many of the modules that moved most are shown; the JSON has all' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -l json -d 'Print everything as JSON instead of tables'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l against -d 'Show on the page how ranks moved to this scan, such as that of a fine-tune' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -s o -l output -d 'The page [default: the scan\'s name with .html]; \'-\' prints it' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l overwrite -d 'Replace a file of that name, even if it is no such page'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -s n -l top-n -d 'How many modules to choose of each type [default: 16; with --budget, all]' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l top-percent -d 'How many of a hundred to choose of each type, rounded up, at least one' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l types -d 'Choose only of types that match, such as \'mlp.*\'; repeatable' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l layers -d 'Choose only of these layers, such as 0-7 or 0-7,24-; both ends belong to a range' -r
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l statistic -d 'What modules are ranked by, highest first: laser, the ratio of laser-QLoRA; mp, signal over noise at the edge of Marchenko and Pastur; effective-rank, over how many singular values the weight spreads; alpha, how light the tail is; relative-norm, how large a change is, of \'delta\' alone [default: laser, or as in the scan; of \'delta\' relative-norm]' -r -f -a "laser\t'The ratio of laser-QLoRA'
mp\t'Signal over noise at the edge of Marchenko and Pastur'
effective-rank\t'The exponential of the spectrum\'s entropy'
alpha\t'The exponent of the spectrum\'s tail'
relative-norm\t'The norm of a change over that of what was changed'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l ties -d 'How infinite ratios of laser-QLoRA are ranked: model, in the order of the model; margin, by how far the smallest singular value is above the threshold [default: model]' -r -f -a "model\t'In the order of the model'
margin\t'By the smallest singular value over the threshold'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l pool-experts -d 'Rank all experts of a layer as one, by the mean or the largest of their ratios [default: as in the scan]' -r -f -a "none\t'Each is ranked by itself'
mean\t'By the mean of their ratios'
max\t'By the largest of their ratios'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l format -d 'The form: table, json (the names of what is chosen), csv (every module with all its numbers) or markdown' -r -f -a "table\t'A table of what is chosen'
json\t'The names of what is chosen, as in the top-N file'
csv\t'Every module with all its numbers'
markdown\t'The table in Markdown'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l top-output -d 'Write the names of what is chosen to this file, too, as a scan writes them' -r -F
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l log-format -d 'How messages on standard error are written: text, or json with one object a line, for machines' -r -f -a "text\t'Sentences for a person'
json\t'One JSON object a line'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l color -d 'When to use colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l global -d 'Count all types together: the best N or P percent of the whole model'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -l overwrite -d 'Replace a file of that name, even if it is no such file'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -s q -l quiet -d 'Print nothing but errors and what was asked for'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand man" -s h -l help -d 'Print help'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "scan" -d 'Measure a model and rank its modules, as without a command'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "export" -d 'Write a trainer\'s configuration from a finished scan'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "merge" -d 'Join the parts of a scan that several machines have measured with --part'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "delta" -d 'Measure what a fine-tune changed: the difference of two models\' weights, module by module'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "diff" -d 'Show what moved between two scans: base and fine-tune, two revisions, ours and a published result'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "report" -d 'Write a page to look at: every module\'s place in a scan, as one HTML file that needs nothing else'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "show" -d 'Show a finished scan: the best of each type by any rule and statistic, or every module\'s numbers'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "completions" -d 'Print what a shell needs to complete commands and options'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "man" -d 'Write a manual page for every command into a folder, such as ~/.local/share/man/man1'
complete -c laser-scan -n "__fish_laser_scan_using_subcommand help; and not __fish_seen_subcommand_from scan export merge delta diff report show completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
