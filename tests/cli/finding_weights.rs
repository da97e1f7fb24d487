//! What a folder holds: weights that are found without being told where, or one sentence that says what there is instead.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::checkpoint::{file, layers, matrix, write_model, write_shards};
use crate::support::hub_server::{Access, Faults, HubServer, MODEL};
use crate::support::program::{Run, Workplace, finish, in_project, tiny_mistral};

const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";

/// Runs on the folder `m` with these files in it.
fn scan(files: &[&str]) -> Run {
    let place = Workplace::new();
    fs::create_dir(place.path("m")).expect("created");
    for name in files {
        place.write(&[(&format!("m/{name}"), if name.ends_with(".json") { b"{}" } else { b"xx" })]);
    }
    let run = place.run(&["--model", "m"]);
    assert_eq!(place.files(), ["m"], "nothing is written");
    run
}

/// A model in three shards, with its index.
fn write_three_shards(folder: &Path) {
    let mut tensors = layers(3, 8);
    let (last, second) = (tensors.split_off(4), tensors.split_off(2));
    let shards = [
        ("model-00001-of-00003.safetensors", tensors),
        ("model-00002-of-00003.safetensors", second),
        ("model-00003-of-00003.safetensors", last),
    ];
    write_shards(folder, &shards);
}

const INDEX: &str = "model.safetensors.index.json";

#[test]
fn shards_without_an_index_are_the_same_model() {
    let place = Workplace::new();
    for folder in ["with/m", "without/m", "pointer/m", "empty/m", "torn/m"] {
        write_three_shards(&place.path(folder));
    }
    fs::remove_file(place.path("without/m").join(INDEX)).expect("removed");
    fs::write(place.path("pointer/m").join(INDEX), LFS_POINTER).expect("written");
    fs::write(place.path("empty/m").join(INDEX), b"").expect("written");
    fs::write(place.path("torn/m").join(INDEX), br#"{"weight_map": {"model.lay"#).expect("written");
    // What else lies there is no reason to take it for the model.
    fs::write(place.path("without/m/merged.safetensors"), b"not read").expect("written");
    place.run(&["--model", "with/m", "--output-dir", "expected"]).succeeded();
    for kind in ["without", "pointer", "empty", "torn"] {
        place.run(&["--model", &format!("{kind}/m"), "--output-dir", kind]).succeeded();
        for name in ["laser_scan_m.json", "laser_scan_m_top_snr.json"] {
            assert_eq!(place.bytes(&format!("{kind}/{name}")), place.bytes(&format!("expected/{name}")), "{kind}");
        }
        let files = |folder: &str| {
            let manifest = place.json(&format!("{folder}/laser_scan_m_run.json"));
            let files = manifest["files"].as_array().expect("a list").iter();
            files.map(|file| (file["file"].clone(), file["size"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(files(kind), files("expected"));
    }
}

#[test]
fn variants_and_pickles_need_no_index_either() {
    let place = Workplace::new();
    let mut first = layers(2, 8);
    let second = first.split_off(2);
    place.write(&[
        ("variant/model.fp16-00001-of-00002.safetensors", &file(&first)),
        ("variant/model.fp16-00002-of-00002.safetensors", &file(&second)),
    ]);
    place.run(&["--model", "variant"]).succeeded();
    assert_eq!(place.json("laser_scan_variant.json").as_object().expect("an object").len(), 4);
    let sharded = in_project("tests/catalogue/pickle/sharded");
    fs::create_dir(place.path("sharded")).expect("created");
    for entry in fs::read_dir(&sharded).expect("readable").flatten() {
        if entry.file_name() != "pytorch_model.bin.index.json" {
            fs::copy(entry.path(), place.path("sharded").join(entry.file_name())).expect("copied");
        }
    }
    place.run(&["--model", "sharded", "--output-dir", "without"]).succeeded();
    place.run(&["--model", &sharded, "--output-dir", "with"]).succeeded();
    assert_eq!(place.bytes("with/laser_scan_sharded.json"), place.bytes("without/laser_scan_sharded.json"));
}

#[test]
fn shards_that_are_not_all_there_are_named() {
    let place = Workplace::new();
    write_three_shards(&place.path("m"));
    fs::remove_file(place.path("m/model-00002-of-00003.safetensors")).expect("removed");
    // With its index, the same.
    place.run(&["--model", "m"]).refused(1, &["'model-00002-of-00003.safetensors'", "does not exist"]);
    fs::write(place.path("m").join(INDEX), LFS_POINTER).expect("written");
    place.run(&["--model", "m"]).refused(1, &[&format!("'{INDEX}' is a pointer of Git LFS"), "git lfs pull"]);
    fs::remove_file(place.path("m").join(INDEX)).expect("removed");
    place.write(&[("m/merged.safetensors", &file(&layers(1, 8)))]);
    place
        .run(&["--model", "m"])
        .refused(1, &["no index and lacks 1 of its 3 shards ('model-00002-of-00003.safetensors'): download"]);
    place.write(&[("many/model-00007-of-00163.safetensors", b"x")]);
    place
        .run(&["--model", "many"])
        .refused(1, &["162 of its 163 shards", "('model-00001-of-00163.safetensors', 'model-00002-of-00163", ", …):"]);
}

#[test]
fn shards_of_two_models_are_not_mixed() {
    scan(&["model-00001-of-00001.safetensors", "model-00001-of-00002.safetensors"])
        .refused(1, &["shards of several models", "'model-00001-of-00002.safetensors'", "move those away"]);
}

#[test]
fn a_tensor_in_two_shards_is_refused_without_an_index() {
    let place = Workplace::new();
    let tensor = |rows| file(&[matrix("model.layers.0.mlp.up_proj.weight", rows, 8)]);
    place.write(&[("m/model-1-of-2.safetensors", &tensor(8)), ("m/model-2-of-2.safetensors", &tensor(16))]);
    place.run(&["--model", "m"]).refused(
        1,
        &[
            "'model-1-of-2.safetensors' and 'model-2-of-2.safetensors'",
            "'model.layers.0.mlp.up_proj.weight'",
            "no index",
        ],
    );
}

#[test]
fn folders_within_that_hold_weights_are_named() {
    let place = Workplace::new();
    for step in [500, 1000] {
        write_model(&place.path(&format!("run/checkpoint-{step}")), 8);
        place.write(&[(&format!("run/checkpoint-{step}/optimizer.pt"), b"x")]);
    }
    place.write(&[("run/training_args.bin", b"x"), ("run/config.json", b"{}")]);
    place.run(&["--model", "run/"]).refused(
        1,
        &[
            "holds no weights itself, but its folders 'checkpoint-500' and 'checkpoint-1000' do",
            "name one of them, such as 'run/checkpoint-1000'",
        ],
    );
    scan(&["0_Transformer/pytorch_model.bin", "1_Pooling/config.json", "modules.json"])
        .refused(1, &["its folder '0_Transformer' does: name 'm/0_Transformer'"]);
    let many: Vec<String> = (1..6).map(|step| format!("checkpoint-{step}/model.safetensors")).collect();
    scan(&many.iter().map(String::as_str).collect::<Vec<_>>())
        .refused(1, &["'checkpoint-1', 'checkpoint-2', … and 'checkpoint-5' do", "such as 'm/checkpoint-5'"]);
}

#[test]
fn a_run_that_saved_adapters_is_one_of_adapters() {
    let place = Workplace::new();
    let config = br#"{"peft_type": "LOHA", "base_model_name_or_path": "org/base"}"#;
    place.write(&[
        ("run/checkpoint-5/adapter_config.json", config),
        ("run/checkpoint-5/adapter_model.safetensors", b"x"),
    ]);
    place.run(&["--model", "run"]).refused(1, &["'run/checkpoint-5' is a LoHa adapter", "'org/base'"]);
}

#[test]
fn the_cache_of_a_model_is_told_from_its_commits() {
    let place = Workplace::new();
    let (repository, commit) = ("hub/models--tiny--Mistral-0B", "26bca36bde8333b5d7f72e9ed20ccda6a618af24");
    place.write(&[(&format!("{repository}/refs/main"), commit.as_bytes())]);
    write_model(&place.path(&format!("{repository}/snapshots/{commit}")), 8);
    write_model(&place.path(&format!("{repository}/snapshots/0000000000000000000000000000000000000000")), 8);
    let snapshot = format!("{repository}/snapshots/{commit}");
    place.run(&["--model", repository]).refused(1, &["model 'tiny/Mistral-0B'", &format!("such as '{snapshot}'")]);
    place.run(&["--model", &snapshot]).succeeded();
    let snapshots = format!("{repository}/snapshots");
    place.run(&["--model", &snapshots]).refused(1, &["holds no weights itself", &format!("'{snapshots}/")]);
    place.run(&["--model", "hub"]).refused(1, &["'hub' is a cache of the Hub's models", "such as 'tiny/Mistral-0B'"]);
    // A model's own folder may have a cache in it.
    write_model(&place.path("hub"), 8);
    place.run(&["--model", "hub"]).succeeded();
}

#[test]
fn other_forms_are_named_with_the_way_out() {
    let cases: [(&[&str], &str, &str); 22] = [
        (&["consolidated.safetensors", "params.json"], "Mistral's own form", "convert_mistral_weights_to_hf.py"),
        (&["consolidated.00.pth", "params.json"], "Meta's own form", "convert_llama_weights_to_hf.py"),
        (
            &["config.json", "zero_to_fp32.py", "global_step500/zero_pp_rank_0_mp_rank_00_model_states.pt"],
            "checkpoint of DeepSpeed",
            "zero_to_fp32.py",
        ),
        (&["bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"], "checkpoint of DeepSpeed", "zero_to_fp32.py"),
        (&["pytorch_model_fsdp_0/__0_0.distcp"], "distributed checkpoint of PyTorch", "accelerate merge-weights"),
        (&[".metadata", "__0_0.distcp", "__1_0.distcp"], "distributed checkpoint", "accelerate merge-weights"),
        (&["mp_rank_00/model_optim_rng.pt"], "checkpoint of Megatron", "Hugging Face form"),
        (&["model.nemo"], "archive of NeMo", "Hugging Face form"),
        (&["config.json", "flax_model.msgpack"], "file of Flax", "from_flax=True"),
        (&["config.json", "tf_model.h5"], "file of TensorFlow", "from_tf=True"),
        (&["model.ckpt.index", "model.ckpt.data-00000-of-00001"], "file of TensorFlow", "4.57"),
        (&["model.weights.h5"], "Keras", "Hugging Face form"),
        (&["model-Q4_K_M.gguf"], "GGUF file", "safetensors form that it was made from"),
        (&["weights.npz"], "MLX", "made from"),
        (&["weights.00.safetensors", "weights.01.safetensors"], "MLX", "made from"),
        (&["config.json", "onnx/model.onnx"], "'onnx/model.onnx'", "made from"),
        (&["openvino_model.xml", "openvino_model.bin"], "for inference alone", "made from"),
        (&["model.safetensors.part"], "download that has not finished", "download the model again"),
        (&["9f2a.incomplete", "config.json"], "download that has not finished", "let it finish"),
        (&["model.ckpt", "optimizer.pt"], "'model.ckpt', a PyTorch file", "safetensors form"),
        (
            &["weights.bin", "training_args.bin"],
            "'weights.bin', a PyTorch file of no usual name",
            "name the file itself",
        ),
        (&["optimizer.pt", "training_args.bin"], "state of a training run", "saved the model in"),
    ];
    for (files, what, way_out) in cases {
        scan(files).refused(1, &["'m' holds", what, way_out]);
    }
}

#[test]
fn a_folder_with_nothing_to_read_says_so() {
    scan(&[]).refused(1, &["'m' holds no files", "Hub id"]);
    scan(&["tokenizer.json", "README.md"]).refused(1, &["only what describes a model, such as 'tokenizer.json'"]);
    scan(&["README.md"]).refused(1, &["'m' holds no .safetensors file and no pytorch_model.bin: name the folder"]);
}

#[test]
fn mistrals_own_form_is_scanned_where_it_is_named() {
    let place = Workplace::new();
    place.write(&[("m/consolidated.safetensors", &file(&[matrix("layers.0.attention.wq.weight", 8, 8)]))]);
    place.run(&["--model", "m"]).refused(1, &["name the file itself"]);
    place.run(&["--model", "m/consolidated.safetensors"]).succeeded();
    assert!(place.json("laser_scan_m-consolidated.json")["layers.0.attention.wq"].is_object());
}

#[test]
fn a_file_that_aria2_still_fills_is_not_read() {
    let place = Workplace::new();
    write_model(&place.path("m"), 8);
    fs::write(place.path("m/model.safetensors.aria2"), b"x").expect("written");
    place.run(&["--model", "m"]).refused(1, &["'model.safetensors' is not whole", "let the download finish"]);
    place.run(&["--model", "m/model.safetensors"]).refused(1, &["'model.safetensors' is not whole"]);
}

#[test]
fn pointers_of_git_lfs_are_told_from_what_they_stand_for() {
    let place = Workplace::new();
    write_three_shards(&place.path("m"));
    fs::write(place.path("m/config.json"), LFS_POINTER).expect("written");
    place.run(&["--model", "m"]).refused(1, &["'config.json' is a pointer of Git LFS", "git lfs pull"]);
    fs::remove_file(place.path("m/config.json")).expect("removed");
    fs::write(place.path("m/model-00003-of-00003.safetensors"), LFS_POINTER).expect("written");
    let parts = ["'model-00003-of-00003.safetensors'", "a pointer of Git LFS", "git lfs pull"];
    place.run(&["--model", "m"]).refused(1, &parts);
    fs::remove_file(place.path("m").join(INDEX)).expect("removed");
    place.run(&["--model", "m"]).refused(1, &parts);
}

#[cfg(unix)]
#[test]
fn links_to_nothing_are_named_with_their_targets() {
    use std::os::unix::fs::symlink;
    let place = Workplace::new();
    let broken = |run: Run, file: &str| {
        run.refused(1, &[&format!("'{file}' is a link to '../../blobs/a', which does not exist"), "cp -rL"]);
    };
    let link = |name: &str| {
        fs::remove_file(place.path(name)).ok();
        symlink("../../blobs/a", place.path(name)).expect("linked");
    };
    let scan = |model: &str| place.run(&["--model", model]);
    // One shard of several, with an index and without.
    write_three_shards(&place.path("some"));
    link("some/model-00002-of-00003.safetensors");
    broken(scan("some"), "model-00002-of-00003.safetensors");
    fs::remove_file(place.path("some").join(INDEX)).expect("removed");
    broken(scan("some"), "model-00002-of-00003.safetensors");
    // The only file, of a usual name or not; and all of them.
    for name in ["model.safetensors", "my-finetune.safetensors", "pytorch_model.bin"] {
        fs::create_dir(place.path(&format!("of-{name}"))).expect("created");
        link(&format!("of-{name}/config.json"));
        broken(scan(&format!("of-{name}")), "config.json");
        fs::remove_file(place.path(&format!("of-{name}/config.json"))).expect("removed");
        link(&format!("of-{name}/{name}"));
        broken(scan(&format!("of-{name}")), name);
    }
    // What describes the model is not missed in silence.
    write_model(&place.path("described"), 8);
    link("described/config.json");
    broken(scan("described"), "config.json");
    // A component, and a folder that is such a link itself.
    place.write(&[("sd/model_index.json", br#"{"unet": ["diffusers", "UNet2DConditionModel"]}"#)]);
    fs::create_dir(place.path("sd/unet")).expect("created");
    link("sd/unet/diffusion_pytorch_model.safetensors");
    broken(scan("sd"), "unet/diffusion_pytorch_model.safetensors");
    link("folder");
    broken(scan("folder"), "folder");
}

#[test]
fn files_of_other_forms_are_named_with_the_way_out() {
    let place = Workplace::new();
    let cases = [
        ("flax_model.msgpack", "a file of Flax", "from_flax=True"),
        ("tf_model.h5", "a file of TensorFlow", "from_tf=True"),
        ("tf_model.h5.index.json", "a file of TensorFlow", "from_tf=True"),
        ("model.onnx", "for inference alone", "made from"),
        ("model.gguf", "a GGUF file", "made from"),
        ("model.nemo", "an archive of NeMo", "Hugging Face form"),
        ("model.ckpt", "a PyTorch file", "in safetensors form"),
        ("consolidated.00.pth", "Meta's own form", "convert_llama_weights_to_hf.py"),
        ("__0_0.distcp", "distributed checkpoint", "accelerate merge-weights"),
        ("model.safetensors.incomplete", "not finished", "let it finish"),
        ("config.json", "no .safetensors or .bin file", "name a model's folder"),
    ];
    for (name, what, way_out) in cases {
        place.write(&[(name, b"x")]);
        place.run(&["--model", name]).refused(1, &[&format!("'{name}' is "), what, way_out]);
    }
}

#[test]
fn an_index_of_a_variant_can_be_named() {
    let place = Workplace::new();
    let index = json!({"weight_map": {"model.layers.0.a.weight": "part.safetensors"}}).to_string();
    place.write(&[
        ("m/model.safetensors.index.fp16.json", index.as_bytes()),
        ("m/part.safetensors", &file(&[matrix("model.layers.0.a.weight", 8, 8)])),
    ]);
    place.run(&["--model", "m/model.safetensors.index.fp16.json"]).succeeded();
}

#[test]
fn a_misspelled_path_is_answered_with_the_one_that_exists() {
    let place = Workplace::new();
    write_model(&place.path("models/Mistral-7B/checkpoint-500"), 8);
    let meant = "did you mean './models/Mistral-7B/checkpoint-500'?";
    place.run(&["--model", "./modles/Mistral-7B/checkpoint-500"]).refused(1, &["no file or folder", meant]);
    place.run(&["--model", "./models/mistral-7b/chekpoint-500"]).refused(1, &["check the spelling"]);
    place
        .run(&["--model", "models/Mistral-7B/chekpoint-500"])
        .refused(1, &["did you mean 'models/Mistral-7B/checkpoint"]);
    place.run(&["--model", "~/models/Mistral-7B"]).refused(1, &["'~'", "unquoted"]);
}

/// Scans [`MODEL`] of a Hub that has these files of it.
fn scan_on_hub(place: &Workplace, files: BTreeMap<String, Vec<u8>>, access: Access) -> Run {
    let server = HubServer::start(files, access, Faults::default());
    let mut command = place.command();
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", place.path("hf"));
    finish(command.args(["--model", MODEL]))
}

#[test]
fn the_same_holds_of_the_hubs_models() {
    let place = Workplace::new();
    let entries = fs::read_dir(tiny_mistral()).expect("readable").flatten();
    let mut files: BTreeMap<String, Vec<u8>> = entries
        .map(|entry| (entry.file_name().into_string().expect("UTF-8"), fs::read(entry.path()).expect("readable")))
        .collect();
    files.remove(INDEX).expect("an index");
    scan_on_hub(&place, files.clone(), Access::Open).succeeded();
    place.run(&["--model", &tiny_mistral()]).succeeded();
    assert_eq!(place.bytes("laser_scan_Mistral-0B.json"), place.bytes("laser_scan_tiny-mistral.json"));
    let within = files.into_iter().map(|(name, bytes)| (format!("weights/{name}"), bytes)).collect();
    scan_on_hub(&Workplace::new(), within, Access::Open).refused(1, &["its folder 'weights' does", "'hf download'"]);
    let onnx = BTreeMap::from([("onnx/model.onnx".to_owned(), b"x".to_vec())]);
    scan_on_hub(&Workplace::new(), onnx, Access::Open).refused(1, &["'onnx/model.onnx'", "made from"]);
}

#[test]
fn a_misspelled_path_that_could_be_an_id_is_answered_with_the_one_that_exists() {
    let place = Workplace::new();
    write_model(&place.path("tiny/Mistral-OB"), 8);
    scan_on_hub(&place, BTreeMap::new(), Access::Private).refused(
        1,
        &["the Hub has no model", "did you mean 'tiny/Mistral-OB', which is here? If not, check the spelling"],
    );
}
