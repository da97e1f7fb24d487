//! Which modules an adapter means by the names that it gives them.

use std::collections::HashMap;

use super::{InMemory, Module, WEIGHT, is_head};

/// What kohya's scripts put before a module's name, in which they replace dots, and the components of a pipeline that may be meant.
const FLATTENED: [(&str, &[&str]); 6] = [
    ("lora_unet_", &["unet", "transformer"]),
    ("lora_transformer_", &["transformer"]),
    ("lora_te_", &["text_encoder"]),
    ("lora_te1_", &["text_encoder"]),
    ("lora_te2_", &["text_encoder_2"]),
    ("lora_te3_", &["text_encoder_3"]),
];

/// Beginnings of names that may be missing in the base: a pipeline's component that is named alone, and the attribute that holds the
/// model where a head is beside it.
const BEGINNINGS: [&str; 6] =
    ["unet.", "transformer.", "text_encoder.", "text_encoder_2.", "text_encoder_3.", "model."];

/// What an adapter's name of a module means in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapted {
    /// The module in this place among the model's linear modules.
    Measured(usize),
    /// Something else of the model, such as its embedding.
    Other,
    /// Only a part of what is stored together, or something of which only a part is stored in one place.
    Entangled,
}

/// The names by which adapters may mean the modules of a model.
pub struct AdaptedNames {
    by_name: HashMap<String, Adapted>,
    by_flattened: HashMap<String, Adapted>,
    ties_embeddings: bool,
}

impl AdaptedNames {
    /// The names of the `linear` modules, of the `others`, and of other tensors in memory.
    pub fn new(linear: &[Module], others: &[Module], names: &[String], ties_embeddings: bool) -> Self {
        let mut by_name: HashMap<String, Adapted> = HashMap::new();
        for name in names {
            by_name.insert(module(name).to_owned(), Adapted::Other);
        }
        for other in others {
            by_name.extend(other.info.memory.names().iter().map(|name| (module(name).to_owned(), Adapted::Other)));
        }
        let whole = linear.iter().enumerate().filter(|(_, module)| module.info.part_of.is_none());
        for (place, linear) in whole {
            match &linear.info.memory {
                InMemory::Modules(names) if names.len() == 1 => {
                    by_name.insert(names[0].clone(), Adapted::Measured(place));
                }
                memory => {
                    by_name.extend(memory.names().iter().map(|name| (module(name).to_owned(), Adapted::Entangled)));
                }
            }
        }
        let mut by_flattened = HashMap::new();
        for (name, adapted) in &by_name {
            // Where two names become one, it is not clear which is meant.
            let meant = by_flattened.entry(name.replace('.', "_")).or_insert(*adapted);
            if meant != adapted {
                *meant = Adapted::Entangled;
            }
        }
        Self { by_name, by_flattened, ties_embeddings }
    }

    /// What the adapter's `name` means; `None` if the model has no such module.
    pub fn find(&self, name: &str) -> Option<Adapted> {
        if let Some((start, components)) = FLATTENED.iter().find(|(start, _)| name.starts_with(start)) {
            let within = &name[start.len()..];
            let full = components.iter().map(|component| format!("{component}_{within}"));
            return full.chain([within.to_owned()]).find_map(|name| self.by_flattened.get(&name).copied());
        }
        let known = |name: &str| self.by_name.get(name).copied();
        let shorter = || BEGINNINGS.iter().find_map(|start| known(name.strip_prefix(start)?));
        let longer = || BEGINNINGS.iter().find_map(|start| known(&format!("{start}{name}")));
        // A head that shares the embedding's weight is not stored.
        let tied = || (self.ties_embeddings && is_head(name)).then_some(Adapted::Other);
        known(name).or_else(shorter).or_else(longer).or_else(tied)
    }
}

fn module(parameter: &str) -> &str {
    parameter.strip_suffix(WEIGHT).unwrap_or(parameter)
}
