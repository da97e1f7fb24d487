//! Every family: its modules, their names in memory under both lines of transformers, and their ratios.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::{entries, folder, json, same_ratio};
use crate::support::program::Workplace;
use crate::support::tests_of_each;

/// Classes of modules and parameters that multiply with their weight. What holds experts is called after them.
const LINEAR: [&str; 8] =
    ["Linear", "DoryLMHead", "FalconLinear", "NonDynamicallyQuantizableLinear", "Conv1D", "Conv1d", "Conv2d", "Conv3d"];

/// Writes the checkpoint that `family` describes into `folder`: values are a function of a tensor's name.
pub fn write(family: &Value, folder: &Path) {
    fs::create_dir_all(folder).expect("created");
    fs::write(folder.join("config.json"), family["config"].to_string()).expect("written");
    let mut weight_map = Map::new();
    let files = family["files"].as_object().expect("files");
    for (file, tensors) in files {
        let tensors: Vec<_> =
            tensors.as_object().expect("tensors").iter().map(|(name, entry)| tensor(name, entry)).collect();
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).expect("a sound tensor"))
        });
        safetensors::serialize_to_file(views, None, &folder.join(file)).expect("written");
        weight_map.extend(tensors.iter().map(|(name, ..)| (name.clone(), file.as_str().into())));
    }
    if files.len() > 1 {
        let index = json!({ "metadata": {}, "weight_map": weight_map });
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).expect("written");
    }
}

fn tensor(name: &str, entry: &Value) -> (String, Dtype, Vec<usize>, Vec<u8>) {
    let dtype: Dtype = serde_json::from_value(entry[0].clone()).expect("a dtype");
    let shape: Vec<usize> = serde_json::from_value(entry[1].clone()).expect("a shape");
    let count: usize = shape.iter().product();
    let bytes = if dtype == Dtype::F32 && !shape.is_empty() {
        numbers(name, count).flat_map(f32::to_le_bytes).collect()
    } else {
        vec![0; count * dtype.bitsize() / 8]
    };
    (name.to_owned(), dtype, shape, bytes)
}

/// `count` numbers from a name: FNV-1a for the seed, then splitmix64.
fn numbers(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (1..=count as u64).map(move |at| {
        let mut z = seed.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 40) as f64 / f64::from(1u32 << 24) - 0.5) as f32
    })
}

/// Where a tensor is in memory: the module, or the parameter, with its class; several where it is divided.
fn places(memory: &Value) -> Vec<(&str, &str)> {
    let pairs = match memory.as_array() {
        Some(pairs) if memory[0].is_array() => pairs.as_slice(),
        _ => std::slice::from_ref(memory),
    };
    let pairs = pairs.iter().filter_map(|pair| pair[0].as_str().zip(pair[1].as_str()));
    // The weight of a linear module is called after the module; that of experts is a parameter.
    pairs
        .map(|(name, class)| {
            let module = name.strip_suffix(".weight").filter(|_| !class.contains("Expert"));
            (module.unwrap_or(name), class)
        })
        .collect()
}

/// The targets of a record: its own name where none is given.
fn targets(record: &Value) -> Vec<&str> {
    let mut targets: Vec<&str> = match &record["target"] {
        Value::Array(targets) => targets.iter().filter_map(Value::as_str).collect(),
        target => target.as_str().or(record["module"].as_str()).into_iter().collect(),
    };
    targets.sort_unstable();
    targets
}

/// The modules that the full file has for a tensor: itself, or one for each of its experts.
fn records<'a>(full: &'a Value, tensor: &str, matrices: usize) -> Vec<&'a Value> {
    let name = tensor.strip_suffix(".weight").unwrap_or(tensor);
    if full[name].is_object() {
        return vec![&full[name]];
    }
    let (path, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let experts = (0..matrices).map(|expert| &full[format!("{path}.{expert}.{leaf}").as_str()]);
    experts.filter(|record| record.is_object()).collect()
}

/// Whether what is in memory multiplies with its weight.
fn is_linear(class: &str) -> bool {
    LINEAR.contains(&class) || is_parameter(class)
}

/// Whether a weight of this class is a parameter and no module: experts, and the input of torch's attention.
fn is_parameter(class: &str) -> bool {
    class.contains("Expert") || class == "MultiheadAttention"
}

/// Whether what is in memory chooses among experts.
fn is_router(class: &str) -> bool {
    class.contains("Router") || class.ends_with("Gate")
}

/// Checks one tensor of a family under one line of transformers. Returns the names of the records that are its.
fn check(
    family: &str,
    tensor: &str,
    matrix: &Value,
    full: &Value,
    left_out: &BTreeMap<String, String>,
    line: &str,
) -> Vec<String> {
    let what = format!("{family} under transformers {line}: {tensor}");
    let expected = matrix["snr"].as_array().expect("ratios");
    let records = records(full, tensor, expected.len());
    let memory = places(&matrix["memory"][line]);
    let class = memory.first().map(|(_, class)| *class).unwrap_or_default();
    let reason = left_out.get(tensor).map(String::as_str);
    assert!(reason.is_some() == records.is_empty(), "{what}: {reason:?} and {} records", records.len());
    if let Some(reason) = reason {
        let is_router = is_router(class);
        let fits = match reason {
            // The older line cannot load what the newer one wrote.
            _ if memory.is_empty() && line == "4" => true,
            "an embedding" => class.contains("Embedding"),
            "a vector, not a matrix" | "a depthwise convolution" => {
                expected.is_empty() || class == "Conv1d" || class == "Conv2d"
            }
            "a transposed convolution" => class.starts_with("ConvTranspose"),
            "a layer beyond those of the model: predicts further tokens" => memory.is_empty(),
            "part of a weight that weight_norm holds as length and direction" => class == "ParametrizationList",
            "no module's weight" => !LINEAR.contains(&class) && !is_router,
            "a head that shares the embedding's weight" => true,
            _ => false,
        };
        assert!(fits, "{what}: {class} is left out as {reason}");
        return Vec::new();
    }
    assert!(is_linear(class) || is_router(class) || memory.is_empty() && line == "4", "{what}: {class} was measured");
    assert_eq!(records.len(), expected.len(), "{what}");
    let mut expected_targets: Vec<&str> = memory.iter().map(|(name, _)| *name).collect();
    expected_targets.sort_unstable();
    for (record, ratio) in records.iter().zip(expected) {
        same_ratio(&record["snr"], ratio, &what);
        let is_said = record["target_is_parameter"] == true;
        assert!(memory.is_empty() || is_said == is_parameter(class), "{what}: {record}");
        assert!(
            memory.is_empty() || targets(record) == expected_targets,
            "{what}: not {expected_targets:?} but {record}"
        );
    }
    let mut names: Vec<String> =
        records.iter().map(|record| record["module"].as_str().expect("a name").to_owned()).collect();
    if let Some(parts) = matrix["parts"].as_object() {
        for (part, ratios) in parts {
            let ratios = ratios.as_array().cloned().unwrap_or_else(|| vec![ratios.clone()]);
            for (record, ratio) in records.iter().zip(&ratios) {
                let name = format!("{}.{part}", record["module"].as_str().expect("a name"));
                let record = &full[name.as_str()];
                assert!(record.is_object(), "{what}: no part {part}");
                same_ratio(&record["snr"], ratio, &name);
                names.push(name);
            }
        }
    }
    names
}

fn left_out(manifest: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let entries = manifest["left_out"].as_array().expect("a list").iter();
    entries.map(|entry| (text(&entry["tensor"]), text(&entry["reason"]))).collect()
}

/// Scans a family with everything on and checks each of its tensors. Returns the full file.
fn scan(name: &str, family: &Value, place: &Workplace, line: &str) -> Value {
    let arguments =
        ["--model", name, "-q", "--all-linear", "--include-conv", "--split-fused", "--fresh", "--transformers", line];
    place.run(&arguments).succeeded();
    let full = place.json(&format!("laser_scan_{name}.json"));
    let left_out = left_out(&place.json(&format!("laser_scan_{name}_run.json")));
    let mut accounted = BTreeSet::new();
    for (tensor, matrix) in family["matrices"].as_object().expect("matrices") {
        accounted.extend(check(name, tensor, matrix, &full, &left_out, line));
    }
    // Nothing was measured that no matrix of the family accounts for.
    let measured: BTreeSet<String> = full.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(measured, accounted, "{name} under transformers {line}");
    full
}

/// Everything that multiplies in memory, but for heads that share the embedding's weight, is a target or documented.
fn covers(name: &str, family: &Value, full: &Value, line: &str) {
    let records = full.as_object().expect("an object").values();
    let targets: BTreeSet<&str> = records.flat_map(targets).collect();
    let tied: BTreeSet<&str> = family["tied"][line]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group.as_array().expect("a group"))
        .filter_map(Value::as_str)
        .map(|name| name.strip_suffix(".weight").unwrap_or(name))
        .collect();
    let matrices = family["matrices"].as_object().expect("matrices");
    let depthwise: BTreeSet<&str> = matrices
        .iter()
        .filter(|(tensor, _)| {
            family["files"].as_object().expect("files").values().any(|file| file[tensor.as_str()][1][1] == 1)
        })
        .flat_map(|(_, matrix)| places(&matrix["memory"][line]))
        .map(|(name, _)| name)
        .collect();
    for (module, class) in family["linear"][line].as_object().into_iter().flatten() {
        let class = class.as_str().expect("a class");
        // A vector of one output, such as the gate of a shared expert, has no singular values to speak of.
        let is_vector = matrices.iter().any(|(_, matrix)| {
            let is_vector = matrix["snr"].as_array().is_some_and(Vec::is_empty);
            is_vector && places(&matrix["memory"][line]).iter().any(|(name, _)| name == module)
        });
        let documented = tied.contains(module.as_str()) || depthwise.contains(module.as_str()) || is_vector;
        assert!(
            !LINEAR.contains(&class) || targets.contains(module.as_str()) || documented,
            "{name} under transformers {line}: the {class} '{module}' is not scanned"
        );
    }
}

/// Every module is found with its name in memory and its ratio, under both lines of transformers.
fn names_and_ratios(name: &str) {
    let place = Workplace::new();
    let family = json(folder("families").join(format!("{name}.json")));
    write(&family, &place.path(name));
    for line in ["5", "4"] {
        if family["linear"][line].is_object() {
            let full = scan(name, &family, &place, line);
            // What the older line writes under other names, it cannot load under these.
            if line == "5" || family["disk_differs"].is_null() {
                covers(name, &family, &full, line);
            }
        }
    }
}

/// Held by the test that writes the file of types, as others run beside it.
static TYPES: Mutex<()> = Mutex::new(());

/// The types of a family's modules, with how many there are and in which layers, without any option. They are written down anew
/// where `LASER_SCAN_BLESS` is set.
fn types_and_layers(name: &str) {
    let place = Workplace::new();
    let family = json(folder("families").join(format!("{name}.json")));
    write(&family, &place.path(name));
    let run = place.run(&["--model", name, "--dry-run", "--json"]);
    run.succeeded();
    assert!(!run.stderr.contains("is not known"), "{}", run.stderr);
    let plan: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let mut kinds: BTreeMap<String, (usize, BTreeSet<u64>)> = BTreeMap::new();
    for module in plan["modules"].as_array().expect("modules") {
        let (count, layers) = kinds.entry(module["type"].as_str().expect("a type").to_owned()).or_default();
        *count += 1;
        layers.extend(module["layer"].as_u64());
    }
    let line = |(count, layers): &(usize, BTreeSet<u64>)| format!("{count} in layers {layers:?}");
    let types: Map<String, Value> = kinds.iter().map(|(kind, found)| (kind.clone(), line(found).into())).collect();
    let types = Value::from(types);
    if std::env::var_os("LASER_SCAN_BLESS").is_some() {
        bless(name, types);
    } else {
        assert_eq!(types, json(folder("types.json"))[name], "run with LASER_SCAN_BLESS=1 and look at what changed");
    }
}

/// Writes down the types of a family, beside those of the families that there are.
fn bless(name: &str, types: Value) {
    let _alone = TYPES.lock();
    let old = json(folder("types.json"));
    let of = |family: &String| if family == name { types.clone() } else { old[family.as_str()].clone() };
    let all: Map<String, Value> = entries("families").iter().map(|family| (family.clone(), of(family))).collect();
    fs::write(folder("types.json"), format!("{:#}\n", Value::from(all))).expect("written");
}

tests_of_each! {
    entries("families"),
    [
        afmoe aria audio_spectrogram_transformer aya_vision bart bart_classifier beit bert bert_pretraining biogpt
        bloom clip clip_text_model clip_vision_model codegen cohere cohere2_moe controlnet dbrx deepseek_v2
        deepseek_v3 deepseek_v32 deepseek_v3_mtp deit dinov2 dinov2_swiglu dinov2_with_registers dory dory_saved5 dots1
        ernie4_5_moe ernie4_5_vl_moe
        exaone_moe falcon falcon_mamba falcon_mha falcon_new flex_olmo flux fuyu gemma2 gemma3 gemma3_text gemma3n
        gemma3n_text glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe glm_moe_dsa got_ocr2 gpt2 gpt2_bare gpt_bigcode
        gpt_bigcode_mha gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granitemoe granitemoehybrid
        granitemoehybrid_dense granitemoeshared gte hubert hunyuan_v1_moe idefics2 idefics3 ijepa inkling2_text internvl
        jamba jetmoe
        kimi_k25 lfm2 lfm2_moe llama llama4 llama4_text llava llava_next llava_onevision llava_saved5 longcat_flash
        mamba mamba2 minimax minimax_m2 mistral mistral3 mixtral mllama molmo2_text mpt nemotron_h nomic_bert olmo2 olmo3 olmoe opt
        paligemma persimmon phi phi3 phimoe qwen2 qwen2_5_omni_thinker qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl
        qwen3 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_moe qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe
        qwen3_vl_moe_saved5 qwen_image roberta roberta_classifier sana sd3 segformer segformer_segmentation siglip
        siglip2 smolvlm solar_open stablelm starcoder2 swin t5 t5_gated unet_sd15 unet_sdxl vae vit vit_mae vit_msn
        vit_msn_saved5 vivit voxtral wan wav2vec2 wavlm whisper xglm
    ],
    names_and_ratios, types_and_layers
}
