//! LLaMA-Factory: a YAML configuration, and `--lora_target` with the options around it.
//!
//! LLaMA-Factory splits the names at commas. On the multimodal models that it knows, it looks for them anywhere in a module's
//! name, and passes over the towers and the projector unless a key unfreezes them. See its `model/adapter.py` and
//! `model/model_utils/visual.py`.

use super::choice::Choice;
use super::profile::{AdapterKeys, Profile, UserConfig};
use super::remedy::Remedy;
use super::resolve::Rule;
use super::yaml::{self, Value};
use super::{Export, ExportError, Format, Trainer, args, peft};

/// Keys that change which modules are trained. An adapter that is trained further keeps its own modules, and a resized
/// vocabulary is trained with them.
const CONFLICTS: [&str; 6] = [
    "adapter_name_or_path",
    "additional_target",
    "freeze_language_model",
    "resize_vocab",
    "use_llama_pro",
    "use_unsloth",
];

/// Keys by which a configuration of Axolotl is recognised.
pub const FOREIGN: &[&str] = &["base_model", "adapter", "lora_r", "lora_target_modules", "unfrozen_parameters"];

/// As the only name, this stands for all linear modules.
const ALL: &str = "all";

/// A multimodal model that LLaMA-Factory 0.9.5 knows by one of these `names`: the substrings of module names that make a
/// module part of the projector, part of a tower, or one that is never trained.
struct Composite {
    names: &'static [&'static str],
    projector: &'static [&'static str],
    tower: &'static [&'static str],
    never: &'static [&'static str],
}

const PROJECTOR: &[&str] = &["multi_modal_projector"];
const MERGER: &[&str] = &["visual.merger"];
const TOWER: &[&str] = &["vision_tower"];
const VISUAL: &[&str] = &["visual.patch_embed", "visual.blocks"];
const VISUAL_3: &[&str] = &["visual.pos_embed", "visual.patch_embed", "visual.blocks", "visual.deepstack_merger_list"];
const PATCH: &[&str] = &["patch_embed"];

const COMPOSITES: &[Composite] = &[
    Composite {
        names: &[
            "gemma3",
            "internvl",
            "interns1",
            "kimi_vl",
            "llava",
            "llava_next",
            "llava_next_video",
            "paligemma",
            "video_llava",
        ],
        projector: PROJECTOR,
        tower: TOWER,
        never: &[],
    },
    Composite { names: &["mistral3"], projector: &["model.multi_modal_projector"], tower: TOWER, never: &[] },
    Composite { names: &["llama4", "mllama"], projector: PROJECTOR, tower: &["vision_model"], never: &[] },
    Composite { names: &["qwen2_audio"], projector: PROJECTOR, tower: &["audio_tower"], never: &[] },
    Composite {
        names: &["gemma3n"],
        projector: PROJECTOR,
        tower: &["vision_tower", "audio_tower"],
        never: &["timm_model", "subsample_conv_projection"],
    },
    Composite {
        names: &["gemma4"],
        projector: &["model.embed_vision", "model.embed_audio"],
        tower: &["vision_tower", "audio_tower"],
        never: &["per_layer_projection_norm"],
    },
    Composite { names: &["dots_ocr"], projector: &["vision_tower.merger"], tower: TOWER, never: &["merger"] },
    Composite {
        names: &["Keye"],
        projector: &["mlp_AR"],
        tower: &["visual.vision_model.patch_embedding", "visual.vision_model.encoder"],
        never: &["patch_embedding"],
    },
    Composite { names: &["minicpmv"], projector: &["resampler"], tower: &["vpm"], never: &[] },
    Composite { names: &["minicpmv4_6"], projector: &["model.merger"], tower: &["model.vision_tower"], never: &[] },
    Composite {
        names: &["minicpmo"],
        projector: &["resampler"],
        tower: &["vpm", "apm", "audio_avg_pooler", "audio_projection_layer", "tts"],
        never: &["audio_projection_layer"],
    },
    Composite {
        names: &["glm4v", "glm4v_moe", "glm_ocr", "qwen2_vl", "qwen2_5_vl"],
        projector: MERGER,
        tower: VISUAL,
        never: PATCH,
    },
    Composite { names: &["qwen3_vl", "qwen3_vl_moe"], projector: MERGER, tower: VISUAL_3, never: PATCH },
    Composite {
        names: &["qwen3_5", "qwen3_5_moe"],
        projector: &["model.visual.merger"],
        tower: &["visual.pos_embed", "visual.patch_embed", "visual.blocks"],
        never: PATCH,
    },
    Composite {
        names: &["qwen2_5_omni_thinker"],
        projector: &["visual.merger", "audio_tower.proj"],
        tower: &["visual.patch_embed", "visual.blocks", "audio_tower"],
        never: PATCH,
    },
    Composite {
        names: &["qwen3_omni_moe_thinker"],
        projector: &["visual.merger", "audio_tower.proj"],
        tower: &[
            "visual.pos_embed",
            "visual.patch_embed",
            "visual.blocks",
            "visual.deepstack_merger_list",
            "audio_tower",
        ],
        never: PATCH,
    },
];

#[derive(Debug)]
pub struct LlamaFactory;

impl Trainer for LlamaFactory {
    fn profile(&self) -> &'static Profile {
        &Profile {
            key: "llama-factory",
            name: "LLaMA-Factory",
            formats: &[Format::Yaml, Format::Args],
            keys: &[
                "finetuning_type",
                "lora_rank",
                "lora_alpha",
                "lora_target",
                "freeze_vision_tower",
                "freeze_multi_modal_projector",
                "use_rslora",
            ],
            user_config: Some(UserConfig {
                adapter: Some(AdapterKeys { rank: "lora_rank", alpha: "lora_alpha", rslora: "use_rslora" }),
                conflicts: &CONFLICTS,
                naming: &[],
                needs: None,
                foreign: FOREIGN,
            }),
            has_whole_alpha: true,
            rslora: Some("use_rslora"),
            ..Profile::USUAL
        }
    }

    fn export(&self, choice: &Choice<'_>) -> Result<Export, ExportError> {
        let names = names(choice)?;
        let mut settings = vec![
            ("finetuning_type", Value::Text("lora".into())),
            ("lora_rank", Value::Number(choice.lora.rank)),
            ("lora_alpha", Value::Decimal(choice.lora.alpha)),
            ("lora_target", Value::Text(names.join(","))),
        ];
        settings.extend(choice.lora.rslora.then_some(("use_rslora", Value::Flag(true))));
        let mut resets = Vec::new();
        if let Some(composite) = composite(choice) {
            for (key, is_frozen) in composite.freezing(choice, &names)? {
                // Both are frozen by default.
                if is_frozen { &mut resets } else { &mut settings }.push((key, Value::Flag(is_frozen)));
            }
        }
        let documents = vec![
            self.document(choice, Format::Yaml, yaml::document(&settings)),
            self.document(choice, Format::Args, args::line(choice.trainer, &settings)?),
        ];
        Ok(Export { documents, settings, resets, ..Export::default() })
    }
}

fn names(choice: &Choice<'_>) -> Result<Vec<String>, ExportError> {
    let names = peft::Names::modules_only(choice)?;
    if let Some(name) = names.iter().find(|name| name.contains(',') || name.trim() != *name) {
        let what = format!("splits names at commas and takes the blanks around them away, and '{name}' has such in it");
        return Err(choice.unsupported(what, None));
    }
    if names == [ALL] {
        let what = format!("takes '{ALL}' for all linear modules: choose another module with it");
        return Err(choice.unsupported(what, None));
    }
    Ok(names)
}

impl Composite {
    /// The keys that freeze the tower and the projector, each with its value, after a check that the `names` then hit what they
    /// should.
    fn freezing(&self, choice: &Choice<'_>, names: &[String]) -> Result<[(&'static str, bool); 2], ExportError> {
        let is_in = |parts: &[&str]| names.iter().any(|name| parts.iter().any(|part| name.contains(part)));
        let is_never = |name: &&String| self.never.iter().any(|part| name.contains(part));
        if let Some(name) = names.iter().find(is_never) {
            let what = format!("never trains '{name}' of this architecture");
            return Err(choice.unsupported(what, Remedy::LeaveOut));
        }
        let mut forbidden = self.never.to_vec();
        let parts = [("freeze_vision_tower", self.tower), ("freeze_multi_modal_projector", self.projector)];
        let freezing = parts.map(|(key, parts)| {
            let is_frozen = !is_in(parts);
            if is_frozen {
                forbidden.extend(parts);
            }
            (key, is_frozen)
        });
        choice.check(Rule::Substring { forbidden: &forbidden }, names, &choice.wanted())?;
        Ok(freezing)
    }
}

/// The texts in whose modules nothing is trained by default.
pub fn frozen(choice: &Choice<'_>) -> Vec<&'static str> {
    let parts = composite(choice).map(|composite| [composite.never, composite.tower, composite.projector].concat());
    parts.unwrap_or_default()
}

fn composite(choice: &Choice<'_>) -> Option<&'static Composite> {
    COMPOSITES.iter().find(|composite| choice.is_of(composite.names))
}
