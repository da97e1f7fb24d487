//! Names in one form -> names in the other.

use super::families::FAMILIES;
use super::family::{Family, Form, Names};
use crate::modules::name::number;
use crate::modules::{InMemory, Info};
use crate::scan::Surroundings;
use crate::trainers::targets::{Naming, within};

impl Family {
    /// The family of a model and the form of its names in the scan. `names` are those of its modules.
    pub fn of<'n>(
        around: Option<&Surroundings>,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<(&'static Self, Form)> {
        let has_mark = |family: &&Self| names.clone().any(|name| stars(name, family.mark).is_some());
        let is_of_class = |family: &&Self| {
            around.is_some_and(|around| around.model_types.iter().any(|own| family.classes.contains(&own.as_str())))
        };
        if let Some(family) = FAMILIES.iter().find(is_of_class) {
            let is_larger = || names.clone().any(|name| name.split('.').any(|segment| segment == "add_embedding"));
            let is_unet = matches!(family.names, Names::UNet);
            let key = if is_unet && !is_larger() { "sd" } else { family.key };
            return FAMILIES.iter().find(|family| family.key == key).map(|family| (family, Form::Diffusers));
        }
        FAMILIES.iter().find(has_mark).map(|family| (family, Form::Original))
    }

    /// The names in the form `to` of the module called `name` in the other form; none if it is not known. An original module may be
    /// several of diffusers.
    pub fn translated(&self, name: &str, to: Form) -> Vec<String> {
        match (&self.names, to) {
            (Names::Same, _) => vec![name.to_owned()],
            (Names::UNet, Form::Original) => super::unet::original(name).into_iter().collect(),
            (Names::UNet, Form::Diffusers) => super::unet::of_diffusers(name).into_iter().collect(),
            (Names::Table(tables), to) => {
                let mut rows = tables.iter().flat_map(|table| table.iter());
                let found = rows.find_map(|(original, parts)| match to {
                    Form::Diffusers => stars(name, original).map(|number| (*parts, number)),
                    Form::Original => {
                        let number = parts.iter().find_map(|part| stars(name, part))?;
                        Some((std::slice::from_ref(original), number))
                    }
                });
                found.map_or_else(Vec::new, |(names, number)| {
                    names.iter().map(|name| name.replacen('*', number, 1)).collect()
                })
            }
        }
    }
}

/// What stands in a name in the place of the pattern's star, which is a number; an empty text if the pattern has none.
fn stars<'n>(name: &'n str, pattern: &str) -> Option<&'n str> {
    let Some((before, after)) = pattern.split_once('*') else { return (name == pattern).then_some("") };
    let middle = name.strip_prefix(before)?.strip_suffix(after)?;
    number(middle).filter(|_| !middle.is_empty()).map(|_| middle)
}

/// The names of a family's modules in another form than that of the scan.
pub struct Translated {
    pub family: &'static Family,
    pub to: Form,
}

impl Naming for Translated {
    fn memory(&self, info: &Info) -> Option<InMemory> {
        let InMemory::Modules(names) = &info.memory else { return Some(info.memory.clone()) };
        let translated: Vec<String> = names.iter().flat_map(|name| self.family.translated(name, self.to)).collect();
        (!translated.is_empty()).then_some(InMemory::Modules(translated))
    }
}

/// The names of a text encoder's modules in the versions of transformers that kohya's scripts and ai-toolkit ask for, 4.54 and 5.5:
/// those on disk, with the model within CLIP that later versions leave out.
pub struct Encoder {
    pub component: String,
}

impl Naming for Encoder {
    fn memory(&self, info: &Info) -> Option<InMemory> {
        let name = within(&info.name, &self.component).unwrap_or(&info.name);
        let inner = if name.starts_with("encoder.layers.") { "text_model." } else { "" };
        matches!(info.memory, InMemory::Modules(_)).then(|| InMemory::Modules(vec![format!("{inner}{name}")]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(key: &str) -> &'static Family {
        FAMILIES.iter().find(|family| family.key == key).expect("a family")
    }

    #[test]
    fn every_name_of_a_table_leads_there_and_back() {
        for family in FAMILIES {
            let Names::Table(tables) = &family.names else { continue };
            let mut seen = std::collections::HashSet::new();
            for (original, parts) in tables.iter().flat_map(|table| table.iter()) {
                let numbered = |name: &&str| name.replacen('*', "11", 1);
                let (own, all) = (numbered(original), parts.iter().map(numbered).collect::<Vec<_>>());
                assert_eq!(family.translated(&own, Form::Diffusers), all, "{}", family.key);
                for part in &all {
                    assert_eq!(family.translated(part, Form::Original), std::slice::from_ref(&own), "{}", family.key);
                    assert!(seen.insert(part.clone()), "{part}");
                }
            }
        }
    }

    #[test]
    fn a_number_stands_for_itself_and_nothing_else() {
        let flux = family("flux");
        assert_eq!(
            flux.translated("double_blocks.10.img_attn.proj", Form::Diffusers),
            ["transformer_blocks.10.attn.to_out.0"]
        );
        for other in
            ["double_blocks.x.img_attn.proj", "double_blocks..img_attn.proj", "a.double_blocks.1.img_attn.proj", "img"]
        {
            assert!(flux.translated(other, Form::Diffusers).is_empty(), "{other}");
        }
        assert_eq!(
            family("qwen-image").translated("transformer_blocks.1.attn.to_q", Form::Original),
            ["transformer_blocks.1.attn.to_q"]
        );
    }

    #[test]
    fn models_are_known_by_their_class_or_by_their_names() {
        let of = |class: &str, names: &[&str]| {
            let around = Surroundings { model_types: vec![class.to_owned()], ..Surroundings::default() };
            Family::of(Some(&around), names.iter().copied()).map(|(family, form)| (family.key, form))
        };
        assert_eq!(of("FluxTransformer2DModel", &[]), Some(("flux", Form::Diffusers)));
        assert_eq!(of("UNet2DConditionModel", &["conv_in"]), Some(("sd", Form::Diffusers)));
        for name in ["add_embedding.linear_1", "unet.add_embedding.linear_1"] {
            assert_eq!(of("UNet2DConditionModel", &[name]), Some(("sdxl", Form::Diffusers)));
        }
        assert_eq!(of("", &["double_blocks.0.img_mod.lin"]), Some(("flux", Form::Original)));
        assert_eq!(of("", &["double_blocks.0.img_attn_qkv"]), Some(("hunyuan-video", Form::Original)));
        assert_eq!(of("", &["input_blocks.1.0.in_layers.2", "label_emb.0.0"]), Some(("sdxl", Form::Original)));
        assert_eq!(of("llama", &["model.layers.0.mlp.up_proj"]), None);
    }
}
