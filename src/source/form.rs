//! Weight formats that laser-scan does not read: the names of their files, and what the user can do instead.

use globset::GlobBuilder;

#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// Glob patterns of the paths of its files within a model's folder.
    files: &'static [&'static str],
    /// What such a file is, as a noun phrase for messages.
    pub what: &'static str,
    /// What the user can do instead.
    pub way_out: &'static str,
}

/// The advice for files that were made for inference alone.
const MADE_FROM: &str = "name the model in safetensors form that it was made from";

/// The advice for files that only the framework that wrote them can read.
const FRAMEWORK: &str =
    "export it to Hugging Face form with the framework that wrote it, and name the folder that holds the result";

/// The most telling come first: a DeepSpeed checkpoint, for example, also contains PyTorch files.
const FORMS: [Form; 17] = [
    Form {
        files: &["**/*.incomplete", "**/*.part", "**/*.partial", "**/*.crdownload", "**/*.aria2"],
        what: "a download that has not finished",
        way_out: "let it finish, or download the model again",
    },
    Form {
        files: &["**/*zero_pp_rank_*", "**/zero_to_fp32.py"],
        what: "a part of a checkpoint of DeepSpeed",
        way_out: "make whole weights of it with the zero_to_fp32.py that DeepSpeed leaves beside its folders \
                  'global_step…', and name what it writes",
    },
    Form {
        files: &["**/latest_checkpointed_iteration.txt", "**/mp_rank_*/*", "**/model_optim_rng.pt"],
        what: "a part of a checkpoint of Megatron",
        way_out: FRAMEWORK,
    },
    Form {
        files: &["**/*.distcp"],
        what: "a part of a distributed checkpoint of PyTorch, such as FSDP writes",
        way_out: "make one file of it with 'accelerate merge-weights FOLDER OUTPUT', where FOLDER is the one that holds the \
                  .distcp files of the model, and name OUTPUT",
    },
    Form { files: &["**/*.nemo"], what: "an archive of NeMo", way_out: FRAMEWORK },
    Form {
        files: &["**/manifest.ocdbt", "**/_CHECKPOINT_METADATA"],
        what: "a part of a checkpoint of JAX's Orbax",
        way_out: FRAMEWORK,
    },
    Form {
        files: &["consolidated*.safetensors"],
        what: "the weights in Mistral's own form, whose names trainers do not know",
        way_out: "name the model in Hugging Face form, convert it with transformers' convert_mistral_weights_to_hf.py, or \
                  name the file itself to scan it under the names that it has",
    },
    Form {
        files: &["**/consolidated.*.pth"],
        what: "a part of the weights in Meta's own form",
        way_out: "name the model in Hugging Face form, or convert it with transformers' convert_llama_weights_to_hf.py",
    },
    Form {
        files: &["**/*.msgpack", "**/*.msgpack.index.json"],
        what: "a file of Flax",
        way_out: "convert the model with transformers 4.57, which still reads it: from_pretrained with from_flax=True, \
                  then save_pretrained",
    },
    // transformers reads TensorFlow 1 checkpoints, as BERT was published in, by the same option.
    Form {
        files: &["**/tf_model*.h5", "**/tf_model*.h5.index.json", "**/*.ckpt.index", "**/*.ckpt.data-*-of-*"],
        what: "a file of TensorFlow",
        way_out: "convert the model with transformers 4.57, which still reads it: from_pretrained with from_tf=True, \
                  then save_pretrained",
    },
    Form {
        files: &["**/*.h5", "**/*.keras", "**/saved_model.pb"],
        what: "a file of TensorFlow or Keras",
        way_out: FRAMEWORK,
    },
    Form {
        files: &["**/*.gguf", "**/ggml-*.bin"],
        what: "a GGUF file, whose weights are quantised for inference",
        way_out: MADE_FROM,
    },
    Form {
        files: &["**/weights.npz", "**/weights.[0-9]*.safetensors"],
        what: "a file of MLX's older form",
        way_out: MADE_FROM,
    },
    Form {
        files: &[
            "**/*.{onnx,onnx_data,tflite,task,litertlm,pte,engine,mlmodel,rkllm,llamafile}",
            "**/openvino_*.{xml,bin}",
            "**/*.mlpackage/**",
        ],
        what: "a file for inference alone",
        way_out: MADE_FROM,
    },
    Form { files: &["**/*.npz", "**/*.npy"], what: "a file of NumPy", way_out: FRAMEWORK },
    Form {
        files: &["**/*.{pt,pth,ckpt,pkl}"],
        what: "a PyTorch file, which may hold more than a model's weights",
        way_out: "load it in PyTorch and save the model's weights anew, in safetensors form",
    },
    Form {
        files: &["**/*.bin"],
        what: "a PyTorch file of no usual name",
        way_out: "name the file itself if it holds the model's weights, or convert the model with transformers' \
                  save_pretrained",
    },
];

/// Patterns of the PyTorch files that a training run keeps beside the weights.
const TRAINING_STATE: &[&str] = &[
    "**/training_args.bin",
    "**/optimizer*.{pt,bin}",
    "**/scheduler*.{pt,bin}",
    "**/rng_state*.pth",
    "**/random_states_*.pkl",
    "**/scaler.pt",
];

impl Form {
    pub fn of(name: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| is_any(form.files, name))
    }

    /// The first form of [`FORMS`] that any of these files has, and the name of that file.
    pub fn among<'a>(names: &[&'a str]) -> Option<(&'a str, &'static Self)> {
        FORMS.iter().find_map(|form| {
            let file = names.iter().find(|name| is_any(form.files, name) && !is_training_state(name))?;
            Some((*file, form))
        })
    }
}

pub fn is_training_state(name: &str) -> bool {
    is_any(TRAINING_STATE, name)
}

fn is_any(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| {
        let glob = GlobBuilder::new(pattern).literal_separator(true).case_insensitive(true).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        for pattern in FORMS.iter().flat_map(|form| form.files).chain(TRAINING_STATE) {
            GlobBuilder::new(pattern).build().expect(pattern);
        }
    }

    #[test]
    fn what_says_most_of_a_folder_comes_first() {
        let names = ["training_args.bin", "a.pt", "global_step5/zero_pp_rank_0_mp_rank_00_model_states.pt"];
        let (file, form) = Form::among(&names).expect("a form");
        assert_eq!((file, form.what), (names[2], "a part of a checkpoint of DeepSpeed"));
        assert_eq!(Form::among(&names[..2]).map(|(file, _)| file), Some("a.pt"));
        assert_eq!(Form::among(&names[..1]), None);
        assert_eq!(Form::among(&["config.json", "model.safetensors"]), None);
    }
}
