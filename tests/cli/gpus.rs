//! What happens when GPUs are short of memory, fail, or are not there.
//!
//! No real GPU does these things when it is asked to: the tests run with the stand-in for CUDA (`tests/cuda_stand_in`), and
//! pass over where there is another GPU or none.

use serde_json::{Value, json};

use crate::support::checkpoint;
use crate::support::program::{Run, Workplace, devices, finish, tiny_mistral};

/// The modules of the tiny model.
const MODULES: u64 = 28;

/// A scan of the tiny model with GPUs that behave by these variables; nothing where there is no stand-in.
fn scan(place: &Workplace, device: &str, variables: &[(&str, &str)]) -> Option<Run> {
    let mut command = place.command();
    command.args(["--model", &tiny_mistral(), "--verbose", "--fresh", "--device", device]);
    is_stand_in().then(|| finish(command.envs(variables.iter().copied())))
}

fn is_stand_in() -> bool {
    let run = Workplace::new().run(&["--model", &tiny_mistral(), "--verbose", "--device", "auto"]);
    let is_stand_in = run.stderr.contains(", on cuda:0 (stand-in)");
    let is_needed = std::env::var_os("LASER_SCAN_NEEDS_GPU").is_some();
    assert!(is_stand_in || !is_needed || run.stderr.contains(", on cuda:0"), "{}", run.stderr);
    is_stand_in
}

/// Checks that the numbers are those of the CPU, and returns how many modules the CPU and GPUs have measured.
fn processors(place: &Workplace) -> (u64, u64) {
    let by_cpu = Workplace::new();
    by_cpu.run(&["--model", &tiny_mistral(), "--device", "cpu"]).succeeded();
    let name = "laser_scan_tiny-mistral.json";
    agree(&place.json(name), &by_cpu.json(name));
    let manifest = place.json("laser_scan_tiny-mistral_run.json");
    let count = |processor: &str| manifest["processors"][processor].as_u64().expect("a number");
    (count("cpu"), count("cuda"))
}

fn agree(ours: &Value, theirs: &Value) {
    let (ours, theirs) = (ours.as_object().expect("an object"), theirs.as_object().expect("an object"));
    assert!(ours.keys().eq(theirs.keys()));
    for (name, record) in ours {
        let ratio = |record: &Value| record["snr"].as_f64().expect("a number");
        let relative = ratio(record) / ratio(&theirs[name]) - 1.0;
        assert!(relative.abs() <= 1e-9, "{name}: {relative:e}");
    }
}

#[test]
fn every_device_has_the_same_numbers() {
    let place = Workplace::new();
    let model = place.path("model");
    checkpoint::write_model(&model, 150);
    let model = model.to_str().expect("UTF-8");
    for device in devices() {
        place.run(&["--model", model, "--device", device, "--output-dir", device]).succeeded();
    }
    for device in devices() {
        agree(&place.json(&format!("{device}/laser_scan_model.json")), &place.json("cpu/laser_scan_model.json"));
    }
}

#[test]
fn a_gpu_measures_all_modules_if_it_can() {
    let place = Workplace::new();
    let Some(run) = scan(&place, "auto", &[]) else { return };
    run.succeeded();
    assert_eq!(processors(&place), (0, MODULES));
    assert_eq!(place.json("laser_scan_tiny-mistral_run.json")["device"], json!("cuda:0"));
}

#[test]
fn a_gpu_that_fails_leaves_its_modules_to_the_cpu() {
    // With every kernel of its first modules once.
    for kernel in ["1", "2", "3", "4", "5", "40"] {
        let place = Workplace::new();
        let Some(run) = scan(&place, "cuda", &[("STAND_IN_BREAK", &format!("0:{kernel}"))]) else { return };
        assert_eq!(run.succeeded().stderr.matches("warning: cuda:0 has failed (").count(), 1, "{}", run.stderr);
        let (cpu, cuda) = processors(&place);
        assert!(cpu > 0 && cpu + cuda == MODULES, "{cpu} and {cuda}");
    }
}

#[test]
fn a_gpu_that_fails_leaves_its_modules_to_the_other() {
    if !is_stand_in() {
        return;
    }
    let place = Workplace::new();
    // More modules than one GPU takes at once, none so small that it would share a batch.
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", checkpoint::layers(30, 350))]);
    let mut command = place.command();
    command.args(["--model", "model", "--device", "cuda:0,1"]);
    let run = finish(command.envs([("STAND_IN_GPUS", "2"), ("STAND_IN_BREAK", "1:5")]));
    assert!(run.succeeded().stderr.contains("warning: cuda:1 has failed ("), "{}", run.stderr);
    let manifest = place.json("laser_scan_model_run.json");
    assert_eq!(manifest["device"], json!("cuda:0,cuda:1"));
    assert_eq!((&manifest["processors"]["cpu"], &manifest["failed"]), (&json!(0), &json!([])));
}

#[test]
fn a_gpu_that_is_short_of_memory_does_less_and_the_cpu_the_rest() {
    // Down from more than all lanes take to nothing at all.
    let mut by_gpu = Vec::new();
    for memory in ["100000000", "3000000", "1000000", "300000", "100000", "100", "0"] {
        let place = Workplace::new();
        let Some(run) = scan(&place, "cuda", &[("STAND_IN_MEMORY", memory)]) else { return };
        run.succeeded();
        let (cpu, cuda) = processors(&place);
        assert_eq!(cpu + cuda, MODULES);
        let is_told =
            ["the CPU measures it", "is given up (out of memory)"].iter().any(|part| run.stderr.contains(part));
        assert_eq!(is_told, cpu > 0, "{}", run.stderr);
        by_gpu.push(cuda);
    }
    assert!(by_gpu.is_sorted_by(|more, less| more >= less), "{by_gpu:?}");
    assert_eq!((by_gpu[0], by_gpu[by_gpu.len() - 1]), (MODULES, 0));
}

#[test]
fn a_gpu_that_refuses_a_module_keeps_the_others() {
    let place = Workplace::new();
    // Each of the lanes has computed once before.
    for (version, function) in [("12.4.1", "cusolverDnXsyevBatched"), ("11.6.4", "cusolverDnDsytrd")] {
        let refused = format!("{function}:9:10");
        let variables = [("STAND_IN_CUSOLVER", version), ("STAND_IN_REFUSE", refused.as_str())];
        let Some(run) = scan(&place, "cuda", &variables) else { return };
        assert!(!run.succeeded().stderr.contains("is given up"), "{}", run.stderr);
        let (cpu, cuda) = processors(&place);
        assert!(cpu <= 2 && cpu + cuda == MODULES, "{cpu} and {cuda}: {}", run.stderr);
        // A batch that is refused is done one by one, and all of it may go well.
        assert!(cpu == 2 || function == "cusolverDnXsyevBatched", "{cpu}: {}", run.stderr);
        let told = run.stderr.matches("(CUSOLVER_STATUS_INVALID_VALUE): the CPU measures it").count();
        assert_eq!(told as u64, cpu, "{}", run.stderr);
    }
}

#[test]
fn a_gpu_that_refuses_everything_is_given_up_in_the_librarys_words() {
    let place = Workplace::new();
    for (function, words) in
        [("cusolverDnXsyevBatched", "CUSOLVER_STATUS_INVALID_VALUE"), ("cublasDsyrk", "CUBLAS_STATUS_EXECUTION_FAILED")]
    {
        // From the first, which opens a lane, or from the first module on.
        for first in [1, 9] {
            let refused = format!("{function}:{first}:999999");
            let Some(run) = scan(&place, "cuda", &[("STAND_IN_REFUSE", &refused)]) else { return };
            let warning = format!("warning: cuda:0 is given up ({words})");
            assert_eq!(run.succeeded().stderr.matches(&warning).count(), 1, "{}", run.stderr);
            assert_eq!(processors(&place), (MODULES, 0));
        }
    }
}

/// Which of cuSOLVER's functions find eigenvalues depends on its version, and the numbers do not.
#[test]
fn every_version_of_the_solver_has_the_same_numbers() {
    if !is_stand_in() {
        return;
    }
    let place = Workplace::new();
    let square =
        |(layer, n): (usize, usize)| checkpoint::matrix(&format!("model.layers.{layer}.mlp.up_proj.weight"), n, n);
    let squares = [(0, 300), (1, 300), (2, 1100), (3, 2048)].map(square);
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", squares.into())]);
    place.run(&["--model", "model", "--device", "cpu", "--output-dir", "cpu"]).succeeded();
    let [batched, default, two_stages, bisection] = [
        "cusolverDnXsyevBatched",
        "cusolverDnXsyevd",
        "cusolverDnXsyevd in two stages",
        "cusolverDnDsytrd and bisection",
    ];
    let expected: [(&str, &[&str]); 3] =
        [("11.6.4", &[bisection]), ("12.0.4", &[bisection, batched]), ("12.4.1", &[batched, default, two_stages])];
    for (version, functions) in expected {
        let mut command = place.command();
        command.args(["--model", "model", "--device", "cuda", "--output-dir", version]);
        finish(command.env("STAND_IN_CUSOLVER", version)).succeeded();
        agree(&place.json(&format!("{version}/laser_scan_model.json")), &place.json("cpu/laser_scan_model.json"));
        let manifest = place.json(&format!("{version}/laser_scan_model_run.json"));
        assert_eq!((&manifest["processors"]["cuda"], &manifest["eigensolvers"]), (&json!(4), &json!(functions)));
    }
}

#[test]
fn as_much_is_in_work_as_a_small_card_holds() {
    if !is_stand_in() {
        return;
    }
    let place = Workplace::new();
    checkpoint::write_shards(&place.path("model"), &[("model.safetensors", checkpoint::layers(30, 350))]);
    // A module takes up to 3.5 MB, and eight lanes would have all sixty in work.
    for memory in ["200000000", "40000000", "8000000"] {
        let mut command = place.command();
        command.args(["--model", "model", "--device", "cuda", "--verbose", "--fresh", "--overwrite"]);
        let run = finish(command.env("STAND_IN_MEMORY", memory));
        assert!(!run.succeeded().stderr.contains("memory for"), "{memory}: {}", run.stderr);
        assert!(!run.stderr.contains("short of memory"), "{memory}: {}", run.stderr);
        assert_eq!(place.json("laser_scan_model_run.json")["processors"]["cpu"], json!(0));
    }
}

#[test]
fn auto_takes_all_gpus_and_the_cpu_helps_slow_ones() {
    let place = Workplace::new();
    let Some(run) = scan(&place, "auto", &[("STAND_IN_GPUS", "3")]) else { return };
    run.succeeded();
    assert_eq!(processors(&place), (0, MODULES));
    assert_eq!(place.json("laser_scan_tiny-mistral_run.json")["device"], json!("cuda:0,cuda:1,cuda:2"));
    let run = scan(&place, "auto", &[("STAND_IN_RATIO", "64")]).expect("the stand-in");
    let reason = "cuda:0 computes 64 times slower in float64 than in float32: the CPU measures the smallest";
    assert!(run.succeeded().stderr.contains(reason), "{}", run.stderr);
    assert_eq!(place.json("laser_scan_tiny-mistral_run.json")["device"], json!("cuda:0,cpu"));
    let (cpu, cuda) = processors(&place);
    assert!(cpu > 0 && cpu + cuda == MODULES, "{cpu} and {cuda}");
    // Who names a device has it.
    scan(&place, "cuda", &[("STAND_IN_RATIO", "64")]).expect("the stand-in").succeeded();
    assert_eq!(processors(&place), (0, MODULES));
}

#[test]
fn emulated_products_are_used_only_if_they_are_as_exact() {
    let place = Workplace::new();
    let emulated = ("CUBLAS_EMULATE_DOUBLE_PRECISION", "1");
    let Some(run) = scan(&place, "cuda", &[emulated]) else { return };
    assert!(
        run.succeeded().stderr.contains("CUBLAS_EMULATE_DOUBLE_PRECISION=1: products of integers"),
        "{}",
        run.stderr
    );
    assert_eq!(processors(&place), (0, MODULES));
    let manifest = place.json("laser_scan_tiny-mistral_run.json");
    assert_eq!(manifest["emulation"], json!("CUBLAS_EMULATE_DOUBLE_PRECISION=1"));
    let rough = [emulated, ("STAND_IN_ROUGH", "1")];
    let refused = scan(&place, "cuda", &rough).expect("the stand-in");
    refused.refused(1, &["cuda:0 cannot be used", "CUBLAS_EMULATE_DOUBLE_PRECISION is set", "unset it"]);
    let by_cpu = scan(&place, "auto", &rough).expect("the stand-in");
    assert!(by_cpu.succeeded().stderr.contains("warning: cuda:0 cannot be used (CUBLAS_EMULATE"), "{}", by_cpu.stderr);
    assert_eq!(processors(&place), (MODULES, 0));
    assert_eq!(place.json("laser_scan_tiny-mistral_run.json").get("emulation"), None);
}

#[test]
fn a_machine_without_a_gpu_computes_on_the_cpu_unless_told_otherwise() {
    let place = Workplace::new();
    for variable in [("STAND_IN_DRIVER", "none"), ("STAND_IN_GPUS", "0")] {
        let Some(run) = scan(&place, "auto", &[variable]) else { return };
        assert!(!run.succeeded().stderr.contains("warning"), "{}", run.stderr);
        assert_eq!(processors(&place), (MODULES, 0));
        let refused = scan(&place, "cuda", &[variable]).expect("the stand-in");
        refused.refused(1, &["no GPU is found", "nvidia-smi", "--device cpu"]);
    }
}

#[test]
fn a_driver_that_does_not_go_with_the_build_is_told_of() {
    for (driver, words) in [("old", "system has unsupported"), ("before", "no kernel image is available")] {
        let place = Workplace::new();
        let Some(run) = scan(&place, "auto", &[("STAND_IN_DRIVER", driver)]) else { return };
        let warning = format!("warning: cuda:0 cannot be used ({words}");
        assert!(run.succeeded().stderr.contains(&warning), "{}", run.stderr);
        assert_eq!(processors(&place), (MODULES, 0));
        let refused = scan(&place, "cuda", &[("STAND_IN_DRIVER", driver)]).expect("the stand-in");
        refused.refused(1, &["cuda:0 cannot be used", "docs/gpu.md", "--device cpu"]);
    }
}

/// A driver runs the libraries of its own version of CUDA and of older ones.
#[test]
fn the_newest_libraries_that_the_driver_runs_are_taken() {
    for (cuda, library) in [("13.2", "libcublas.so.13"), ("12.4", "libcublas.so.12")] {
        let place = Workplace::new();
        let Some(run) = scan(&place, "cuda", &[("STAND_IN_CUDA", cuda)]) else { return };
        for part in [format!("version CUDA {cuda}"), format!("{library}, version 7.8.9")] {
            assert!(run.succeeded().stderr.contains(&part), "{part} is not in {}", run.stderr);
        }
    }
    let old = scan(&Workplace::new(), "cuda", &[("STAND_IN_CUDA", "11.8")]).expect("the stand-in");
    old.refused(1, &["the driver is for CUDA 11.8", "CUDA 12 or later", "install a newer driver"]);
}

/// Someone who has PyTorch in a virtual environment has told the loader of nothing.
#[cfg(unix)]
#[test]
fn libraries_are_found_beside_pytorch() {
    use std::os::unix::fs::symlink;

    if !is_stand_in() {
        return;
    }
    let place = Workplace::new();
    let folders = std::env::var_os("LD_LIBRARY_PATH").expect("the stand-in's folder");
    let mut files = std::env::split_paths(&folders).map(|folder| folder.join("libcuda.so.1"));
    let stand_in = files.find(|file| file.is_file()).expect("the stand-in").canonicalize().expect("a path");
    let put = |folder: &str, names: &[&str]| {
        std::fs::create_dir_all(place.path(folder)).expect("created");
        names.iter().for_each(|name| symlink(&stand_in, place.path(folder).join(name)).expect("linked"));
    };
    put("driver", &["libcuda.so.1"]);
    put("venv/lib/python3.12/site-packages/nvidia/cublas/lib", &["libcublas.so.12"]);
    put("venv/lib/python3.12/site-packages/nvidia/cusolver/lib", &["libcusolver.so.11"]);
    put("new/lib/python3.13/site-packages/nvidia/cu13/lib", &["libcublas.so.13", "libcusolver.so.12"]);
    put("half/lib/python3.13/site-packages/nvidia/cu13/lib", &["libcublas.so.13"]);
    let scan = |environment: &str| {
        let mut command = place.command();
        command.args(["--model", &tiny_mistral(), "--verbose", "--fresh", "--device", "cuda", "--overwrite"]);
        for name in ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"] {
            command.env_remove(name);
        }
        command.env("LD_LIBRARY_PATH", place.path("driver")).env("HOME", place.path(""));
        finish(command.env("VIRTUAL_ENV", place.path(environment)))
    };
    for (environment, file) in
        [("venv", "nvidia/cublas/lib/libcublas.so.12"), ("new", "nvidia/cu13/lib/libcublas.so.13")]
    {
        let run = scan(environment);
        assert!(run.succeeded().stderr.contains(&format!("{file}, version 7.8.9")), "{}", run.stderr);
        assert_eq!(processors(&place), (0, MODULES));
        let libraries = &place.json("laser_scan_tiny-mistral_run.json")["libraries"];
        assert!(libraries[1]["file"].as_str().is_some_and(|path| path.ends_with(file)), "{libraries}");
        assert_eq!((&libraries[0]["version"], &libraries[2]["version"]), (&json!("CUDA 13.0"), &json!("12.4.1")));
    }
    // Where the machine has a toolkit of its own, that one is found.
    if !std::path::Path::new("/usr/local/cuda").exists() {
        scan("half").refused(1, &["cuBLAS and cuSOLVER of CUDA 12 or 13 are not found", "nvidia-cublas", "CUDA_HOME"]);
    }
}

#[test]
fn lanes_that_a_gpu_has_no_memory_for_are_done_without() {
    // Each lane takes two handles: memory for some lanes, and for none.
    for (memory, by_gpu) in [("25000000", true), ("5000000", false)] {
        let place = Workplace::new();
        let variables = [("STAND_IN_MEMORY", memory), ("STAND_IN_HANDLE", "3000000")];
        let Some(run) = scan(&place, "cuda", &variables) else { return };
        run.succeeded();
        assert_eq!(processors(&place), if by_gpu { (0, MODULES) } else { (MODULES, 0) }, "{}", run.stderr);
        // In the library's own words.
        let words = ["CUBLAS_STATUS_NOT_INITIALIZED", "CUSOLVER_STATUS_INTERNAL_ERROR"];
        let warning = |word: &&str| format!("warning: cuda:0 is given up ({word}, perhaps for want of memory)");
        let is_told = words.iter().any(|word| run.stderr.contains(&warning(word)));
        assert_eq!(is_told, !by_gpu, "{}", run.stderr);
    }
}

#[test]
fn without_a_driver_the_cpu_computes_unless_told_otherwise() {
    let place = Workplace::new();
    let tiny = tiny_mistral();
    let scan = |device: &str| {
        let mut command = place.command();
        finish(command.args(["--model", &tiny, "--device", device]).env_remove("LD_LIBRARY_PATH"))
    };
    let run = scan("cuda");
    // Where there is a driver, it says what it finds.
    if run.status == 0 || run.stderr.contains("CUDA_ERROR") || run.stderr.contains("the driver lists none") {
        return;
    }
    run.refused(1, &["no GPU is found", "libcuda.so.1", "--device cpu"]);
    assert!(!scan("auto").succeeded().stderr.contains("warning"));
    assert_eq!(processors(&place), (MODULES, 0));
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let place = Workplace::new();
    let Some(run) = scan(&place, "cuda:0,3", &[("STAND_IN_GPUS", "2")]) else { return };
    run.refused(1, &["there is no cuda:3", "cuda:1"]);
}
