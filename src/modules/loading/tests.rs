//! What becomes of names, rule by rule.

use super::*;

/// The names in memory of the tensor `disk` in a model of this class, beside tensors of the other names.
fn names_beside(model_type: &str, class: &str, line: Line, disk: &str, others: &[&str]) -> Vec<String> {
    let text = format!(r#"{{"model_type": "{model_type}", "architectures": ["{class}"]}}"#);
    let config = Config::parse(text.as_bytes()).expect("JSON");
    Loader::new(&config, others.iter().copied().chain([disk]), line).parameters(disk)
}

fn names(model_type: &str, class: &str, line: Line, disk: &str) -> Vec<String> {
    names_beside(model_type, class, line, disk, &[])
}

fn name(model_type: &str, class: &str, disk: &str) -> String {
    names(model_type, class, Line::Five, disk).concat()
}

#[test]
fn experts_are_stacked_in_version_five_only() {
    let disk = "model.layers.3.block_sparse_moe.experts.7.w3.weight";
    let of = |line| names("mixtral", "MixtralForCausalLM", line, disk);
    assert_eq!(of(Line::Five), ["model.layers.3.mlp.experts.gate_up_proj"]);
    assert_eq!(of(Line::Four), [disk]);
    let new = "model.layers.3.mlp.experts.7.up_proj.weight";
    assert_eq!(name("brand_new", "BrandNewForCausalLM", new), "model.layers.3.mlp.experts.gate_up_proj");
    let own = Config::parse(br#"{"model_type": "brand_new", "auto_map": {"AutoModel": "x.Y"}}"#).expect("JSON");
    assert_eq!(Loader::new(&own, [new].into_iter(), Line::Five).parameters(new), [new]);
}

#[test]
fn a_module_whose_weight_is_a_vector_is_told_from_one_that_is_flattened() {
    let config = Config { is_of_diffusers: true, ..Config::default() };
    let config = Config { model_type: Some("StableAudioDiTModel".into()), ..config };
    let loader = Loader::new(&config, std::iter::empty(), Line::Five);
    assert!(loader.is_vector("time_proj.weight"));
    assert!(!loader.is_vector("proj_in.weight"));
    assert!(!loader.is_vector("transformer_blocks.0.attn1.to_q.weight"));
    assert!(!loader.is_vector("transformer_blocks.0.attn1.other_proj.weight"));
}

#[test]
fn numbers_move_with_their_segments() {
    let disk = "segformer.encoder.block.2.5.attention.self.key.weight";
    let memory = "segformer.stages.2.blocks.5.attention.k_proj.weight";
    assert_eq!(name("segformer", "SegformerForImageClassification", disk), memory);
}

#[test]
fn what_is_divided_has_several_names() {
    let names = names("dinov2", "Dinov2Model", Line::Five, "encoder.layer.3.mlp.weights_in.weight");
    assert_eq!(names, ["gate_proj", "up_proj"].map(|leaf| format!("encoder.layer.3.mlp.{leaf}.weight")));
}

#[test]
fn a_group_of_renames_waits_for_its_first_pattern() {
    let class = "Kimi_K25ForConditionalGeneration";
    let first = "vision_tower.encoder.blocks.0.mlp.fc0.weight";
    let of = |disk, others: &[&str]| names_beside("kimi_k25", class, Line::Five, disk, others).concat();
    let second = "vision_tower.encoder.blocks.0.mlp.fc1.weight";
    assert_eq!(of(first, &[]), "model.vision_tower.layers.0.mlp.fc1.weight");
    assert_eq!(of(second, &[first]), "model.vision_tower.layers.0.mlp.fc2.weight");
    assert_eq!(of(second, &[]), "model.vision_tower.layers.0.mlp.fc1.weight");
}

#[test]
fn the_experts_of_texts_and_of_pictures_are_two_stacks() {
    let class = "Ernie4_5_VLMoeForConditionalGeneration";
    let disk = |expert: usize| format!("model.layers.1.mlp.experts.{expert}.down_proj.weight");
    let all: Vec<String> = (0..4).map(disk).collect();
    let others: Vec<&str> = all.iter().map(String::as_str).collect();
    let of = |expert| names_beside("ernie4_5_vl_moe", class, Line::Five, &disk(expert), &others).concat();
    let memory = |which| format!("model.language_model.layers.1.mlp.{which}_moe.experts.down_proj");
    assert_eq!([0, 1, 2, 3].map(of), ["text", "text", "vision", "vision"].map(memory));
}

#[test]
fn blocks_of_attention_and_of_a_gated_unit_become_layers() {
    let of = |disk: &str| name("dory", "DoryForCausalLM", disk);
    assert_eq!(of("backbone.layers.6.mixer.q_proj.weight"), "model.layers.3.self_attn.q_proj.weight");
    assert_eq!(of("backbone.layers.7.mixer.up_proj.weight"), "model.layers.3.mlp.up_proj.weight");
}

#[test]
fn marks_in_a_name_are_its_own() {
    for middle in ["{up,down}_proj", "}up{", r"\1", "$1", "(a|b)", "*."] {
        let disk = format!("model.layers.0.mlp.{middle}.weight");
        assert_eq!(name("qwen3_moe", "Qwen3MoeForCausalLM", &disk), disk);
    }
}

#[test]
fn the_class_decides_where_a_language_model_is() {
    let whole = |disk: &str| name("qwen2_vl", "Qwen2VLForConditionalGeneration", disk);
    assert_eq!(whole("visual.blocks.0.attn.qkv.weight"), "model.visual.blocks.0.attn.qkv.weight");
    assert_eq!(whole("model.visual.blocks.0.attn.qkv.weight"), "model.visual.blocks.0.attn.qkv.weight");
    let memory = "model.language_model.layers.1.mlp.up_proj.weight";
    assert_eq!(whole("model.layers.1.mlp.up_proj.weight"), memory);
    assert_eq!(whole(memory), memory);
    assert_eq!(whole("lm_head.weight"), "lm_head.weight");
    let bare = name("qwen2_vl", "Qwen2VLModel", "model.layers.1.mlp.up_proj.weight");
    assert_eq!(bare, "language_model.layers.1.mlp.up_proj.weight");
    // The section for texts names another language model than the class has by itself.
    let text = r#"{"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"],
        "text_config": {"model_type": "mixtral"}}"#;
    let config = Config::parse(text.as_bytes()).expect("JSON");
    let disk = "language_model.model.layers.0.block_sparse_moe.experts.3.w2.weight";
    let names = Loader::new(&config, [disk].into_iter(), Line::Five).parameters(disk);
    assert_eq!(names, ["model.language_model.layers.0.mlp.experts.down_proj"]);
}

#[test]
fn the_base_is_added_under_a_head_only() {
    for line in [Line::Four, Line::Five] {
        let of = |class, disk| names("gpt2", class, line, disk).concat();
        let (short, long) = ("h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.weight");
        assert_eq!(of("GPT2LMHeadModel", short), long);
        assert_eq!(of("GPT2LMHeadModel", long), long);
        assert_eq!(of("GPT2Model", short), short);
        assert_eq!(of("GPT2Model", long), short);
    }
}

#[test]
fn old_attention_of_diffusers_has_its_new_names() {
    let config = |class: &str| Config::parse(format!(r#"{{"_class_name": "{class}"}}"#).as_bytes()).expect("JSON");
    let of = |class: &str, leaf: &str| {
        let disk = format!("encoder.mid_block.attentions.0.{leaf}.weight");
        Loader::new(&config(class), [disk.as_str()].into_iter(), Line::Five).parameters(&disk).concat()
    };
    for (old, new) in [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")] {
        let new_name = format!("encoder.mid_block.attentions.0.{new}.weight");
        assert_eq!(of("AutoencoderKL", old), new_name);
        assert_eq!(of("AutoencoderKL", new), new_name);
        assert_eq!(of("UNet1DModel", old), format!("encoder.mid_block.attentions.0.{old}.weight"));
    }
}

#[test]
fn names_are_known_by_what_they_are_found_in() {
    let by = |text: &str, disk: &str| {
        let config = Config::parse(text.as_bytes()).expect("JSON");
        let loader = Loader::new(&config, [disk].into_iter(), Line::Five);
        loader.known(disk).known_by
    };
    let llama = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}"#;
    assert_eq!(by(llama, "model.layers.0.mlp.up_proj.weight"), KnownBy::Table);
    assert_eq!(by(llama, "net.layers.0.mlp.up_proj.weight"), KnownBy::NoFit);
    assert_eq!(by(r#"{"_class_name": "BrandNewModel"}"#, "blocks.0.up.weight"), KnownBy::Rule);
    assert_eq!(by("{}", "model.layers.0.mlp.up_proj.weight"), KnownBy::Nothing);
}
