//! The choice -> a trainer's configuration.
//!
//! A trainer is one file, which implements [`Trainer`], and one line in [`ALL`]. The trainers share the targets in memory that
//! are chosen (`choice.rs`, `targets.rs`), the rank (`lora.rs`), the check that the names hit what was chosen and nothing else
//! (`resolve.rs`), and the forms of a configuration (`yaml.rs`, `args.rs`). Those of diffusion models are in `diffusion`, beside the
//! two sets of names that such models have.

mod adapter;
mod args;
mod axolotl;
mod axolotl_full;
mod bypassed;
mod choice;
mod diffusion;
mod document;
mod error;
mod export;
mod expression;
mod foresee;
mod fused;
mod llama_factory;
mod llama_factory_full;
mod lora;
mod mlx_lm;
mod ms_swift;
mod ms_swift_full;
mod nemo_automodel;
mod peft;
mod prepared;
mod profile;
mod ranks;
mod recognize;
mod remedy;
mod resolve;
mod spectrum;
mod targets;
mod trainer;
mod trl;
mod unsloth;
mod vouched;
pub mod yaml;

pub use adapter::{Adapter, Alpha, Rank};
pub use args::quoted;
pub use diffusion::is_of_diffusion;
pub use document::{Document, Export, Format, Remark};
pub use error::ExportError;
pub use export::export;
pub use foresee::foresee;
pub use fused::pool_fused;
pub use profile::{AdapterKeys, Profile, UserConfig};
pub(crate) use ranks::{STEP, TOLERANCE};
pub use recognize::is_export;
pub use remedy::Remedy;
pub(crate) use targets::{AsLoaded, Targets};
pub use trainer::Trainer;

use crate::select::Selection;

/// All trainers, in the order in which they are shown.
pub const ALL: &[&dyn Trainer] = &[
    &axolotl::Axolotl,
    &axolotl_full::AxolotlFull,
    &llama_factory::LlamaFactory,
    &llama_factory_full::LlamaFactoryFull,
    &peft::Peft,
    &trl::Trl,
    &ms_swift::MsSwift,
    &ms_swift_full::MsSwiftFull,
    &unsloth::Unsloth,
    &mlx_lm::MlxLm,
    &nemo_automodel::NemoAutomodel,
    &nemo_automodel::NemoAutomodelFull,
    &spectrum::Spectrum,
    &diffusion::Diffusers,
    &diffusion::SimpleTuner,
    &diffusion::Lycoris,
    &diffusion::SimpleTunerLycoris,
    &diffusion::AiToolkit,
    &diffusion::AiToolkitFull,
    &diffusion::OneTrainer,
    &diffusion::OneTrainerFull,
    &diffusion::Musubi,
    &diffusion::SdScripts,
    &diffusion::DiffusionPipe,
];

#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub selection: &'a Selection<'a>,
    pub adapter: Adapter,
}
