//! Nothing at a linear module's place is left out in silence: what cannot be read is refused by name, and what is missing is
//! told, in the manifest too.

use std::fs;

use safetensors::Dtype;
use serde_json::{Value, json};

use crate::support::checkpoint::{Tensor, file, matrix, of_numbers, raw_file, vector, write_shards, zeros};
use crate::support::llama::{LLAMA, config, llama, replaced, scan};
use crate::support::pickle::pickled;
use crate::support::program::{Run, Workplace};

/// Checks that a scan ends with status 3 and one warning, which says all of `parts`, and that the manifest names exactly
/// the `modules` as failed.
#[track_caller]
fn is_told(place: &Workplace, run: &Run, parts: &[&str], modules: &[&str]) {
    assert_eq!(run.status, 3, "{}", run.stderr);
    let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    for part in parts {
        assert!(warnings[0].contains(part), "'{part}' is not in: {}", run.stderr);
    }
    assert!(warnings.len() == 2 && warnings[1].contains("could not be measured"), "{}", run.stderr);
    let failed = place.json("laser_scan_m_run.json")["failed"].clone();
    let failed = failed.as_array().expect("a list").iter().map(|failure| failure["module"].as_str().expect("a name"));
    assert_eq!(failed.collect::<Vec<_>>(), modules);
    // A dry run says the same, and ends the same.
    let dry = place.run(&["--model", "m", "--dry-run", "--json"]);
    assert_eq!(dry.status, 3, "{}", dry.stderr);
    assert!(dry.stderr.contains(parts[0]), "{}", dry.stderr);
    let plan: Value = serde_json::from_str(&dry.stdout).expect("JSON");
    assert_eq!(plan["failed"].as_array().map(Vec::len), Some(modules.len()));
}

#[test]
fn types_that_are_no_numbers_are_refused_by_name() {
    for dtype in [Dtype::F4, Dtype::I8, Dtype::U8, Dtype::I32, Dtype::U32, Dtype::I16, Dtype::F8_E8M0] {
        let place = Workplace::new();
        let codes = [1, 2].map(|layer| zeros(&format!("model.layers.{layer}.mlp.up_proj.weight"), dtype, &[8, 8]));
        let run = scan(&place, &config(3), replaced(llama(0..3), codes), &[]);
        let tensor = format!("the tensor 'model.layers.1.mlp.up_proj.weight' is {dtype} of no known quantisation");
        let way_out = "leave them out with --exclude model.layers.1.mlp.up_proj --exclude model.layers.2.mlp.up_proj";
        run.refused(1, &[&tensor, "1 other cannot be read either", "scan the model that it was made from", way_out]);
        assert_eq!(place.files(), ["m"]);
        place.run(&["--model", "m", "--dry-run"]).refused(1, &[&tensor]);
        let run = place.run(&["--model", "m", "--exclude", "model.layers.*.mlp.up_proj"]);
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
        let run = place.run(&["--model", "m", "--include", "*.q_proj"]);
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    }
}

#[test]
fn a_model_of_codes_alone_is_refused_by_name() {
    let place = Workplace::new();
    let codes = LLAMA.map(|leaf| zeros(&format!("model.layers.0.{leaf}.weight"), Dtype::U8, &[8, 4]));
    let run = scan(&place, &config(1), replaced(llama(0..1), codes), &[]);
    run.refused(1, &["mlp.down_proj.weight' is U8", "6 others cannot be read either", "made from"]);
    assert!(!run.stderr.contains("--exclude"), "{}", run.stderr);
}

#[test]
fn codes_of_one_column_are_codes() {
    let place = Workplace::new();
    // As bitsandbytes packs, without what describes the codes.
    let codes = zeros("model.layers.0.mlp.up_proj.weight", Dtype::U8, &[32, 1]);
    scan(&place, &config(1), replaced(llama(0..1), [codes]), &[]).refused(1, &["up_proj.weight' is U8"]);
}

#[test]
fn codes_of_mlx_are_refused_as_such() {
    let place = Workplace::new();
    let name = |ending: &str| format!("model.layers.0.mlp.up_proj.{ending}");
    let codes = || {
        let scales = ["scales", "biases"].map(|ending| zeros(&name(ending), Dtype::F16, &[8, 1]));
        scales.into_iter().chain([zeros(&name("weight"), Dtype::U32, &[8, 8])])
    };
    let mut config = config(2);
    config["quantization"] = json!({"group_size": 64, "bits": 4});
    let run = scan(&place, &config, replaced(llama(0..2), codes()), &[]);
    run.refused(1, &["up_proj.weight' is U32, codes of MLX's quantisation", "without MLX's quantisation", "--exclude"]);
    // mlx-lm says it a second time where transformers looks.
    config["quantization_config"] = config["quantization"].clone();
    scan(&place, &config, replaced(llama(0..2), codes()), &[]).refused(1, &["is quantised (MLX)", "made from"]);
}

#[test]
fn experts_of_mlx_are_no_convolutions() {
    let place = Workplace::new();
    let experts = zeros("model.layers.0.mlp.switch_mlp.up_proj.weight", Dtype::U32, &[4, 8, 2]);
    let run = scan(&place, &config(1), replaced(llama(0..1), [experts]), &[]);
    run.refused(1, &["'model.layers.0.mlp.switch_mlp.up_proj.weight' is U32 of no known quantisation"]);
    // In numbers they are there, but not by a name that says what they are.
    let experts = Tensor { shape: vec![4, 2, 8], ..matrix("model.layers.0.mlp.switch_mlp.up_proj.weight", 8, 8) };
    let run = scan(&place, &config(1), replaced(llama(0..1), [experts]), &[]);
    is_told(&place, &run, &["1 linear module is stored in 3 dimensions"], &["model.layers.0.mlp.switch_mlp.up_proj"]);
}

#[test]
fn experts_in_codes_are_refused_by_name() {
    let names = ["gate_up_proj", "down_proj"].map(|leaf| format!("model.layers.0.feed_forward.experts.{leaf}"));
    // As ModelOpt, as FBGEMM and as compressed-tensors spell the scales of types that are read.
    let spellings: [(&str, &[&str]); 4] = [
        ("", &["_weight_scale", "_input_scale"]),
        ("", &["_scale"]),
        (".weight", &[".weight_scale", ".input_scale"]),
        ("", &[]),
    ];
    for (ending, scales) in spellings {
        let place = Workplace::new();
        let mut tensors = vec![matrix("model.layers.0.self_attn.q_proj.weight", 8, 8)];
        for name in &names {
            tensors.push(zeros(&format!("{name}{ending}"), Dtype::I32, &[2, 8, 8]));
            tensors.extend(scales.iter().map(|scale| zeros(&format!("{name}{scale}"), Dtype::F32, &[1])));
        }
        let run = scan(&place, &json!({"model_type": "llama4_text"}), tensors, &[]);
        let tensor = format!("'{}{ending}' holds codes of experts (I32) in a form that is not known", names[1]);
        run.refused(1, &[&tensor, "1 other cannot be read either", "made from", "--exclude"]);
        for pattern in ["*.experts.*", "*.experts.*.down_proj"] {
            let run = place.run(&["--model", "m", "--exclude", pattern, "--exclude", "*.gate_up_proj"]);
            assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
        }
    }
}

#[test]
fn weights_that_are_quantised_only_in_use_are_plain_numbers() {
    let place = Workplace::new();
    let mut config = config(1);
    config["quantization_config"] = json!({"quant_method": "bitnet", "quantization_mode": "online"});
    let run = scan(&place, &config, llama(0..1), &[]);
    assert!(!run.succeeded().stderr.contains("quantised"), "{}", run.stderr);
    config["quantization_config"] = json!({"quant_method": "bitnet"});
    scan(&place, &config, llama(0..1), &[]).refused(1, &["is quantised (bitnet)", "made from"]);
}

#[test]
fn floats_of_eight_bits_with_scales_of_another_name_are_no_numbers() {
    let place = Workplace::new();
    let name = |ending: &str| format!("model.layers.0.mlp.up_proj.{ending}");
    let codes = || zeros(&name("weight"), Dtype::F8_E4M3, &[8, 8]);
    for ending in ["weight.scale", "weight_scales"] {
        let scale = zeros(&name(ending), Dtype::F32, &[8, 1]);
        let run = scan(&place, &config(1), replaced(llama(0..1), [codes(), scale]), &[]);
        run.refused(1, &["'model.layers.0.mlp.up_proj.weight' is F8_E4M3 of no known quantisation"]);
    }
    // The scale of what goes in says nothing of the weight.
    let input = zeros(&name("input_scale"), Dtype::F32, &[1]);
    let run = scan(&place, &config(1), replaced(llama(0..1), [codes(), input]), &["--dry-run"]);
    assert!(!run.succeeded().stderr.contains("cannot be read"), "{}", run.stderr);
}

#[test]
fn placeholders_of_zero_3_are_told() {
    let place = Workplace::new();
    let empty = ["self_attn.q_proj", "mlp.up_proj", "input_layernorm"]
        .map(|leaf| zeros(&format!("model.layers.1.{leaf}.weight"), Dtype::BF16, &[0]));
    let run = scan(&place, &config(3), replaced(llama(0..3), empty), &[]);
    let modules = ["model.layers.1.mlp.up_proj", "model.layers.1.self_attn.q_proj"];
    is_told(
        &place,
        &run,
        &["2 linear modules are stored without elements", "ZeRO-3", "zero_to_fp32.py", modules[0]],
        &modules,
    );
    // What they would be is known from other layers, and what is around a scan has them.
    let unmeasured = &place.json("laser_scan_m_run.json")["surroundings"]["unmeasured"];
    assert_eq!((&unmeasured[0]["module"], &unmeasured[0]["shape"]), (&json!(modules[0]), &json!([8, 8])));
    let run = place.run(&["--model", "m", "--exclude", "model.layers.1.*"]);
    assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn a_model_of_placeholders_alone_is_refused() {
    let place = Workplace::new();
    let tensors = llama(0..2).into_iter().map(|tensor| zeros(&tensor.name, Dtype::BF16, &[0])).collect();
    let parts = [
        "holds no linear module that can be measured",
        "14 linear modules are stored without elements",
        "zero_to_fp32.py",
    ];
    scan(&place, &config(2), tensors, &[]).refused(1, &parts);
    // Stacks of experts have no '.weight' in their names.
    let experts = ["gate_up_proj", "down_proj"].map(|leaf| format!("model.layers.0.mlp.experts.{leaf}"));
    let tensors = experts.iter().map(|name| zeros(name, Dtype::BF16, &[0])).collect();
    scan(&place, &json!({"model_type": "qwen3_moe"}), tensors, &[])
        .refused(1, &["2 linear modules are stored without"]);
}

#[test]
fn flat_vectors_of_fsdp_are_told() {
    let place = Workplace::new();
    let flat = [vector("model.layers.1.self_attn.q_proj.weight", 64), vector("model.layers.2.mlp._flat_param", 192)];
    let run = scan(&place, &config(3), replaced(llama(0..3), flat), &[]);
    let modules = ["model.layers.1.self_attn.q_proj", "model.layers.2.mlp._flat_param"];
    is_told(
        &place,
        &run,
        &["2 linear modules are stored as flat vectors", "FSDP", "accelerate merge-weights"],
        &modules,
    );
}

#[test]
fn a_model_of_flat_vectors_alone_is_refused() {
    let place = Workplace::new();
    let flat = |name: &str| vector(name, 1024);
    let names =
        ["_fsdp_wrapped_module._flat_param", "_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module._flat_param"];
    scan(&place, &config(1), names.map(flat).into(), &[]).refused(1, &["2 linear modules", "flat vectors", "FSDP"]);
    let named = llama(0..1).into_iter().map(|tensor| vector(&tensor.name, 64)).collect();
    scan(&place, &config(1), named, &[]).refused(1, &["7 linear modules", "flat vectors", "FSDP"]);
}

#[test]
fn layers_that_the_configuration_promises_are_missed() {
    let place = Workplace::new();
    let run = scan(&place, &config(6), llama(0..4), &[]);
    let modules = ["model.layers.4", "model.layers.5"];
    is_told(&place, &run, &["config.json promises 6 layers, of which 2 are not stored ('model.layers.4')"], &modules);
    let manifest = place.json("laser_scan_m_run.json");
    assert_eq!(manifest["surroundings"]["unmeasured"].as_array().map(Vec::len), Some(14));
    for arguments in [["--exclude", "model.layers.[45].*"], ["--include", "model.layers.0.*"]] {
        let run = place.run(&[&["--model", "m"], arguments.as_slice()].concat());
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    }
}

#[test]
fn a_hole_between_layers_is_missed() {
    let place = Workplace::new();
    let holed = || llama(0..2).into_iter().chain(llama(3..5).split_off(2)).collect();
    let run = scan(&place, &config(5), holed(), &[]);
    is_told(&place, &run, &["promises 5 layers, of which 1 is not stored ('model.layers.2')"], &["model.layers.2"]);
    // The configuration need not say how many there are.
    let run = scan(&place, &json!({"model_type": "llama"}), holed(), &[]);
    is_told(&place, &run, &["nothing is stored of 1 layer between others ('model.layers.2')"], &["model.layers.2"]);
}

#[test]
fn layers_of_encoders_and_decoders_are_counted_apart() {
    let place = Workplace::new();
    let layers = |side: &str, count: usize| -> Vec<Tensor> {
        (0..count).map(|layer| matrix(&format!("model.{side}.layers.{layer}.fc1.weight"), 8, 8)).collect()
    };
    let bart = json!({"model_type": "bart", "encoder_layers": 2, "decoder_layers": 3, "num_hidden_layers": 2});
    let tensors = |decoder: usize| layers("encoder", 2).into_iter().chain(layers("decoder", decoder)).collect();
    scan(&place, &bart, tensors(3), &[]).succeeded();
    let run = scan(&place, &bart, tensors(2), &[]);
    is_told(&place, &run, &["promises 3 layers, of which 1 is not stored"], &["model.decoder.layers.2"]);
    let bert = (0..2).map(|layer| matrix(&format!("bert.encoder.layer.{layer}.attention.self.query.weight"), 8, 8));
    let run = scan(&place, &json!({"model_type": "bert", "num_hidden_layers": 3}), bert.collect(), &[]);
    is_told(&place, &run, &["promises 3 layers"], &["bert.encoder.layer.2"]);
    let gpt2 = (0..2).map(|layer| matrix(&format!("h.{layer}.attn.c_attn.weight"), 8, 24)).collect();
    let run = scan(&place, &json!({"model_type": "gpt2", "n_layer": 3}), gpt2, &[]);
    is_told(&place, &run, &["promises 3 layers"], &["h.2"]);
}

#[test]
fn what_the_index_omits_is_told() {
    let place = Workplace::new();
    let mut first = llama(0..2);
    first.push(matrix("lm_head.weight", 16, 8));
    write_shards(&place.path("m"), &[("a.safetensors", first), ("b.safetensors", llama(2..3).split_off(2))]);
    fs::write(place.path("m/config.json"), config(3).to_string()).expect("written");
    let path = place.path("m/model.safetensors.index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
    let map = index["weight_map"].as_object_mut().expect("a map");
    let omitted = ["model.layers.1.mlp.up_proj", "model.layers.2.self_attn.q_proj"];
    for module in omitted.iter().chain(&["model.layers.1.input_layernorm", "lm_head"]) {
        map.shift_remove(&format!("{module}.weight")).expect("listed");
    }
    fs::write(&path, index.to_string()).expect("written");
    let run = place.run(&["--model", "m"]);
    is_told(&place, &run, &["2 linear modules are in a shard, but not in the index", omitted[0]], &omitted);
    let run = place.run(&["--model", "m", "--all-linear"]);
    assert!(run.stderr.contains("3 linear modules are in a shard, but not in the index"), "{}", run.stderr);
}

#[test]
fn what_is_a_second_time_in_another_shard_is_not_missed() {
    let place = Workplace::new();
    let again = matrix("model.layers.0.mlp.up_proj.weight", 8, 8);
    let second = replaced(llama(1..2).split_off(2), [again]);
    write_shards(&place.path("m"), &[("b.safetensors", second), ("a.safetensors", llama(0..1))]);
    place.run(&["--model", "m"]).succeeded();
}

#[test]
fn a_module_without_its_weight_is_missed() {
    let without = |tensors: Vec<Tensor>, name: &str| tensors.into_iter().filter(|tensor| tensor.name != name).collect();
    let place = Workplace::new();
    // Its bias is there.
    let mut tensors: Vec<Tensor> =
        (0..3).map(|layer| matrix(&format!("h.{layer}.attn.c_attn.weight"), 8, 24)).collect();
    tensors.extend((0..3).map(|layer| vector(&format!("h.{layer}.attn.c_attn.bias"), 24)));
    let gpt2 = json!({"model_type": "gpt2", "n_layer": 3});
    let run = scan(&place, &gpt2, without(tensors, "h.1.attn.c_attn.weight"), &[]);
    is_told(&place, &run, &["1 linear module has no weight, although others of the kind"], &["h.1.attn.c_attn"]);
    // All other layers have it.
    let run = scan(&place, &config(3), without(llama(0..3), "model.layers.2.self_attn.q_proj.weight"), &[]);
    is_told(&place, &run, &["has no weight"], &["model.layers.2.self_attn.q_proj"]);
    // All other experts have it.
    let expert = |expert: usize, leaf: &str| format!("model.layers.0.mlp.experts.{expert}.{leaf}.weight");
    let experts = |layer: usize| {
        let name = move |index: usize, leaf: &str| expert(index, leaf).replace(".0.mlp", &format!(".{layer}.mlp"));
        (0..4).flat_map(move |index| LLAMA[4..].iter().map(move |leaf| name(index, &leaf[4..])))
    };
    let tensors = (0..3).flat_map(experts).map(|name| matrix(&name, 8, 8)).collect();
    let moe = json!({"model_type": "qwen3_moe", "num_hidden_layers": 3});
    let run = scan(&place, &moe, without(tensors, &expert(3, "down_proj")), &["--pool-experts", "mean"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(run.stderr.contains("('model.layers.0.mlp.experts.3.down_proj')"), "{}", run.stderr);
    // A pool of the others would be no pool of all.
    assert!(run.stderr.contains("model.layers.0.mlp.experts.down_proj is not ranked"), "{}", run.stderr);
}

#[test]
fn layers_that_differ_by_design_are_not_missed() {
    let place = Workplace::new();
    let quiet = |config: &Value, tensors: Vec<Tensor>| {
        let run = scan(&place, config, tensors, &[]);
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    };
    // A dense first layer before those with experts, and a layer that predicts further tokens.
    let mut tensors = llama(0..1);
    for layer in 1..4 {
        let names = (0..2).flat_map(|expert| ["gate_proj", "up_proj", "down_proj"].map(|leaf| (expert, leaf)));
        let name = |(expert, leaf): (usize, &str)| format!("model.layers.{layer}.mlp.experts.{expert}.{leaf}.weight");
        tensors.extend(names.map(|at| matrix(&name(at), 8, 8)));
    }
    quiet(&json!({"model_type": "deepseek_v3", "num_hidden_layers": 3}), tensors);
    // Every second layer has attention of another kind.
    let hybrid = (0..4).map(|layer| {
        let leaf = if layer % 2 == 0 { "linear_attn.in_proj_qkvz" } else { "self_attn.q_proj" };
        matrix(&format!("model.layers.{layer}.{leaf}.weight"), 8, 8)
    });
    quiet(&json!({"model_type": "qwen3_next", "num_hidden_layers": 4}), hybrid.collect());
    // Layers that share their keys and values.
    let mut tensors = llama(0..3);
    tensors.retain(|tensor| !tensor.name.contains("layers.2.self_attn.k_proj"));
    let mut sharing = config(3);
    sharing["num_kv_shared_layers"] = json!(1);
    quiet(&sharing, tensors);
    // A shard by itself, whose layers need not follow each other.
    let alone = [0, 1, 10].map(|layer| matrix(&format!("model.layers.{layer}.mlp.up_proj.weight"), 8, 8));
    fs::write(place.path("model-00001-of-00002.safetensors"), file(&alone)).expect("written");
    place.run(&["--model", "model-00001-of-00002.safetensors"]).succeeded();
    // A vision tower that has more layers, or fewer, than the language model.
    let tower = matrix("visual.blocks.0.attn.qkv.weight", 24, 8);
    let with_tower = llama(0..2).into_iter().chain([tower]).collect();
    quiet(&json!({"model_type": "qwen2_vl", "num_hidden_layers": 2}), with_tower);
    // Numbers that no model has.
    let last = matrix(&format!("model.layers.{}.mlp.fc1.weight", u64::MAX), 8, 8);
    quiet(&json!({"model_type": "llama"}), llama(0..2).into_iter().chain([last]).collect());
    // Layers that are described one by one, and may be empty.
    let searched = json!({"model_type": "nemotron-nas", "num_hidden_layers": 4, "block_configs": []});
    quiet(&searched, llama(0..1).into_iter().chain(llama(2..3).split_off(2)).collect());
}

#[test]
fn what_is_no_linear_module_is_left_out_as_before() {
    let place = Workplace::new();
    let layer = |leaf: &str| format!("model.layers.0.{leaf}");
    let others = [
        zeros("model.embed_tokens.weight", Dtype::U8, &[16, 8]),
        zeros("model.embeddings.position_ids", Dtype::I64, &[1, 512]),
        zeros(&layer("attn.bias"), Dtype::U8, &[1, 1, 16, 16]),
        zeros(&layer("attn.causal_mask"), Dtype::BOOL, &[1, 1, 16, 16]),
        zeros(&layer("attn.masked_bias"), Dtype::F32, &[]),
        zeros(&layer("bn.num_batches_tracked"), Dtype::I64, &[]),
        zeros(&layer("self_attn.rotary_emb.inv_freq"), Dtype::F32, &[4]),
        zeros(&layer("self_attn.q_norm.weight"), Dtype::F32, &[8]),
        zeros(&layer("input_layernorm.weight"), Dtype::F32, &[0]),
        zeros(&layer("self_attn.q_proj.bias"), Dtype::F32, &[8]),
        zeros(&layer("self_attn.k_scale"), Dtype::F32, &[1]),
        zeros(&layer("self_attn.q_proj.input_scale"), Dtype::F32, &[]),
        zeros(&layer("mlp.gate.e_score_correction_bias"), Dtype::F32, &[4]),
        zeros(&layer("mlp.shared_expert_gate.weight"), Dtype::F32, &[1, 8]),
        zeros(&layer("mlp.experts.tokens_per_expert"), Dtype::I64, &[4]),
        zeros(&layer("mlp.experts.routed"), Dtype::I64, &[4, 16]),
        zeros(&layer("conv.proj.weight"), Dtype::F32, &[8, 8, 3]),
        zeros(&layer("mlp.experts.gate_up_proj_bias"), Dtype::F32, &[4, 16]),
        zeros(&layer("mixer.A_log"), Dtype::F32, &[8]),
        zeros(&layer("mixer.conv1d.weight"), Dtype::F32, &[8, 1, 4]),
        zeros(&layer("conv.out_proj.weight"), Dtype::F32, &[8, 8, 1]),
        zeros("vision_tower.patch_embed.proj.weight", Dtype::F32, &[8, 3, 2, 2]),
        zeros("lm_head.weight", Dtype::U8, &[16, 8]),
    ];
    let run = scan(&place, &config(2), replaced(llama(0..2), others), &[]);
    assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_m_run.json")["failed"], json!([]));
    // A head that is asked for is one that must be read.
    place.run(&["--model", "m", "--all-linear"]).refused(1, &["'lm_head.weight' is U8 of no known quantisation"]);
}

#[test]
fn experts_of_unknown_number_are_told() {
    let place = Workplace::new();
    let names = ["w1", "v1", "w2"].map(|leaf| format!("transformer.blocks.0.ffn.experts.mlp.{leaf}"));
    // DBRX has four experts where nothing else is said.
    let mut tensors: Vec<Tensor> = names.iter().map(|name| matrix(name, 18, 8)).collect();
    tensors.push(matrix("transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", 24, 8));
    let run = scan(&place, &json!({"model_type": "dbrx"}), tensors, &[]);
    let modules = ["v1", "w1", "w2"].map(|leaf| format!("transformer.blocks.0.ffn.experts.mlp.{leaf}"));
    is_told(&place, &run, &["3 linear modules are experts in one matrix"], &modules.each_ref().map(String::as_str));
}

#[test]
fn a_missing_module_is_around_the_scan_for_trainers() {
    let place = Workplace::new();
    let flat = vector("model.layers.1.self_attn.q_proj.weight", 64);
    let run = scan(&place, &config(3), replaced(llama(0..3), [flat]), &["--top-n", "1"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    // Plain LoRA would train the missing one too.
    let export =
        |arguments: &[&str]| place.run(&[&["export", "peft", "laser_scan_m.json", "--top-n", "1"], arguments].concat());
    let from_manifest = export(&["--match-rank", "8", "--types", "self_attn.q_proj"]);
    let whole = from_manifest.succeeded();
    assert!(whole.stdout.contains("self_attn.q_proj"), "{}", whole.stdout);
    assert!(!whole.stdout.contains("layers.1.self_attn.q_proj"), "{}", whole.stdout);
    let from_model = export(&["--match-rank", "8", "--types", "self_attn.q_proj", "--model", "m"]);
    assert_eq!(from_model.succeeded().stdout, whole.stdout);
}

#[test]
fn what_no_configuration_can_be_written_for_is_found_before_the_scan_where_modules_are_missing() {
    let place = Workplace::new();
    // The shape of the one that is missing cannot be told, as its counterparts differ.
    let others = [matrix("model.layers.1.mlp.up_proj.weight", 8, 12), vector("model.layers.2.mlp.up_proj.weight", 64)];
    let emit = ["--emit", "peft", "--match-rank", "16"];
    let run = scan(&place, &config(3), replaced(llama(0..3), others), &emit);
    assert_eq!(run.status, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("nothing is measured, as no configuration for peft could be written"),
        "{}",
        run.stderr
    );
    assert_eq!(place.files(), ["m"]);
}

#[test]
fn pickled_tensors_that_are_not_read_may_be_in_an_index() {
    let place = Workplace::new();
    fs::create_dir(place.path("m")).expect("created");
    let tensors = [
        ("model.layers.0.mlp.up_proj.weight", "0", "FloatStorage"),
        ("model.layers.0.mlp.freqs_cis", "1", "ComplexFloatStorage"),
        ("model.layers.0.mlp.stray", "2", "ComplexFloatStorage"),
    ];
    let weight_map: Value = tensors[..2].iter().map(|(name, ..)| ((*name).to_owned(), json!("a.bin"))).collect();
    fs::write(place.path("m/a.bin"), pickled(&tensors)).expect("written");
    let index = json!({ "weight_map": weight_map }).to_string();
    fs::write(place.path("m/pytorch_model.bin.index.json"), index).expect("written");
    fs::write(place.path("m/config.json"), config(1).to_string()).expect("written");
    assert!(!place.run(&["--model", "m"]).succeeded().stderr.contains("warning"));
    let left_out = place.json("laser_scan_m_run.json")["left_out"].clone();
    for (tensor, reason) in [("freqs_cis", "stored in a way that is not read"), ("stray", "not in the index")] {
        let entry = json!({ "tensor": format!("model.layers.0.mlp.{tensor}"), "reason": reason });
        assert!(left_out.as_array().is_some_and(|all| all.contains(&entry)), "{left_out}");
    }
}

#[test]
fn one_row_of_zeros_is_still_the_modules_own_failure() {
    let place = Workplace::new();
    let nothing = of_numbers("model.layers.0.mlp.up_proj.weight", 8, 8, vec![0.0; 64]);
    let empty = zeros("model.layers.1.mlp.up_proj.weight", Dtype::F32, &[0]);
    let run = scan(&place, &config(2), replaced(llama(0..2), [nothing, empty]), &[]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(run.stderr.contains("2 modules could not be measured"), "{}", run.stderr);
    let header = r#"{"m.layers.0.q_proj.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    fs::write(place.path("bare.safetensors"), raw_file(header, 0)).expect("written");
    place.run(&["--model", "bare.safetensors"]).refused(1, &["1 linear module is stored without elements"]);
}

#[test]
fn a_file_named_alone_may_be_a_part_and_lacks_nothing() {
    let place = Workplace::new();
    // Layer 2 is cut between two shards, with biases as Qwen2 has them.
    let biases = (0..4).flat_map(|layer| LLAMA[..3].iter().map(move |leaf| (layer, leaf)));
    let biases = biases.map(|(layer, leaf)| vector(&format!("model.layers.{layer}.{leaf}.bias"), 8));
    let is_second = |tensor: &Tensor| {
        let last = ["model.layers.3.", "model.layers.2.self_attn.v_proj.weight", "model.layers.2.self_attn.o_proj"];
        last.iter().any(|start| tensor.name.starts_with(start))
    };
    let (second, first): (Vec<_>, Vec<_>) = llama(0..4).into_iter().chain(biases).partition(is_second);
    let [one, two] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    write_shards(&place.path("m"), &[(one, first), (two, second)]);
    fs::write(place.path("m/config.json"), config(4).to_string()).expect("written");
    place.run(&["--model", "m"]).succeeded();
    for shard in [one, two] {
        let run = place.run(&["--model", &format!("m/{shard}")]);
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    }
    // Whatever the file is called. What is in it and holds nothing is told all the same.
    let holed = || llama(0..2).into_iter().chain(llama(3..5).split_off(2));
    let without = holed().filter(|tensor| tensor.name != "model.layers.4.self_attn.q_proj.weight").collect::<Vec<_>>();
    fs::write(place.path("part.safetensors"), file(&without)).expect("written");
    let run = place.run(&["--model", "part.safetensors"]);
    assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
    let empty = zeros("model.layers.1.mlp.up_proj.weight", Dtype::F32, &[0]);
    fs::write(place.path("m/empty-00001-of-00002.safetensors"), file(&replaced(without, [empty]))).expect("written");
    let run = place.run(&["--model", "m/empty-00001-of-00002.safetensors"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert!(run.stderr.contains("1 linear module is stored without elements"), "{}", run.stderr);
    assert!(!run.stderr.contains("has no weight"), "{}", run.stderr);
}
