//! Derives a local model's name from its path: the folder's name, with those of parent folders before it if it is generic.

use std::path::{Component, Path};

use super::hub::is_commit;

/// The words in names that do not depend on the model: trainers save `checkpoint-500`, `global_step1000`,
/// `epoch=3-step=1000` or `final_model`, libraries call weights `pytorch_model`, `model-00001-of-00002` or
/// `consolidated.00`, and scripts write to `merged_16bit` or `output`.
const GENERIC: &str = "best bf bit checkpoint checkpoints ckpt ckpts consolidated converted diffusion epoch epochs export exported \
    final finetuned fp global hf iter iteration iterations iters last latest main merge merged model models of \
    out output outputs pytorch result results run runs safetensors save saved snapshot snapshots step steps temp \
    tmp train trained training v weights";

/// The most parent folders in a name.
const MAX_PARENTS: usize = 3;

/// The name of the model in the folder `path`, which must be absolute.
pub fn of_folder(path: &Path) -> String {
    let own = path.file_name().map_or("root".into(), |name| name.to_string_lossy());
    cached(path).map_or_else(|| with_parents(path, &own, MAX_PARENTS), |id| last_part(&id).to_owned())
}

/// The name of the model in the single file `path`, which must be absolute.
pub fn of_file(path: &Path) -> String {
    with_parents(path, &path.file_stem().unwrap_or_default().to_string_lossy(), MAX_PARENTS)
}

/// The Hub id of a folder or file in Hugging Face's cache, followed by its path below `models--org--name/snapshots/commit`.
/// It is the same at every commit.
pub fn cached_part(path: &Path) -> Option<String> {
    let (folder, id) = path.ancestors().find_map(|folder| Some((folder, cached(folder)?)))?;
    let within = path.strip_prefix(folder).ok()?.components().map(Component::as_os_str);
    Some(within.fold(id, |part, name| format!("{part}/{}", name.to_string_lossy())))
}

/// The Hub id if `folder` is the snapshot of a commit in Hugging Face's cache.
fn cached(folder: &Path) -> Option<String> {
    let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
    let repository = snapshots.parent()?.file_name()?.to_str()?.strip_prefix("models--")?;
    Some(repository.replace("--", "/"))
}

/// The name `own` of the file or folder at `path`, preceded by the names of up to `most` parent folders if it is generic or
/// names only a part of a pipeline or of a Hub model.
fn with_parents(path: &Path, own: &str, most: usize) -> String {
    let is_model = |folder: &Path| folder.join("model_index.json").is_file() || cached(folder).is_some();
    let parent = path.parent().filter(|folder| most > 0 && (is_generic(own) || is_model(folder)));
    match parent.and_then(|folder| as_parent(folder, most - 1)) {
        Some(parent) => format!("{parent}-{own}"),
        None => own.to_owned(),
    }
}

/// What a folder adds to the names of its contents. A hidden folder adds nothing: programs create those for caches and
/// temporary files, and the folders above them say nothing about the model either.
fn as_parent(folder: &Path, most: usize) -> Option<String> {
    if let Some(id) = cached(folder) {
        return Some(last_part(&id).to_owned());
    }
    let own = folder.file_name()?.to_string_lossy();
    (!own.starts_with('.')).then(|| with_parents(folder, &own, most))
}

/// Whether a name says nothing about the model: it is a commit hash, or made of generic words and numbers only.
fn is_generic(name: &str) -> bool {
    if is_commit(name) {
        return true;
    }
    let is_word = |word: &str| GENERIC.split(' ').any(|generic| generic.eq_ignore_ascii_case(word));
    let characters: Vec<char> = name.chars().collect();
    let kind = |character: &char| (character.is_alphabetic(), character.is_numeric());
    let mut words = characters.chunk_by(|a, b| kind(a) == kind(b)).filter(|word| word[0].is_alphabetic());
    words.all(|word| is_word(&word.iter().collect::<String>()))
}

fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tell_nothing_are_generic() {
        let generic = "model Model models checkpoint-500 checkpoint_1000 ckpt-3 step_20 steps100 global_step1000 epoch-3 \
            epoch=3-step=1000 iter_0000100 final final_model best-model last output merged merged_16bit \
            model_fp16 model.fp16 hf_model v2 500 00 2026-01-31_12-00-00 pytorch_model \
            pytorch_model-00001-of-00002 model-00001-of-00003 diffusion_pytorch_model consolidated.00 weights \
            26bca36bde8333b5d7f72e9ed20ccda6a618af24";
        for name in generic.split(' ') {
            assert!(is_generic(name), "{name}");
        }
        let telling = "Mistral-7B-v0.1 tiny-mistral Qwen2.5-7B my-run a b2 sd unet vae llama 模型 modelling 7B part \
            merged-llama 26bca36bde8333b5 checkpoint-final-mistral";
        for name in telling.split(' ') {
            assert!(!is_generic(name), "{name}");
        }
    }

    #[test]
    fn a_generic_name_takes_those_above_with_it() {
        for (path, name) in [
            ("/home/me/Tiny-1B", "Tiny-1B"),
            ("/home/me/runs/a/checkpoint-500", "a-checkpoint-500"),
            ("/home/me/my-run/model", "my-run-model"),
            ("/home/me/my-run/output/checkpoint-500", "my-run-output-checkpoint-500"),
            ("/x/merged/output/final/model", "merged-output-final-model"),
            ("/model", "model"),
            ("/outputs/checkpoint-5", "outputs-checkpoint-5"),
            ("/tmp/.tmpA1b2/model", "model"),
            ("/tmp/.hidden", ".hidden"),
            ("/hub/models--org--Tiny-1B/snapshots/26bca36bde83", "Tiny-1B"),
            ("/hub/models--org--Tiny-1B/snapshots/26bca36bde83/checkpoint-500", "Tiny-1B-checkpoint-500"),
            ("/hub/models--org--Tiny-1B/snapshots/26bca36bde83/unet", "Tiny-1B-unet"),
            ("/copy/Tiny/26bca36bde8333b5d7f72e9ed20ccda6a618af24", "Tiny-26bca36bde8333b5d7f72e9ed20ccda6a618af24"),
            ("/", "root"),
        ] {
            assert_eq!(of_folder(Path::new(path)), name, "{path}");
        }
        for (path, name) in [
            ("/home/me/Tiny-1B/model.safetensors", "Tiny-1B-model"),
            ("/home/me/a/checkpoint-500/pytorch_model.bin", "a-checkpoint-500-pytorch_model"),
            ("/home/me/sd/v1-5-pruned.safetensors", "v1-5-pruned"),
            ("/hub/models--org--Tiny/snapshots/26bca36bde83/model.safetensors", "Tiny-model"),
            ("/hub/models--org--Tiny/snapshots/26bca36bde83/v1-5-pruned.safetensors", "Tiny-v1-5-pruned"),
        ] {
            assert_eq!(of_file(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn only_a_snapshot_is_a_model_of_the_hub() {
        assert_eq!(cached_part(Path::new("/hub/models--org--Tiny/snapshots")), None);
        assert_eq!(cached_part(Path::new("/copy/Tiny/snapshots/26bca36bde83/unet")), None);
    }

    #[test]
    fn a_component_is_called_after_its_pipeline_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipeline = folder.path().join("sdxl");
        std::fs::create_dir_all(pipeline.join("unet")).expect("created");
        assert_eq!(of_folder(&pipeline.join("unet")), "unet");
        std::fs::write(pipeline.join("model_index.json"), b"{}").expect("written");
        assert_eq!(of_folder(&pipeline.join("unet")), "sdxl-unet");
        assert_eq!(
            of_file(&pipeline.join("unet/diffusion_pytorch_model.safetensors")),
            "sdxl-unet-diffusion_pytorch_model"
        );
    }
}
